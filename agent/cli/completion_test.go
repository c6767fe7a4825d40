//go:build !lite

package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completionScript writes the script for a shell to a file.
func completionScript(t *testing.T, shell, name string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Main([]string{"completion", shell}, nil, &out, &errs); code != exitWell {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// tabbed are command lines, the last word not finished, with what must be among
// the answers and what must not.
var tabbed = []struct {
	line      []string
	want, not []string
}{
	{[]string{""}, []string{"status", "fence", "help", "completion", "support"}, []string{"off", "--json"}},
	{[]string{"st"}, []string{"status"}, []string{"events"}},
	{[]string{"fence", ""}, []string{"off", "verify", "history"}, []string{"status --json", "run"}},
	{[]string{"fence", "off", "--d"}, []string{"--device", "--driver", "--dry-run"}, []string{"--json"}},
	{[]string{"status", "--"}, []string{"--json", "--socket"}, []string{"--follow"}},
	{[]string{"maintenance", "o"}, []string{"on", "off"}, []string{"status"}},
	{[]string{"run", "--log-level", ""}, []string{"debug", "info", "warn", "error"}, []string{"--config"}},
	{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}, nil},
	{[]string{"fence", "off", "--snmp-version", ""}, []string{"1", "2c", "3"}, nil},
	{[]string{"init", "--mode", ""}, []string{"fence", "silence", "lease"}, nil},
	{[]string{"check", "--config", "/etc/host"}, []string{"/etc/hosts"}, []string{"--json"}},
}

func judgeCompletion(t *testing.T, answer func(line []string) []string) {
	t.Helper()
	for _, a := range tabbed {
		got := answer(a.line)
		for _, w := range a.want {
			if !slices.Contains(got, w) {
				t.Errorf("%q: %q is not among %q", a.line, w, got)
			}
		}
		for _, w := range a.not {
			if slices.Contains(got, w) {
				t.Errorf("%q: %q is among %q", a.line, w, got)
			}
		}
	}
}

func shellFor(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed: .ci/deps does", name)
	}
}

func quoteAll(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, "'"+w+"'")
	}
	return strings.Join(out, " ")
}

func TestBashCompletes(t *testing.T) {
	shellFor(t, "bash")
	file := completionScript(t, "bash", "twinbeat")
	judgeCompletion(t, func(line []string) []string {
		script := `source "$1"; COMP_WORDS=(twinbeat ` + quoteAll(line) + `); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _twinbeat; printf '%s\n' "${COMPREPLY[@]}"`
		out, err := exec.Command("bash", "--norc", "-c", script, "bash", file).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", line, err, out)
		}
		return strings.Split(string(out), "\n")
	})
}

func TestFishCompletes(t *testing.T) {
	shellFor(t, "fish")
	file := completionScript(t, "fish", "twinbeat.fish")
	judgeCompletion(t, func(line []string) []string {
		out, err := exec.Command("fish", "--no-config", "-c", `source $argv[1]; complete -C "twinbeat $argv[2]"`, file, strings.Join(line, " ")).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", line, err, out)
		}
		var words []string
		for l := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			words = append(words, word)
		}
		return words
	})
}

// In zsh only its line editor completes; what it would be given is caught.
func TestZshCompletes(t *testing.T) {
	shellFor(t, "zsh")
	file := completionScript(t, "zsh", "_twinbeat")
	judgeCompletion(t, func(line []string) []string {
		script := `
compdef() { : }
_describe() { local w; for w in "${(@P)2}"; do [[ $w == $PREFIX* ]] && print -r -- "${w%%:*}"; done }
compadd() { shift; print -rl -- "$@" }
_files() { print -rl -- $PREFIX*(N) }
source "$1"
words=(twinbeat ` + quoteAll(line) + `); CURRENT=${#words}; PREFIX=${words[CURRENT]}
_twinbeat || true`
		out, err := exec.Command("zsh", "-f", "-c", script, "zsh", file).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", line, err, out)
		}
		return strings.Split(string(out), "\n")
	})
}

func TestCompletionKnowsEveryCommandAndFlag(t *testing.T) {
	var fromTable, offered []string
	for _, c := range commands() {
		fromTable = append(fromTable, c.name)
	}
	for _, p := range places()[1:] {
		if len(p.flags) > 0 || find(p.name) != nil {
			offered = append(offered, p.name)
		}
	}
	slices.Sort(fromTable)
	slices.Sort(offered)
	if !slices.Equal(fromTable, offered) {
		t.Errorf("commands %q, completed %q", fromTable, offered)
	}
}

func TestCompletionRefusesAShellThatItDoesNotKnow(t *testing.T) {
	for line, want := range map[string]string{"completion": "for which shell?", "completion tcsh": `unknown shell "tcsh"`, "completion bsh": "did you mean bash?"} {
		var out, errs bytes.Buffer
		if code := Main(strings.Fields(line), nil, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %s", line, code, errs.String())
		}
	}
}

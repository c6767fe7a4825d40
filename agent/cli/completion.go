//go:build !lite

package cli

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// completionCommand is made anew for the sake of the initialisation order: it
// needs the table that holds it.
func completionCommand() *command {
	return &command{
		name: "completion", args: "bash|zsh|fish", summary: "print what completes this command line in a shell",
		text: `Print a script that lets a shell complete commands, their flags and words. Where
the shell looks for it depends on the system; make install puts it there.`,
		examples: []string{
			"twinbeat completion bash > /etc/bash_completion.d/twinbeat", "twinbeat completion zsh > /usr/share/zsh/vendor-completions/_twinbeat",
			"twinbeat completion fish > /etc/fish/completions/twinbeat.fish",
		},
		operands: 1,
		run:      (*shell).completion,
	}
}

func (sh *shell) completion(_ *options, operands []string) error {
	if len(operands) == 0 {
		return &usageError{text: "completion: for which shell?"}
	}
	var b strings.Builder
	switch operands[0] {
	case "bash":
		bashCompletion(&b)
	case "zsh":
		zshCompletion(&b)
	case "fish":
		fishCompletion(&b)
	default:
		return unknown("shell", operands[0], []string{"bash", "zsh", "fish"})
	}
	return sh.print(b.String())
}

// values are the words that follow a flag, or "FILE".
func values(f *flag.Flag) []string {
	placeholder, _ := flag.UnquoteUsage(f)
	switch {
	case f.Name == "log-level":
		return logLevels
	case placeholder == "FILE" || placeholder == "PATH" || placeholder == "PROGRAM":
		return []string{"FILE"}
	case strings.Contains(placeholder, "|") && !strings.ContainsAny(placeholder, "[]"):
		return strings.Split(placeholder, "|")
	}
	return nil
}

// words are those that may follow a command: its verbs, or the alternatives
// that its synopsis begins with.
func (c *command) words() []string {
	first, _, _ := strings.Cut(c.args, " ")
	if strings.Contains(first, "|") && !strings.ContainsAny(first, "[]") {
		return strings.Split(first, "|")
	}
	return nil
}

// A place is where a command line stands: behind a command, or behind the first
// word of one of two.
type place struct {
	name  string // "" is the beginning
	words []suggestion
	flags []suggestion
}

// A suggestion is a word with what it means.
type suggestion struct {
	word, means string
	values      []string // that follow a flag; nil: nothing known
	takes       bool     // a flag takes a value
}

// places are all of them.
func places() []place {
	all := []place{{}}
	at := func(name string) *place {
		i := slices.IndexFunc(all, func(p place) bool { return p.name == name })
		if i < 0 {
			all, i = append(all, place{name: name}), len(all)
		}
		return &all[i]
	}
	for _, c := range commands() {
		first, verb, two := strings.Cut(c.name, " ")
		parent := ""
		if two {
			if at(first); len(at(first).words) == 0 {
				top := at("")
				top.words = append(top.words, suggestion{word: first, means: "switch power, and prove it"})
			}
			parent = first
		} else {
			verb = first
		}
		p := at(parent)
		p.words = append(p.words, suggestion{word: verb, means: c.summary})
		own := at(c.name)
		for _, w := range c.words() {
			own.words = append(own.words, suggestion{word: w})
		}
		c.eachFlag(func(f *flag.Flag, placeholder, usage string) {
			own.flags = append(own.flags, suggestion{word: dashed(f.Name), means: usage, values: values(f), takes: placeholder != ""})
		})
	}
	top := at("")
	top.words = append(top.words, suggestion{word: "help", means: "tell of one command, or list all"})
	return all
}

// perFlag groups the flags of all places by the words that follow them. A flag
// means the same wherever it stands.
func perFlag(all []place) (files, plain []string, chosen map[string][]string) {
	chosen = map[string][]string{}
	for _, p := range all {
		for _, f := range p.flags {
			switch {
			case !f.takes:
			case slices.Equal(f.values, []string{"FILE"}):
				files = append(files, f.word)
			case f.values != nil:
				chosen[f.word] = f.values
			default:
				plain = append(plain, f.word)
			}
		}
	}
	unique := func(s []string) []string { slices.Sort(s); return slices.Compact(s) }
	return unique(files), unique(plain), chosen
}

func (p place) list() []string {
	var out []string
	for _, s := range slices.Concat(p.words, p.flags) {
		out = append(out, s.word)
	}
	return out
}

// flagCases writes the rest of a shell's case about the word before: what the
// shell does after a flag that takes a file, and after one that takes one of some
// words, which stand for %s.
func flagCases(b *strings.Builder, all []place, ofFiles, ofWords string) {
	files, plain, chosen := perFlag(all)
	fmt.Fprintf(b, "  %s) %s; return ;;\n", strings.Join(files, "|"), ofFiles)
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		fmt.Fprintf(b, "  %s) %s; return ;;\n", name, fmt.Sprintf(ofWords, strings.Join(chosen[name], " ")))
	}
	fmt.Fprintf(b, "  %s) return ;;\n  esac\n", strings.Join(plain, "|"))
}

func bashCompletion(b *strings.Builder) {
	all := places()
	b.WriteString("# bash completion of twinbeat, made by twinbeat completion bash\n_twinbeat() {\n" +
		"  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= words= i\n  COMPREPLY=()\n  case $prev in\n")
	flagCases(b, all, `COMPREPLY=($(compgen -f -- "$cur"))`, `COMPREPLY=($(compgen -W '%s' -- "$cur"))`)
	b.WriteString("  for ((i = 1; i < COMP_CWORD && i < 3; i++)); do\n" +
		"    case \"${at:+$at }${COMP_WORDS[i]}\" in\n")
	fmt.Fprintf(b, "    %s) at=\"${at:+$at }${COMP_WORDS[i]}\" ;;\n    *) break ;;\n    esac\n  done\n  case $at in\n", strings.Join(quotedNames(all), "|"))
	for _, p := range all {
		fmt.Fprintf(b, "  '%s') words='%s' ;;\n", p.name, strings.Join(p.list(), " "))
	}
	b.WriteString("  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _twinbeat twinbeat\n")
}

func quotedNames(all []place) []string {
	var out []string
	for _, p := range all[1:] {
		out = append(out, "'"+p.name+"'")
	}
	return out
}

// single makes text safe within single quotes.
func single(text string) string { return strings.ReplaceAll(text, "'", `'\''`) }

func zshCompletion(b *strings.Builder) {
	all := places()
	b.WriteString("#compdef twinbeat\n# zsh completion of twinbeat, made by twinbeat completion zsh\n_twinbeat() {\n" +
		"  local at= prev=${words[CURRENT-1]} i\n  local -a said\n  case $prev in\n")
	flagCases(b, all, "_files", "compadd -- %s")
	fmt.Fprintf(b, "  for ((i = 2; i < CURRENT && i < 4; i++)); do\n    case \"${at:+$at }${words[i]}\" in\n"+
		"    %s) at=\"${at:+$at }${words[i]}\" ;;\n    *) break ;;\n    esac\n  done\n  case $at in\n", strings.Join(quotedNames(all), "|"))
	for _, p := range all {
		fmt.Fprintf(b, "  '%s')\n    said=(", p.name)
		for _, s := range slices.Concat(p.words, p.flags) {
			means := strings.ReplaceAll(s.means, ":", "\\:")
			fmt.Fprintf(b, "\n      '%s:%s'", s.word, single(means))
		}
		b.WriteString(")\n    ;;\n")
	}
	b.WriteString("  esac\n  _describe twinbeat said\n}\n" +
		"if [ \"$funcstack[1]\" = _twinbeat ]; then\n  _twinbeat \"$@\"\nelse\n  compdef _twinbeat twinbeat\nfi\n")
}

func fishCompletion(b *strings.Builder) {
	b.WriteString(`# fish completion of twinbeat, made by twinbeat completion fish
function __twinbeat_at
    set -l said (commandline -opc)[2..3]
    set -l at ''
    for word in $said
        string match -q -- '-*' $word; and break
        contains -- (string trim -- "$at $word") $argv[2..]; or break
        set at (string trim -- "$at $word")
    end
    test "$at" = "$argv[1]"
end
`)
	all := places()
	fmt.Fprintf(b, "set -g __twinbeat_places %s\ncomplete -c twinbeat -f\n", strings.Join(quotedNames(all), " "))
	for _, p := range all {
		where := fmt.Sprintf("complete -c twinbeat -n \"__twinbeat_at '%s' \\$__twinbeat_places\"", p.name)
		for _, s := range p.words {
			fmt.Fprintf(b, "%s -a %s -d '%s'\n", where, s.word, fishText(s.means))
		}
		for _, s := range p.flags {
			option := "-l " + strings.TrimLeft(s.word, "-")
			if !strings.HasPrefix(s.word, "--") {
				option = "-s " + s.word[1:]
			}
			switch {
			case !s.takes:
			case slices.Equal(s.values, []string{"FILE"}):
				option += " -r -F"
			case s.values != nil:
				option += " -x -a '" + strings.Join(s.values, " ") + "'"
			default:
				option += " -x"
			}
			fmt.Fprintf(b, "%s %s -d '%s'\n", where, option, fishText(s.means))
		}
	}
}

// fishText is text within single quotes of fish, which knows \\ and \'.
func fishText(text string) string {
	return strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text)
}

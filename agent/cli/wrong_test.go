//go:build !lite

package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wrong are the ways to call each command that it must refuse, beside those that
// every command refuses; {DIR} is an empty folder.
var wrong = map[string][]struct {
	args string
	code int
}{
	"run":            {{"--config {DIR}/none", exitFailed}, {"--config {DIR}", exitFailed}, {"--config {DIR}/bad", exitFailed}, {"--log-level loud", exitUsage}},
	"check":          {{"--config {DIR}/none", exitFailed}, {"--config {DIR}/bad", exitFailed}},
	"keygen":         {{"--out {DIR}/none/keys", exitFailed}, {"--add --out {DIR}/none", exitFailed}, {"--activate 300 --out {DIR}/keys", exitUsage}, {"--id 0x --out -", exitUsage}, {"--add --remove 1 --out {DIR}/k", exitUsage}},
	"status":         {{"", exitFailed}, {"--config {DIR}/none", exitFailed}, {"--watch --every 1ms", exitUsage}, {"--watch --config {DIR}/none", exitFailed}},
	"events":         {{"", exitFailed}, {"-n -1", exitUsage}},
	"handover":       {{"", exitFailed}, {"a b", exitUsage}},
	"take":           {{"", exitFailed}, {"a b", exitUsage}},
	"maintenance":    {{"", exitUsage}, {"on", exitUsage}, {"perhaps --reason x", exitUsage}, {"on --reason x --for 1ms", exitUsage}, {"off --for 2h", exitUsage}, {"status", exitFailed}},
	"resume":         {{"", exitFailed}},
	"confirm-dead":   {{"", exitFailed}},
	"watchdog":       {{"--disarm", exitFailed}},
	"version":        {{"now", exitUsage}},
	"forecast":       {{"", exitUsage}, {"--csv {DIR}/none", exitFailed}, {"--csv {DIR}/none --limit-high hot", exitUsage}, {"--csv {DIR}/none --column 0", exitUsage}},
	"support":        {{"-o {DIR}/none/x.tar", exitFailed}},
	"completion":     {{"", exitUsage}, {"csh", exitUsage}},
	"simulate":       {{"--mode brave", exitUsage}, {"--replay {DIR}/none", exitFailed}, {"--only peace", exitUsage}},
	"drill":          {{"", exitFailed}, {"--limit 2h", exitUsage}, {"--at noon", exitUsage}},
	"cable-test":     {{"", exitUsage}, {"{DIR}/none", exitFailed}, {"--wait 0s x", exitUsage}},
	"init":           {{"--yes --output {DIR}", exitUsage}, {"--mode brave --yes --output {DIR}", exitUsage}},
	"sensors":        {{"--config {DIR}/none", exitFailed}},
	"notify":         {{"--test --config {DIR}/none", exitFailed}},
	"reload":         {{"", exitFailed}},
	"fence off":      {{"--config {DIR}/none", exitFailed}, {"--driver apx", exitUsage}, {"--driver apc", exitUsage}},
	"fence on":       {{"--config {DIR}/none", exitFailed}},
	"fence reboot":   {{"--config {DIR}/none", exitFailed}, {"--hold 1s", exitUsage}},
	"fence status":   {{"--config {DIR}/none", exitFailed}},
	"fence list":     {{"--config {DIR}/none", exitFailed}},
	"fence identify": {{"--config {DIR}/none", exitFailed}},
	"fence test":     {{"", exitUsage}, {"--config {DIR}/none --outlet 1", exitFailed}},
	"fence verify":   {{"", exitFailed}},
	"fence history":  {{"--config {DIR}/none", exitFailed}},
}

// Every command refuses what makes no sense with exit code 2, what cannot be done
// with 1, says so in one line and what to do in the next, and prints no answer.
func TestEveryCommandRefusesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"bad": "cluster = [\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range commands() {
		list, known := wrong[c.name]
		if !known {
			t.Errorf("%s: enter into the table how it is called wrongly", c.name)
		}
		refuse := func(code int, args ...string) {
			t.Helper()
			got, out, errs := call(t, "", append(strings.Fields(c.name), args...)...)
			lines := strings.Split(strings.TrimSpace(errs), "\n")
			last := lines[len(lines)-1]
			if got != code || !strings.Contains(errs, "twinbeat: ") || !strings.HasPrefix(last, "hint: ") && !strings.HasPrefix(last, "  ") {
				t.Errorf("%s %s: exit %d, want %d: %s%s", c.name, strings.Join(args, " "), got, code, out, errs)
			}
			if code == exitUsage && out != "" {
				t.Errorf("%s %s: prints %s", c.name, strings.Join(args, " "), out)
			}
		}
		refuse(exitUsage, "--no-such-flag")
		words := make([]string, c.operands+1)
		for i := range words {
			words[i] = fmt.Sprintf("word%d", i)
		}
		refuse(exitUsage, words...)
		c.eachFlag(func(f *flag.Flag, _, _ string) {
			if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
				refuse(exitUsage, dashed(f.Name)+"=perhaps")
				return
			}
			refuse(exitUsage, dashed(f.Name)) // its value is missing
		})
		for _, w := range list {
			args := strings.Fields(strings.ReplaceAll(w.args, "{DIR}", dir))
			for _, name := range c.flags { // nobody's agent, nobody's configuration
				if name == "socket" && !strings.Contains(w.args, "--config") {
					args = append(args, "--socket", dir+"/nobody")
				}
				if name == "config" && !strings.Contains(w.args, "--config") && !strings.HasPrefix(c.name, "fence") && c.name != "run" {
					args = append(args, "--config", dir+"/none")
				}
			}
			refuse(w.code, args...)
		}
	}
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// watching is how a node's monitor of that name has stood, and for how long.
func (r *rig) watching(node int, name string) (state string, since time.Duration) {
	r.Helper()
	s, err := r.Nodes[node].Status()
	r.try(err)
	for _, m := range s.Monitors {
		if m.Name == name {
			return m.State, time.Duration(m.SinceMS) * time.Millisecond
		}
	}
	return "is not there", 0
}

// moods are the changes of a node's health since the mark.
func (r *rig) moods(node int, since mark) (out []string) {
	for _, e := range r.events(node, since[node]) {
		if e.Kind == "health" && strings.HasPrefix(e.Decided, "health ") {
			out = append(out, e.Decided)
		}
	}
	return out
}

// reloadBoth reloads the standby, then the owner.
func (r *rig) reloadBoth(text string) (owner report.Reload) {
	r.Helper()
	for _, node := range []int{1, 0} {
		r.rewrite(node, text)
		owner = r.reloaded(node)
	}
	return owner
}

// Monitors, sensors and alerts change in the running agent: what did not change
// keeps its state, its vote and what it is owed, and no client notices.
func TestReloadOfMonitorsSensorsAndAlerts(t *testing.T) {
	dir := t.TempDir()
	flag := func(name string, weight int) string {
		return fmt.Sprintf("[[monitor]]\nname = %q\ntype = \"file\"\npath = \"%s/%s\"\ninterval = \"200ms\"\nfall = 2\nrise = 2\nweight = %d\n", name, dir, name, weight)
	}
	target := func(name, does string) string {
		return fmt.Sprintf("[[notify]]\nname = %q\ntype = \"command\"\nseverity = \"info\"\nrepeat = \"0s\"\ncommand = [\"/bin/sh\", \"-c\", \"%s\"]\n", name, does)
	}
	told := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(dir, name)) // none: it was told nothing
		return string(b)
	}
	// A hot sensor takes 90 * 20 % = 18 points of each node.
	s, o := stoves(t, "[[sensors.rule]]\nmatch = \"*\"\nweight = 20\n")
	o.Extra += flag("stays", 10) + target("stays", "exit 1")
	for _, one := range s {
		one.set(t, stoveCrit+1)
	}
	r := boot(t, o)
	r.await("both are a little sick", 2*soon, func() bool { return r.health(0) == 72 && r.health(1) == 72 })
	since, began, good := r.mark(), time.Now(), r.file(0)
	seen := r.during(func() {
		// Another monitor, another target, another interval of the sensors.
		more := strings.Replace(good, "interval = \"1s\"", "interval = \"2s\"", 1) + flag("comes", 5) + target("comes", fmt.Sprintf("echo told >>%s/comes.$TWINBEAT_ALERT_NODE", dir))
		r.reloadBoth(more)
		r.await("what came votes once it has looked", soon, func() bool { return r.health(0) == 67 })
		if got := r.moods(0, since); len(got) != 1 || got[0] != "health 67, was 72" {
			t.Errorf("health changed by more than what came: %q", got)
		}
		if state, lasted := r.watching(0, "stays"); state != "down" || lasted < time.Since(began) {
			t.Errorf("the monitor that stays is %s for %v, and began anew", state, lasted)
		}
		r.await("the target that came is told", soon, func() bool { return told("comes.fw1") != "" })

		// A secret that is not there refuses all of it, before anything changed.
		r.rewrite(0, strings.Replace(more, flag("comes", 5), "", 1)+
			"[[notify]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"https://192.0.2.1/\"\ntoken_file = \"/none\"\n")
		a := r.reload(0)
		if text := report.ReloadText(a); a.Done || a.Refused == "" || !strings.Contains(text, "notify[2].token_file") || !strings.Contains(text, "hint:") || !strings.Contains(text, "twinbeat.toml:") {
			t.Errorf("%+v\n%s", a, text)
		}
		if state, _ := r.watching(0, "comes"); state != "down" {
			t.Errorf("a reload that was refused took a monitor out: it is %s", state)
		}

		// Rules of the sensors take effect at the next round, the weight of a monitor when it has looked twice.
		lighter := strings.Replace(strings.Replace(more, "weight = 20", "weight = 10", 1), flag("comes", 5), flag("comes", 7), 1)
		r.reloadBoth(lighter)
		r.await("9 for the sensors, 10 and 7 for the monitors", 2*soon, func() bool { return r.health(0) == 74 })
		for _, mood := range r.moods(0, since) {
			if strings.HasPrefix(mood, "health 9") || strings.HasPrefix(mood, "health 8") {
				t.Errorf("a vote was taken back only to be cast again: %s", mood)
			}
		}

		// What goes takes its vote back, and what waits for a target is told of.
		r.rewrite(0, strings.Replace(strings.Replace(lighter, flag("comes", 7), "", 1), target("stays", "exit 1"), "", 1))
		a = r.reloaded(0)
		if len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "target stays goes") {
			t.Errorf("notes %q", a.Notes)
		}
		r.await("one monitor went", soon, func() bool { return r.health(0) == 81 && !r.alarmed(0, "monitor/comes") })
		without, _, _ := strings.Cut(good, "[sensors]")
		r.reloadBoth(without)
		r.await("nothing is wrong any more", soon, func() bool { return r.health(0) == 100 && r.health(1) == 100 && r.quiet(0) && r.quiet(1) })
		r.reloadBoth(good)
		r.await("and all is as it was", 2*soon, func() bool { return r.health(0) == 72 && r.health(1) == 72 })
	}, func() {
		r.await("both agree, and fw2 is armed", soon, func() bool { return r.agree() && r.states(0, "ACTIVE", "ARMED") })
	})
	r.unharmed(seen, since)
}

// parts are the sections that random edits change beside the groups.
const parts = `[sensors]
deadline = "1s"
act = "alert"
[[monitor]]
name = "flag"
type = "file"
path = "/nowhere"
weight = 3
[[notify]]
name = "page"
type = "command"
severity = "error"
command = ["/bin/true"]
`

// editParts makes a random change of monitors, sensors or alerts.
func editParts(n int, text string) string {
	set := func(line string) string {
		key, _, _ := strings.Cut(line, " ")
		at := strings.Index(text, "\n"+key+" = ") + 1
		return text[:at] + line + text[at+strings.IndexByte(text[at:], '\n'):]
	}
	switch n % 5 {
	case 0:
		return set(fmt.Sprintf("weight = %d", 1+n%7))
	case 1:
		return set(fmt.Sprintf("deadline = \"%dms\"", 500+n))
	case 2:
		return set(fmt.Sprintf("severity = %q", []string{"error", "warning", "info"}[n%3]))
	}
	monitor := fmt.Sprintf("[[monitor]]\nname = \"m%d\"\ntype = \"process\"\nprocess = \"none\"\ninterval = \"300ms\"\nweight = 1\n", n%7)
	if strings.Contains(text, monitor) {
		return strings.Replace(text, monitor, "", 1)
	}
	return text + monitor
}

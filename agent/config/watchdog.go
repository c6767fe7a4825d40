package config

import (
	"fmt"
	"strings"
	"time"
)

// A Watchdog says how the hardware watchdog of this node is used.
type Watchdog struct {
	Device         string
	Second         string // another one, fed with the first; empty: none
	Timeout        time.Duration
	Pretimeout     time.Duration // 0: none
	Governor       string        // empty: as the kernel has it
	Handover       time.Duration
	Required       bool
	Patience       time.Duration
	JournalEvery   time.Duration
	JournalTimeout time.Duration
}

// kicks is how many feeds must fit into a timeout: two may be late.
const kicks = 3

var watchdogKeys = []key{
	{path: "watchdog", kind: section, doc: "The hardware watchdog, fed by the agent alone and only while all its vital work gets done. Without this section no device is opened."},
	{path: "watchdog.device", kind: textByNode, show: `{ fw1 = "/dev/watchdog", fw2 = "/dev/watchdog" }`, doc: "The device. Default: /dev/watchdog. Nobody else may have it open: neither systemd nor a watchdog daemon."},
	{path: "watchdog.second", kind: textByNode, hidden: true, show: `"/dev/watchdog1"`, doc: "Another device, fed with the first."},
	{path: "watchdog.timeout", kind: duration, def: `"5s"`, min: second, max: 10 * minute, doc: "A box that was not fed for so long is reset. Whole seconds. The driver may round it; what it makes of it counts, and lengthens boot_wait if need be."},
	{path: "watchdog.pretimeout", kind: duration, def: `"0s"`, orZero: true, min: second, max: 10 * minute, doc: "So long before the reset the kernel runs the governor. Whole seconds; \"0s\": none. Few devices can."},
	{path: "watchdog.governor", kind: text, def: `""`, oneOf: []string{"", "noop", "panic"}, doc: "What happens at the pretimeout: panic leaves a dump in pstore. Empty: as the kernel has it."},
	{path: "watchdog.handover", kind: duration, def: `"60s"`, min: second, max: hour, doc: "Timeout while the agent starts, and after a clean stop, which leaves the device armed: within it the next agent must have started."},
	{path: "watchdog.required", kind: boolean, def: "false", doc: "Do not run without the device. Else its absence is an alarm."},
	{path: "watchdog.patience", kind: duration, def: `"10s"`, min: 4 * second, max: 10 * minute, doc: "Vital work that does not get done for so long makes the agent close its gates, say GOODBYE and let the box be reset. A link that is cut or silent is no such work undone."},
	{path: "watchdog.journal_every", kind: duration, def: `"1m"`, min: second, max: hour, doc: "Between two small writes that prove that the disk works; they also record the newest feed. Each costs flash a block or two."},
	{path: "watchdog.journal_timeout", kind: duration, def: `"10s"`, min: second, max: hour, doc: "A write that has not reached the disk after so long counts as a stuck disk. One that fails in time, as on a full disk, is an alarm only."},
}

// watchdog reads the section [watchdog].
func (p *parser) watchdog(t table) *Watchdog {
	w := &Watchdog{
		Timeout: t.seconds("timeout"), Pretimeout: t.seconds("pretimeout"), Handover: t.seconds("handover"),
		Governor: t.text("governor"), Required: t.boolean("required"), Patience: t.duration("patience"),
		JournalEvery: t.duration("journal_every"), JournalTimeout: t.duration("journal_timeout"),
	}
	devices, second := t.perNode("device", isDeviceFile), t.perNode("second", isDeviceFile)
	for i := range devices {
		if devices[i] == "" && !t.has("device") {
			devices[i] = "/dev/watchdog"
		}
		if second[i] != "" && second[i] == devices[i] {
			t.report("second", second[i]+" is the first device, too", "name another one, or none: ls /dev/watchdog*")
			break
		}
	}
	w.Device, w.Second = devices[p.config.Self], second[p.config.Self]
	if w.Pretimeout > 0 && w.Timeout > 0 && w.Pretimeout >= w.Timeout {
		t.report("pretimeout", fmt.Sprintf("%s is not before the timeout %s", show(w.Pretimeout), show(w.Timeout)), "a shorter pretimeout: it is counted back from the reset")
	}
	if w.Governor != "" && w.Pretimeout == 0 {
		t.report("governor", "there is no pretimeout", "add pretimeout, or leave governor out")
	}
	return w
}

// seconds reads a duration that the kernel counts in seconds.
func (t table) seconds(name string) time.Duration {
	d := t.duration(name)
	if d%time.Second != 0 {
		t.report(name, show(d)+" is not whole seconds", "the kernel counts watchdog times in seconds")
	}
	return d
}

func isDeviceFile(s string) (hint string, ok bool) {
	return "a path such as /dev/watchdog1", strings.HasPrefix(s, "/dev/") && !strings.ContainsAny(s, " \t\n\x00")
}

// watchdogRules are the inequalities of the watchdog.
func watchdogRules(c Config) []inequality {
	w := c.Watchdog
	if w == nil {
		return nil
	}
	feeds, need := sum(term{fmt.Sprintf("%d x beat", kicks), kicks * c.Timing.Beat})
	grown := BootWait(c.Timing, w.Timeout)
	return []inequality{{
		key: "watchdog.timeout", name: "watchdog timeout", have: w.Timeout, sum: feeds, need: need,
		why: "two feeds may be late, and one comes with a heartbeat", hint: "lengthen timeout or shorten beat",
	}, {
		key: "timing.boot_wait", name: "boot_wait", have: c.Timing.BootWait, need: grown,
		sum: fmt.Sprintf("watchdog timeout %s + takeover %s = %s with clocks %d ppm off", show(w.Timeout), show(c.Timing.Takeover), show(grown), 1_000_000/drift),
		why: "a node that boots must outwait a hung peer that its watchdog has yet to reset", hint: "lengthen boot_wait or shorten the watchdog's timeout",
	}, {
		key: "watchdog.handover", name: "handover", have: w.Handover, sum: "watchdog timeout " + show(w.Timeout), need: w.Timeout,
		why: "an agent that starts needs longer than one that runs", hint: "lengthen handover",
	}}
}

// BootWait is the least that a booting node must listen where a hung box is
// reset within timeout.
func BootWait(t Timing, timeout time.Duration) time.Duration { return drifted(timeout, t.Takeover) }

package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Watchdog is what the outside may see of the hardware watchdog.
type Watchdog struct {
	State   string        `json:"state"` // none, missing, starting, fed, starved, disarmed
	Error   string        `json:"error,omitempty"`
	Devices []WatchdogDev `json:"devices,omitempty"`
	FedMS   *float64      `json:"fed_ago_ms,omitempty"`
	Feeds   uint64        `json:"feeds,omitempty"`
	Stale   []string      `json:"stale,omitempty"`    // what made the agent starve it
	LeftOut []string      `json:"left_out,omitempty"` // what never worked in this run and is not judged by
	Tokens  []TokenView   `json:"tokens,omitempty"`
}

// A WatchdogDev is one device.
type WatchdogDev struct {
	Path       string   `json:"path"`
	Identity   string   `json:"identity"`
	Options    []string `json:"options,omitempty"`
	TimeoutMS  int64    `json:"timeout_ms"`  // as read back
	WorstMS    int64    `json:"resets_ms"`   // within which a box that is not fed is reset for certain
	HandoverMS int64    `json:"handover_ms"` // as read back
	Pretimeout int64    `json:"pretimeout_ms,omitempty"`
	Governor   string   `json:"governor,omitempty"`
	NoWayOut   string   `json:"nowayout"` // yes, no, unknown
	Boot       []string `json:"boot_status,omitempty"`
	BootKnown  bool     `json:"boot_status_known"`
	Running    bool     `json:"ran_before,omitempty"`
	Software   bool     `json:"software,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
}

// A TokenView is one kind of vital work.
type TokenView struct {
	Name    string   `json:"name"`
	AgeMS   *float64 `json:"age_ms,omitempty"` // nil: it has not worked yet
	LimitMS float64  `json:"limit_ms"`
}

// A Kick is the newest feed as the journal has it, with what a later agent needs
// to say why the box went.
type Kick struct {
	At      time.Time `json:"at"`
	BootID  string    `json:"boot_id"`
	State   string    `json:"state"` // as [Watchdog.State]
	Stale   []string  `json:"stale,omitempty"`
	Dump    string    `json:"dump,omitempty"`  // newest kernel dump that was there already
	Timeout int64     `json:"timeout_ms"`      // in force then
	Reset   string    `json:"reset,omitempty"` // why this boot began, as its first agent found
	Told    string    `json:"told,omitempty"`  // identity of a watchdog that once said that it reset this box
}

// A Reset says why this box, or this agent, was started.
type Reset struct {
	Cause    string   `json:"cause"` // one of the Cause constants
	Text     string   `json:"text"`
	Evidence []string `json:"evidence,omitempty"`
}

// Causes of a start.
const (
	CauseFirst    = "first-start"
	CauseRestart  = "agent-restart"  // in order; the box ran on
	CauseCrash    = "agent-crash"    // the agent ended without a word; the box ran on
	CauseReboot   = "reboot"         // the agent had ended in order
	CauseWatchdog = "watchdog-reset" // as the device says, or as the agent that starved it wrote
	CausePanic    = "kernel-panic"
	CauseFenced   = "fenced"
	CausePower    = "power-loss"
	CauseHardware = "hardware" // heat, a fan
	CauseUnknown  = "unknown"

	// Of these the peer's cable told; see [Reset.Hear].
	CauseSudden = "power-loss-or-reset" // the modem lines fell with the last word, as they do not in a hang
	CauseHang   = "hang"                // silent, with power on; then reset or switched off
	CauseReset  = "reset-or-hang"       // the power was never gone
)

// Traces are what is left of the run before.
type Traces struct {
	First    bool      // nothing ran here before
	SameBoot bool      // the kernel is the one that the run before had
	Clean    bool      // the run before ended in order
	FencedBy string    // who had said that it switches this node off
	Kick     *Kick     // nil: none is on record
	Boot     []string  // boot status of the watchdog
	Denied   bool      // which names no reset now, but did after an earlier one
	PowerOn  string    // what the board says of its last start; empty: nothing
	Dump     string    // newest kernel dump; empty: there is none
	DumpAt   time.Time // by the wall clock, as the record of the feed
}

// JudgeReset says why the run before ended. Traces that say nothing make the
// cause unknown; none is guessed.
func JudgeReset(t Traces) Reset {
	r := Reset{Cause: CauseUnknown, Evidence: t.evidence()}
	switch {
	case t.First && !slices.Contains(t.Boot, "CARDRESET"): // a journal may lie in memory
		r.Cause, r.Text = CauseFirst, "no agent ran here before"
	case t.SameBoot && t.Clean:
		r.Cause, r.Text = CauseRestart, "the agent was stopped in order and started again; the box ran on"
	case t.SameBoot:
		r.Cause, r.Text = CauseCrash, "the agent ended without a word (killed, out of memory, or a crash); the box ran on"
	default:
		r.Cause, r.Text = t.box()
	}
	return r
}

// newDump says whether a kernel dump came since the run before. Who tidies up
// old ones gives them new names, so that the time must be later, too.
func (t Traces) newDump() bool {
	return t.Dump != "" && t.Kick != nil && t.Dump != t.Kick.Dump && t.DumpAt.After(t.Kick.At)
}

// starved says whether the run before let the watchdog run out.
func (t Traces) starved() bool { return t.Kick != nil && t.Kick.State == "starved" }

// box says why the box was started anew. What names the end comes before what
// was only announced.
func (t Traces) box() (cause, text string) {
	has := func(bit string) bool { return slices.Contains(t.Boot, bit) }
	switch {
	case t.newDump():
		return CausePanic, "the kernel panicked and left a dump"
	case has("CARDRESET") && t.starved():
		return CauseWatchdog, "the watchdog reset the box, as the agent wanted: " + strings.Join(t.Kick.Stale, ", ")
	case has("CARDRESET"):
		return CauseWatchdog, "the watchdog reset the box: nobody fed it"
	case has("OVERHEAT"):
		return CauseHardware, "the box was too hot, as its watchdog says"
	case has("FANFAULT"):
		return CauseHardware, "a fan failed, as the watchdog says"
	case has("POWERUNDER"):
		return CausePower, "the supply failed, as the watchdog says"
	case t.PowerOn == "watchdog timeout":
		return CauseWatchdog, "the watchdog reset the box, as the board says"
	case t.FencedBy != "" && !t.Clean:
		return CauseFenced, t.FencedBy + " had said that it switches this box off"
	case t.starved() && !t.Clean:
		return CauseWatchdog, "the agent had let the watchdog run out: " + strings.Join(t.Kick.Stale, ", ")
	case slices.Contains(powerReasons, t.PowerOn) && !t.Clean:
		return CausePower, "the box lost its power, as the board says"
	case t.Clean:
		return CauseReboot, "the agent had been stopped in order; then the box was restarted or switched off"
	}
	return CauseUnknown, "power loss, a reset or a hang: nothing on record tells them apart"
}

// powerReasons are those of the kernel's power_on_reason that mean a lack of
// power (include/linux/power/power_on_reason.h).
var powerReasons = []string{"regular power-up", "brown-out reset"}

// evidence lists what was found.
func (t Traces) evidence() []string {
	var out []string
	if len(t.Boot) > 0 {
		out = append(out, "watchdog's boot status "+strings.Join(t.Boot, " "))
	}
	if t.Denied && !t.SameBoot {
		out = append(out, "watchdog's boot status names no reset, as it did once")
	}
	if t.PowerOn != "" {
		out = append(out, "board: "+t.PowerOn)
	}
	if t.newDump() {
		out = append(out, "kernel dump "+t.Dump)
	} else if t.Dump != "" && t.Kick == nil {
		out = append(out, "kernel dump "+t.Dump+" of an unknown time")
	}
	if t.FencedBy != "" {
		out = append(out, "fence notice of "+t.FencedBy)
	}
	if k := t.Kick; k != nil {
		if k.State != "none" {
			out = append(out, fmt.Sprintf("watchdog %s at %s", k.State, k.At.Format(TimeLayout)))
		}
		if t.SameBoot && k.Reset != "" {
			out = append(out, "this boot: "+k.Reset)
		}
	}
	return out
}

// String is the cause with its evidence, on one line.
func (r Reset) String() string {
	s := r.Cause + ": " + r.Text
	if len(r.Evidence) > 0 {
		s += " (" + strings.Join(r.Evidence, "; ") + ")"
	}
	return s
}

func renderWatchdog(p *page, s Snapshot) {
	w := s.Watchdog
	if w == nil && s.LastReset == nil {
		return
	}
	p.line("")
	if w != nil {
		p.para(pad("WATCHDOG", label), watchdogText(*w))
		for _, d := range w.Devices {
			fact(p, "device", d.text())
		}
		fact(p, "stale", strings.Join(w.Stale, "; "))
		if len(w.LeftOut) > 0 {
			fact(p, "not judged", strings.Join(w.LeftOut, ", ")+": never worked in this run")
		}
	}
	if s.LastReset != nil {
		p.para(pad("STARTED", label), s.LastReset.String())
	}
}

// WatchdogText writes what an agent knows of its watchdog, with the age of every
// piece of vital work; nil parts are left out.
func WatchdogText(w *Watchdog, r *Reset) string {
	p := &page{width: Columns}
	renderWatchdog(p, Snapshot{Watchdog: w, LastReset: r})
	if w == nil {
		return p.String()
	}
	for _, t := range w.Tokens {
		age := "not yet"
		if t.AgeMS != nil {
			age = Span(*t.AgeMS) + " ago"
		}
		p.line("  %s %s of %s", pad(t.Name, 28), age, Span(t.LimitMS))
	}
	return p.String()
}

func watchdogText(w Watchdog) string {
	switch w.State {
	case "none":
		return "none configured: a box that hangs stays as it is until somebody resets it"
	case "missing":
		return "NOT OPEN: " + w.Error
	case "starting":
		return "armed, with time for the start"
	case "starved":
		return "STARVED: this box is about to be reset"
	case "disarmed":
		return "DISARMED by an operator until the agent is started again"
	}
	return fmt.Sprintf("fed %s, %d times", ago(w.FedMS), w.Feeds)
}

func (d WatchdogDev) text() string {
	parts := []string{fmt.Sprintf("%s (%s), timeout %s, nowayout %s", d.Path, or(d.Identity, "no name"), Span(float64(d.TimeoutMS)), d.NoWayOut)}
	if d.Pretimeout > 0 {
		parts = append(parts, "pretimeout "+Span(float64(d.Pretimeout))+" "+d.Governor)
	}
	if d.Running {
		parts = append(parts, "was armed before it was opened")
	}
	return strings.Join(append(parts, d.Warnings...), "; ")
}

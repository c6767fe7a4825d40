package vm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// A cause lets a machine's watchdog run out.
type cause struct {
	name   string
	strike func(x *play, i int) error
	silent bool   // the agent cannot say a word any more, and feeds nothing from the strike on
	token  string // what it says that it lacks, if it can
}

// by is the evidence by which the peer takes the group.
func (c cause) by() string {
	if c.silent {
		return "silence"
	}
	return "released"
}

// causes are one for each kind of vital work, and what no process survives. The
// loop reads and writes its links itself: where such a call hangs, so does the loop.
var causes = []cause{
	{name: "machine", silent: true, strike: hangs("send", "udp", 0)},
	{name: "serial-read", silent: true, strike: hangs("read", "/dev/ttyS1", 0)},
	{name: "serial-write", silent: true, strike: hangs("write", "/dev/ttyS1", 0)},
	{name: "multicast", silent: true, strike: hangs("recv", "udp", 0)},
	{name: "netlink", token: "netlink", strike: hangs("recv", "netlink:0", 0)},
	{name: "lease", token: "lease", strike: hangs("send", "packet", unix.EIO)}, // the marks of turns
	// The kernel's own thread that writes the disk hangs with it.
	{name: "journal", token: "journal", strike: func(x *play, i int) error { return x.Machines[i].HangDisk(true) }},
	{name: "health", token: "health", strike: hangs("read", "pipe", 0)}, // how a program is started
	{name: "kernel", silent: true, strike: func(x *play, i int) error {
		// A kernel that does not restart after a panic stands still.
		_, err := x.Machines[i].Shell("echo 0 > /proc/sys/kernel/panic")
		return must(func() error { return err }, func() error { return x.sysrq(i, "c") })
	}},
	stopped,
	{name: "agent-killed", silent: true, strike: func(x *play, i int) error { return x.signal(i, int(unix.SIGKILL)) }},
}

// stopped is an agent that does nothing any more.
var stopped = cause{name: "agent-stopped", silent: true, strike: func(x *play, i int) error { return x.signal(i, int(unix.SIGSTOP)) }}

// hangs lets calls of the agent never come back, or fail, and waits for the first.
func hangs(calls, file string, fails unix.Errno) func(*play, int) error {
	return func(x *play, i int) error {
		pid, err := x.agent(i)
		if err != nil {
			return err
		}
		m := x.Machines[i]
		kept := func() int { return strings.Count(m.Log(), talk.Kept) }
		before := kept()
		_, err = m.ask(talk.Request{Do: talk.Hang, PID: pid, Args: []string{calls, file}, Number: int(fails)}, askWait)
		if err != nil {
			return err
		}
		return x.await("a call hangs", func() bool { return kept() > before })
	}
}

// A bitten is how a machine ended by its watchdog.
type bitten struct {
	Cause    string  `json:"cause"`
	Node     string  `json:"node"`
	Timeout  int64   `json:"timeout_ms"` // of the device, as it says
	AfterMS  int64   `json:"after_ms"`   // from the newest feed to the reset
	BeforeMS int64   `json:"before_ms"`  // for how long the peer had served by then
	OutageMS int64   `json:"outage_ms"`  // of the client
	BothMS   int64   `json:"both_ms"`    // active
	Evidence string  `json:"evidence"`   // by which the peer took the group
	Reason   string  `json:"reason"`     // what the agent says of it afterwards
	Lacked   string  `json:"lacked"`     // which vital work the agent said that it missed
	Scale    float64 `json:"scale"`      // of all intervals
	Wrong    string  `json:"wrong,omitempty"`
}

// biteLate is what a reset may come later than the device's timeout, before scaling.
const biteLate = time.Second

// bites lets the owner's watchdog run out, and holds that its peer serves before
// it is reset, that the reset comes in time, and that its agent says why.
func (x *play) bites(i int, c cause) (b bitten, err error) {
	b = bitten{Cause: c.name, Node: names[i], Scale: x.Timing.Scale}
	m, from := x.Machines[i], x.Who.Now()
	_, s := x.state(i)
	if s.Watchdog == nil || len(s.Watchdog.Devices) != 1 {
		return b, fmt.Errorf("%s has no watchdog: %+v", m.Name, s.Watchdog)
	}
	b.Timeout = s.Watchdog.Devices[0].TimeoutMS
	bites, boots := len(m.Times(bite)), m.Boots()
	x.struck = x.Probe.Now()
	if err := c.strike(x, i); err != nil {
		return b, fmt.Errorf("strike: %w", err)
	}
	if err := x.watchBite(i, bites, time.Now(), c, &b); err != nil {
		return b, err
	}
	err = x.await(names[1-i]+" tells its evidence", func() bool {
		if _, s := x.state(1 - i); len(s.Groups) > 0 {
			b.Evidence = s.Groups[0].Evidence
		}
		return b.Evidence != ""
	})
	if err != nil {
		return b, err
	}
	if err := x.comesBack(i, boots, &b); err != nil {
		return b, err
	}
	b.OutageMS = x.outage().Outage.Milliseconds()
	b.BothMS = x.Who.Overlap(x.Machines[0].MAC, x.Machines[1].MAC, from, x.Who.Now()).Milliseconds()
	return b, errors.Join(b.judge(c, x.Timing), x.crashed())
}

// watchBite follows the machine from the strike until its watchdog bites.
func (x *play) watchBite(i, bites int, fed time.Time, c cause, b *bitten) error {
	m := x.Machines[i]
	var served time.Time
	for end := time.Now().Add(x.Timing.scaled(soon)); ; time.Sleep(askNext / 2) {
		if all := m.Times(bite); len(all) > bites {
			at := all[bites]
			b.AfterMS = at.Sub(fed).Milliseconds()
			if !served.IsZero() {
				b.BeforeMS = at.Sub(served).Milliseconds()
			}
			return nil
		}
		if served.IsZero() && bytes.Equal(x.Who.Owner(answering), x.Machines[1-i].MAC) {
			served = time.Now()
		}
		if !c.silent {
			fed = x.fed(i, fed, b)
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %s: the watchdog of %s bites (%s)", x.Timing.scaled(soon), m.Name, x.show())
		}
	}
}

// fed is when a machine's watchdog was fed last, as its agent says now; known is
// what was known before, for an agent that does not answer.
func (x *play) fed(i int, known time.Time, b *bitten) time.Time {
	asked := time.Now()
	s, err := x.Machines[i].StatusWithin(askNext)
	if err != nil || s.Watchdog == nil || s.Watchdog.FedMS == nil {
		return known
	}
	if len(s.Watchdog.Stale) > 0 {
		b.Lacked = fmt.Sprint(s.Watchdog.Stale)
	}
	return asked.Add(-time.Duration(*s.Watchdog.FedMS * float64(time.Millisecond)))
}

// comesBack waits until a machine that was reset is the standby of its peer.
func (x *play) comesBack(i, boots int, b *bitten) error {
	m := x.Machines[i]
	err := must(
		func() error { return m.HangDisk(false) },
		func() error { return m.Booted(boots+1, x.Timing.scaled(bootTime)) },
		func() error {
			return x.await(names[1-i]+" owns the group, and "+names[i]+" would take over", func() bool { return x.well(1 - i) })
		})
	if err != nil {
		return err
	}
	if _, s := x.state(i); s.LastReset != nil {
		b.Reason = s.LastReset.Cause
	}
	return nil
}

// judge holds what must be so of every reset.
func (b bitten) judge(c cause, t Timing) error {
	most := b.Timeout + t.scaled(biteLate).Milliseconds()
	switch {
	case b.BothMS > 0:
		return fmt.Errorf("both nodes were active for %d ms", b.BothMS)
	case b.BeforeMS <= 0:
		return errors.New("the machine was reset before its peer served")
	case b.AfterMS > most:
		return fmt.Errorf("reset %d ms after it was fed, %d ms are allowed", b.AfterMS, most)
	case b.Evidence != c.by():
		return fmt.Errorf("the peer took the group by %q, not %q", b.Evidence, c.by())
	case !strings.Contains(b.Lacked, c.token):
		return fmt.Errorf("the agent misses %q, not %q", b.Lacked, c.token)
	case b.Reason != report.CauseWatchdog:
		return fmt.Errorf("the agent says that its box was started by %q", b.Reason)
	}
	return nil
}

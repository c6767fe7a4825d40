package vm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// How generous a play is with time, before scaling: a machine may have to boot,
// and the host may be busy.
const (
	soon      = 60 * time.Second       // for what must come
	during    = 6 * time.Second        // for what must not: longer than a takeover
	askNext   = 500 * time.Millisecond // between two looks at a machine, which cost it much
	askState  = 3 * time.Second        // for the agent to tell its state
	answering = 500 * time.Millisecond // for a machine to answer a question of the LAN
	strip     = 10                     // newest pings that count as the present
)

// Owners that are no node's number.
const (
	nobody = -1
	either = 2 // one of the two, as it comes
)

// A play is a scenario on a pair, with what is known of it so far.
type play struct {
	*Pair
	say    func(format string, args ...any)
	struck time.Duration // by the prober's clock
}

// state is a node's state of the group, and whether its gate is as the state asks.
func (x *play) state(i int) (string, report.Snapshot) {
	s, err := x.Machines[i].StatusWithin(x.Timing.scaled(askState))
	if err != nil || len(s.Groups) == 0 {
		return "", s
	}
	return s.Groups[0].State, s
}

// serves says who answers for the address on the LAN, and whether the client
// reaches it.
func (x *play) serves() int {
	if slices.Contains(x.Probe.Strip(strip, answering), false) {
		return nobody
	}
	mac := x.Who.Owner(answering)
	return slices.IndexFunc(x.Machines[:], func(m *Machine) bool { return bytes.Equal(m.MAC, mac) })
}

// owns says whether a node owns the group, as it says and as the LAN sees it.
func (x *play) owns(i int) bool {
	state, s := x.state(i)
	return (state == "ACTIVE" || state == "SOLO") && s.Groups[0].GateOpen && x.serves() == i
}

// owner names the node that owns the group as it says, and its evidence.
func (x *play) owner() (name, evidence string) {
	for i := range x.Machines {
		if state, s := x.state(i); state == "ACTIVE" || state == "SOLO" {
			return names[i], s.Groups[0].Evidence
		}
	}
	return "", ""
}

// well says whether one node owns the group and the other would take over.
func (x *play) well(owner int) bool {
	standby, _ := x.state(1 - owner)
	return standby == "ARMED" && x.owns(owner)
}

// keeps says that nothing speaks against a node's owning the group: a busy host
// may lose some pings, and an answer of the agent may be late.
func (x *play) keeps(i int) bool {
	state, _ := x.state(i)
	return (state == "" || state == "ACTIVE" || state == "SOLO") && x.serves() != 1-i
}

// await waits for what must come.
func (x *play) await(what string, ok func() bool) error {
	for end := time.Now().Add(x.Timing.scaled(soon)); ; time.Sleep(askNext) {
		if ok() {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %s: %s (%s)", x.Timing.scaled(soon), what, x.show())
		}
	}
}

// stays holds for longer than a takeover that something remains so.
func (x *play) stays(what string, ok func() bool) error {
	for end := time.Now().Add(x.Timing.scaled(during)); time.Now().Before(end); time.Sleep(askNext) {
		if !ok() {
			return fmt.Errorf("no longer: %s (%s)", what, x.show())
		}
	}
	return nil
}

// show says in short how both nodes see themselves.
func (x *play) show() string {
	var words []string
	for i, m := range x.Machines {
		state, s := x.state(i)
		words = append(words, fmt.Sprintf("%s power=%v %q", m.Name, m.Powered(), state))
		for _, a := range s.Alarms {
			words = append(words, "!"+a.Name)
		}
	}
	return strings.Join(append(words, fmt.Sprintf("the LAN sees %d", x.serves())), " ")
}

// tells says whether a node raises an alarm, or has an event, with a word.
func (x *play) tells(i int, word string) bool {
	_, s := x.state(i)
	for _, a := range s.Alarms {
		if strings.Contains(a.Name+" "+a.Text, word) {
			return true
		}
	}
	all, err := x.Machines[i].Events()
	return err == nil && slices.ContainsFunc(all, func(e report.Event) bool {
		return strings.Contains(strings.Join([]string{e.Kind, e.From, e.To, e.Seen, e.Decided, e.Done}, " "), word)
	})
}

// agent finds the process of the agent under test: the oldest, since a program
// that it starts has its name for a moment.
func (x *play) agent(i int) (pid int, err error) {
	out, err := x.Machines[i].Shell("pidof twinbeat | tr ' ' '\\n' | sort -n")
	if err == nil {
		_, err = fmt.Sscan(out, &pid)
	}
	return pid, err
}

// signal gives the agent under test a signal.
func (x *play) signal(i, number int) error {
	pid, err := x.agent(i)
	if err != nil {
		return err
	}
	_, err = x.Machines[i].ask(talk.Request{Do: talk.Signal, PID: pid, Number: number}, askWait)
	return err
}

// startAgent starts the agent under test, as an init would.
func (x *play) startAgent(i int) error {
	_, err := x.Machines[i].ask(talk.Request{Do: talk.Start, Args: []string{"/bin/twinbeat", "run"}}, askWait)
	return err
}

// sysrq gives a machine's kernel a command of sysrq; it may be its last.
func (x *play) sysrq(i int, command string) error {
	err := x.Machines[i].WriteFile("/proc/sysrq-trigger", command, time.Second)
	if command == "c" {
		return nil
	}
	return err
}

// must does one thing after the other until one fails.
func must(steps ...func() error) error {
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

// crashed finds an agent that ended by a fault of its own.
func (x *play) crashed() error {
	var errs []error
	for _, m := range x.Machines {
		log := m.Log()
		for _, word := range []string{"panic: ", "fatal error: ", "SIGSEGV"} {
			if k := strings.Index(log, word); k >= 0 {
				errs = append(errs, fmt.Errorf("%s: %.300s", m.Name, log[k:]))
			}
		}
	}
	return errors.Join(errs...)
}

// both is for how long both nodes surely answered for the address.
func (x *play) both() time.Duration {
	return x.Who.Overlap(x.Machines[0].MAC, x.Machines[1].MAC, 0, x.Who.Now())
}

// outage is the longest time that the client was not served since the fault.
func (x *play) outage() lab.Report {
	return x.Probe.Report(x.struck-time.Second, x.Probe.Now()-answering)
}

// logMost bounds what is shown of a machine's logs.
const logMost = 20000

// logs shows what both machines said.
func (x *play) logs() {
	for _, m := range x.Machines {
		log, console := m.Log(), m.Console()
		x.say("%s:\n%s\nconsole: %s", m.Name, log[max(0, len(log)-logMost):], console[max(0, len(console)-logMost):])
	}
}

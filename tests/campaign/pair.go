package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// A pair is one lab with all that watches it, through a block of iterations.
type pair struct {
	*lab.Lab
	class class
	watch *watch
	probe *lab.Prober
	pdu   *lab.PDU
	keyID int  // of the key in use
	rot   bool // damaged lines are in an event file: an alarm says so at each start until they are rotated away

	hands  sync.Mutex     // one at a time changes the boxes
	busy   sync.WaitGroup // what faults do beside
	fenced int            // how often the fence device switched a box off

	// Of the iteration.
	began       time.Time
	steps       []step
	heals       []func() error
	marks       [2]uint64
	expectCrash bool
	wallStepped bool
	forgot      bool // a disk forgot terms
	logged      [2]int64

	noteMu sync.Mutex
	notes  []string
}

const (
	boxNice    = -10 // programs that have nothing to do with the boxes do not hold them up
	probeEvery = 2 * time.Millisecond
	diskSize   = 6 << 10 // KiB; two event files, two copies of the state
	bootTime   = 20 * time.Second
)

func newPair(c class, binary string) (p *pair, err error) {
	p = &pair{class: c, keyID: 1}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	o := lab.Options{Binary: binary, Mode: c.mode, Profile: c.profile, IPv6: true, Nice: boxNice, Group: "flap_max = 0\n"}
	if c.profile == "fast" {
		o.Baud = 230400
	}
	side, err := os.MkdirTemp("", "side-")
	if err != nil {
		return p, err
	}
	if c.services {
		text, err := serviceConfig(side)
		if err != nil {
			return p, err
		}
		o.Group += text
	}
	if c.mode == "fence" {
		if p.pdu, err = lab.NewPDU(side); err != nil {
			return p, err
		}
		f := p.pdu.Options(100 * time.Millisecond)
		o.Timing, o.Extra = f.Timing, f.Extra
	}
	if p.Lab, err = lab.New(o); err != nil {
		return p, err
	}
	for _, n := range p.Nodes {
		if err := n.SmallDisk(diskSize); err != nil {
			return p, err
		}
	}
	if err := p.Boot(); err != nil {
		return p, err
	}
	if p.watch, err = newWatch(p.Lab); err != nil {
		return p, err
	}
	if p.probe, err = p.Probe(lab.VIP(0), probeEvery); err != nil {
		return p, err
	}
	if p.pdu != nil {
		p.wirePDU()
	}
	p.began = time.Now()
	if !p.boots() {
		return p, fmt.Errorf("boot a pair of class %s: not well within %s: %s", c.name, bootTime, p.show())
	}
	return p, nil
}

func (p *pair) close() error {
	if p.pdu != nil {
		p.pdu.Stop()
	}
	if p.probe != nil {
		p.probe.Stop()
	}
	if p.watch != nil {
		p.watch.end()
	}
	p.busy.Wait()
	if p.Lab == nil {
		return nil
	}
	return p.Close()
}

func (p *pair) clock() time.Duration { return time.Since(p.began) }

func (p *pair) note(format string, args ...any) {
	p.noteMu.Lock()
	defer p.noteMu.Unlock()
	p.notes = append(p.notes, fmt.Sprintf("%8.1f ms  ", float64(p.clock().Microseconds())/1000)+fmt.Sprintf(format, args...))
}

// show says in short how both nodes see themselves.
func (p *pair) show() string {
	var out string
	for _, n := range p.Nodes {
		s, err := n.Status()
		if err != nil {
			out += fmt.Sprintf("%s does not answer (powered %v, pid %d); ", n.Name, n.Powered(), n.Pid())
			continue
		}
		g := s.Groups[0]
		out += fmt.Sprintf("%s %s gate=%v unfit=%q services=%v", n.Name, g.State, g.GateOpen, g.Unfit, g.ServicesUp)
		for _, a := range s.Alarms {
			out += " !" + a.Name
		}
		out += "; "
	}
	return out + fmt.Sprintf("the LAN sees %d", p.watch.serves(wellFor))
}

// Waiting for the pair to be well.
const (
	wellEvery = 15 * time.Millisecond
	wellFor   = 20 * time.Millisecond // one box alone must have served so long
)

// well says whether one box alone serves, its peer would take over, both hear
// each other and have their services and gates as they should, and no alarm is
// left. It returns the owner, -1 if it is not.
func (p *pair) well() int {
	owner := p.watch.serves(wellFor)
	if owner < 0 {
		return -1
	}
	for i, n := range p.Nodes {
		s, err := n.Status()
		if err != nil || len(s.Groups) == 0 || !s.Peer.TwoWay || slices.ContainsFunc(s.Alarms, p.matters) {
			return -1
		}
		want := "ARMED"
		if i == owner {
			want = "ACTIVE"
		}
		g := s.Groups[0]
		if g.State != want || g.GateOpen != (i == owner) || i == owner && p.class.services && !g.ServicesUp {
			return -1
		}
	}
	if !p.servicesWell(owner) {
		return -1
	}
	return owner
}

// matters says whether an alarm speaks of something that should be over.
func (p *pair) matters(a report.Alarm) bool { return !p.rot || a.Name != "journal" }

// untilWell waits, and meanwhile does what the site around the boxes does: an
// agent that ended is started again, a box that was fenced gets its power back,
// and an operator ends what policy leaves to him.
func (p *pair) untilWell(within time.Duration) (owner int, ok bool) {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(wellEvery) {
		if owner = p.well(); owner >= 0 {
			p.watch.gated[0].Store(true)
			p.watch.gated[1].Store(true)
			return owner, true
		}
		p.tend()
	}
	return -1, false
}

// boots waits for a pair that just started.
func (p *pair) boots() bool {
	for end := time.Now().Add(bootTime); time.Now().Before(end); p.operate() {
		if _, ok := p.untilWell(operateEvery); ok {
			return true
		}
	}
	return false
}

// tend restarts what ended.
func (p *pair) tend() {
	p.hands.Lock()
	defer p.hands.Unlock()
	for i, n := range p.Nodes {
		var err error
		switch {
		case !n.Powered():
			p.note("power on %s", n.Name)
			err = p.powerOn(i)
		case n.Pid() == 0:
			p.note("start agent of %s", n.Name)
			err = p.start(i)
		}
		if err != nil {
			p.note("tend %s: %v", n.Name, err)
		}
	}
}

// operate does what policy leaves to an operator, and says what that was.
func (p *pair) operate() (did []string) {
	for _, n := range p.Nodes {
		s, err := n.Status()
		if err != nil || len(s.Groups) == 0 {
			continue
		}
		command := ""
		switch {
		case s.Self.Maintenance != nil:
			command = control.OrderMaintenanceOff
		case slices.ContainsFunc(s.Alarms, fenceNotice): // it comes back by itself if no fence follows
			continue
		case s.Groups[0].Unfit != "" || s.Groups[0].State == "FAILED":
			command = control.OrderResume
		default:
			continue
		}
		text, err := n.Order(control.Order{Command: command, By: "campaign", Reason: "healed"})
		p.note("%s on %s: %s %v", command, n.Name, text, err)
		did = append(did, command)
	}
	return did
}

func fenceNotice(a report.Alarm) bool { return strings.Contains(a.Name, "fence-notice") }

// heal ends every fault.
func (p *pair) heal() error {
	p.hands.Lock()
	defer p.hands.Unlock()
	var errs []error
	for _, n := range p.Nodes {
		n.Signal(syscall.SIGCONT)
	}
	for i := len(p.heals) - 1; i >= 0; i-- {
		errs = append(errs, p.heals[i]())
	}
	p.heals = nil
	for i, n := range p.Nodes {
		n.Signal(syscall.SIGCONT)
		errs = append(errs, p.powerOn(i), p.start(i))
		n.OtherClock(0)
	}
	p.Serial.Restore()
	return errors.Join(errs...)
}

// lastSeq is the number of a node's newest event.
func (p *pair) lastSeq(i int) uint64 {
	events, _ := p.Nodes[i].Events(0)
	var last uint64
	for _, e := range events {
		last = max(last, e.Seq)
	}
	return last
}

// since returns a node's events of this iteration.
func (p *pair) since(i int) ([]report.Event, error) {
	events, err := p.Nodes[i].Events(0)
	if err != nil {
		return nil, err
	}
	var mine []report.Event
	for _, e := range events {
		if e.Seq > p.marks[i] && !p.forgot || p.forgot && e.At.After(p.began) {
			mine = append(mine, e)
		}
	}
	return mine, nil
}

// spinTime bounds a program that keeps a box busy.
const spinTime = "4"

// spin starts it.
func (p *pair) spin(n *lab.Node) (stop func() error, err error) {
	if !n.Powered() {
		return func() error { return nil }, nil
	}
	cmd := exec.Command("timeout", spinTime, "sh", "-c", "while :; do :; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := n.Space.Start(cmd); err != nil {
		return nil, err
	}
	_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, boxNice)
	return func() error {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		return nil
	}, nil
}

func itoa(n int) string { return strconv.Itoa(n) }

func joined(errs ...error) error { return errors.Join(errs...) }

// asBoxes gives the calling thread the weight of what a box runs.
func asBoxes() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, boxNice) }

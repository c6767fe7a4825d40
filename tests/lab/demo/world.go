package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// What the faults do.
const (
	freezeTime   = 5 * time.Second
	restartAfter = 3 * time.Second // an init that is slow enough to see a takeover
	bitErrors    = 0.02            // of the bits; at this rate hardly a frame gets through whole
	noiseSeed    = 7
	fastBaud     = 230400 // the serial rate that profile fast is made for
)

// Bounds of one prober's memory: it and its observer are replaced when they
// are this old and nothing is being measured.
const (
	probeEvery  = time.Millisecond
	probeRotate = 90 * time.Second
	probeOld    = 8 * time.Minute // replaced even if something is: lab's probers stop at ten
	rotateLook  = time.Second
)

// world is the lab with what was done to it.
type world struct {
	lab *lab.Lab

	busy sync.Mutex // held while something is done to the boxes
	gone bool       // closed; under busy
	// What is cut, as the user wants it; under busy.
	serialCut, etherCut, noise bool

	state [2]nodeState
	user  *visitor

	mu      sync.Mutex // of what follows
	probe   *lab.Prober
	observe *lab.Observer
	since   time.Time     // when they started
	both    time.Duration // seen by earlier observers
	asked   int
	trial   *trial
	said    string // what the demo did last, or would not do
	cables  string // what is wrong with them

	stop context.CancelFunc
	all  sync.WaitGroup
}

// nodeState is what the demo did to one box.
type nodeState struct {
	watcher
	on     atomic.Bool
	frozen atomic.Bool
	mac    atomic.Value // string
}

func newWorld(binary, profile string) (*world, error) {
	o := lab.Options{Binary: binary, Profile: profile, Group: serviceLines()}
	if profile == "fast" {
		o.Baud = fastBaud
	}
	l, err := lab.New(o)
	if err != nil {
		return nil, err
	}
	w := &world{lab: l, cables: cablesText(false, false, false)}
	for i, n := range l.Nodes {
		w.state[i].node = n
		w.notePower(i)
	}
	// The first run directory is made by Run; the daemons' files go there before.
	for _, n := range l.Nodes {
		if err := installServices(runDir(l, n), n.Name, lab.VIP(0)); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	if err := l.Boot(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	if err := w.startProbes(); err != nil {
		cancel()
		return nil, errors.Join(err, l.Close())
	}
	w.user = newVisitor(l.Client, lab.VIP(0))
	for i := range w.state {
		w.all.Go(func() { w.state[i].run(ctx) })
	}
	w.all.Go(func() { w.user.run(ctx) })
	w.all.Go(func() { w.rotate(ctx) })
	return w, nil
}

// close ends everything; what was going to happen later does not.
func (w *world) close() {
	w.stop()
	w.busy.Lock()
	defer w.busy.Unlock()
	w.gone = true
	for _, n := range w.lab.Nodes { // a frozen agent would keep who asks it waiting
		_ = n.PowerOff()
	}
	w.all.Wait()
	w.user.end()
	w.probe.Stop()
	w.observe.Stop()
	if err := w.lab.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "demo: take the lab down:", err)
	}
}

func (w *world) notePower(i int) {
	n := w.lab.Nodes[i]
	w.state[i].on.Store(n.Powered())
	if n.Powered() {
		w.state[i].mac.Store(n.MAC.String())
	}
}

// startProbes starts a new prober and a new observer, and ends the old ones.
func (w *world) startProbes() error {
	p, err := w.lab.Probe(lab.VIP(0), probeEvery)
	if err != nil {
		return err
	}
	o, err := w.lab.Observe(lab.VIP(0), probeEvery)
	if err != nil {
		p.Stop()
		return err
	}
	w.mu.Lock()
	oldP, oldO := w.probe, w.observe
	w.probe, w.observe, w.since = p, o, time.Now()
	if oldO != nil {
		both, asked := oldO.BothActive(0, oldO.Now())
		w.both, w.asked = w.both+both, w.asked+asked
	}
	if w.trial != nil { // it cannot be measured any further
		w.trial = nil
	}
	w.mu.Unlock()
	if oldP != nil {
		oldP.Stop()
		oldO.Stop()
	}
	return nil
}

// rotate replaces the probers when nothing is being measured, so that their
// memory stays small however long the demo runs.
func (w *world) rotate(ctx context.Context) {
	tick := time.NewTicker(rotateLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		age := time.Since(w.since)
		idle := w.trial == nil || w.trial.over()
		w.mu.Unlock()
		if age > probeRotate && idle || age > probeOld {
			if err := w.startProbes(); err != nil {
				w.say("the client could not start to measure anew: " + err.Error())
			}
		}
	}
}

func (w *world) say(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = text
}

// bothActive is for how long two boxes answered, since the demo began.
func (w *world) bothActive() (both time.Duration, asked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	both, asked = w.observe.BothActive(0, w.observe.Now())
	return both + w.both, asked + w.asked
}

// wait looks until ok, the time is over or the user has had enough.
func (w *world) wait(ctx context.Context, within time.Duration, ok func() bool) bool {
	return lab.Until(within, func() bool { return ctx.Err() != nil || ok() }) && ctx.Err() == nil
}

// settled says that the pair is as it should be; see missing.
func (w *world) settled() bool { return w.missing() == "" }

// missing says what the pair lacks to one owner, the other ready, nothing to
// complain of, and a client that is served; empty if nothing.
func (w *world) missing() string {
	owners := 0
	for i := range w.state {
		s, fresh := w.state[i].latest()
		if !fresh || len(s.Groups) == 0 || w.state[i].frozen.Load() {
			return w.name(i) + " does not answer"
		}
		if lack := lacks(s); lack != "" {
			return w.name(i) + ": " + lack
		}
		if owns(s.Groups[0].State) {
			owners++
		}
	}
	if owners != 1 {
		return fmt.Sprintf("%d boxes say that they are active", owners)
	}
	if lack := w.user.trouble(); lack != "" {
		return "client: " + lack
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	strip := w.probe.Strip(1, settleProbe)
	if len(strip) == 0 || !strip[0] {
		return "client: no answer to ping"
	}
	return ""
}

// lacks says what one box has to complain of.
func lacks(s report.Snapshot) string {
	g := s.Groups[0]
	for _, l := range s.Links {
		if l.State != "up" {
			return l.Type + " link " + l.State
		}
	}
	switch {
	case len(s.Alarms) > 0:
		return "alarm " + alarmName(s.Alarms[0].Name)
	case !s.Peer.Alive:
		return "peer not alive"
	case owns(g.State) && len(g.Services) > 0 && !g.ServicesUp:
		return "services not up"
	case !owns(g.State) && !g.CanTakeOver:
		return g.State + ", cannot take over"
	}
	return ""
}

// settleProbe is how long a probe may be under way before it counts as lost.
const settleProbe = 30 * time.Millisecond

func owns(state string) bool { return state == "ACTIVE" || state == "SOLO" }

// active returns the index of the box that serves, -1 if none does: who says
// so, else who answers ARP.
func (w *world) active() int {
	for i := range w.state {
		s, fresh := w.state[i].latest()
		if fresh && w.state[i].on.Load() && len(s.Groups) > 0 && owns(s.Groups[0].State) {
			return i
		}
	}
	return w.answering()
}

// answering returns the index of the box that answers ARP for the address.
func (w *world) answering() int {
	w.mu.Lock()
	mac := w.observe.Owner(settleProbe).String()
	w.mu.Unlock()
	for i := range w.state {
		if known, _ := w.state[i].mac.Load().(string); mac != "" && known == mac && w.state[i].on.Load() {
			return i
		}
	}
	return -1
}

// explain writes what both boxes say, when the demo cannot go on.
func (w *world) explain(to io.Writer) {
	for i, n := range w.lab.Nodes {
		s, fresh := w.state[i].latest()
		state := fmt.Sprintf("does not answer: %v", w.state[i].failure())
		if fresh && len(s.Groups) > 0 {
			state = s.Groups[0].State
		}
		fmt.Fprintf(to, "%s: %s\n", n.Name, state)
		for _, a := range s.Alarms {
			fmt.Fprintf(to, "  alarm %s: %s\n", a.Name, a.Text)
		}
		log, err := os.ReadFile(n.LogPath())
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		fmt.Fprintf(to, "  %s\n", strings.Join(lines[max(0, len(lines)-6):], "\n  "))
	}
	if err := w.user.trouble(); err != "" {
		fmt.Fprintf(to, "client: %s\n", err)
	}
}

// later does something to the boxes after a while, unless the demo has ended.
func (w *world) later(after time.Duration, do func()) {
	time.AfterFunc(after, func() {
		w.busy.Lock()
		defer w.busy.Unlock()
		if !w.gone {
			do()
		}
	})
}

// Every fault below runs under busy. It returns a sentence about what it did.

func (w *world) killAgent(i int) string {
	n := w.lab.Nodes[i]
	n.Kill()
	w.later(restartAfter, func() {
		if n.Powered() && n.Pid() == 0 {
			if err := w.boot(i); err != nil {
				w.say("restart the agent of " + n.Name + ": " + err.Error())
			}
		}
	})
	return fmt.Sprintf("killed the agent of %s; its init restarts it in %.0f s", n.Name, restartAfter.Seconds())
}

func (w *world) freezeAgent(i int) string {
	n, s := w.lab.Nodes[i], &w.state[i]
	n.Freeze()
	s.frozen.Store(true)
	w.later(freezeTime, func() {
		n.Thaw()
		s.frozen.Store(false)
	})
	return fmt.Sprintf("froze the agent of %s for %.0f s", n.Name, freezeTime.Seconds())
}

func (w *world) powerOff(i int) string {
	n := w.lab.Nodes[i]
	err := n.PowerOff()
	w.state[i].frozen.Store(false)
	w.notePower(i)
	w.applyCuts() // the lab mends the serial cable when it is done
	if err != nil && n.Powered() {
		return "power off " + n.Name + ": " + err.Error()
	}
	return "took the power from " + n.Name + "; o gives it back"
}

// boot starts the agent of a box that had one before.
func (w *world) boot(i int) error {
	if err := w.lab.FreeSerial(i); err != nil {
		return err
	}
	return w.lab.Nodes[i].Run()
}

// powerOn switches on what is off, and boots it.
func (w *world) powerOn() string {
	for i, n := range w.lab.Nodes {
		if n.Powered() {
			continue
		}
		clearRun(runDir(w.lab, n))
		err := n.PowerOn()
		w.notePower(i)
		w.applyCuts()
		if err == nil {
			err = w.boot(i)
		}
		if err != nil {
			return "power on " + n.Name + ": " + err.Error()
		}
		return n.Name + " has power again and boots"
	}
	return "both boxes have power"
}

// applyCuts makes the cables as the user wants them.
func (w *world) applyCuts() {
	w.mu.Lock()
	w.cables = cablesText(w.serialCut, w.etherCut, w.noise)
	w.mu.Unlock()
	w.lab.HealSerial()
	if w.noise {
		w.lab.Serial.Corrupt(bitErrors, noiseSeed)
	}
	if w.serialCut {
		w.lab.CutSerial()
	}
	if w.etherCut {
		_ = w.lab.CutEthernet() // a box without power has no port to cut
		return
	}
	_ = w.lab.HealEthernet()
}

func cablesText(serial, ether, noise bool) string {
	var parts []string
	if serial {
		parts = append(parts, "serial CUT")
	}
	if ether {
		parts = append(parts, "Ethernet CUT")
	}
	if noise && !serial {
		parts = append(parts, "serial NOISY")
	}
	if len(parts) == 0 {
		return "whole"
	}
	return strings.Join(parts, ", ")
}

func (w *world) cut(serial, ether, noise bool) {
	w.serialCut, w.etherCut, w.noise = serial, ether, noise
	w.applyCuts()
}

func (w *world) handOver(i int) string {
	text, err := w.lab.Nodes[i].Order(control.Order{Command: control.OrderHandover, Group: "g1", Reason: "demo"})
	if err != nil {
		return "hand over: " + err.Error()
	}
	return "handed over: " + text
}

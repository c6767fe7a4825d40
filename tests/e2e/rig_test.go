package e2e

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// How generous the tests are with time: the machine may be busy. Order and
// two owners are judged strictly.
const (
	soon  = 5 * time.Second        // for whatever the pair does in milliseconds
	grain = 100 * time.Millisecond // for a probe to be answered and seen
)

// A rig is a running pair that is watched from the first moment to the last:
// a prober pings the first address, an observer asks who has it, and a direct
// asks both boxes whether they serve.
type rig struct {
	*testing.T
	*lab.Lab
	probe *lab.Prober
	who   *lab.Observer
	both  *direct
	slow  *lab.StallWatch
}

// boot starts a pair and waits until fw1 owns the first group and fw2 would
// take it over.
func boot(t *testing.T, o lab.Options) *rig {
	t.Helper()
	return bootTo(t, o, "ARMED")
}

// bootTo is boot with a standby that shall be in a state.
func bootTo(t *testing.T, o lab.Options, standby string) *rig {
	t.Helper()
	o.Binary = binary
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, Lab: l, slow: lab.WatchStalls(nil)}
	t.Cleanup(r.end)
	if err := l.Boot(); err != nil {
		t.Fatal(err)
	}
	r.await("fw1 owns the group, fw2 is "+standby, 2*soon, func() bool { return r.states(0, "ACTIVE", standby) })
	if r.probe, err = l.Probe(lab.VIP(0), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if r.who, err = l.Observe(lab.VIP(0), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.both = r.direct()
	r.await("fw1 serves and routes", soon, r.both.works)
	r.await("the observer sees fw1", soon, func() bool { return r.serves(0) })
	r.await("the client reaches the address", soon, r.reached)
	return r
}

// end judges the whole life of the pair and takes it apart.
func (r *rig) end() {
	if r.probe != nil {
		r.probe.Stop()
	}
	if r.who != nil {
		if both, asked := r.who.BothActive(0, r.who.Now()); both != 0 || asked == 0 {
			r.Errorf("both nodes answered for %v, in %d questions; it must be 0", both, asked)
		}
		r.who.Stop()
	}
	if r.both != nil {
		answered, both := r.both.end()
		if both != [kinds]int{} || answered[local] == 0 {
			r.Errorf("of the questions %v got an answer, %v from both nodes (for the address, for transit); it must be 0", answered, both)
		}
	}
	r.slow.End()
	stall := r.slow.Longest()
	if r.Failed() {
		r.Logf("this machine stood still for %v at the longest", stall)
		r.logs()
	}
	if err := r.Close(); err != nil {
		r.Errorf("close lab: %v", err)
	}
}

// logLines bounds what a failed test shows of each agent.
const logLines = 60

func (r *rig) logs() {
	for _, n := range r.Nodes {
		b, _ := os.ReadFile(n.LogPath())
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		r.Logf("%s:\n%s", n.Name, bytes.Join(lines[max(0, len(lines)-logLines):], []byte("\n")))
	}
}

// try ends the test if a step of the lab failed.
func (r *rig) try(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// await waits for a condition, ends the test if it does not come, and returns
// how long it took.
func (r *rig) await(what string, within time.Duration, ok func() bool) time.Duration {
	r.Helper()
	began := time.Now()
	if !lab.Until(within, ok) {
		r.Fatalf("not within %s: %s (fw1 %s, fw2 %s)", within, what, r.show(0), r.show(1))
	}
	return time.Since(began)
}

// never holds for a while that something does not happen.
func (r *rig) never(what string, during time.Duration, bad func() bool) {
	r.Helper()
	if lab.Until(during, bad) {
		r.Fatalf("must not be: %s (fw1 %s, fw2 %s)", what, r.show(0), r.show(1))
	}
}

// show says in short how a node sees itself.
func (r *rig) show(node int) string {
	s, err := r.Nodes[node].Status()
	if err != nil {
		return "does not answer"
	}
	var words []string
	for _, g := range s.Groups {
		words = append(words, fmt.Sprintf("%s %s gate=%v", g.Name, g.State, g.GateOpen))
	}
	for _, a := range s.Alarms {
		words = append(words, "!"+a.Name)
	}
	return strings.Join(words, " ")
}

// states says whether the nodes are in these states for a group, and the
// gates stand as the states ask for; "" accepts any.
func (r *rig) states(group int, want ...string) bool {
	for i, w := range want {
		if w != "" && !r.in(i, group, w) {
			return false
		}
	}
	return true
}

// in says whether a node is in the state for a group.
func (r *rig) in(node, group int, want string) bool {
	s, err := r.Nodes[node].Status()
	if err != nil || group >= len(s.Groups) {
		return false
	}
	g := s.Groups[group]
	return g.State == want && g.GateOpen == (want == "ACTIVE" || want == "SOLO")
}

// owns says whether a node owns a group, alone or not.
func (r *rig) owns(node, group int) bool {
	return r.in(node, group, "ACTIVE") || r.in(node, group, "SOLO")
}

// serves says whether the LAN gets its answers from the node.
func (r *rig) serves(node int) bool {
	return bytes.Equal(r.who.Owner(grain/2), r.Nodes[node].MAC)
}

// reached says whether the client's newest probes were answered.
func (r *rig) reached() bool {
	strip := r.probe.Strip(10, grain/2)
	return len(strip) == 10 && !slices.Contains(strip, false)
}

// during does something and returns what the client saw from then on until
// now, when the last of done has happened.
func (r *rig) during(what func(), done ...func()) lab.Report {
	r.Helper()
	from := r.probe.Now() - 20*time.Millisecond
	what()
	for _, d := range done {
		d()
	}
	to := r.probe.Now()
	time.Sleep(grain)
	return r.probe.Report(from, to)
}

// moved waits until the group's new owner is there for the LAN and the client.
func (r *rig) moved(owner int) {
	r.Helper()
	r.await(fmt.Sprintf("fw%d owns the group", owner+1), soon, func() bool { return r.owns(owner, 0) })
	r.await(fmt.Sprintf("the LAN sees fw%d", owner+1), soon, func() bool { return r.serves(owner) })
	r.await("the client reaches the address", soon, r.reached)
}

// outage fails the test if the client was cut off for longer than most.
func (r *rig) outage(seen lab.Report, most time.Duration) {
	r.Helper()
	r.Logf("client: outage %v, %d of %d probes lost, prober late by %v", seen.Outage, seen.Lost, seen.Sent, seen.Late)
	if seen.Outage-seen.Late > most {
		r.Errorf("the client was cut off for %v; at most %v is well", seen.Outage, most)
	}
}

// alarmed says whether a node shows an alarm whose name contains the text.
func (r *rig) alarmed(node int, name string) bool {
	s, err := r.Nodes[node].Status()
	return err == nil && slices.ContainsFunc(s.Alarms, func(a report.Alarm) bool { return strings.Contains(a.Name, name) })
}

// quiet says whether a node answers and shows no alarm.
func (r *rig) quiet(node int) bool {
	s, err := r.Nodes[node].Status()
	return err == nil && len(s.Alarms) == 0
}

// A mark remembers where the journals of the nodes stood.
type mark [2]uint64

func (r *rig) mark() (m mark) {
	for i, n := range r.Nodes {
		events, _ := n.Events(0)
		for _, e := range events {
			m[i] = max(m[i], e.Seq)
		}
	}
	return m
}

// changes returns the changes of role since the mark, as "fw1/g1: A -> B".
func (r *rig) changes(m mark) []string {
	var all []string
	for i, n := range r.Nodes {
		events, err := n.Events(m[i])
		if err != nil {
			all = append(all, n.Name+" does not answer")
		}
		for _, e := range events {
			if e.Kind == "role" && e.From != "" {
				all = append(all, fmt.Sprintf("%s/%s: %s -> %s (%s)", n.Name, e.Group, e.From, e.To, e.Seen))
			}
		}
	}
	return all
}

// unmoved fails the test if any role changed since the mark.
func (r *rig) unmoved(m mark) {
	r.Helper()
	if c := r.changes(m); len(c) > 0 {
		r.Errorf("roles changed:\n%s", strings.Join(c, "\n"))
	}
}

// evidence returns what the node's newest entry to ownership of a group rests on.
func (r *rig) evidence(node, group int) string {
	s, err := r.Nodes[node].Status()
	if err != nil || group >= len(s.Groups) || s.Groups[group].LastTakeover == nil {
		return ""
	}
	return s.Groups[group].LastTakeover.Evidence
}

// took fails the test unless the node's takeover rests on that evidence.
func (r *rig) took(node int, evidence string) {
	r.Helper()
	if got := r.evidence(node, 0); got != evidence {
		r.Errorf("fw%d took over by evidence %q, want %q", node+1, got, evidence)
	}
}

// order gives an operator's order that must succeed.
func (r *rig) order(node int, o control.Order) string {
	r.Helper()
	if o.By == "" {
		o.By = "test"
	}
	text, err := r.Nodes[node].Order(o)
	if err != nil {
		r.Fatalf("%s on fw%d: %v", o.Command, node+1, err)
	}
	return text
}

// start starts the agent of a node again.
func (r *rig) start(node int) {
	r.Helper()
	r.try(r.Nodes[node].Run())
}

// reboot switches a node on again and starts its agent.
func (r *rig) reboot(node int) {
	r.Helper()
	r.try(r.Nodes[node].PowerOn())
	r.start(node)
	r.both.aim(r, r.Nodes[node])
}

// halt stops the agent of a node in order. It takes its gate along: the box
// owns nothing any more, and routes like any other.
func (r *rig) halt(node int) {
	r.Helper()
	r.both.localOnly()
	r.try(r.Nodes[node].Stop(soon))
}

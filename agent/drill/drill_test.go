package drill

import (
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

const ms = time.Millisecond

// pair is a pair that is well, with the group at owner, seen from fw1.
func pair(owner string) report.Snapshot {
	node := func(name string) report.NodeView {
		return report.NodeView{Name: name, Alive: true, TwoWay: true, DigestOK: true}
	}
	g := report.Group{Name: "g1", Owner: owner, State: "ARMED", PeerState: "ACTIVE", CanTakeOver: true, Evidence: "released"}
	if owner == "fw1" {
		g.State, g.PeerState, g.GateOpen = "ACTIVE", "ARMED", true
	}
	return report.Snapshot{
		Self: node("fw1"), Peer: node("fw2"), Groups: []report.Group{g},
		Links: []report.LinkView{{State: "up"}},
	}
}

func TestBegin(t *testing.T) {
	unready, alarmed, weak := pair("fw1"), pair("fw1"), pair("fw2")
	unready.Groups[0].PeerState = "STANDBY"
	alarmed.Alarms = []report.Alarm{{Name: "config-mismatch"}}
	ailing := pair("fw1")
	ailing.Self.Health, ailing.Peer.Health = &report.Health{Score: 100}, &report.Health{Score: 70}
	weak.Groups[0].CanTakeOver, weak.Groups[0].WhyNot = false, "services failed here"
	for _, c := range []struct {
		name     string
		s        report.Snapshot
		group    string
		from, to string
		gives    bool
		why      string // part of the reason; empty: there is none
	}{
		{"from the owner", pair("fw1"), "g1", "fw1", "fw2", true, ""},
		{"from the standby", pair("fw2"), "g1", "fw2", "fw1", false, ""},
		{"the peer is not ready", unready, "g1", "fw1", "fw2", true, "fw2 is not ready to take it (STANDBY)"},
		{"this node is not ready", weak, "g1", "fw2", "fw1", false, "services failed here"},
		{"the peer is less well", ailing, "g1", "fw1", "fw2", true, "fw2 is less well than fw1: 70 of 100"},
		{"alarm", alarmed, "g1", "fw1", "fw2", true, "alarm config-mismatch"},
		{"nobody owns it", pair(""), "g1", "", "", false, "nobody owns it"},
		{"no such group", pair("fw1"), "g2", "", "", false, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, why := Begin(c.s, c.group)
			if p.From != c.from || p.To != c.to || c.from != "" && p.Gives() != c.gives {
				t.Errorf("plan %+v", p)
			}
			if got := strings.Join(why, "; "); (got == "") != (c.why == "") || !strings.Contains(got, c.why) {
				t.Errorf("reasons %q, want %q", got, c.why)
			}
			if back := p.Back(); back.From != c.to || back.To != c.from || !back.Home {
				t.Errorf("back %+v", back)
			}
		})
	}
}

// A step is a look and the verdict it must bring.
type step struct {
	look Look
	want Verdict
	why  string
}

func TestJudge(t *testing.T) {
	fw1, fw2, deaf, frozen := pair("fw1"), pair("fw2"), pair("fw2"), pair("fw2")
	deaf.Peer.TwoWay = false
	frozen.Groups[0].FlapFrozen = true
	gone, failing := pair("fw2"), pair("fw2")
	failing.Peer.Health = &report.Health{Score: 90, Critical: true}
	gone.Groups = nil
	plan := Plan{Group: "g1", Self: "fw1", From: "fw1", To: "fw2", Limit: time.Second, Stay: 5 * time.Second}
	home := Plan{Group: "g1", Self: "fw1", From: "fw2", To: "fw1", Limit: time.Second, Home: true}
	for _, c := range []struct {
		name  string
		plan  Plan
		steps []step
	}{
		{"well", plan, []step{
			{Look{Since: 0, Snapshot: &fw1}, GoOn, ""},
			{Look{Since: 100 * ms, Snapshot: &fw2, Dark: 20 * ms}, GoOn, ""},
			{Look{Since: 5 * time.Second, Snapshot: &fw2, Dark: 20 * ms}, GoOn, ""},
			{Look{Since: 5101 * ms, Snapshot: &frozen, Dark: 20 * ms}, Well, ""},
		}},
		{"refused", plan, []step{{Look{Snapshot: &fw1, Refused: "fw2 cannot take it"}, Trouble, "fw2 cannot take it"}}},
		{"dark for too long", plan, []step{{Look{Since: 2 * time.Second, Snapshot: &fw1, Dark: 1001 * ms}, Trouble, "nobody served for 1.0 s"}}},
		{"the way home is gone to its end", home, []step{
			{Look{Since: 2 * time.Second, Snapshot: &fw2, Dark: 2 * time.Second}, GoOn, ""},
			{Look{Since: 3 * time.Second, Snapshot: &fw1, Dark: 2 * time.Second}, GoOn, ""},
			{Look{Since: 3 * time.Second, Snapshot: &fw1, Dark: 2 * time.Second}, Trouble, "nobody served"},
		}},
		{"given back", plan, []step{
			{Look{Since: 100 * ms, Snapshot: &fw2}, GoOn, ""},
			{Look{Since: 200 * ms, Snapshot: &fw1}, Trouble, "the group went back to fw1 without the drill, by evidence released"},
		}},
		{"a moment of weakness is none", plan, []step{
			{Look{Since: 100 * ms, Snapshot: &fw2}, GoOn, ""},
			{Look{Since: 200 * ms, Snapshot: &deaf}, GoOn, ""},
			{Look{Since: 3200 * ms, Snapshot: &deaf}, GoOn, ""},
			{Look{Since: 3300 * ms, Snapshot: &fw2}, GoOn, ""},
			{Look{Since: 6 * time.Second, Snapshot: &deaf}, GoOn, ""},
			{Look{Since: 9001 * ms, Snapshot: &deaf}, Trouble, "does not hear this node"},
		}},
		{"the agent falls silent", plan, []step{
			{Look{Since: 100 * ms}, GoOn, ""},
			{Look{Since: 3101 * ms}, Trouble, "agent of this node does not answer"},
		}},
		{"the service stays away", plan, []step{
			{Look{Since: 100 * ms, Snapshot: &fw2}, GoOn, ""},
			{Look{Since: 4 * time.Second, Snapshot: &fw2, PortDown: 3900 * ms}, GoOn, ""},
			{Look{Since: 6 * time.Second, Snapshot: &fw2, PortDown: 100 * ms}, GoOn, ""}, // not well yet
			{Look{Since: 7 * time.Second, Snapshot: &fw2, PortDown: 4001 * ms}, Trouble, "the service did not answer for 4.0 s"},
		}},
		{"the new owner is about to fail", plan, []step{
			{Look{Since: 100 * ms, Snapshot: &fw2}, GoOn, ""},
			{Look{Since: 200 * ms, Snapshot: &failing}, GoOn, ""},
			{Look{Since: 3300 * ms, Snapshot: &failing}, Trouble, "fw2: health 90 of 100, ABOUT TO FAIL"},
		}},
		{"the group is no more", plan, []step{{Look{Since: 1, Snapshot: &gone}, Trouble, "no longer serves"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := Judge{Plan: c.plan}
			for i, s := range c.steps {
				if got, why := j.Look(s.look); got != s.want || !strings.Contains(why, s.why) {
					t.Fatalf("step %d: %v %q, want %v %q", i, got, why, s.want, s.why)
				}
			}
		})
	}
}

func TestDark(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	role := func(after time.Duration, from, to string) report.Event {
		return report.Event{Kind: "role", At: at.Add(after), From: from, To: to}
	}
	give := Plan{Self: "fw1", From: "fw1", To: "fw2"}
	take := give.Back()

	var d Dark
	if dark, over := d.Of(give, at); dark != 0 || over {
		t.Errorf("nothing was seen, but %v %v", dark, over)
	}
	d.Event(role(0, "ACTIVE", "RELEASING"))
	d.Answer(at.Add(107 * ms)) // what is heard is known before the agent's event is
	d.Event(role(100*ms, "RELEASING", "STANDBY"))
	d.Event(role(110*ms, "STANDBY", "ARMED"))
	d.Answer(at.Add(108 * ms))
	if dark, over := d.Of(give, at.Add(time.Hour)); dark != 7*ms || !over {
		t.Errorf("the giver's time is %v %v", dark, over)
	}

	d = Dark{}
	d.Event(role(100*ms, "RELEASING", "STANDBY"))
	if dark, over := d.Of(give, at.Add(150*ms)); dark != 50*ms || over {
		t.Errorf("still dark: %v %v", dark, over)
	}

	d = Dark{}
	d.Answer(at.Add(99 * ms))
	d.Answer(at.Add(100 * ms))
	if dark, over := d.Of(take, at.Add(104*ms)); dark != 4*ms || over {
		t.Errorf("still dark: %v %v", dark, over)
	}
	d.Event(report.Event{Kind: "operator", At: at})
	d.Event(role(90*ms, "ARMED", "STANDBY"))
	d.Event(role(105*ms, "STANDBY", "ACTIVE"))
	if dark, over := d.Of(take, at.Add(time.Hour)); dark != 5*ms || !over || !d.Answered() {
		t.Errorf("the taker's time is %v %v", dark, over)
	}
}

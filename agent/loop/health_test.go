package loop

import (
	"fmt"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

const testHold = 10 * time.Second

// judged is a pair that moves for a difference of 20 points after testHold.
func judged(perDay int) setup {
	return setup{services: true, change: func(_ int, o *Options) {
		o.Health = health.Config{Margin: 20, Hold: testHold, PerDay: perDay}
		for i := range o.Groups {
			o.Groups[i].Pair.FlapMax, o.Groups[i].Pair.FlapWindow = 3, 10*time.Minute
		}
	}}
}

func (n *node) vote(source string, loss int, critical bool) {
	n.rig.t.Helper()
	if !n.loop.Vote(health.Vote{Source: source, Loss: loss, Reason: source + " fails", Critical: critical, Left: time.Hour}) {
		n.rig.t.Fatal("the queue is full")
	}
}

func TestServiceMovesToTheHealthierNode(t *testing.T) {
	bubble(t, judged(0), func(r *rig, a, b *node) {
		a.vote("fan2", 30, false)
		time.Sleep(testHold - 100*time.Millisecond)
		if !a.ownsAll() {
			t.Fatal("it moved before the hold was over")
		}
		r.await("the peer to own", time.Second, b.ownsAll)
		v := b.view()
		if h := v.Peer.Health; h == nil || h.Score != 70 || h.Critical || h.LeftSec < 3500 || h.LeftSec > 3600 {
			t.Errorf("the peer's health as the heartbeat carries it: %+v", h)
		}
		if h := a.view().Self.Health; h == nil || h.Score != 70 || len(h.Votes) != 1 || h.Votes[0].Reason != "fan2 fails" {
			t.Errorf("its own: %+v", h)
		}
		if !a.alarmed("health") || b.alarmed("health") {
			t.Errorf("alarm health: %v on the sicker node, %v on the other", a.alarmed("health"), b.alarmed("health"))
		}
		if a.board.count("role", "health 70, the peer's 100: fan2 fails") == 0 {
			t.Errorf("no event of the move names the cause:\n%s", a.board.tail(12))
		}
		a.vote("fan2", 0, false)
		time.Sleep(time.Minute)
		if !b.ownsAll() || a.alarmed("health") {
			t.Error("it moved back, or the alarm stayed")
		}
	})
}

func TestBothEquallyBadMovesNothing(t *testing.T) {
	bubble(t, judged(0), func(r *rig, a, b *node) {
		b.vote("room", 60, false)
		a.vote("room", 70, false)
		time.Sleep(5 * time.Minute)
		if !a.ownsAll() {
			t.Error("the group moved between two nodes that are equally bad")
		}
		a.vote("cpu", 1, true)
		b.vote("cpu", 1, true)
		time.Sleep(5 * time.Minute)
		if !a.ownsAll() {
			t.Error("the group moved to a node that is about to fail, too")
		}
	})
}

func TestNodeAboutToFailHandsOverAtOnce(t *testing.T) {
	bubble(t, judged(1), func(r *rig, a, b *node) {
		for i := range 4 { // neither the flap limit nor the budget of the day hold it up
			a.vote("cpu", 1, true)
			took := r.await("the peer to own", time.Second, b.ownsAll)
			if took > 500*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			a.vote("cpu", 0, true)
			b.vote("cpu", 1, true)
			r.await(fmt.Sprintf("the way back, %d", i), 10*time.Second, a.ownsAll) // after the pause between two tries
			b.vote("cpu", 0, true)
			time.Sleep(10 * time.Second)
		}
	})
}

// What both nodes suffer from begins and ends on one of them first.
func TestSharedFaultMovesOnceAndNotBack(t *testing.T) {
	bubble(t, judged(0), func(r *rig, a, b *node) {
		a.vote("gateway", 40, true)
		r.await("the peer to own", time.Second, b.ownsAll)
		b.vote("gateway", 40, true)
		time.Sleep(2 * time.Minute)
		a.vote("gateway", 0, true)
		time.Sleep(testHold / 2)
		b.vote("gateway", 0, true)
		time.Sleep(time.Minute)
		if !b.ownsAll() {
			t.Error("it moved back because the other recovered first")
		}
		b.vote("fan2", 40, true)
		b.vote("fan2", 0, true)
		a.vote("gateway", 40, true)
		b.vote("gateway", 40, true)
		time.Sleep(2 * time.Minute)
		a.vote("gateway", 0, true)
		r.await("the way to the one that is well for good", testHold+time.Second, a.ownsAll)
	})
}

func TestGroupsThatFollowOneVerdictAreOneMove(t *testing.T) {
	s := judged(2)
	s.groups = 4
	bubble(t, s, func(r *rig, a, b *node) {
		for i := range 2 { // each way is one of two moves
			a.vote("fan2", 50, false)
			r.await(fmt.Sprintf("the peer to own all, %d", i), testHold+5*time.Second, b.ownsAll)
			a.vote("fan2", 0, false)
			b.vote("fan2", 50, false)
			r.await(fmt.Sprintf("the way back, %d", i), testHold+5*time.Second, a.ownsAll)
			b.vote("fan2", 0, false)
			time.Sleep(10 * time.Minute) // of the flap limit
		}
	})
}

// The machine may think better of a gate before the kernel is asked for it.
func TestGateThatIsNotWantedAnyMoreStaysClosed(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		granted := func() int { return b.count("grant") }
		before := granted()
		b.inLoop(func(l *Loop, now pair.Instant) { l.groups[0].wantOpen = 4711 })
		time.Sleep(time.Second)
		if granted() != before || b.owns(0) || !a.owns(0) {
			t.Errorf("%d grants, the standby owns: %v", granted()-before, b.owns(0))
		}
	})
}

func TestMovesOfADayAreUsedUp(t *testing.T) {
	bubble(t, judged(1), func(r *rig, a, b *node) {
		a.vote("fan2", 50, false)
		r.await("the peer to own", testHold+time.Second, b.ownsAll)
		a.vote("fan2", 0, false)
		b.vote("fan2", 50, false)
		r.await("the first move of the other", testHold+time.Second, a.ownsAll)
		b.vote("fan2", 0, false)
		time.Sleep(time.Minute)
		a.vote("fan2", 50, false)
		time.Sleep(time.Hour)
		if !a.ownsAll() || !a.alarmed("health") {
			t.Errorf("owns %v, alarm %v", a.ownsAll(), a.alarmed("health"))
		}
	})
}

func TestPeerThatDoesNotSayIsNotCompared(t *testing.T) {
	bubble(t, judged(0), func(r *rig, a, b *node) {
		b.inLoop(func(l *Loop, now pair.Instant) { l.peer.m.Health = 0 })
		var seen wire.Message
		a.inLoop(func(l *Loop, now pair.Instant) {
			m := wire.Message{Kind: wire.Beat}
			l.fill(now, &m)
			seen = m
			l.peer.m.Health = 0
			if l.peerHealth() != nil {
				t.Error("a health that was not told is shown")
			}
		})
		a.vote("fan2", 50, false)
		a.cutAll(true)
		time.Sleep(3 * testHold)
		if a.board.count("health", "peer healthier") > 0 {
			t.Error("a peer that is silent was compared")
		}
		a.cutAll(false)
		if seen.Health != health.Byte(health.Full) || seen.TimeToCritical != wire.NoTimeToCritical {
			t.Errorf("a node without votes says %d, %d", seen.Health, seen.TimeToCritical)
		}
	})
}

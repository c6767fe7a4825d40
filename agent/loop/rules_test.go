package loop

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// inLoop runs fn in the goroutine of the node's loop, as the first fact of a turn
// or a later one.
func (n *node) inLoop(fn func(l *Loop, now pair.Instant)) {
	n.rig.t.Helper()
	done := make(chan struct{})
	if !n.loop.Tell(probeFact(func() { fn(n.loop, n.rig.now()); close(done) })) {
		n.rig.t.Fatal("the queue is full")
	}
	<-done
}

func TestWhatThePeerSaysReachesTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRig(t, setup{groups: 2}).nodes[0].loop
		l.sent.add(5, 77)
		good := wire.Message{
			Kind: wire.Claim, GroupIndex: 0, Session: 9, Counter: 12, Echo: 5, Mode: uint8(pair.ModeSilence),
			Lease: 700 * time.Millisecond, Digest: 7, Version: 1 << 8, NGroups: 2,
		}
		good.Groups[0] = wire.Group{State: uint8(pair.Standby), Flags: wire.Passive | wire.Unfit | wire.FenceMe, Term: 41}
		good.Groups[1] = wire.Group{State: uint8(pair.Active), Term: 42}
		want := pair.Heard{
			Kind: pair.Claim, State: pair.Standby, Term: 41, EchoSentAt: 77, Mode: pair.ModeSilence, Lease: 700 * time.Millisecond,
			Passive: true, Unfit: true, FenceMe: true, Accept: true, Session: 9, Counter: 12,
		}
		if got := l.translate(&good, 0); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		want.Kind, want.State, want.Term, want.Passive, want.Unfit, want.FenceMe = pair.Beat, pair.Active, 42, false, false, false
		if got := l.translate(&good, 1); got != want {
			t.Errorf("of the group that was not named: %+v, want %+v", got, want)
		}
		good.GroupIndex = wire.AllGroups
		if got := l.translate(&good, 1).Kind; got != pair.Claim {
			t.Errorf("of all groups: %v", got)
		}
		for name, spoil := range map[string]func(*wire.Message){
			"another configuration":    func(m *wire.Message) { m.Digest++ },
			"another protocol":         func(m *wire.Message) { m.Version += 1 << 8 },
			"another mode":             func(m *wire.Message) { m.Mode = uint8(pair.ModeLease) },
			"another number of groups": func(m *wire.Message) { m.NGroups = 1 },
			"":                         func(m *wire.Message) { m.Version++ }, // a release of the same protocol
		} {
			m := good
			spoil(&m)
			if l.translate(&m, 0).Accept != (name == "") {
				t.Errorf("%q: accepted wrongly", name)
			}
		}
		good.Echo = 5 + echoes // in the same place of the ring
		if got := l.translate(&good, 0).EchoSentAt; got != 0 {
			t.Errorf("a counter that is not remembered was sent at %v", got)
		}
	})
}

func TestWhatThisNodeSaysOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRig(t, setup{}).nodes[0].loop
		var m wire.Message
		l.fill(l.o.Now(), &m)
		if m.Lease != testLease+testWindow {
			t.Errorf("lease %v", m.Lease)
		}
		for v, want := range map[pair.View]uint8{
			{}:              0,
			{Passive: true}: wire.Passive,
			{Unfit: true}:   wire.Unfit,
			{FenceMe: true}: wire.FenceMe,
		} {
			if got := flags(v); got != want {
				t.Errorf("%+v: flags %b, want %b", v, got, want)
			}
		}
		for k := pair.Beat; k <= pair.FenceNotice; k++ {
			if want := k == pair.Released || k == pair.Grant || k == pair.Goodbye; freeing(k) != want {
				t.Errorf("%v frees the group: %v", k, !want)
			}
		}
	})
}

func TestNothingOfAnotherSessionCounts(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.inLoop(func(l *Loop, now pair.Instant) {
			before, m := l.peer.counter, l.peer.m
			m.Session, m.Counter = l.session+1, before+1000
			l.heard(now, &Frame{Message: m, At: now})
			if l.peer.counter != before || l.peer.session != l.session {
				t.Error("a frame of another session was heard")
			}
			l.sent.add(1<<20, now)
			l.session++
			l.follow(now)
			if l.sent.at(1<<20) != 0 {
				t.Error("what was sent in another session is echoed in this one")
			}
		})
	})
}

// A DATA frame is no word of the peer to a machine, and no sign of its life:
// with fields of zero it would be a heartbeat of a stranger.
func TestDataDecidesNothingAndProvesNoContact(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.inLoop(func(l *Loop, now pair.Instant) {
			m := wire.Message{Kind: wire.Data, Session: l.session, Node: 1, Counter: l.peer.counter + 1000, GroupIndex: wire.AllGroups}
			_ = m.Items.Add(255, []byte("of a type that nobody knows"))
			peer, path, view := l.peer, l.paths[0].talk, l.groups[0].m.View()
			l.heard(now, &Frame{Message: m, At: now})
			if l.peer != peer || l.paths[0].talk != path || l.groups[0].m.View() != view {
				t.Errorf("peer %+v, path %+v, machine %+v", l.peer, l.paths[0].talk, l.groups[0].m.View())
			}
		})
	})
}

func TestStallsAreToldToTheMachines(t *testing.T) {
	t.Run("of the process", func(t *testing.T) {
		bubble(t, setup{}, func(r *rig, a, b *node) {
			a.freeze(180 * time.Millisecond)
			time.Sleep(time.Second)
			if a.board.count("role", "stood still") == 0 {
				t.Error("not told", a.board.tail(9))
			}
		})
	})
	t.Run("of the box", func(t *testing.T) {
		var asleep [2]time.Duration
		s := setup{change: func(i int, o *Options) { o.Suspended = func() time.Duration { return asleep[i] } }}
		bubble(t, s, func(r *rig, a, b *node) {
			a.inLoop(func(*Loop, pair.Instant) { asleep[0] = 10 * time.Second })
			time.Sleep(2 * testBeat)
			if a.board.count("role", "stood still for 10") == 0 {
				t.Error("not told", a.board.tail(9))
			}
			time.Sleep(time.Second)
		})
	})
}

// A machine's clock moves with its first input of a turn: the fact must be the first.
func TestInputsComeBeforeTheTick(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		first := 0
		for range 20 {
			time.Sleep(7 * time.Millisecond)
			a.inLoop(func(l *Loop, now pair.Instant) {
				if l.clock < now {
					first++
				}
			})
		}
		if first == 0 {
			t.Error("time had passed for the machines before they saw any of 20 facts")
		}
	})
}

// Between a late mark and the grant the queue is looked at once more: here a
// CLAIM comes in that very moment.
func TestWhatComesWithALateMarkIsHeardBeforeTheGrant(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		claim := probeFact(func() {
			l := b.loop
			l.step(r.now(), l.groups[0], pair.Heard{
				Kind: pair.Claim, State: pair.Standby, Mode: pair.ModeSilence, Accept: true, Session: l.peer.session, Counter: l.peer.counter + 1,
			})
		})
		var claimed atomic.Uint64 // the turn of it
		b.gate.set(func() {
			b.gate.refuseGrant = true // so that a tick asks, in a turn without a mark
			b.gate.before = func(what string) {
				turn := b.loop.counters.Turns
				switch wants := b.loop.groups[0].wantOpen != 0; {
				case what == "turn" && wants && claimed.Load() == 0:
					claimed.Store(turn)
					b.loop.Tell(claim)
				case what == "grant" && claimed.Load() == turn:
					t.Error("granted although the peer claims")
				}
			}
		})
		go func() { _, _ = order1(t, a, Order{Command: OrderHandover}) }()
		r.await("a late mark", 3*time.Second, func() bool { return claimed.Load() != 0 })
		b.gate.set(func() { b.gate.refuseGrant, b.gate.before = false, nil })
		time.Sleep(3 * time.Second)
	})
}

func TestAnnouncementsGoOutOnlyWhileTheLeaseIsHeld(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		if !a.hands.speaks(0) || b.hands.speaks(0) {
			t.Error("not the owner speaks")
		}
		a.gate.set(func() { a.gate.refuseGrant = true })
		a.gate.flush()
		a.loop.Tell(GateChanged{What: "flushed"})
		time.Sleep(2 * time.Millisecond)
		if a.hands.speaks(0) {
			t.Error("the owner speaks though its lease is gone")
		}
		a.gate.set(func() { a.gate.refuseGrant = false })
		r.await("granted again", time.Second, func() bool { return a.owns(0) && a.hands.speaks(0) })
		b.gate.set(func() { b.gate.refuseGrant = true })
		go func() { _, _ = order1(t, a, Order{Command: OrderHandover}) }()
		r.await("refused", time.Second, func() bool { return b.count("grant") > 0 })
		time.Sleep(2 * time.Millisecond)
		if a.hands.speaks(0) || b.hands.speaks(0) {
			t.Errorf("without a lease speak: fw1 %v, fw2 %v", a.hands.speaks(0), b.hands.speaks(0))
		}
		b.gate.set(func() { b.gate.refuseGrant = false })
		r.await("taken", 5*time.Second, func() bool { return b.owns(0) && b.hands.speaks(0) || a.owns(0) && a.hands.speaks(0) })
	})
}

// A lease that could not be renewed until it ran out is not one that a stranger
// took: the peer may have the group.
func TestALeaseThatRanOutIsNotGrantedAgain(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.gate.set(func() { a.gate.refuseRenew = true })
		r.await("given up", time.Second, func() bool { return a.board.count("role", "the kernel lease is gone") > 0 })
		if a.board.count("role", "stranger") > 0 || a.count("grant") > 1 {
			t.Error("granted again", a.board.tail(9))
		}
		a.gate.set(func() { a.gate.refuseRenew = false })
		r.await("taken over", 3*time.Second, func() bool { return b.owns(0) })
	})
}

func TestNoticeOfAFenceIsKeptUntilItEvidentlyDidNotCome(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.inLoop(func(l *Loop, now pair.Instant) {
			m := l.peer.m
			m.Kind, m.GroupIndex, m.Counter = wire.FenceNotice, wire.AllGroups, l.peer.counter+1
			l.heard(now, &Frame{Message: m, At: now})
		})
		time.Sleep(testFence - 2*testBeat)
		b.inLoop(func(l *Loop, now pair.Instant) { l.housekeep(now) })
		time.Sleep(testBeat / 2) // saved
		if by := b.memory.last().FencedBy; by != "fw1" {
			t.Errorf("within the time of a fence, in contact: kept %q", by)
		}
		time.Sleep(4 * time.Second)
		if by := b.memory.last().FencedBy; by != "" {
			t.Errorf("after 6 s of contact: kept %q", by)
		}
	})
}

func TestAStandbyTouchesNoAddresses(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		takes := b.hands.count("take")
		b.loop.Tell(AddressGone{Group: 0, What: "192.0.2.1 was deleted"})
		time.Sleep(3 * time.Second)
		if n := b.hands.count("lifetime"); n > 0 || b.hands.count("take") > takes {
			t.Errorf("%s", strings.Join(b.hands.calls, ", "))
		}
		if a.hands.count("lifetime") == 0 {
			t.Error("the owner does not renew")
		}
	})
}

// A box that is slow between the setting of an address and the opening of its gate:
// the kernel has removed the address by then, and nobody was told, since it was dark.
func TestAddressThatLapsedBehindTheGateIsPutBackAsItOpens(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.missing = []string{"192.0.2.1/24@eth0"} })
		takes := b.hands.count("take")
		a.kill()
		r.await("taken over", 3*time.Second, func() bool { return b.owns(0) })
		took := r.await("put back", 2*time.Second, func() bool { return b.hands.count("take") > takes+1 })
		if took > 2*testBeat {
			t.Errorf("put back after %v", took)
		}
	})
}

func TestKeptTermsNeverGoBack(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.inLoop(func(l *Loop, _ pair.Instant) {
			l.saved.Terms[0] = 99
			l.keep(l.groups[0], pair.Persist{Term: 3})
			if l.saved.Terms[0] != 99 {
				t.Errorf("kept %d", l.saved.Terms[0])
			}
			l.keep(l.groups[0], pair.Persist{Term: 100})
			if l.saved.Terms[0] != 100 {
				t.Errorf("kept %d", l.saved.Terms[0])
			}
		})
	})
}

// Frames may wait in a link's socket while its reader was not run; they are
// taken before the silence of a late peer is judged.
func TestLinksAreDrainedWhileThePeerIsLate(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		before := b.paths[0].drains.Load()
		time.Sleep(10 * testBeat)
		if n := b.paths[0].drains.Load(); n > before {
			t.Errorf("drained %d times though the peer is in time", n-before)
		}
		before = b.paths[0].drains.Load()
		a.kill()
		time.Sleep(testDead)
		if b.paths[0].drains.Load() == before {
			t.Error("silence was judged without a look at the link")
		}
	})
}

func TestAFrameIsNeverNewerThanTheTurn(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.inLoop(func(l *Loop, now pair.Instant) {
			m := l.peer.m
			m.Counter = l.peer.counter + 1
			l.heard(now, &Frame{Message: m, At: now.Add(time.Second)})
			if l.peer.heardAt > now {
				t.Errorf("heard %v from now", l.peer.heardAt.Since(now))
			}
		})
	})
}

// What is left of an adopted lease is less than its length: when it has run out
// must be known, for a kernel without an egress hook refuses without a word.
func TestAnAdoptedLeaseLastsForWhatIsLeftOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{change: func(i int, o *Options) { o.Groups[0].Start.LeaseHeld = i == 0 }})
		a := r.nodes[0]
		a.gate.lease[0] = time.Now().Add(testLease / 3)
		a.loop.start()
		if left := testLease - r.now().Since(a.loop.groups[0].renewed); left != testLease/3 {
			t.Errorf("it counts as held for %v more, want %v", left, testLease/3)
		}
	})
}

func TestALeaseThatMayHaveRunOutIsLookedFor(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.inLoop(func(l *Loop, now pair.Instant) {
			a.gate.set(func() { a.gate.mute = true })
			a.gate.flush()
			l.groups[0].renewed = now.Add(-testLease)
			l.mark()
			l.send(now, wire.Beat, wire.AllGroups)
			l.renew(now)
			if l.groups[0].opened {
				t.Error("a lease that is gone counts as renewed")
			}
			a.gate.set(func() { a.gate.mute = false })
		})
		r.await("served again", 3*time.Second, func() bool { return a.owns(0) || b.owns(0) })
	})
}

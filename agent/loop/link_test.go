package loop

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/wire"
)

func (n *node) link(i int) (state string, loss float64) {
	l := n.view().Links[i]
	return l.State, l.LossPercent
}

func TestDeadLinkIsAnAlarmWhileTheOtherCarries(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.paths[0].setCut(true)
		b.paths[0].setCut(true)
		time.Sleep(time.Second)
		if s, _ := a.link(0); s != linkDown || !a.alarmed("link/link0") {
			t.Errorf("link0 is %s, alarm %v", s, a.alarmed("link/link0"))
		}
		if s, _ := a.link(1); s != linkUp || a.alarmed("link/link1") {
			t.Errorf("link1 is %s", s)
		}
		a.paths[0].setCut(false)
		b.paths[0].setCut(false)
		time.Sleep(calm / 2) // a link that comes and goes is not up
		if s, _ := a.link(0); s == linkUp || !a.alarmed("link/link0") {
			t.Errorf("link0 is %s at once after healing", s)
		}
		time.Sleep(calm)
		if s, _ := a.link(0); s != linkUp || a.alarmed("link/link0") {
			t.Errorf("link0 is %s after healing", s)
		}
	})
}

func TestALinkThatComesAndGoesIsOneAlarm(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		raised := 0
		for range 20 {
			for _, cut := range []bool{true, false} {
				was := a.alarmed("link/link0")
				a.paths[0].setCut(cut)
				b.paths[0].setCut(cut)
				time.Sleep(600 * time.Millisecond)
				if !was && a.alarmed("link/link0") {
					raised++
				}
			}
		}
		if raised != 1 {
			t.Errorf("%d alarms, want 1", raised)
		}
	})
}

// A link may be dead before the peer is alive: cable never plugged in.
func TestLinkThatNeverWorkedIsAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{})
		for _, n := range r.nodes {
			n.paths[0].setCut(true)
		}
		r.run(func(a, b *node) {
			time.Sleep(time.Second)
			for _, n := range r.nodes {
				if !n.alarmed("link/link0") || n.alarmed("link/link1") {
					t.Errorf("fw%d: %+v", n.i+1, n.view().Alarms)
				}
			}
		})
	})
}

func TestSilentPeerIsNoAlarmOfTheLinks(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.paths[0].setDelay(20 * time.Millisecond)
		b.paths[0].setDelay(20 * time.Millisecond)
		time.Sleep(time.Second)
		a.kill()
		time.Sleep(2 * time.Second)
		if n := b.board.count("alarm", "raise link/"); n > 0 {
			t.Error(b.board.tail(20))
		}
	})
}

func TestStartRaisesNoAlarmOfALink(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		time.Sleep(time.Second)
		for _, n := range r.nodes {
			if n.board.count("alarm", "raise link/") > 0 {
				t.Error(n.board.tail(20))
			}
		}
	})
}

func TestOneWayLinkIsNamedOnBothEnds(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.paths[0].setCut(true)
		time.Sleep(2 * time.Second)
		if s, _ := a.link(0); s != linkOneWayIn {
			t.Errorf("the one that is not heard calls it %s", s)
		}
		if s, _ := b.link(0); s != linkOneWayOut {
			t.Errorf("the deaf one calls it %s", s)
		}
	})
}

func TestLossOfADeadLinkGrowsToAll(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		time.Sleep(2 * time.Second)
		if _, loss := b.link(0); loss != 0 {
			t.Errorf("%v%% lost on a clean link", loss)
		}
		a.paths[0].setCut(true)
		time.Sleep(LossWindow*testBeat + 2*time.Second)
		if _, loss := b.link(0); loss != 100 {
			t.Errorf("%v%% lost on a dead link", loss)
		}
		if _, loss := b.link(1); loss != 0 {
			t.Errorf("%v%% lost on the other", loss)
		}
	})
}

func TestEchoIsOfThisSessionOnly(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		got := make(chan wire.Message, 1)
		b.loop.Tell(probeFact(func() {
			b.loop.session++ // as if a new session had begun, in which nothing was heard
			var m wire.Message
			b.loop.fill(r.now(), &m)
			b.loop.session--
			got <- m
		}))
		if m := <-got; m.Echo != 0 || m.HearsLinks != 0 {
			t.Errorf("echo %d, hears %b of a session before", m.Echo, m.HearsLinks)
		}
	})
}

func TestRestartedPeerIsHeardInANewSession(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.loop.Tell(probeFact(func() { b.end.Restart([16]byte{77}) }))
		before := b.view().Peer.Session
		r.await("a new session", 5*time.Second, func() bool {
			s := b.view()
			return s.Peer.Session != before && s.Peer.TwoWay
		})
		time.Sleep(time.Second)
		for _, n := range r.nodes {
			s := n.view()
			if !s.Peer.TwoWay || s.Links[0].LossPercent > 0 || s.Links[0].State != linkUp {
				t.Errorf("fw%d: %+v %+v", n.i+1, s.Peer, s.Links[0])
			}
		}
		if !a.owns(0) {
			t.Error("the group moved")
		}
	})
}

func TestPathLossOfOneFrameInFour(t *testing.T) {
	var p path
	for c := uint32(100); c < 100+2*LossWindow; c++ {
		if c%4 != 0 {
			p.heard(1, &wire.Message{Session: 1, Counter: c}, &echoRing{})
		}
	}
	if l := p.loss(1, p.counter); l < 24 || l > 26 {
		t.Errorf("%v%%", l)
	}
}

// An agent that restarts has little left of its lease, and a first HELLO may be lost.
func TestHandshakesAreTriedWithEachBeatAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRig(t, setup{links: 2}).nodes[0]
		a.start()
		hellos := func() (n int) {
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, s := range a.trace {
				if s.what == "tx hello" && s.id == 0 {
					n++
				}
			}
			return n
		}
		time.Sleep(helloHasty*testBeat - testBeat/2)
		early := hellos()
		time.Sleep(10 * helloEvery)
		if late := hellos() - early; early != helloHasty || late < 9 || late > 10 {
			t.Errorf("%d handshakes in the first %d beats, %d in the second after", early, helloHasty, late)
		}
		a.end2()
	})
}

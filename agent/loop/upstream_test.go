//go:build !lite

package loop

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
)

type pairInstant = pair.Instant

// A fakeLAN is what one node's network says.
type fakeLAN struct {
	mac accord.MAC // of this node

	mu     sync.Mutex
	answer []accord.MAC
	deaf   bool // no question goes out
	asked  []time.Time
}

func (f *fakeLAN) Holders(int) []accord.Holder { return []accord.Holder{{Index: 0, MAC: f.mac}} }

func (f *fakeLAN) Ask(ctx context.Context, _ int, who []accord.Holder) []Answers {
	select {
	case <-time.After(900 * time.Millisecond):
	case <-ctx.Done():
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	out := make([]Answers, len(who))
	for i := range out {
		out[i] = Answers{Asked: !f.deaf, MACs: f.answer}
	}
	return out
}

func (f *fakeLAN) set(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

func (f *fakeLAN) looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

const testLook = 20 * time.Second

var (
	mac1 = accord.MAC{2, 0, 0, 0, 0, 1}
	mac2 = accord.MAC{2, 0, 0, 0, 0, 2}
	evil = accord.MAC{2, 0, 0, 0, 0, 0xee}
)

// onLAN runs a story of two nodes; the network of each first believes in fw1.
func onLAN(t *testing.T, fn func(r *rig, a, b *node, lans [2]*fakeLAN)) {
	t.Helper()
	var lans [2]*fakeLAN
	bubble(t, setup{change: func(i int, o *Options) {
		lans[i] = &fakeLAN{mac: []accord.MAC{mac1, mac2}[i], answer: []accord.MAC{mac1}}
		o.Talk.LAN, o.Talk.Every = lans[i], testLook
	}}, func(r *rig, a, b *node) { fn(r, a, b, lans) })
}

func (n *node) alarmText(name string) string {
	for _, a := range n.view().Alarms {
		if a.Name == name {
			return a.Text
		}
	}
	return ""
}

const announcedAgain = "announce 0: the network believes otherwise"

func TestARightAnswerIsSilentAndTheLookIsSlow(t *testing.T) {
	onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
		time.Sleep(10 * time.Second)
		if n := lans[1].looks(); n != 1 {
			t.Errorf("%d looks within 10 s of the take", n)
		}
		time.Sleep(2 * testLook)
		if n := lans[1].looks(); n < 2 || n > 3 {
			t.Errorf("%d looks within 50 s", n)
		}
		if n := lans[0].looks(); n != 0 {
			t.Errorf("the owner looked %d times", n)
		}
		if a.hands.count(announcedAgain) > 0 || a.alarmed("g0/upstream") {
			t.Error("announced or alarmed without a reason", a.board.tail(9))
		}
	})
}

func TestAWrongAnswerIsAnnouncedAgainThenAlarmed(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer []accord.MAC
		want   string
	}{
		{"nobody", nil, "fw2 asked the LAN for 192.0.2.1/24 and nobody answered"},
		{"another", []accord.MAC{evil}, "fw2 asked the LAN for 192.0.2.1/24 and 02:00:00:00:00:ee answered, which is not this node"},
		{"the standby's own", []accord.MAC{mac2}, "02:00:00:00:00:02 answered"},
		{"two", []accord.MAC{mac1, evil}, "02:00:00:00:00:ee answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
				time.Sleep(5 * time.Second)
				lans[1].set(func() { lans[1].answer = c.answer })
				took := r.await("announced again", testLook+3*time.Second, func() bool { return a.hands.count(announcedAgain) == 1 })
				if a.alarmed("g0/upstream") {
					t.Error("alarmed before the announcement could help")
				}
				again := r.await("alarm", 10*time.Second, func() bool { return a.alarmed("g0/upstream") })
				t.Logf("announced after %v, alarm %v later", took, again)
				if text := a.alarmText("g0/upstream"); !strings.Contains(text, c.want) {
					t.Errorf("%q", text)
				}
				time.Sleep(10 * testLook)
				if n := a.hands.count(announcedAgain); n < 8 || n > 16 {
					t.Errorf("announced %d times within ten looks", n)
				}
				if !a.owns(0) || b.owns(0) {
					t.Error("the group moved: the network's belief decides nothing")
				}
				lans[1].set(func() { lans[1].answer = []accord.MAC{mac1} })
				r.await("the alarm is over", testLook+5*time.Second, func() bool { return !a.alarmed("g0/upstream") })
			})
		})
	}
}

// One wrong look is mended by the announcement: no alarm.
func TestAnAnnouncementThatHelpsIsNoAlarm(t *testing.T) {
	onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
		lans[1].set(func() { lans[1].answer = []accord.MAC{mac2} }) // as after a take: the switch thinks of the other
		r.await("announced again", 5*time.Second, func() bool { return a.hands.count(announcedAgain) == 1 })
		lans[1].set(func() { lans[1].answer = []accord.MAC{mac1} })
		time.Sleep(2 * testLook)
		if a.board.count("alarm", "upstream") > 0 || a.hands.count(announcedAgain) != 1 {
			t.Error(a.board.tail(9))
		}
	})
}

// After a move the roles change, and what was told before counts no more.
func TestAfterATakeTheOtherNodeLooksSoon(t *testing.T) {
	onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
		time.Sleep(5 * time.Second)
		before := lans[1].looks()
		if _, err := a.loop.Do(context.Background(), Order{Command: OrderHandover, By: "t"}); err != nil {
			t.Fatal(err)
		}
		took := r.await("fw1 looks", 6*time.Second, func() bool { return lans[0].looks() == 1 })
		t.Logf("looked %v after the handover", took)
		// fw1's network still believes in fw1's own address: the owner is told.
		r.await("fw2 announces again", 3*time.Second, func() bool { return b.hands.count(announcedAgain) > 0 })
		if n := lans[1].looks(); n != before {
			t.Errorf("the new owner looked %d times", n-before)
		}
		r.await("fw2 alarms", 10*time.Second, func() bool { return b.alarmed("g0/upstream") })
		if a.alarmed("g0/upstream") {
			t.Error("the standby alarms")
		}
	})
}

func TestAStandbyThatIsGoneLeavesNoAlarmBehind(t *testing.T) {
	onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
		lans[1].set(func() { lans[1].answer = nil })
		r.await("alarm", 15*time.Second, func() bool { return a.alarmed("g0/upstream") })
		b.kill()
		r.await("the alarm is dropped", (silentAfter+1)*testLook, func() bool { return !a.alarmed("g0/upstream") })
	})
}

func TestAQuestionThatDidNotGoOutSaysNothing(t *testing.T) {
	onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
		lans[1].set(func() { lans[1].answer, lans[1].deaf = nil, true })
		time.Sleep(3 * testLook)
		if lans[1].looks() < 2 || a.hands.count(announcedAgain) > 0 || a.board.count("alarm", "upstream") > 0 {
			t.Error(lans[1].looks(), a.board.tail(9))
		}
	})
}

// With the key on one node only, the other neither tells nor believes.
func TestTheLookNeedsBothNodes(t *testing.T) {
	for only := range 2 {
		l := &fakeLAN{mac: mac1}
		bubble(t, setup{change: func(i int, o *Options) {
			if i == only {
				o.Talk.LAN, o.Talk.Every = l, testLook
			}
		}}, func(r *rig, a, b *node) {
			time.Sleep(3 * testLook)
			if l.looks() > 0 || a.hands.count(announcedAgain) > 0 {
				t.Errorf("only on fw%d: %d looks", only+1, l.looks())
			}
		})
	}
}

// What a peer of another version may say is dropped.
func TestFindingsOfWhatIsNotThereAreDropped(t *testing.T) {
	onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
		time.Sleep(2 * time.Second)
		bad := accord.Finding{Holder: accord.Holder{Group: 1}, Round: 99, Verdict: accord.Nobody}
		a.inLoop(func(l *Loop, now pairInstant) {
			l.heardFinding(now, bad.Append(nil))
			l.heardFinding(now, nil)
			l.heardHolder(now, accord.Holder{Group: 9}.Append(nil))
			l.heardHolder(now, accord.Holder{Group: 0}.Append(nil)) // this node owns it
			if len(l.groups[0].lan.told) > 0 {
				t.Error("the owner believes that another one owns")
			}
			far := accord.Finding{Holder: accord.Holder{Index: 500}, Round: 98, Verdict: accord.Foreign}
			l.heardFinding(now, far.Append(nil))
		})
		if n := a.hands.count(announcedAgain); n != 1 {
			t.Errorf("announced %d times", n)
		}
		b.inLoop(func(l *Loop, now pairInstant) {
			l.heardFinding(now, accord.Finding{Round: 5, Verdict: accord.Nobody}.Append(nil)) // the peer owns it
			if n := b.hands.count(announcedAgain); n > 0 {
				t.Errorf("the standby announced %d times", n)
			}
			for i := range 9 {
				l.heardHolder(now, accord.Holder{Index: uint16(i), MAC: mac1}.Append(nil))
			}
			if n := len(l.groups[0].lan.told); n != holdersMost {
				t.Errorf("%d addresses are remembered", n)
			}
		})
	})
}

// While the files differ an index means another address on each node: nobody
// asks or believes. Once they agree it goes on.
func TestFilesThatDifferAreNotJudgedUpstream(t *testing.T) {
	for _, first := range []int{0, 1} {
		onLAN(t, func(r *rig, a, b *node, lans [2]*fakeLAN) {
			reload := func(i int) {
				t.Helper()
				err := tell(t, r.nodes[i], func(done chan<- error) Fact {
					f := reloaded(8)(done).(Reloaded)
					f.Talk = Talk{LAN: lans[i], Every: testLook}
					return f
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
			lans[1].set(func() { lans[1].answer = []accord.MAC{evil} })
			was := lans[1].looks()
			reload(first)
			time.Sleep(3 * testLook)
			if n := lans[1].looks(); n != was || a.hands.count(announcedAgain) > 0 {
				t.Errorf("fw%d has the new file: %d looks, %d announcements", first+1, n-was, a.hands.count(announcedAgain))
			}
			reload(1 - first)
			r.await("a look once they agree", testLook, func() bool { return a.hands.count(announcedAgain) > 0 })
		})
	}
}

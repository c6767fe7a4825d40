//go:build !lite

package loop

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

func TestTheRoomOfASerialLine(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name       string
		baud       int
		beat, left time.Duration
		want       int
	}{
		{"the default profile", 115200, 50 * ms, 50 * ms, wire.MaxItems},
		{"the default profile, 8 ms late", 115200, 50 * ms, 42 * ms, 138 - wire.SerialData},
		{"the default profile, at 19200", 19200, 50 * ms, 50 * ms, 38 - wire.SerialData},
		{"the slow profile", 9600, 125 * ms, 125 * ms, 48 - wire.SerialData},
		{"the fast profile", 230400, 5 * ms, 5 * ms, 46 - wire.SerialData},
		{"no time left but for the heartbeat", 115200, 50 * ms, 30 * ms, 0},
		{"late by a whole beat", 115200, 50 * ms, -3 * ms, 0},
		{"woken early", 115200, 5 * ms, 90 * ms, 0},
	} {
		got := serialRoom(c.baud, c.beat, c.left)
		if got != max(0, c.want) {
			t.Errorf("%s: %d bytes of items, want %d", c.name, got, c.want)
		}
		if line := time.Duration(got+wire.SerialData) * bitsAByte * time.Second / time.Duration(c.baud); got > 0 && line > c.left-c.beat*beatShare/100 {
			t.Errorf("%s: the frame takes %v", c.name, line)
		}
	}
}

// A line is a serial line: one frame after the other, each for as long as its
// bytes take.
type line struct {
	baud      int
	busy      time.Time // until then
	data      time.Time // until then DATA is on it
	delayed   []string
	sent      int // DATA frames
	dataBytes int
}

func (l *line) carry(kind wire.Kind, n int) time.Duration {
	now := time.Now()
	took := time.Duration(n+4) * bitsAByte * time.Second / time.Duration(l.baud)
	if kind == wire.Data {
		l.sent++
		l.dataBytes += n + 4
	} else if now.Before(l.data) {
		l.delayed = append(l.delayed, fmt.Sprintf("%v by %v", kind, l.data.Sub(now)))
	}
	if l.busy.Before(now) {
		l.busy = now
	}
	l.busy = l.busy.Add(took)
	if kind == wire.Data {
		l.data = l.busy
	}
	return l.busy.Sub(now)
}

// keysOf makes keys whose values are all of one kind.
func keysOf(n int, value byte) []accord.Key {
	var out []accord.Key
	for i := range n {
		out = append(out, accord.Key{Name: fmt.Sprintf("t%d.k%d", i%5, i), Sum: [sha256.Size]byte{value, byte(i)}})
	}
	return out
}

// serialRig has nothing but serial lines of one speed.
func serialRig(baud, groups int) (setup, *[]*line) {
	lines := &[]*line{}
	return setup{groups: groups, change: func(i int, o *Options) {
		o.Talk.Keys = keysOf(60, byte(i))
		for k := range o.Links {
			p := o.Links[k].Path.(*fakePath)
			l := &line{baud: baud}
			o.Links[k].Baud, p.carry = baud, l.carry
			*lines = append(*lines, l)
		}
	}}, lines
}

// talkative lets a node have more to tell than there is room for.
func (n *node) talkative() {
	n.inLoop(func(l *Loop, _ pairInstant) {
		l.groups[0].lan.own, l.groups[0].lan.holder = make([]accord.Holder, 40), true
	})
}

// differ gives a node another configuration while it runs.
func (n *node) differ(digest uint32) {
	n.inLoop(func(l *Loop, _ pairInstant) { l.o.Digest = digest })
}

// Two lines at the least speed that the timing allows, and faster ones: no frame
// ever finds DATA on the line before it, in calm times, when the peer is not
// heard any more, and when it comes back.
func TestDataDelaysNoHeartbeatNorClaim(t *testing.T) {
	for _, c := range []struct{ baud, groups int }{{19200, 1}, {38400, 1}, {57600, 3}, {115200, 1}, {230400, 8}} {
		t.Run(fmt.Sprintf("%d baud, %d groups", c.baud, c.groups), func(t *testing.T) {
			s, lines := serialRig(c.baud, c.groups)
			bubble(t, s, func(r *rig, a, b *node) {
				for turn := range 40 {
					for range 5 {
						a.talkative()
						b.talkative()
						time.Sleep(200*time.Millisecond + time.Duration(turn)*3*time.Millisecond)
					}
					deaf := []*node{a, b}[turn%2]
					for _, p := range deaf.peer().paths {
						p.setCut(true) // for just so long that CLAIMs are said and answered
					}
					time.Sleep(testDead + 60*time.Millisecond)
					for _, p := range deaf.peer().paths {
						p.setCut(false)
					}
				}
				if a.count("tx claim")+b.count("tx claim") == 0 {
					t.Error("no CLAIM was said: the test does not test")
				}
			})
			frames, bytes := 0, 0
			for _, l := range *lines {
				frames, bytes = frames+l.sent, bytes+l.dataBytes
				if len(l.delayed) > 0 {
					t.Errorf("%d frames found DATA on the line: %s", len(l.delayed), strings.Join(l.delayed[:min(5, len(l.delayed))], ", "))
				}
			}
			if frames == 0 && c.baud > 19200 {
				t.Error("no DATA was sent: the test does not test")
			}
			t.Logf("%d DATA frames, %d bytes", frames, bytes)
		})
	}
}

func TestDataGoesByEthernetIfItCan(t *testing.T) {
	s, lines := serialRig(115200, 1)
	inner := s.change
	s.change = func(i int, o *Options) {
		inner(i, o)
		o.Links[1].Baud = 0
	}
	bubble(t, s, func(r *rig, a, b *node) {
		b.differ(8)
		time.Sleep(3 * time.Second)
		count := func() (serial, ether int) {
			for i, n := range r.nodes {
				n.inLoop(func(*Loop, pair.Instant) { // it writes them
					serial += (*lines)[2*i].sent
					ether += (*lines)[2*i+1].sent
				})
			}
			return serial, ether
		}
		serial, ether := count()
		if serial != 0 || ether < 10 {
			t.Errorf("%d DATA frames by serial, %d by Ethernet", serial, ether)
		}
		for _, n := range r.nodes {
			n.paths[1].setCut(true)
		}
		time.Sleep(15 * time.Second)
		if more, same := count(); more < 2 || same > ether+1 {
			t.Errorf("with Ethernet cut: %d DATA frames by serial, %d more by Ethernet", more, same-ether)
		}
	})
}

// Not more than one in dataEvery heartbeats, and none without something to say.
func TestDataIsRareAndOnlyWhenThereIsNews(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		time.Sleep(5 * time.Second)
		if n := a.count("tx data") + b.count("tx data"); n != 0 {
			t.Errorf("%d DATA frames without news", n)
		}
	})
	bubble(t, setup{change: func(i int, o *Options) { o.Talk.Keys = keysOf(200, byte(i)) }}, func(r *rig, a, b *node) {
		before := a.count("tx beat")
		b.differ(8)
		time.Sleep(2 * time.Second)
		data, beats := a.count("tx data"), (a.count("tx beat")-before)/2
		if data < 5 || data > beats/dataEvery+1 {
			t.Errorf("%d DATA frames beside %d heartbeats", data, beats)
		}
	})
}

func TestConfigurationsThatDifferAreAnAlarmThatNamesTheKeys(t *testing.T) {
	const alarm = "g0/" + mismatch
	bubble(t, setup{change: func(i int, o *Options) {
		o.Talk.Keys = keysOf(60, 1)
		if i == 1 {
			o.Talk.Keys[17].Sum[5] = 1 // t2.k17
			o.Talk.Keys = append(o.Talk.Keys, accord.Key{Name: "fence.retry"})
		}
	}}, func(r *rig, a, b *node) {
		b.differ(8)
		want := []string{"fence (only on fw2)", "t2.k17"}
		took := r.await("both name the keys", 10*time.Second, func() bool {
			return slices.Equal(a.view().Peer.Differs, want) && slices.Equal(b.view().Peer.Differs, want)
		})
		t.Logf("known after %v", took)
		for i, n := range r.nodes {
			if text := n.alarmText(alarm); !strings.HasSuffix(text, "the peer's; keys that differ: fence (only on fw2), t2.k17") {
				t.Errorf("fw%d: %q", i+1, text)
			}
			if c := n.board.count("alarm", "keys that differ: fence"); c != 1 {
				t.Errorf("fw%d: %d lines in the journal", i+1, c)
			}
		}
		b.inLoop(func(l *Loop, _ pairInstant) { // as after a reload
			l.differ.Differ = accord.NewDiffer(keysOf(59, 1))
			l.o.Digest = 9
		})
		r.await("the other difference is named", 10*time.Second, func() bool {
			return strings.HasSuffix(a.alarmText(alarm), "keys that differ: t4.k59 (only on fw1)") && strings.HasSuffix(b.alarmText(alarm), "keys that differ: t4.k59 (only on fw1)")
		})
		b.differ(7)
		r.await("the alarms are over", 5*time.Second, func() bool { return !a.alarmed(alarm) && !b.alarmed(alarm) })
		if d := a.view().Peer.Differs; len(d) > 0 {
			t.Errorf("still named: %q", d)
		}
	})
}

// A peer of a version before DATA says nothing of its keys.
func TestWithoutAWordOfThePeerTheAlarmNamesNothing(t *testing.T) {
	bubble(t, setup{change: func(i int, o *Options) {
		if i == 0 {
			o.Talk.Keys = keysOf(60, 1)
		}
	}}, func(r *rig, a, b *node) {
		b.differ(8)
		time.Sleep(10 * time.Second)
		if text := a.alarmText("g0/" + mismatch); text == "" || strings.Contains(text, "keys") {
			t.Errorf("%q", text)
		}
	})
}

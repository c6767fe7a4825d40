package e2e

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/wire"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// A stranger has a port on the heartbeat switch, a clip on the serial cable
// and no key.
type stranger struct {
	*rig
	rng      *rand.Rand
	to       [2]*lab.Tap // what is sent there reaches that node
	recorded [2][][]byte // what that node sent
	next     [2]time.Time
}

// clipPause is between two gifts on the serial line: more would jam it, for
// what is put on the wire in the middle of a frame breaks that.
const clipPause = 30 * time.Millisecond

func newStranger(r *rig) *stranger {
	r.Helper()
	s := &stranger{rig: r, rng: rand.New(rand.NewPCG(1, 2))}
	s.tap()
	return s
}

// tap listens at both ports for a while.
func (s *stranger) tap() {
	s.Helper()
	var all sync.WaitGroup
	for i, n := range s.Nodes {
		tap, err := s.HA.Tap(n.Name)
		s.try(err)
		s.Cleanup(tap.Close)
		s.to[i] = tap
		all.Go(func() { s.recorded[i] = tap.Record(400 * time.Millisecond) })
	}
	all.Wait()
	for i, n := range s.Nodes {
		if len(s.recorded[i]) < 4 {
			s.Fatalf("recorded only %d frames of %s", len(s.recorded[i]), n.Name)
		}
	}
}

// garbage returns random bytes of a random length.
func (s *stranger) garbage(most int) []byte {
	b := make([]byte, 1+s.rng.IntN(most))
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return b
}

// gift sends a payload to a node on both paths.
func (s *stranger) gift(node int, payload []byte) {
	s.Helper()
	s.try(s.to[node].Send(lab.WithPayload(s.recorded[1-node][0], payload)))
	s.clip(node, payload)
}

// clip puts a payload on the serial line, framed, unless it did so just before.
func (s *stranger) clip(node int, payload []byte) {
	if len(payload) > wire.MaxFrame || time.Now().Before(s.next[node]) {
		return
	}
	s.next[node] = time.Now().Add(clipPause)
	_ = s.Serial.Inject(node, wire.AppendSerial(nil, payload)) // a full line loses it, as lines do
}

// harmless holds that what the stranger does has no effect, and that the nodes
// counted what they refused.
func (s *stranger) harmless(what func(), counted ...string) {
	s.Helper()
	since := s.mark()
	seen := s.during(func() {
		what()
		time.Sleep(300 * time.Millisecond)
	})
	s.outage(seen, 20*time.Millisecond)
	s.unmoved(since)
	stalled := s.slow.Longest() > lab.StallMost // frames were late by that, not by the stranger
	for i := range s.Nodes {
		for _, e := range s.events(i, since[i]) {
			// What is put on a wire in the middle of a frame destroys that frame.
			hurt := (e.Kind == "alarm" || e.Kind == "link") && strings.Contains(e.Seen, "serial")
			if !stalled && !hurt && (e.Kind == "alarm" || e.Kind == "link" || e.Kind == "role") {
				s.Errorf("fw%d took notice: %+v", i+1, e)
			}
		}
		for _, reason := range counted {
			if s.drops(i, "multicast")[reason]+s.drops(i, "serial")[reason] == 0 {
				s.Errorf("fw%d counted no frame as %q: %v %v", i+1, reason, s.drops(i, "multicast"), s.drops(i, "serial"))
			}
		}
	}
}

func TestGarbageHasNoEffect(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	s.harmless(func() {
		for range 300 {
			for i := range s.Nodes {
				s.gift(i, s.garbage(wire.MaxFrame+50))
			}
			time.Sleep(3 * time.Millisecond)
		}
	}, "version")
}

func TestNoiseDelimitersAndEndlessFramesOnTheSerialLineHaveNoEffect(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	s.harmless(func() {
		for n := range 60 {
			for i := range s.Nodes {
				switch n % 3 {
				case 0:
					_ = s.Serial.Inject(i, s.garbage(64))
				case 1:
					_ = s.Serial.Inject(i, bytes.Repeat([]byte{1}, 2000)) // no frame is so long
				}
				_ = s.Serial.Inject(i, make([]byte, 8)) // delimiters
			}
			time.Sleep(30 * time.Millisecond) // not so dense that it jams the line
		}
	}, "unreadable")
}

func TestDamagedFramesHaveNoEffect(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	s.harmless(func() {
		for n := range 400 {
			for i := range s.Nodes {
				from := s.recorded[1-i]
				p := append([]byte(nil), lab.Payload(from[n%len(from)])...)
				bit := n % (8 * len(p))
				p[bit/8] ^= 1 << (bit % 8)
				s.gift(i, p)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}, "mac", "version", "cluster", "node", "link", "key", "session")
}

func TestReplayedFramesHaveNoEffect(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	s.harmless(func() {
		for n := range 200 {
			for i := range s.Nodes {
				from := s.recorded[1-i]
				f := from[n%len(from)]
				s.try(s.to[i].Send(f))                                                 // again
				s.clip(i, lab.Payload(f))                                              // on the other path
				s.try(s.to[i].Send(s.recorded[i][n%len(s.recorded[i])]))               // back to whom it is from
				s.try(s.to[i].Send(lab.WithPayload(f, lab.Payload(s.recorded[i][0])))) // and as if from the peer
			}
			time.Sleep(3 * time.Millisecond)
		}
	}, "duplicate", "link", "own")
}

// A recording of a session is worthless once an agent has restarted, and most
// of all while its node is dead: it must not keep a dead owner alive.
func TestRecordingOfADeadOwnerDoesNotKeepItAlive(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	tape := s.recorded[0]
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				_ = s.to[1].Send(tape[n%len(tape)])
			}
		}
	}()
	seen := s.during(func() { s.try(s.Nodes[0].PowerOff()) }, func() { s.moved(1) })
	s.outage(seen, 1500*time.Millisecond)
	s.reboot(0) // and it must not keep the reborn one from its session
	s.await("fw1 is armed", 2*soon, func() bool { return s.states(0, "ARMED", "ACTIVE") })
	close(stop)
	<-done
	if d := s.drops(1, "multicast"); d["session"]+d["duplicate"]+d["replay"] == 0 {
		t.Errorf("fw2 counted no replay: %v", d)
	}
}

// forger signs with a key of its own what would move the group if it counted.
func forger(t *testing.T, node, peer uint8) *wire.Endpoint {
	t.Helper()
	var secret [32]byte
	for i, r := 0, rand.New(rand.NewPCG(3, 4)); i < len(secret); i++ {
		secret[i] = byte(r.Uint32())
	}
	ring, problems := wire.ParseKeys("forged", []byte("active 1\n"+wire.GenerateKey(secret, 1)+"\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return wire.NewEndpoint(wire.Config{Cluster: "lab", Node: node, Peer: peer, Nonce: [16]byte{1, 2, 3}, Keys: ring, Links: 2})
}

func TestForgedFramesHaveNoEffect(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	forgers := [2]*wire.Endpoint{forger(t, 2, 1), forger(t, 1, 2)} // by the victim
	s.harmless(func() {
		for range 100 {
			for i, e := range forgers {
				for link := range uint8(2) {
					p, err := e.Seal(nil, link, &wire.Message{Kind: wire.Hello})
					s.try(err)
					s.gift(i, p)
					// A session frame for the header, a CLAIM or RELEASED by the kind.
					from := lab.Payload(s.recorded[1-i][0])
					for _, kind := range []wire.Kind{wire.Claim, wire.Release, wire.Released, wire.Goodbye, wire.FenceNotice} {
						q := append([]byte(nil), from...)
						q[0] = q[0]&0xf0 | byte(kind)
						s.gift(i, q)
					}
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}, "mac")
}

func TestFloodOnTheHeartbeatNetworkMovesNothing(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	s.harmless(func() {
		end := time.Now().Add(2 * time.Second)
		for n := 0; time.Now().Before(end); n++ {
			for i := range s.Nodes {
				s.try(s.to[i].Send(lab.WithPayload(s.recorded[1-i][0], s.garbage(wire.MaxFrame))))
			}
			if n%20 == 0 {
				time.Sleep(time.Millisecond) // some 20,000 frames a second
			}
		}
	})
}

// Heartbeats that crossed a router, or came in on the LAN, are nobody's.
func TestFramesFromElsewhereAreNotEvenLookedAt(t *testing.T) {
	s := newStranger(boot(t, lab.Options{}))
	lan, err := s.Client.Tap("eth0")
	s.try(err)
	defer lan.Close()
	s.harmless(func() {
		for n := range 100 {
			for i := range s.Nodes {
				from := s.recorded[1-i]
				far := append([]byte(nil), lab.Payload(from[n%len(from)])...)
				f := lab.WithPayload(from[0], far)
				s.try(lan.Send(f))
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
}

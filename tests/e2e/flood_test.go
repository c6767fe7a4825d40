package e2e

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/agent/wire"
	"github.com/twinbeat/twinbeat/tests/lab"
)

const (
	// floodRate is what the stranger is to send, in frames a second, so that
	// each box's interface sees floodLeast. Two busy cores may not make that,
	// as they are the stranger, the switch and both boxes; a flood below
	// floodUseless would show nothing.
	floodRate    = 150_000
	floodLeast   = 100_000
	floodUseless = 50_000
	floodTime    = 60 * time.Second

	// inFlight is how many frames may have been sent before the counters of
	// one node were read and accepted after those of the other.
	inFlight = 3

	// tapeLeast is how many frames of a node a recording must hold.
	tapeLeast = 10

	// garbageFrames is how many of the flood's frames nobody ever made.
	garbageFrames = 3000
)

// A tape is what a pair said on both paths, by sender.
type tape struct {
	ethernet [2][][]byte // whole frames
	serial   [2][][]byte // payloads
}

// tapeOf records while something happens.
func (s *stranger) tapeOf(what func()) (t tape) {
	s.Helper()
	var line [2]wire.Deframer
	for i, d := range [2]linktest.Direction{linktest.AToB, linktest.BToA} {
		s.Serial.Listen(d, func(b []byte) {
			line[i].Write(b, func(p []byte) { t.serial[i] = append(t.serial[i], bytes.Clone(p)) })
		})
	}
	var stop [2]func() [][]byte
	for i := range s.Nodes {
		stop[i] = s.to[i].Listen()
	}
	what()
	time.Sleep(tapeLeast * 100 * time.Millisecond) // two heartbeats each
	s.Serial.Listen(linktest.Both, nil)
	for i := range s.Nodes {
		t.ethernet[i] = stop[i]()
		if len(t.ethernet[i]) < tapeLeast || len(t.serial[i]) < tapeLeast {
			s.Fatalf("of fw%d only %d and %d frames were recorded", i+1, len(t.ethernet[i]), len(t.serial[i]))
		}
	}
	return t
}

// thereAndBack hands the group over twice, so that every kind of frame is said.
func (s *stranger) thereAndBack() {
	s.Helper()
	s.order(0, control.Order{Command: control.OrderHandover, Reason: "flood"})
	s.moved(1)
	s.await("fw1 is armed", soon, func() bool { return s.states(0, "ARMED", "ACTIVE") })
	s.order(1, control.Order{Command: control.OrderHandover, Reason: "flood"})
	s.moved(0)
	s.await("fw2 is armed", soon, func() bool { return s.states(0, "ACTIVE", "ARMED") })
}

// isHello says whether a payload is a HELLO: it has no counter, and may be
// accepted again; the handshake makes nothing of it.
func isHello(p []byte) bool { return len(p) > 0 && wire.Kind(p[0]&15) == wire.Hello }

// hellos returns what of the Ethernet's recordings is a HELLO, or is none.
func hellos(tapes []tape, want bool) (all [][]byte) {
	for _, t := range tapes {
		for _, frames := range t.ethernet {
			for _, f := range frames {
				if isHello(lab.Payload(f)) == want {
					all = append(all, f)
				}
			}
		}
	}
	return all
}

// shuffled returns recorded frames and as many random ones and damaged ones.
func (s *stranger) shuffled(recorded [][]byte) [][]byte {
	all := append([][]byte(nil), recorded...)
	for n := range garbageFrames {
		f := recorded[n%len(recorded)]
		all = append(all, lab.WithPayload(f, s.garbage(wire.MaxFrame)))
		p := bytes.Clone(lab.Payload(f))
		p[s.rng.IntN(len(p))] ^= byte(1 + s.rng.IntN(255))
		all = append(all, lab.WithPayload(f, p))
	}
	s.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// jam puts recorded payloads and garbage on both wires of the cable at line
// rate until stop is closed. The pair's own frames break under that: it is
// what a transmitter does that never pauses.
func (s *stranger) jam(tapes []tape, stop chan struct{}) {
	var all [][]byte
	for _, t := range tapes {
		for _, frames := range t.serial {
			all = append(all, slices.DeleteFunc(slices.Clone(frames), isHello)...)
		}
	}
	rate := s.Baud / 10 // bytes a second
	sent := 0
	for began := time.Now(); ; {
		select {
		case <-stop:
			return
		default:
		}
		due := time.Duration(sent) * time.Second / time.Duration(rate)
		time.Sleep(due - time.Since(began))
		b := wire.AppendSerial(nil, all[s.rng.IntN(len(all))])
		if s.rng.IntN(3) == 0 {
			b = s.garbage(len(b))
		}
		for i := range s.Nodes {
			_ = s.Serial.Inject(i, b) // a full line loses it, as lines do
		}
		sent += len(b)
	}
}

// A count is what one node has counted on one path.
type count struct{ sent, accepted, refused uint64 }

// counted reads the counters of a node's link of that type. Accepted is what
// was read and not refused; what the loop's bounds refused is not accepted.
func (s *stranger) counted(node int, kind string) (c count) {
	s.Helper()
	status, err := s.Nodes[node].Status()
	s.try(err)
	for _, l := range status.Links {
		if l.Type != kind {
			continue
		}
		c.sent, c.accepted = l.TxFrames, l.RxFrames
		for reason, n := range l.Drops {
			if reason == "unreadable" || reason == "queue-full" || reason == "hello-flood" {
				continue // not of those that were read, or accepted before
			}
			c.accepted -= n
			c.refused += n
		}
	}
	return c
}

// A load is what a flood did to a box.
type load struct {
	frames uint64 // at the interface
	cpu    time.Duration
	took   time.Duration
	of     [2]count // by path
	peer   [2]count // what the peer sent meanwhile
}

func (l load) rate() float64 { return float64(l.frames) / l.took.Seconds() }

// paths are the kinds of link of the pair.
var paths = [2]string{"multicast", "serial"}

// under measures both boxes while something goes on.
func (s *stranger) under(what func()) (loads [2]load) {
	s.Helper()
	read := func(sign int) {
		for i, n := range s.Nodes {
			frames, err := n.Received("ha0")
			s.try(err)
			used, err := n.Usage()
			s.try(err)
			loads[i].frames += uint64(sign) * frames
			loads[i].cpu += time.Duration(sign) * used.CPU
		}
		// What was sent is read around what was accepted, so that nothing that
		// was sent in the meantime looks like a replay.
		for i := range s.Nodes {
			for p, kind := range paths {
				if sign < 0 {
					loads[i].peer[p].sent -= s.counted(1-i, kind).sent
				}
				c := s.counted(i, kind)
				loads[i].of[p].accepted += uint64(sign) * c.accepted
				loads[i].of[p].refused += uint64(sign) * c.refused
				if sign > 0 {
					loads[i].peer[p].sent += s.counted(1-i, kind).sent
				}
			}
		}
	}
	read(-1)
	began := time.Now()
	what()
	for i := range loads {
		loads[i].took = time.Since(began)
	}
	read(1)
	return loads
}

// flood sends frames for a while, with the cable jammed.
func (s *stranger) flood(frames [][]byte, tapes []tape, d time.Duration) [2]load {
	s.Helper()
	host, err := s.Lab.Stranger()
	s.try(err)
	defer host.Close()
	return s.under(func() {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() { defer close(done); s.jam(tapes, stop) }()
		f, err := host.Flood(frames, floodRate, d)
		s.try(err)
		sent, err := f.Wait()
		close(stop)
		<-done
		s.try(err)
		s.Logf("%d frames sent on the Ethernet in %v", sent, d)
	})
}

func TestFloodOfGarbageAndRecordedFramesMovesNothing(t *testing.T) {
	length := floodTime
	if d, err := time.ParseDuration(os.Getenv("TWINBEAT_E2E_FLOOD")); err == nil {
		length = d
	}
	s := newStranger(boot(t, lab.Options{}))
	older := s.tapeOf(func() {
		s.thereAndBack()
		s.Nodes[1].Kill()
		s.start(1)
		s.await("fw2 is armed again", 2*soon, func() bool { return s.states(0, "ACTIVE", "ARMED") })
	})
	present := s.tapeOf(s.thereAndBack)
	tapes := []tape{older, present}
	recorded := hellos(tapes, false)
	since := s.mark()
	seen := s.during(func() {
		loads := s.flood(s.shuffled(recorded), tapes, length)
		s.judgeFlood(loads, true)
	})
	s.outage(seen, 250*time.Millisecond)
	s.unmoved(since)
	s.sameSession(since)
	t.Run("of HELLOs", func(t *testing.T) {
		old := hellos(tapes, true)
		if len(old) == 0 {
			t.Fatal("no HELLO was recorded")
		}
		s.judgeFlood(s.flood(old, tapes, length/10), false)
		s.unmoved(since)
		s.sameSession(since)
	})
	s.await("all alarms are over", 2*soon, func() bool { return s.quiet(0) && s.quiet(1) })
}

// judgeFlood reports what a flood did and holds that none of it was accepted.
func (s *stranger) judgeFlood(loads [2]load, exact bool) {
	s.Helper()
	for i, l := range loads {
		s.Logf("fw%d: %.0f frames/s at its interface, %.1f %% of a core", i+1, l.rate(), 100*l.cpu.Seconds()/l.took.Seconds())
		for p, kind := range paths {
			s.Logf("fw%d: %s: peer sent %d, accepted %d, refused %d", i+1, kind, l.peer[p].sent, l.of[p].accepted, l.of[p].refused)
			// On the Ethernet everything is said once.
			if exact && l.of[p].accepted > l.peer[0].sent+inFlight {
				s.Errorf("fw%d: %s: %d frames were accepted of %d that the peer sent", i+1, kind, l.of[p].accepted, l.peer[0].sent)
			}
		}
		s.Logf("fw%d: drops %v %v", i+1, s.drops(i, "multicast"), s.drops(i, "serial"))
		switch {
		case l.rate() < floodUseless:
			s.Errorf("fw%d saw only %.0f frames/s", i+1, l.rate())
		case l.rate() < floodLeast:
			s.Logf("fw%d saw less than %d frames/s: the cores of this machine are too busy for more", i+1, floodLeast)
		}
	}
}

// sameSession holds that no handshake took place.
func (s *stranger) sameSession(m mark) {
	s.Helper()
	for i, n := range s.Nodes {
		events, err := n.Events(m[i])
		s.try(err)
		for _, e := range events {
			if e.Kind == "link" && strings.HasPrefix(e.Seen, "handshake") {
				s.Errorf("%s: %s: %s", n.Name, e.Seen, e.Decided)
			}
		}
	}
}

// A line at a bit error rate of 10^-3 breaks every third frame, and is the only
// path left. The agents say each frame more than once then; without that the
// roles changed every few seconds.
func TestSerialLineWithBitErrorsAloneKeepsTheRoles(t *testing.T) {
	lab.StayOutside() // a null modem that waits for the boxes' cores is slower than its baud rate
	r := boot(t, lab.Options{})
	since := r.mark()
	seen := r.during(func() {
		r.try(r.CutEthernet())
		r.Serial.Corrupt(0.001, 1)
		time.Sleep(30 * time.Second)
	})
	if stood := r.slow.Longest(); stood >= leaseStandsStill || r.starved(since) {
		t.Logf("an agent had no core for longer than it has patience, the machine stood still for %v: of the line this says nothing; changes of role: %v", stood, r.changes(since))
	} else {
		r.outage(seen, 20*time.Millisecond)
		r.unmoved(since)
	}
	r.Serial.Restore()
	r.try(r.HealEthernet())
	r.await("all alarms are over", 2*soon, func() bool { return r.quiet(0) && r.quiet(1) })
}

// starved says whether an agent noted since the mark that it stood still.
func (r *rig) starved(m mark) bool {
	for i := range r.Nodes {
		for _, e := range r.events(i, m[i]) {
			if strings.Contains(e.Seen, "stood still") {
				return true
			}
		}
	}
	return false
}

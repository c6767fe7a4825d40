package pair

import (
	"fmt"
	"testing"
	"time"
)

// A takeover outwaits the lease, the window, the reserve and, in mode lease, the
// acknowledgement and the drift, however short the configured silence is.
func TestTakeoverOutwaitsWhateverThePeersKernelMayHold(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		mode     string
		takeover time.Duration
		told     time.Duration // what the peer said of its lease
		want     time.Duration
	}{
		{"silence", 400 * ms, 0, 400 * ms},
		{"silence", 100 * ms, 0, 340 * ms},        // 300 + 25 + 15
		{"silence", 400 * ms, 700 * ms, 715 * ms}, // told + 15
		{"silence", 100 * ms, 90 * ms, 105 * ms},  // the peer's, not ours
		{"lease", 100 * ms, 0, 591180 * time.Microsecond},
		{"lease", 100 * ms, 700 * ms, 966930 * time.Microsecond},
		{"lease", 1000 * ms, 0, 1000 * ms},
	} {
		cfg := config(args{"mode": c.mode})
		cfg.Takeover = c.takeover
		m := New(cfg)
		m.peer.known, m.peer.said.Lease = true, c.told
		if got := m.takeAfter(); got != c.want {
			t.Errorf("mode %s, takeover %v, told %v: %v, want %v", c.mode, c.takeover, c.told, got, c.want)
		}
	}
}

// TestBrokenInvariantsEndTheProcess breaks a sound machine by hand: the check at
// the end of each step must find it.
func TestBrokenInvariantsEndTheProcess(t *testing.T) {
	for name, break1 := range map[string]func(*Machine){
		"a sound standby":               nil,
		"an open gate of a standby":     func(m *Machine) { m.own.gate = gateOpen },
		"an owner without evidence":     func(m *Machine) { m.state, m.ownTerm = Active, 1 },
		"armed without contact":         func(m *Machine) { m.state, m.peer.contact = Armed, false },
		"armed while passive":           func(m *Machine) { m.state, m.own.maintenance = Armed, true },
		"an owner in maintenance":       func(m *Machine) { m.state, m.evidence, m.own.maintenance = Active, EvidenceGrant, true },
		"fencing without a right to it": func(m *Machine) { m.fenc.running, m.peer.contact = true, false },
		"fencing without a device":      func(m *Machine) { m.state = Fencing },
		"an own term above the highest": func(m *Machine) { m.state, m.evidence, m.ownTerm = Active, EvidenceGrant, 9 },
		"a second entry": func(m *Machine) {
			m.state, m.evidence = Active, EvidenceGrant
			m.begin(Active, EvidenceGrant, "", "")
		},
		"an entry in maintenance": func(m *Machine) {
			m.own.maintenance = true
			m.begin(Active, EvidenceGrant, "", "")
			m.own.maintenance = false // so that nothing but the entry is wrong
		},
		"a clock that goes back": func(m *Machine) { m.lastStep = zero + 2 },
	} {
		m := New(config(args{"mode": "silence", "other": ""}))
		m.Step(zero, Start{Term: 3})
		m.Step(zero, Heard{Kind: Beat, State: Standby, Term: 3, EchoSentAt: zero, Accept: true, Session: 1, Counter: 1})
		if m.state != Standby || !m.peer.contact {
			t.Fatalf("%v", m.state)
		}
		if died := dies(func() {
			if break1 != nil {
				break1(m)
			}
			m.Step(zero+1, Lines{})
		}); (died != "") != (break1 != nil) {
			t.Errorf("%s: ended by %q", name, died)
		}
	}
}

// dies returns what fn panics with.
func dies(fn func()) (with string) {
	defer func() {
		if r := recover(); r != nil {
			with = fmt.Sprint(r)
		}
	}()
	fn()
	return ""
}

// A step that asks for the gate and then gives the group up asks for nothing.
func TestClosingTheGateWithdrawsTheWishForIt(t *testing.T) {
	m := New(config(args{"mode": "silence"}))
	m.state, m.evidence, m.own.addresses = Active, EvidenceGrant, addressesUp
	m.peer.contact, m.peer.known, m.peer.ackAt = true, true, 1
	m.openGate()
	if len(m.out) != 1 || !m.Asks(m.own.grant) {
		t.Fatalf("the gate was not asked for: %v", m.out)
	}
	asked := m.own.grant
	m.closeGate()
	if len(m.out) != 1 || m.out[0] != (CloseGate{}) || m.Asks(asked) {
		t.Errorf("%v, still asked for: %v", m.out, m.Asks(asked))
	}
}

// What a node knows of a peer that it heard boot may be out of date, on either
// side: whatever it is, their turns never meet in a round.
func TestTurnsOfNodesThatJustBootedNeverMeet(t *testing.T) {
	const race = 10 * time.Second
	for boot := race / 10; boot < 9*race; boot += race / 10 {
		turns := func(lower bool) (all [3]time.Duration) {
			m := New(Config{
				Mode: ModeFence, HasFence: true, LowerID: lower, Beat: 1, Dead: 1, Lease: 1, Window: 1, Takeover: 1, Ack: 1, Probe: 1,
				Init: boot, Race: race, FenceRetry: 1, FenceSpare: 1,
			})
			m.state = Boot
			all[0] = m.fenceTurn() // it knows of no contact
			m.state, m.peer.contact = Standby, true
			for i, said := range []State{Boot, Standby} {
				m.peer.said.State = said
				all[1+i] = m.fenceTurn()
			}
			return all
		}
		for i, low := range turns(true) {
			for k, high := range turns(false) {
				if i == 0 && k == 2 || i == 2 && k == 0 {
					continue // who knows of no contact never said that it stands by
				}
				apart := (high - low + 8*fenceTurns*race) % (fenceTurns * race)
				if min(apart, fenceTurns*race-apart) < race {
					t.Errorf("boot_wait %v: the lower id's turn %d at %v, the higher's %d at %v", boot, i, low, k, high)
				}
			}
		}
	}
}

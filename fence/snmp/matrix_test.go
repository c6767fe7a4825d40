package snmp_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/snmp"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

// What an Off must come to.
const (
	proven  = "proven"  // the outlet is off, and that must be seen
	refused = "refused" // it is on, or nobody can know
	// claim is of a strip that lies about one relay and has no meter for it: its
	// word is all there is, and the proof must say so.
	claim = "claim"
)

// A misbehaviour is a row of the matrix: each is tried on every shape that can
// have it, by version 1 or 2c or both.
type misbehaviour struct {
	name     string
	lies     snmptest.Lies
	want     string
	can      func(*snmptest.Shape) bool // nil: every shape can
	cold     bool                       // the strip is so from the start, not since it was learnt
	selector string                     // "": the index of outlet 2
	setup    func(*stage)               // before the strip is learnt
	then     func(*stage)               // once it is learnt, before the Off
	during   func(*stage)               // beside the Off
}

// A stage is one strip, its agent and the outlet that is to be switched off.
type stage struct {
	shape snmptest.Shape
	pdu   *snmptest.PDU
	agent *snmptest.Agent
}

// Times of the matrix are short, with those of the driver in proportion: an
// answer after 1.5 s of 5 is one after 150 ms of 500.
const (
	matrixTimeout = 500 * time.Millisecond
	matrixWithin  = 1500 * time.Millisecond
)

func pends(s *snmptest.Shape) bool      { return s.Pends() }
func metered(s *snmptest.Shape) bool    { return s.Metered() }
func unmetered(s *snmptest.Shape) bool  { return !s.Metered() }
func named(s *snmptest.Shape) bool      { return s.Named() }
func counts(s *snmptest.Shape) bool     { return s.Counts() }
func ofAPC(s *snmptest.Shape) bool      { return s.Name[:3] == "apc" }
func everyOther(n int, _ bool) bool     { return n%2 == 1 }
func firstOrder(n int, set bool) bool   { return set && n == 1 }
func everyOrder(_ int, set bool) bool   { return set }
func everyReading(_ int, set bool) bool { return !set }

// onReading changes answers to readings alone.
func onReading(f func(request, answer *gosnmp.SnmpPacket)) func(request, answer *gosnmp.SnmpPacket) {
	return func(request, answer *gosnmp.SnmpPacket) {
		if request.PDUType != gosnmp.SetRequest {
			f(request, answer)
		}
	}
}

// eachInteger changes the INTEGERs of answers to readings.
func eachInteger(f func(v *gosnmp.SnmpPDU)) func(request, answer *gosnmp.SnmpPacket) {
	return onReading(func(_, answer *gosnmp.SnmpPacket) {
		answer.Variables = slices.Clone(answer.Variables)
		for i := range answer.Variables {
			if answer.Variables[i].Type == gosnmp.Integer {
				f(&answer.Variables[i])
			}
		}
	})
}

func after(d time.Duration, f func()) {
	time.Sleep(d)
	f()
}

var misbehaviours = []misbehaviour{
	{name: "none", want: proven},
	{name: "none, not learnt before", want: proven, cold: true},
	{name: "is off already", want: proven, setup: func(s *stage) { s.off(2) }},

	// Orders.
	{name: "state lags 0.7 s", lies: snmptest.Lies{Lag: 700 * time.Millisecond}, want: proven},
	{name: "state lags 0.7 s, nothing pending", lies: snmptest.Lies{Lag: 700 * time.Millisecond, Silent: true}, want: proven},
	{name: "state lags 2.7 s", lies: snmptest.Lies{Lag: 2700 * time.Millisecond}, want: proven},
	{name: "state lags beyond the deadline", lies: snmptest.Lies{Lag: 3 * time.Second}, want: refused},
	{name: "genErr, but acts", lies: snmptest.Lies{Error: gosnmp.GenErr, Acts: true}, want: proven},
	{name: "genErr, and does not act", lies: snmptest.Lies{Error: gosnmp.GenErr}, want: refused},
	{name: "badValue, but acts late", lies: snmptest.Lies{Error: gosnmp.BadValue, Acts: true, Lag: time.Second}, want: proven},
	{name: "may only be read", lies: snmptest.Lies{Error: gosnmp.NoSuchName}, want: refused},
	{name: "takes the order and does nothing", lies: snmptest.Lies{Dead: true}, want: refused},
	{name: "forgets the first order", lies: snmptest.Lies{LoseNext: 1}, want: refused},
	{name: "first order lost on the way", lies: snmptest.Lies{Drop: firstOrder}, want: proven},
	{name: "every order lost on the way", lies: snmptest.Lies{Drop: everyOrder}, want: refused},
	{name: "answers to orders get lost", lies: snmptest.Lies{DropAnswer: everyOrder}, want: proven},
	{name: "switches outlet 1 whatever is asked", lies: snmptest.Lies{OnlyOne: true}, want: refused},
	{name: "reboots: on again after 0.5 s", lies: snmptest.Lies{FlipBack: 500 * time.Millisecond}, want: refused},
	{name: "on again at once", lies: snmptest.Lies{FlipBack: time.Millisecond}, want: refused},
	{name: "relay welded, has a meter", lies: snmptest.Lies{Welded: true}, want: refused, can: metered},
	{name: "relay welded, no meter of the outlet", lies: snmptest.Lies{Welded: true}, want: claim, can: unmetered},
	{name: "relay welded, meter reads -1", lies: snmptest.Lies{Welded: true, Unmetered: true}, want: claim, can: metered},
	{name: "meter reads -1", lies: snmptest.Lies{Unmetered: true}, want: proven, can: metered},

	// Pending orders.
	{name: "an order waits for ever", lies: snmptest.Lies{Pending: 1}, want: refused, can: pends},
	{name: "cannot say whether an order waits", lies: snmptest.Lies{Pending: 3}, want: refused, can: pends},
	{name: "pending reads 7", lies: snmptest.Lies{Pending: 7}, want: refused, can: pends},
	{name: "never tells of orders", lies: snmptest.Lies{NoPending: true}, want: proven, can: pends, cold: true},
	{name: "tells of orders no more", lies: snmptest.Lies{NoPending: true}, want: refused, can: pends},

	// Values.
	{name: "state reads 4", lies: snmptest.Lies{Status: 4}, want: refused},
	{name: "state reads 3", lies: snmptest.Lies{Status: 3}, want: refused},
	{name: "state reads -1", lies: snmptest.Lies{Status: -1}, want: refused},
	{name: "state is a string", lies: snmptest.Lies{Status: "off"}, want: refused},
	{name: "state is garbled three times", lies: snmptest.Lies{Garbled: 3}, want: proven},
	{name: "numbers are gauges", lies: snmptest.Lies{Mangle: eachInteger(func(v *gosnmp.SnmpPDU) {
		v.Type, v.Value = gosnmp.Gauge32, uint32(v.Value.(int))
	})}, want: refused},
	{name: "numbers are strings", lies: snmptest.Lies{Mangle: eachInteger(func(v *gosnmp.SnmpPDU) {
		v.Type, v.Value = gosnmp.OctetString, fmt.Sprint(v.Value)
	})}, want: refused},
	{name: "numbers are null", lies: snmptest.Lies{Mangle: eachInteger(func(v *gosnmp.SnmpPDU) {
		v.Type, v.Value = gosnmp.Null, nil
	})}, want: refused},
	{name: "all is null, without an error", lies: snmptest.Lies{Mangle: onReading(func(request, answer *gosnmp.SnmpPacket) {
		answer.Variables = request.Variables
	})}, want: refused},
	{name: "noSuchName with all null", lies: snmptest.Lies{Mangle: onReading(func(request, answer *gosnmp.SnmpPacket) {
		answer.Error, answer.ErrorIndex, answer.Variables = gosnmp.NoSuchName, 1, request.Variables
	})}, want: refused},
	{name: "noSuchInstance for all", lies: snmptest.Lies{Mangle: eachInteger(func(v *gosnmp.SnmpPDU) {
		v.Type, v.Value = gosnmp.NoSuchInstance, nil
	})}, want: refused},
	{name: "readings answer genErr", lies: snmptest.Lies{Mangle: onReading(func(_, answer *gosnmp.SnmpPacket) {
		answer.Error, answer.ErrorIndex = gosnmp.GenErr, 1
	})}, want: refused},

	// Tables.
	{name: "is metered only", lies: snmptest.Lies{Metered: true}, want: refused, cold: true},
	{name: "is metered only since it restarted", lies: snmptest.Lies{Metered: true}, want: refused},
	{name: "switches no outlet, as it says", lies: snmptest.Lies{Nothing: true}, want: refused, can: counts, cold: true},
	{name: "has no states", lies: snmptest.Lies{NoStatus: true}, want: refused, cold: true},
	{name: "has no states any more", lies: snmptest.Lies{NoStatus: true}, want: refused},
	{name: "is another device now", lies: snmptest.Lies{Object: "1.3.6.1.4.1.9.1.208"}, want: refused},
	{name: "is of no known kind", lies: snmptest.Lies{Object: "1.3.6.1.4.1.8072.3.2.10"}, want: refused, cold: true},
	{name: "says only whose make it is", lies: snmptest.Lies{Object: "1.3.6.1.4.1.318"}, want: proven, can: ofAPC, cold: true},
	{name: "has no outlet 99", want: refused, selector: "99", cold: true},
	{name: "has no outlet of that name", want: refused, selector: "fw9", cold: true},
	{name: "has two outlets of that name", want: refused, selector: "fw2", can: named, cold: true, setup: func(s *stage) {
		s.pdu.Name(2, "fw2")
		s.pdu.Name(7, "fw2")
	}},
	{name: "its outlets were renumbered, by name", want: proven, selector: "fw2", can: named, setup: func(s *stage) {
		s.pdu.Name(1, "fw2")
	}, then: func(s *stage) { s.pdu.Renumber() }},
	{name: "walks in circles", want: refused, selector: "fw2", can: named, cold: true, lies: snmptest.Lies{Circle: true}},

	// Wire.
	{name: "answers slowly", lies: snmptest.Lies{Delay: 150 * time.Millisecond}, want: proven},
	{name: "answers later than the timeout", lies: snmptest.Lies{Delay: 600 * time.Millisecond}, want: proven},
	{name: "every other answer gets lost", lies: snmptest.Lies{DropAnswer: everyOther}, want: proven},
	{name: "every other request gets lost", lies: snmptest.Lies{Drop: everyOther}, want: proven},
	{name: "readings get lost", lies: snmptest.Lies{Drop: everyReading}, want: refused},
	{name: "does not answer", lies: snmptest.Lies{Deaf: true}, want: refused},
	{name: "answers everything twice, the old first", lies: snmptest.Lies{Replay: true}, want: proven},
	{name: "answers without a request id", lies: snmptest.Lies{Mangle: func(_, a *gosnmp.SnmpPacket) { a.RequestID = 0 }}, want: refused},
	{name: "answers with another request id", lies: snmptest.Lies{Mangle: func(_, a *gosnmp.SnmpPacket) { a.RequestID ^= 0x5a5a }}, want: refused},
	{name: "sends the request back", lies: snmptest.Lies{Mangle: func(r, a *gosnmp.SnmpPacket) { *a = *r }}, want: refused},
	{name: "answers by the other version", lies: snmptest.Lies{Mangle: func(_, a *gosnmp.SnmpPacket) { a.Version ^= 1 }}, want: refused},
	{name: "answers for other objects", lies: snmptest.Lies{Mangle: onReading(func(_, a *gosnmp.SnmpPacket) {
		a.Variables = slices.Clone(a.Variables)
		for i := range a.Variables {
			a.Variables[i].Name += "0"
		}
	})}, want: refused},
	{name: "answers in another order", lies: snmptest.Lies{Mangle: onReading(func(_, a *gosnmp.SnmpPacket) {
		a.Variables = slices.Clone(a.Variables)
		slices.Reverse(a.Variables)
	})}, want: refused},
	{name: "leaves objects out", lies: snmptest.Lies{Mangle: onReading(func(_, a *gosnmp.SnmpPacket) {
		a.Variables = a.Variables[:1]
	})}, want: refused},
	{name: "takes six objects at most", lies: snmptest.Lies{TooBig: 6}, want: proven, cold: true},
	{name: "takes one object at most", lies: snmptest.Lies{TooBig: 1}, want: refused},

	// Restarts.
	{name: "restarts 50 ms after the order, keeps states", want: proven, lies: snmptest.Lies{Lag: 20 * time.Millisecond}, during: func(s *stage) {
		s.restart()
	}},
	{name: "restarts after the order, all on", want: proven, during: func(s *stage) { s.reset() }},
	{name: "away for a second at first", want: proven, during: func(s *stage) {
		s.pdu.Behave(snmptest.Lies{Deaf: true})
		after(time.Second, func() { s.pdu.Behave(snmptest.Lies{}) })
	}},
	{name: "is switched on again by someone", want: refused, during: func(s *stage) {
		for range 20 {
			after(100*time.Millisecond, s.pdu.Reset)
		}
	}},
}

// off opens the relay of an outlet before anybody looks.
func (s *stage) off(n int) {
	u, err := snmp.New(snmp.Config{Address: s.agent.Address(), Community: "private", Version: "1"})
	if err != nil {
		panic(err)
	}
	o, _ := u.Outlet(s.shape.Selector(n))
	if err := o.SwitchOff(context.Background()); err != nil {
		panic(err)
	}
}

// restart waits for an order, then has nobody listen on the port for half a second.
func (s *stage) restart() {
	s.awaitOrder()
	time.Sleep(50 * time.Millisecond)
	s.agent.Stop()
	time.Sleep(500 * time.Millisecond)
	if err := s.agent.Start(); err != nil {
		panic(err)
	}
}

// reset waits for an order, then is silent until that was noticed, and on.
func (s *stage) reset() {
	s.awaitOrder()
	s.pdu.Behave(snmptest.Lies{Deaf: true})
	s.pdu.Reset()
	before, _, _ := s.agent.Counts()
	for range 1000 {
		if n, _, _ := s.agent.Counts(); n > before+2*snmp.Attempts {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.pdu.Behave(snmptest.Lies{})
}

// awaitOrder waits until an order was taken.
func (s *stage) awaitOrder() {
	for range 2000 {
		if len(s.pdu.Orders()) > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A verdict is what came of one cell of the matrix.
type verdict struct {
	shape, row, version string
	want                string
	proof               fence.Proof
	err                 error
	power               bool // the truth afterwards
	values              []string
}

// time is how long an Off may take: one that must come to a proof ends with it,
// and has time for a machine that is busy.
func (m *misbehaviour) time() time.Duration {
	if m.want == proven {
		return time.Minute
	}
	return matrixWithin
}

// play tries one misbehaviour on one shape.
func (m *misbehaviour) play(ctx context.Context, shape snmptest.Shape, version string) (verdict, error) {
	v := verdict{shape: shape.Name, row: m.name, version: version, want: m.want}
	pdu := snmptest.New(shape, 8)
	agent, err := snmptest.Serve(pdu)
	if err != nil {
		return v, err
	}
	s := &stage{shape, pdu, agent}
	defer func() { s.agent.Stop() }()
	if m.setup != nil {
		m.setup(s)
	}
	selector := m.selector
	if selector == "" {
		selector = shape.Selector(2)
	}
	u, err := snmp.New(snmp.Config{Address: agent.Address(), Community: "private", Version: version, Timeout: matrixTimeout})
	if err != nil {
		return v, err
	}
	defer u.Close()
	o, err := u.Outlet(selector)
	if err != nil {
		return v, err
	}
	d, err := fence.New(o, fence.Timing{Poll: 50 * time.Millisecond, Holdup: 300 * time.Millisecond})
	if err != nil {
		return v, err
	}
	if err := m.learn(ctx, d); err != nil {
		return v, fmt.Errorf("learn %s: %w", shape.Name, err)
	}
	pdu.Behave(m.lies)
	if m.then != nil {
		m.then(s)
	}
	var beside sync.WaitGroup
	if m.during != nil {
		beside.Go(func() { m.during(s) })
	}
	ctx, cancel := context.WithTimeout(ctx, m.time())
	defer cancel()
	v.proof, v.err = d.Off(ctx)
	v.power = pdu.HasPower(2)
	if m.selector != "" {
		v.power = pdu.PowerOf(m.selector)
	}
	beside.Wait()
	v.values = pdu.Values()
	return v, nil
}

// learn reads the outlet while all is well, as an agent does long before it
// fences. On a busy machine that may take more than one try.
func (m *misbehaviour) learn(ctx context.Context, d fence.Device) (err error) {
	if m.cold {
		return nil
	}
	for range 10 {
		if _, err = d.Status(ctx); err == nil {
			return nil
		}
	}
	return err
}

// complaint says what is wrong with a verdict, or nothing.
func (v verdict) complaint() string {
	switch {
	case v.proof.Proven != (v.err == nil):
		return "the error contradicts the proof"
	case v.proof.Proven && v.power && v.want != claim:
		return "FALSE SUCCESS"
	case v.want == proven && !v.proof.Proven:
		return "MISS"
	case v.want == refused && v.proof.Proven:
		return "proven by what proves nothing"
	case v.want == claim && v.proof.Grade > fence.GradeClaim:
		return "graded higher than a claim"
	}
	return ""
}

// cells is how many cells are played at once: nearly all of their time is waiting.
const cells = 128

// versionsOf are the versions that a row is played by on a shape, by its
// number: both on some, so that each row sees both, and one in turn elsewhere.
func versionsOf(shape string, row int) []string {
	both := []string{"1", "2c"}
	if testing.Short() && (row%4 > 0 || shape == "apc-rpdub") {
		return nil // the race detector makes all of it ten times as slow
	}
	if slices.Contains([]string{"apc-rpdu", "apc-rpdu2", "eaton-epdu"}, shape) {
		return both
	}
	return both[row%2:][:1]
}

func TestNoMisbehaviourOfAStripMakesAFalseSuccessOrAMiss(t *testing.T) {
	var all sync.WaitGroup
	slots := make(chan struct{}, cells)
	var mu sync.Mutex
	var verdicts []verdict
	for i, m := range misbehaviours {
		for j, shape := range snmptest.Shapes {
			if m.can != nil && !m.can(&shape) {
				continue
			}
			for _, version := range versionsOf(shape.Name, i+j) {
				all.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					v, err := m.play(t.Context(), shape, version)
					if err != nil {
						t.Errorf("%s, %s, v%s: %v", m.name, shape.Name, version, err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					verdicts = append(verdicts, v)
				})
			}
		}
	}
	all.Wait()
	report(t, verdicts)
}

// report complains, and prints the sum.
func report(t *testing.T, verdicts []verdict) {
	t.Helper()
	sum := map[string]int{}
	for _, v := range verdicts {
		complaint := v.complaint()
		if complaint != "" {
			t.Errorf("%s: %s, %s, v%s: power %v, proof %+v, err %v", complaint, v.shape, v.row, v.version, v.power, v.proof, v.err)
			sum[complaint]++
			continue
		}
		sum[v.want]++
		checkOrders(t, v)
	}
	t.Logf("%d misbehaviours, %d cells: %v", len(misbehaviours), len(verdicts), sum)
}

// checkOrders sees that nothing was ever set but the immediate off of outlets.
func checkOrders(t *testing.T, v verdict) {
	t.Helper()
	shape := snmptest.ShapeOf(v.shape)
	for _, set := range v.values {
		if !shape.IsOff(set) {
			t.Errorf("%s, %s, v%s: %s was set", v.shape, v.row, v.version, set)
		}
	}
}

package pair

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Bounds of a fuzzed program.
const (
	programMost = 512    // bytes
	stepsMost   = 10_000 // of the machine
)

// FuzzMachine reads bytes as a program of inputs: what the peer says, what the
// kernel and the services answer, what operators want, and how long it all
// takes. No promise of one machine may break, whatever the order.
func FuzzMachine(f *testing.F) {
	for mode := range byte(3) {
		f.Add([]byte{mode, 0})
		// Boots alone and takes; meets an owner and takes over; hands over.
		f.Add([]byte{mode, 0, 0x07, 0x07, 0x07, 0x2a, 0, 0x01, 0x3a, 1, 0x3b, 1})
		f.Add([]byte{mode, 2, 0x10, 5, 0, 0x01, 0x10, 5, 0, 0x06, 0x06, 0x2a, 0, 0x04, 0x39, 0, 0x3a, 1, 0x3b, 0})
		f.Add([]byte{mode, 4, 0x39, 0, 0x10, 2, 0, 0x50, 0, 0x3c, 0, 0x01, 0x10, 5, 0})
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) < 2 || len(program) > programMost {
			return
		}
		d := newDriver(t, program[0], program[1])
		d.run(program[2:])
	})
}

// FuzzMachineIsDeterministic holds that a program always has the same outcome.
func FuzzMachineIsDeterministic(f *testing.F) {
	f.Add([]byte{1, 0, 0x07, 0x07, 0x2a, 0, 0x10, 5, 0, 0x06, 0x50, 1})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) < 2 || len(program) > programMost {
			return
		}
		var said [2]string
		for i := range said {
			d := newDriver(t, program[0], program[1])
			d.tell = func(a Action) { said[i] += fmt.Sprintf("%d %+v\n", d.now, a) }
			d.run(program[2:])
		}
		if said[0] != said[1] {
			t.Fatalf("once\n%s\nand then\n%s", said[0], said[1])
		}
	})
}

// A driver stands for the loop, the kernel and the peer of a fuzzed machine. It
// keeps to what those promise: answers carry a ticket that was given, echoes
// are of the past, time does not go back.
type driver struct {
	t   *testing.T
	m   *Machine
	now Instant

	open    map[string]uint32 // by kind of action: the newest ticket
	gate    bool              // the kernel's
	asked   bool              // OpenGate waits for its answer
	tickets uint32            // the highest given
	terms   uint32            // the highest persisted
	entered uint32            // term of the newest entry
	token   bool              // unspent
	counter uint32
	session uint32
	tell    func(Action)
	steps   int
}

// newDriver starts a machine: config chooses the mode, the side and the policy,
// start what the journal and the kernel say.
func newDriver(t *testing.T, config, start byte) *driver {
	modes := [...]Mode{ModeFence, ModeSilence, ModeLease, ModeSilence}
	c := Config{
		Group: "gw", Index: int(config >> 7), Preferred: config&4 == 0, LowerID: config&8 == 0, Mode: modes[config&3],
		Beat: 50 * time.Millisecond, Dead: 250 * time.Millisecond, Lease: 300 * time.Millisecond, Window: 25 * time.Millisecond,
		Takeover: 400 * time.Millisecond, Ack: 250 * time.Millisecond, Init: 2 * time.Second, Race: time.Second, FenceSpare: 200 * time.Millisecond,
		Reserve: 15 * time.Millisecond, Probe: 58500 * time.Microsecond, FlapMax: int(config >> 6 & 1), FlapWindow: 10 * time.Minute,
		FenceRetry: 500 * time.Millisecond, NoServices: config&16 != 0, StopFailureFence: config&32 != 0,
		Failback: FailbackNever + Failback(start>>6%3), FailbackHold: time.Second,
	}
	c.HasFence = c.Mode == ModeFence || config&64 != 0
	d := &driver{t: t, m: New(c), now: zero, open: map[string]uint32{}, session: 1, tell: func(Action) {}}
	s := Start{
		Term: uint32(start & 1), Token: start&2 != 0, LeaseHeld: start&4 != 0, Maintenance: start&8 != 0,
		Failed: start&16 != 0, FencedLast: start&32 != 0,
	}
	d.gate, d.token, d.terms = s.LeaseHeld, s.Token, s.Term
	d.feed(s)
	return d
}

// pauses are how long a step may last.
var pauses = [16]time.Duration{
	0, 1, 5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 249 * time.Millisecond, 251 * time.Millisecond,
	300 * time.Millisecond, 400 * time.Millisecond, time.Second, 2 * time.Second, 10 * time.Second, 40 * time.Millisecond, 60 * time.Millisecond, 15 * time.Millisecond,
}

// run carries out a program.
func (d *driver) run(p []byte) {
	for len(p) > 0 && d.steps < stepsMost {
		p = d.step(p)
	}
}

// step takes one instruction off the program and returns the rest: four bits of
// what and four of how, then what it needs more.
func (d *driver) step(p []byte) []byte {
	op, how := p[0]>>4, p[0]&15
	p = p[1:]
	arg := func() byte {
		if len(p) == 0 {
			return 0
		}
		b := p[0]
		p = p[1:]
		return b
	}
	switch op {
	case 0:
		d.pass(pauses[how])
	case 1:
		d.hear(Kind(how%7)+Beat, arg(), arg())
	case 2, 3:
		d.answer(op<<4&0x10|how, arg())
	case 4:
		d.outside(how, arg())
	case 5:
		d.order(Op(how%5)+OpHandover, arg()&1 != 0)
	case 6:
		d.now = d.now.Add(pauses[how])
		d.feed(Stalled{Gap: max(pauses[how], 151*time.Millisecond)})
	case 7: // the loop's own tick, as often as the machine asks for it
		for range how {
			d.now = d.m.Next()
			d.feed(Tick{})
		}
	default:
		d.now = d.now.Add(time.Duration(how) * time.Millisecond)
		d.feed(Tick{})
	}
	return p
}

// passMost bounds the ticks of one pause.
const passMost = 1000

// pass lets time pass as the loop does: it ticks when the machine asks for it.
func (d *driver) pass(long time.Duration) {
	end := d.now.Add(long)
	for n := 0; d.now < end; n++ {
		if n > passMost {
			d.t.Fatalf("%v of ticks are not enough for %v", n, long)
		}
		d.now = min(end, d.m.Next())
		d.feed(Tick{})
	}
}

// hear lets the peer say something: what is its state, flag its flags and how
// old the echo is that it carries.
func (d *driver) hear(k Kind, what, flags byte) {
	if flags&1 != 0 {
		d.session, d.counter = d.session+1, 0
	}
	d.counter++
	h := Heard{
		Kind: k, State: State(what%10) + Boot, Term: uint32(what >> 4), Mode: d.m.cfg.Mode, Lease: 325 * time.Millisecond,
		Passive: flags&2 != 0, Unfit: flags&4 != 0, FenceMe: flags&8 != 0, Accept: flags&16 == 0,
		Session: d.session, Counter: d.counter, EchoSentAt: d.now,
	}
	switch flags >> 5 {
	case 1:
		h.EchoSentAt = 0
	case 2:
		h.EchoSentAt = max(zero, d.now.Add(-100*time.Millisecond))
	case 3:
		h.EchoSentAt = max(zero, d.now.Add(-time.Second))
	case 4:
		h.Counter = max(1, d.counter-2) // overtaken
	case 5:
		h.SentAgo = 200 * time.Millisecond
	case 6:
		h.Lease = 10 * time.Second
	case 7:
		h.Mode, h.Accept, h.Counter = ModeFence, false, 0
	}
	d.feed(h)
}

// answer ends a slow action: with the ticket that was given last, or a stale one.
func (d *driver) answer(what, how byte) {
	ticket := func(kind string) uint32 {
		if how&0x80 != 0 {
			return d.open[kind] - 1
		}
		return d.open[kind]
	}
	err := ""
	if how&1 == 0 {
		err = "broken"
	}
	switch what % 7 {
	case 0:
		d.feed(AddressesUp{Ticket: ticket("take"), Err: err})
	case 1:
		d.feed(AddressesDown{Ticket: ticket("drop"), Err: err})
	case 2:
		d.feed(ServicesUp{Ticket: ticket("start"), Err: err})
	case 3:
		d.feed(ServicesDown{Ticket: ticket("stop"), Err: err})
	case 4:
		d.feed(ProbeDone{Ticket: ticket("probe"), Sent: how&1 != 0, Foreign: how&2 != 0, Who: "02:00:00:00:00:07"})
	case 5:
		d.feed(FenceDone{Ticket: ticket("fence"), Proven: how&1 != 0, Detail: "said so"})
	case 6:
		d.feed(FenceDone{Proven: how&1 != 0, Detail: "another group's"})
	}
}

// outside is what nobody asked for.
func (d *driver) outside(what, how byte) {
	switch what % 6 {
	case 0:
		if how >= 192 {
			d.feed(FenceLeave{Barred: strings.Repeat("barred", int(how&1))})
			return
		}
		d.feed(Lines{State: LineState(how % 3)})
	case 1:
		d.gate = false
		d.feed(LeaseLost{Stranger: how&1 != 0})
	case 2:
		if how >= 128 {
			d.feed(HealthChanged{Peer: Health(how % 3), Urgent: how%5 == 0, Why: "CPU 88 C"})
			return
		}
		d.feed(ServiceFailed{Name: "dnsmasq", Err: "exit code 1"})
	case 3:
		d.feed(ForeignMAC{Address: "192.0.2.1", MAC: "02:00:00:00:00:07"})
	case 4:
		d.feed(Stop{})
	case 5: // the kernel refuses the next grants
		for range how % 50 {
			d.refuse()
		}
	}
}

func (d *driver) order(op Op, force bool) {
	answers := 0
	was := d.tell
	d.tell = func(a Action) {
		if _, ok := a.(Answer); ok {
			answers++
		}
		was(a)
	}
	d.feed(Command{Op: op, Reason: "fuzz", Force: force})
	d.tell = was
	if answers != 1 {
		d.t.Fatalf("%v got %d answers", op, answers)
	}
}

// refuse answers an OpenGate that waits by no.
func (d *driver) refuse() {
	if d.asked {
		d.asked = false
		d.feed(GateOpened{Ticket: d.open["gate"]})
	}
	d.now = d.m.Next()
	d.feedOnly(Tick{})
}

// feed steps the machine, and answers OpenGate in the same turn.
func (d *driver) feed(in Input) {
	d.feedOnly(in)
	for range 2 {
		if d.asked {
			d.asked, d.gate = false, true
			d.feedOnly(GateOpened{Ticket: d.open["gate"], OK: true})
		}
	}
}

// actionsMost is far above what one step can ask for.
const actionsMost = 64

func (d *driver) feedOnly(in Input) {
	d.steps++
	before := d.m.View()
	out := d.m.Step(d.now, in)
	if len(out) > actionsMost {
		d.t.Fatalf("%d actions at once", len(out))
	}
	for _, a := range out {
		d.tell(a)
		d.do(a)
	}
	v := d.m.View()
	switch next := d.m.Next(); {
	case v.GateOpen && !d.gate:
		d.t.Fatalf("after %+v: the machine thinks that the gate is open", in)
	case d.gate && !v.GateOpen:
		d.t.Fatalf("after %+v: the gate is open, and the machine thinks it is not (%v)", in, v.State)
	case d.gate && !v.State.Owns():
		d.t.Fatalf("after %+v: the gate is open in %v", in, v.State)
	case d.m.MayRenew(d.now) && !d.gate:
		d.t.Fatalf("after %+v: a closed gate may be renewed", in)
	case next <= d.now || next > d.now.Add(d.m.cfg.Beat):
		d.t.Fatalf("after %+v: the next tick is due in %v", in, next.Since(d.now))
	case before.Stopped && v.State.Owns():
		d.t.Fatalf("after %+v: %v after the end", in, v.State)
	case v.Passive && v.CanTakeOver:
		d.t.Fatalf("after %+v: passive, and says that it can take over", in)
	}
}

// do keeps what an action asks for, and judges it.
func (d *driver) do(a Action) {
	switch a := a.(type) {
	case TakeAddresses:
		d.give("take", a.Ticket)
	case DropAddresses:
		d.give("drop", a.Ticket)
		d.closed(a)
	case StartServices:
		d.give("start", a.Ticket)
		d.opened(a)
	case StopServices:
		d.give("stop", a.Ticket)
	case Probe:
		d.give("probe", a.Ticket)
		if a.Lasts < d.m.cfg.Probe {
			d.t.Fatalf("a probe of %v", a.Lasts)
		}
	case OpenGate:
		d.give("gate", a.Ticket)
		d.asked = true
	case CloseGate:
		d.gate, d.asked = false, false
	case Announce:
		d.opened(a)
	case FencePeer:
		d.give("fence", a.Ticket)
		if a.Token && !d.token {
			d.t.Fatal("the boot token is spent twice")
		}
		d.token = d.token && !a.Token
	case Send:
		if a.Kind == Released || a.Kind == Goodbye || a.Kind == Grant {
			d.closed(a)
		}
	case Persist:
		if a.Term < d.terms {
			d.t.Fatalf("term %d is kept after %d", a.Term, d.terms)
		}
		d.terms = a.Term
	case Record:
		d.record(a)
	}
}

// give holds that tickets rise: an old answer must never fit a new question.
func (d *driver) give(kind string, ticket uint32) {
	if ticket <= d.tickets {
		d.t.Fatalf("ticket %d for %s after %d", ticket, kind, d.tickets)
	}
	d.tickets, d.open[kind] = ticket, ticket
}

func (d *driver) closed(a Action) {
	if d.gate {
		d.t.Fatalf("%T%+v with the gate open", a, a)
	}
}

func (d *driver) opened(a Action) {
	if !d.gate {
		d.t.Fatalf("%T%+v with the gate closed", a, a)
	}
}

// record holds that each entry has one evidence and a higher term.
func (d *driver) record(r Record) {
	entry := r.To.Owns() && !r.From.Owns()
	if entry != (r.Evidence != 0) {
		d.t.Fatalf("%v -> %v by %q", r.From, r.To, r.Evidence)
	}
	if !entry {
		return
	}
	if r.Term <= d.entered {
		d.t.Fatalf("entry with term %d after one with %d", r.Term, d.entered)
	}
	d.entered = r.Term
}

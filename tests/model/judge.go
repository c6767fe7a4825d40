package model

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// A Step is one input of a machine and what came of it.
type Step struct {
	Now    pair.Instant
	In     pair.Input
	Out    []pair.Action
	Before pair.State
	After  pair.View
	Renew  bool // MayRenew, after the step
	Config pair.Config
}

// A Checker follows one machine. It keeps its own facts and accepts a step only
// if each change and each action is a rule of the table whose guard is true,
// and if no rule that a node must follow was passed over.
type Checker struct {
	f       facts
	in      pair.Input
	events  []Event    // at which it is handled
	begin   pair.State // at the start of the step
	applied []*row     // that may have made the changes of this step
	moved   bool
	why     []string       // rules that explained this step
	Fired   map[string]int // how often each rule explained a step
}

// NewChecker returns a checker of a machine that has not started.
func NewChecker() *Checker { return &Checker{Fired: map[string]int{}} }

// eventsOf says at which parts of a turn an input is handled.
var eventsOf = map[reflect.Type][]Event{
	reflect.TypeFor[pair.Start]():         {OnStart},
	reflect.TypeFor[pair.Stalled]():       {OnStall},
	reflect.TypeFor[pair.LeaseLost]():     {OnLost, OnProbe},
	reflect.TypeFor[pair.Heard]():         {OnWake, OnSays, OnOffer, OnClaim, OnFence, OnOrder},
	reflect.TypeFor[pair.Tick]():          {OnClaim, OnProbe, OnTick, OnFence, OnGate, OnOrder},
	reflect.TypeFor[pair.ProbeDone]():     {OnClaim, OnProbe, OnTick, OnFence, OnGate},
	reflect.TypeFor[pair.FenceDone]():     {OnProof},
	reflect.TypeFor[pair.Lines]():         {OnProbe, OnFence},
	reflect.TypeFor[pair.FenceLeave]():    {OnFence},
	reflect.TypeFor[pair.AddressesUp]():   {OnOrder, OnGate, OnProbe},
	reflect.TypeFor[pair.AddressesDown](): {OnOrder},
	reflect.TypeFor[pair.GateOpened]():    {OnOrder},
	reflect.TypeFor[pair.ServicesUp]():    {OnOrder},
	reflect.TypeFor[pair.ServicesDown]():  {OnOrder},
	reflect.TypeFor[pair.ServiceFailed](): {OnOrder},
	reflect.TypeFor[pair.HealthChanged](): {OnOrder},
	reflect.TypeFor[pair.ForeignMAC]():    nil,
	reflect.TypeFor[pair.Command]():       {OnOrder, OnClaim},
	reflect.TypeFor[pair.Stop]():          {OnOrder},
}

// Step judges one step; the error says which rule is missing or was passed over.
func (c *Checker) Step(s Step) error {
	f := &c.f
	if _, first := s.In.(pair.Start); first {
		*f = facts{cfg: s.Config}
	} else if !f.begun || f.state != s.Before {
		return fmt.Errorf("the state was %v and became %v between two steps", f.state, s.Before)
	}
	f.now, c.in = s.Now, s.In
	gate := f.gate
	f.input(s.In)
	c.begin, c.applied, c.moved, c.why, c.events = f.state, nil, false, nil, eventsOf[reflect.TypeOf(s.In)]
	if c.any("undoubt") {
		f.doubtAt = 0
	}
	if f.doubtAt == 0 && c.any("doubt") {
		f.doubtAt = f.now
		if !slices.Contains(s.Out, pair.Action(pair.Send{Kind: pair.Beat})) {
			return fmt.Errorf("a CLAIM in %v and no beat in answer", f.state)
		}
	}
	due := c.due()
	for i, a := range s.Out {
		if err := c.action(i, a); err != nil {
			return err
		}
	}
	if due != "" && !c.moved {
		return fmt.Errorf("rule %q was due and nothing was done", due)
	}
	return c.after(s, gate)
}

// after holds what must be true of the machine once the step is over.
func (c *Checker) after(s Step, gate bool) error {
	f := &c.f
	f.abandon(s.In)
	switch {
	case s.After.State != f.state:
		return fmt.Errorf("the state became %v, the records say %v", s.After.State, f.state)
	case s.After.GateOpen != f.gate:
		return fmt.Errorf("gate open %v, the actions say %v", s.After.GateOpen, f.gate)
	case f.gate && !f.state.Owns():
		return fmt.Errorf("gate open in %v", f.state)
	case gate && !f.gate && c.begin.Owns() && !f.state.Owns() && !closesFirst(s.Out):
		return fmt.Errorf("left %v without closing the gate first", c.begin)
	case s.Renew && !c.any("renew"):
		return fmt.Errorf("renews in %v against the rules", f.state)
	case s.After.State.Owns() && s.After.Evidence != f.evidence:
		return fmt.Errorf("owns by %v, entered by %v", s.After.Evidence, f.evidence)
	}
	return nil
}

func closesFirst(out []pair.Action) bool {
	return len(out) > 0 && out[0] == pair.Action(pair.CloseGate{})
}

// on reports whether the rule's part of a turn handles this input.
func (c *Checker) on(r *row) bool {
	f := &c.f
	if r.On == OnRenew || f.lost {
		return r.On == OnRenew // what comes too late says nothing
	}
	if r.does("say_GOODBYE") {
		return true
	}
	if f.old && (f.rx.EchoSentAt != 0 || !f.state.Owns() || !r.claim) {
		return false // a frame that was overtaken says nothing, but a CLAIM of one that never heard this node
	}
	return slices.Contains(c.events, r.On)
}

// enabled reports whether the guard is true.
func (c *Checker) enabled(r *row) bool {
	for _, g := range r.tests {
		if g.holds(&c.f) == g.not {
			return false
		}
	}
	return true
}

// wrong names the rule and what of it is not true now.
func (c *Checker) wrong(r *row) string {
	text := r.Name + "("
	if !c.on(r) {
		text += "not by this input "
	}
	for i, g := range r.guards() {
		if r.tests[i].holds(&c.f) == r.tests[i].not {
			text += g + " "
		}
	}
	return strings.TrimSpace(text) + ")"
}

// due returns a rule that a node must follow now.
func (c *Checker) due() string {
	if c.f.stranger {
		return "" // what a stranger did may be mended, or not
	}
	for i := range rows {
		r := &rows[i]
		if r.must && r.from(c.f.state) && c.on(r) && c.enabled(r) {
			return r.Name
		}
	}
	return ""
}

// causes are rules whose guard only names what may lead to them: a service, a
// policy, a veto, a claim not yet given up, an order carried out already, a pause before the next try.
var causes = map[string]bool{
	"release": true, "release_out": true, "take_grant": true, "take_boot": true, "maintain": true, "released": true, "confirm_take": true, "keep": true, "fence_standby": true, "fence_boot": true, "fence_untouched": true, "fence_lonely": true,
}

// change explains a change of state by a rule.
func (c *Checker) change(a pair.Record) error {
	f := &c.f
	if a.From == a.To {
		return nil
	}
	if a.From != f.state {
		return fmt.Errorf("record from %v in %v", a.From, f.state)
	}
	var found []*row
	near := ""
	for i := range rows {
		r := &rows[i]
		out := f.leaveAfter && r.does("close") && r.To != pair.Failed && a.To == pair.Maintenance
		if r.To != a.To && !out || !r.from(a.From) || r.By != a.Evidence {
			continue
		}
		near += " " + c.wrong(r)
		if c.on(r) && c.enabled(r) {
			found = append(found, r)
			c.explain(r)
		}
	}
	if found == nil {
		return fmt.Errorf("%v -> %v (%s; %s) by %T: no rule allows it; not true:%s", a.From, a.To, a.Seen, a.Decided, c.in, near)
	}
	c.applied = append(c.applied, found...)
	c.enter(a)
	return nil
}

// enter moves the facts to the new state.
func (c *Checker) enter(a pair.Record) {
	f := &c.f
	c.moved = true
	f.state, f.since, f.probe, f.bidAt = a.To, f.now, 0, 0
	switch {
	case a.Evidence != 0:
		f.entered, f.evidence, f.adopted, f.doubtAt, f.leaveAfter = f.now, a.Evidence, a.Evidence == pair.EvidenceAdopted, 0, false
		f.gate = f.adopted
	case a.To == pair.Releasing:
		f.leaveAfter = f.op == pair.OpMaintenance
	case !a.To.Owns():
		f.doubtAt, f.leaveAfter = 0, false
	default:
		f.leaveAfter = false
	}
}

// any reports whether a rule with this effect was applied in this step or is
// enabled now, in the state of now or of the step's beginning.
func (c *Checker) any(effect string) bool {
	if slices.ContainsFunc(c.applied, func(r *row) bool { return r.does(effect) }) {
		return true
	}
	for i := range rows {
		r := &rows[i]
		stays := r.To == 0 || r.To == c.f.state && c.begin == c.f.state
		if stays && r.does(effect) && (r.from(c.f.state) || r.from(c.begin)) && c.on(r) && c.enabled(r) {
			c.explain(r)
			return true
		}
	}
	return false
}

func (c *Checker) explain(r *row) {
	c.Fired[r.Name]++
	c.why = append(c.why, r.Name)
}

// action judges one action.
func (c *Checker) action(i int, a pair.Action) error {
	f := &c.f
	need := func(effects ...string) error {
		if slices.ContainsFunc(effects, c.any) {
			return nil
		}
		return fmt.Errorf("%T%+v in %v: no rule has it", a, a, f.state)
	}
	switch a := a.(type) {
	case pair.Record:
		return c.change(a)
	case pair.Send:
		return c.send(a.Kind, need)
	case pair.CloseGate:
		if i != 0 {
			return fmt.Errorf("CloseGate is action %d of its step, not the first", i)
		}
		f.gate, f.grant = false, 0
	case pair.OpenGate:
		err := need("ask_gate", "reopen")
		f.grant = a.Ticket
		return err
	case pair.Probe:
		err := need("probe")
		f.probe, f.probeAt, f.probeFor = a.Ticket, f.now, a.Lasts
		f.probeArmed = f.state == pair.Armed || f.probeArmed && f.state.Owns() && f.meets()
		return err
	case pair.FencePeer:
		return c.fence(a, need("fence"))
	case pair.CancelFence:
		f.fence = 0
	case pair.Persist:
		f.maintenance, f.unfit = a.Maintenance, a.Unfit
		f.term = max(f.term, a.Term)
	case pair.TakeAddresses:
		if !f.state.Owns() {
			return fmt.Errorf("takes addresses in %v", f.state)
		}
	}
	return nil
}

// fence holds invariant 7: contact since the start, or the token, spent first.
func (c *Checker) fence(a pair.FencePeer, err error) error {
	f := &c.f
	if spend := !f.contact && !f.right; spend != a.Token || spend && !f.token {
		return fmt.Errorf("fences with token %v, contact %v, right %v, token left %v", a.Token, f.contact, f.right, f.token)
	}
	if a.Token {
		f.token, f.right = false, true
	}
	f.fence, f.fenceSession, f.fenceKnown = a.Ticket, f.session, f.known
	return err
}

func (c *Checker) send(k pair.Kind, need func(...string) error) error {
	f := &c.f
	switch k {
	case pair.Claim:
		err := need("say_CLAIM", "warn_CLAIM")
		if f.bidAt == 0 && f.is("twoway") { // a claim to a silent peer is not answered by GRANT
			f.bidAt = f.now
		}
		return err
	case pair.Grant:
		err := need("say_GRANT")
		f.promise()
		return err
	case pair.Released:
		if f.state.Owns() || f.gate {
			return fmt.Errorf("says RELEASED in %v, gate %v", f.state, f.gate)
		}
		if c.any("say_RELEASED") && c.begin.Owns() {
			f.promise()
			return nil
		}
		return need("repeat_RELEASED")
	case pair.Goodbye:
		return need("say_GOODBYE")
	case pair.FenceNotice:
		return need("say_NOTICE")
	case pair.Release:
		return need("say_RELEASE")
	}
	return nil
}

// promise starts the hold of who said GRANT or RELEASED.
func (f *facts) promise() {
	f.gave = f.now
	f.holdUntil = f.now.Add(2 * f.takeAfter())
	f.bidAt = 0
}

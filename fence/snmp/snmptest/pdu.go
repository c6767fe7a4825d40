// Package snmptest decides how a power strip behaves in a test, seen by SNMP:
// it answers as a real one, or lags, lies, loses, renumbers and restarts. It
// refuses nothing that a real one would take. Start reading at PDU; an Agent
// puts it on a UDP port of loopback, PassPersist behind a real snmpd.
package snmptest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gosnmp/gosnmp"
)

// Draw is the load of each outlet that is on, in watts.
const Draw = 115.0

// Lies are how a PDU deviates from a good one. The zero value is a good one.
type Lies struct {
	// Orders.
	Lag      time.Duration    // relay and status follow an order so late; it is pending until then
	Silent   bool             // with Lag: nothing is pending meanwhile
	Dead     bool             // orders are taken and nothing happens
	Welded   bool             // status follows, but the contact does not open
	Error    gosnmp.SNMPError // orders are answered so, and not done
	Acts     bool             // with Error: they are done all the same
	OnlyOne  bool             // every order goes to outlet 1
	FlipBack time.Duration    // so long after going off an outlet is on again
	LoseNext int              // so many orders are taken and forgotten

	// Tables.
	Metered   bool          // there is no outlet table at all
	Nothing   bool          // the device says that it switches 0 outlets
	Status    any           // what every status reads; nil: the truth
	Garbled   int           // so many statuses from now on read 99
	NoStatus  bool          // the status column is gone
	Pending   int           // what every outlet's pending command reads; 0: the truth
	NoPending bool          // the pending column is gone
	Unmetered bool          // all meters read -1
	Object    string        // sysObjectID, if it is another
	Circle    bool          // walks never end
	Stale     time.Duration // status is of so long ago

	// Wire; see Agent.
	Delay      time.Duration              // of each answer; answers are given one after the other
	Drop       func(n int, set bool) bool // whether request n, from 1, gets lost
	DropAnswer func(n int, set bool) bool // whether its answer gets lost
	Mangle     func(request, answer *gosnmp.SnmpPacket)
	Replay     bool // before each answer, the one before comes again
	Deaf       bool // nothing is answered
	TooBig     int  // requests with more objects are answered tooBig
}

// A PDU is a power strip with relays.
type PDU struct {
	shape Shape

	// OnPower, if set before use, is told of each relay that moves, with the
	// lock of the PDU held: it really cuts somebody's power.
	OnPower func(outlet int, on bool)

	mu      sync.Mutex
	lies    Lies
	outlets []outlet
	orders  []string // that were taken, as "off 2"
	values  []string // that were set, as "1.3...=2"
}

// An outlet is a relay and what the PDU believes of it.
type outlet struct {
	name    string
	module  int
	number  int
	contact bool // the truth
	on      bool // the state the PDU believes in
	was     bool // before it last changed
	changed time.Time
	due     time.Time // when the order that is under way is done; zero: there is none
	target  bool
	flip    time.Time // when it goes on again by itself
}

// New returns a PDU with n outlets, all on, with names "Outlet 1" and so on.
func New(shape Shape, n int) *PDU {
	u := &PDU{shape: shape}
	for i := range n {
		u.outlets = append(u.outlets, outlet{
			name: fmt.Sprintf("Outlet %d", i+1), module: 1, number: i + 1, contact: true, on: true, was: true,
		})
	}
	return u
}

// Behave sets the lies from now on.
func (u *PDU) Behave(l Lies) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lies = l
}

// Name names outlet n, from 1.
func (u *PDU) Name(n int, name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.outlets[n-1].name = name
}

// Place puts outlet n on a strip of a chain, with a number there.
func (u *PDU) Place(n, module, number int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.outlets[n-1].module, u.outlets[n-1].number = module, number
}

// Renumber moves every name, and what hangs on the outlet, one row on.
func (u *PDU) Renumber() {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := len(u.outlets) - 1
	u.outlets = append([]outlet{u.outlets[last]}, u.outlets[:last]...)
	for i := range u.outlets {
		u.outlets[i].number = i + 1
	}
}

// Reset puts all outlets on, as a restart does.
func (u *PDU) Reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.outlets {
		o := &u.outlets[i]
		o.due, o.flip = time.Time{}, time.Time{}
		u.move(i, true)
	}
}

// HasPower tells the truth of outlet n: whether its contact is closed.
func (u *PDU) HasPower(n int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	return u.outlets[n-1].contact
}

// PowerOf tells the truth of the outlet with a name.
func (u *PDU) PowerOf(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	return slices.ContainsFunc(u.outlets, func(o outlet) bool { return o.name == name && o.contact })
}

// Orders returns what was ordered so far, as "off 2".
func (u *PDU) Orders() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.orders)
}

// Values returns what was set so far, as "object=value".
func (u *PDU) Values() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.values)
}

// advance brings the relays to the present.
func (u *PDU) advance() {
	now := time.Now()
	for i := range u.outlets {
		o := &u.outlets[i]
		if !o.due.IsZero() && !now.Before(o.due) {
			o.due = time.Time{}
			u.move(i, o.target)
		}
		if !o.flip.IsZero() && !now.Before(o.flip) {
			o.flip = time.Time{}
			u.move(i, true)
		}
	}
}

// move puts outlet i, from 0, on or off.
func (u *PDU) move(i int, on bool) {
	o := &u.outlets[i]
	if o.on != on {
		o.was, o.changed = o.on, time.Now()
	}
	o.on = on
	if !on && u.lies.FlipBack > 0 {
		o.flip = time.Now().Add(u.lies.FlipBack)
	}
	if (on || !u.lies.Welded) && o.contact != on {
		o.contact = on
		if u.OnPower != nil {
			u.OnPower(i+1, on)
		}
	}
}

// order takes an order for outlet n.
func (u *PDU) order(n int, what string) gosnmp.SNMPError {
	u.orders = append(u.orders, what+" "+strconv.Itoa(n))
	if u.lies.LoseNext > 0 {
		u.lies.LoseNext--
		return gosnmp.NoError
	}
	if u.lies.Dead || u.lies.Error != gosnmp.NoError && !u.lies.Acts {
		return u.lies.Error
	}
	if u.lies.OnlyOne {
		n = 1
	}
	o := &u.outlets[n-1]
	switch what {
	case "on", "off":
		o.target, o.due = what == "on", time.Now().Add(u.lies.Lag)
		o.flip = time.Time{}
	case "reboot":
		o.target, o.due = false, time.Now()
		o.flip = time.Now().Add(time.Second)
	}
	u.advance()
	return u.lies.Error
}

// objects are all objects and their values now, and what may be set.
func (u *PDU) objects() (values map[string]any, orders map[string]int) {
	u.advance()
	s := &u.shape
	values, orders = map[string]any{}, map[string]int{}
	values["1.3.6.1.2.1.1.1.0"] = "a " + s.Name
	values["1.3.6.1.2.1.1.2.0"] = Object(s.ObjectID)
	if u.lies.Object != "" {
		values["1.3.6.1.2.1.1.2.0"] = Object(u.lies.Object)
	}
	values["1.3.6.1.2.1.1.5.0"] = "strip"
	for oid, v := range s.fixed {
		values[oid] = v
	}
	if s.count != "" {
		values[s.count] = len(u.outlets)
		if u.lies.Nothing {
			values[s.count] = 0
		}
	}
	draw := 0.0
	for i := range u.outlets {
		if u.outlets[i].contact {
			draw += Draw
		}
	}
	if s.total != "" {
		values[s.total] = s.totalLoad(draw)
	}
	if u.lies.Metered {
		return values, orders
	}
	for i := range u.outlets {
		u.rows(i, values, orders)
	}
	if u.lies.Unmetered {
		u.unmeter(values)
	}
	return values, orders
}

func (u *PDU) unmeter(values map[string]any) {
	for oid := range values {
		if oid == u.shape.total || u.shape.loadColumn != "" && strings.HasPrefix(oid, u.shape.loadColumn+".") {
			values[oid] = -1
		}
	}
}

// rows adds the objects of outlet i, from 0.
func (u *PDU) rows(i int, values map[string]any, orders map[string]int) {
	s, o, n := &u.shape, &u.outlets[i], i+1
	add := func(column string, v any) {
		if column != "" {
			values[s.row(column, n)] = v
		}
	}
	add(s.control, 1)
	if s.onColumn != "" {
		add(s.control, -1)
		add(s.onColumn, -1)
		orders[s.row(s.onColumn, n)] = n
	}
	if s.control != "" {
		orders[s.row(s.control, n)] = n
	}
	if !u.lies.NoStatus {
		add(s.status, u.status(o))
	} else {
		delete(values, s.row(s.status, n))
	}
	if !u.lies.NoPending {
		add(s.pending, u.pending(o))
	}
	add(s.name, o.name)
	add(s.module, o.module)
	add(s.number, o.number)
	if s.load != nil {
		draw := 0.0
		if o.contact {
			draw = Draw
		}
		add(s.loadColumn+"%"+s.loadTail, s.load(draw))
	}
	for column, v := range s.via {
		add(column, v)
	}
}

// garble counts down the garbled statuses, one for each read of one.
func (u *PDU) garble(oid string) {
	if u.lies.Garbled > 0 && strings.HasPrefix(oid, u.shape.status+".") {
		u.lies.Garbled--
	}
}

func (u *PDU) status(o *outlet) any {
	on := o.on
	if time.Since(o.changed) < u.lies.Stale {
		on = o.was
	}
	switch {
	case u.lies.Status != nil:
		return u.lies.Status
	case u.lies.Garbled > 0:
		return 99
	case on:
		return u.shape.on
	}
	return u.shape.off
}

func (u *PDU) pending(o *outlet) any {
	switch {
	case u.lies.Pending != 0:
		return u.lies.Pending
	case !o.due.IsZero() && !u.lies.Silent:
		return 1
	}
	return 2
}

// set writes one object.
func (u *PDU) set(oid string, v any) gosnmp.SNMPError {
	_, orders := u.objects()
	n, ok := orders[oid]
	if !ok {
		return gosnmp.NoSuchName
	}
	value, ok := v.(int)
	if !ok {
		return gosnmp.BadValue
	}
	u.values = append(u.values, fmt.Sprintf("%s=%d", oid, value))
	if u.shape.onColumn != "" && strings.HasPrefix(oid, u.shape.onColumn+".") {
		if value != 0 {
			return u.order(n, "later on")
		}
		return u.order(n, "on")
	}
	what, ok := u.shape.orders[value]
	if !ok && u.shape.onColumn != "" && value > 0 {
		what, ok = "later off", true
	}
	if !ok {
		return gosnmp.BadValue
	}
	return u.order(n, what)
}

// Get reads an object.
func (u *PDU) Get(oid string) (any, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	values, _ := u.objects()
	v, ok := values[oid]
	u.garble(oid)
	return v, ok
}

// Next reads the object that comes after a name.
func (u *PDU) Next(oid string) (string, any, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	values, _ := u.objects()
	after := numbers(oid)
	best := ""
	var least []int
	for name := range values {
		at := numbers(name)
		if slices.Compare(at, after) > 0 && (best == "" || slices.Compare(at, least) < 0) {
			best, least = name, at
		}
	}
	u.garble(best)
	if u.lies.Circle && strings.HasPrefix(oid, u.shape.name+".") {
		first := u.shape.row(u.shape.name, 1)
		return first, values[first], true
	}
	return best, values[best], best != ""
}

// Set writes an object. Its error is gosnmp.NoError if that was done.
func (u *PDU) Set(oid string, v any) gosnmp.SNMPError {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.set(oid, v)
}

func numbers(oid string) []int {
	var out []int
	for _, part := range strings.Split(oid, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = math.MaxInt
		}
		out = append(out, n)
	}
	return out
}

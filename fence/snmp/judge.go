package snmp

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
)

// enterprises is what all objects of the families begin with.
const enterprises = "1.3.6.1.4.1."

// short is a name for people.
func short(oid string) string { return strings.TrimPrefix(oid, enterprises) }

// maxShown is how much of a value an error shows.
const maxShown = 64

// answers says whether the objects of an answer are those that were asked for,
// in their order (RFC 3416 section 4.2.1). An agent that answers something
// else has answered nothing.
func answers(oids []string, vars []gosnmp.SnmpPDU) error {
	if len(vars) != len(oids) {
		return fmt.Errorf("read answer: it has %d objects, asked for %d", len(vars), len(oids))
	}
	for i, v := range vars {
		if dotless(v.Name) != oids[i] {
			return fmt.Errorf("read answer: it has object %s, asked for %s", short(dotless(v.Name)), short(oids[i]))
		}
	}
	return nil
}

// exists says whether there is a value at all.
func exists(v gosnmp.SnmpPDU) bool {
	switch v.Type {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView, gosnmp.Null:
		return false
	}
	return v.Value != nil
}

// integer is the value of an INTEGER, and of no other type: a string "2" or a
// gauge of 2 was written by other firmware than the one whose table this is.
func integer(v gosnmp.SnmpPDU) (int, bool) {
	n, ok := v.Value.(int)
	return n, ok && v.Type == gosnmp.Integer
}

// quantity is the value of a meter. Unsupported meters read -1.
func quantity(v gosnmp.SnmpPDU) (float64, bool) {
	switch n := v.Value.(type) {
	case int:
		return float64(n), v.Type == gosnmp.Integer && n >= 0
	case uint:
		return float64(n), v.Type == gosnmp.Gauge32
	case uint32:
		return float64(n), v.Type == gosnmp.Gauge32 || v.Type == gosnmp.Uinteger32
	}
	return 0, false
}

// text is the value of a string without the blanks and zeros that pad it.
func text(v gosnmp.SnmpPDU) (string, bool) {
	switch s := v.Value.(type) {
	case []byte:
		return strings.Trim(string(s), " \t\r\n\x00"), v.Type == gosnmp.OctetString
	case string:
		return dotless(s), v.Type == gosnmp.ObjectIdentifier
	}
	return "", false
}

// show is a value for people, with its type where it matters.
func show(v gosnmp.SnmpPDU) string {
	if n, ok := integer(v); ok {
		return strconv.Itoa(n)
	}
	s := fmt.Sprint(v.Value)
	if t, ok := text(v); ok {
		s = strconv.Quote(t)
	}
	if len(s) > maxShown {
		s = s[:maxShown] + "..."
	}
	return fmt.Sprintf("%v %s", v.Type, s)
}

// values are the objects that a device has, by their names.
type values map[string]gosnmp.SnmpPDU

// A check is an object that must have the value it had when the plan was made.
type check struct {
	oid  string
	what string // for the error
	want string
}

// A plan is how one outlet is read: in one request, as all of it must be of
// one moment and slow agents take 1.5 s for each.
type plan struct {
	family *family
	era    int
	index  string // of the row, in all tables of the family

	name           string // "": the device has none
	module, number int    // of a chain; 0: the table does not tell

	oids    []string // of the request: the checks, the status, and what else there is
	checks  []check
	status  string
	pending string // "": the device does not tell
	load    string // "": not metered
	scope   string
	unit    string
	scale   float64
}

// label is the index by which a user would select the outlet.
func (p *plan) label() string {
	if p.module > 0 && p.number > 0 && p.index != strconv.Itoa(p.number) {
		return fmt.Sprintf("%d.%d", p.module, p.number)
	}
	return p.index
}

// pick is the answer to the plan's request, from what was read while it was made.
func (p *plan) pick(said values) []gosnmp.SnmpPDU {
	var vars []gosnmp.SnmpPDU
	for _, oid := range p.oids {
		v := said[oid]
		v.Name = oid
		vars = append(vars, v)
	}
	return vars
}

// judge makes a reading of an answer. Off is only the family's value of off,
// as an INTEGER, in an answer that has what was asked for and comes from the
// outlet that was meant.
func (p *plan) judge(vars []gosnmp.SnmpPDU) (fence.Reading, error) {
	var r fence.Reading
	if err := answers(p.oids, vars); err != nil {
		return r, err
	}
	said := values{}
	for i, oid := range p.oids {
		said[oid] = vars[i]
	}
	if err := p.verify(said); err != nil {
		return r, err
	}
	state := said[p.status]
	r.Raw = short(p.status) + "=" + show(state)
	r.Pending = p.judgePending(said, &r.Raw)
	r.Load = p.judgeLoad(said, &r.Raw)
	n, ok := integer(state)
	switch {
	case ok && n == p.family.isOff:
		r.Power = fence.PowerOff
	case ok && n == p.family.isOn:
		r.Power = fence.PowerOn
	case !exists(state):
		return r, &goneError{p.status}
	default:
		return r, &stateError{fmt.Sprintf("%s=%s is neither off (%d) nor on (%d)", short(p.status), show(state), p.family.isOff, p.family.isOn)}
	}
	return r, nil
}

// A goneError says that an object is missing that was there before.
type goneError struct{ oid string }

func (e *goneError) Error() string { return "read status: there is no " + short(e.oid) }

// A stateError says that the right outlet is neither on nor off.
type stateError struct{ text string }

func (e *stateError) Error() string { return "read status: " + e.text }

// A strangerError says that the device or the row is another than was learnt.
type strangerError struct{ text string }

func (e *strangerError) Error() string { return e.text }

// verify holds the checks against what was said.
func (p *plan) verify(said values) error {
	for _, c := range p.checks {
		v := said[c.oid]
		if !exists(v) {
			return &goneError{c.oid}
		}
		if got := plain(v); got != c.want {
			return &strangerError{fmt.Sprintf("read outlet %s: %s is %q now, was %q", p.label(), c.what, got, c.want)}
		}
	}
	return nil
}

// plain is a value as a check compares it.
func plain(v gosnmp.SnmpPDU) string {
	if s, ok := text(v); ok {
		return s
	}
	return show(v)
}

func (p *plan) judgePending(said values, raw *string) fence.Pending {
	if p.pending == "" {
		return fence.PendingUntold
	}
	v := said[p.pending]
	*raw += " pending " + show(v)
	n, ok := integer(v)
	switch {
	case ok && n == p.family.pendingNone:
		return fence.PendingNone
	case ok && n == p.family.pendingYes:
		return fence.PendingYes
	}
	return fence.PendingUnknown
}

func (p *plan) judgeLoad(said values, raw *string) fence.Load {
	if p.load == "" {
		return fence.Load{}
	}
	v := said[p.load]
	*raw += " load " + show(v)
	n, ok := quantity(v)
	if !ok {
		return fence.Load{}
	}
	return fence.Load{Scope: p.scope, Value: n * p.scale, Unit: p.unit}
}

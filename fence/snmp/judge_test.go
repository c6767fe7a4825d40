package snmp

import (
	"strings"
	"testing"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
)

// planOf is a plan of a family's outlet, with all that can be asked for.
func planOf(f *family) *plan {
	index := strings.TrimSuffix(strings.Repeat("1.", f.depth), ".")
	p := &plan{family: f, index: index, name: "fw2", status: f.status + "." + index, scale: 0.1, scope: "outlet", unit: "A"}
	p.checks = []check{{sysObjectID, "sysObjectID", enterprises + "1"}}
	p.oids = []string{sysObjectID, p.status}
	if f.pending != "" {
		p.pending = f.pending + "." + index
		p.oids = append(p.oids, p.pending)
	}
	if f.outletName != "" {
		p.watchName()
	}
	p.load = enterprises + "9.9"
	p.oids = append(p.oids, p.load)
	return p
}

// good is the answer of an outlet that is off.
func (p *plan) good() []gosnmp.SnmpPDU {
	var vars []gosnmp.SnmpPDU
	for _, oid := range p.oids {
		v := gosnmp.SnmpPDU{Name: "." + oid, Type: gosnmp.Integer, Value: 0}
		switch oid {
		case sysObjectID:
			v.Type, v.Value = gosnmp.ObjectIdentifier, "."+enterprises+"1"
		case p.status:
			v.Value = p.family.isOff
		case p.pending:
			v.Value = p.family.pendingNone
		case p.family.outletName + "." + p.index:
			v.Type, v.Value = gosnmp.OctetString, []byte("fw2")
		}
		vars = append(vars, v)
	}
	return vars
}

// Types of values as they may come.
var types = []gosnmp.Asn1BER{
	gosnmp.Integer, gosnmp.Gauge32, gosnmp.Counter32, gosnmp.TimeTicks, gosnmp.Counter64, gosnmp.Uinteger32,
	gosnmp.OctetString, gosnmp.ObjectIdentifier, gosnmp.Null, gosnmp.NoSuchObject, gosnmp.NoSuchInstance,
	gosnmp.EndOfMibView, gosnmp.IPAddress, gosnmp.Opaque, gosnmp.Boolean, gosnmp.BitString,
}

// valueOf is a value of a number, as gosnmp gives it for a type or as it never should.
func valueOf(form uint8, n int) any {
	switch form % 8 {
	case 0:
		return n
	case 1:
		return uint(n)
	case 2:
		return uint32(n)
	case 3:
		return uint64(n)
	case 4:
		return []byte{byte(n)}
	case 5:
		return string(rune(n))
	case 6:
		return int64(n)
	}
	return nil
}

// FuzzJudge changes an answer that says off, and sees that it says so no more
// unless what decides was left alone.
func FuzzJudge(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint8(0), uint8(0), 2, false)
	f.Add(uint8(2), uint8(1), uint8(1), uint8(2), 2, false)
	f.Add(uint8(5), uint8(2), uint8(8), uint8(7), 0, true)
	f.Fuzz(func(t *testing.T, which, at, kind, form uint8, n int, drop bool) {
		p := planOf(&families[int(which)%len(families)])
		vars := p.good()
		if r, err := p.judge(vars); err != nil || r.Power != fence.PowerOff || r.Pending == fence.PendingYes {
			t.Fatalf("%s: a good answer reads %+v, err %v", p.family.name, r, err)
		}
		i := int(at) % len(vars)
		changed := gosnmp.SnmpPDU{Name: vars[i].Name, Type: types[int(kind)%len(types)], Value: valueOf(form, n)}
		vars[i] = changed
		if drop {
			vars = append(vars[:i:i], vars[i+1:]...)
		}
		r, err := p.judge(vars)
		if err != nil && r.Power != fence.PowerUnknown {
			t.Fatalf("error %v with power %v", err, r.Power)
		}
		if drop && err == nil {
			t.Fatal("an answer that is not whole was judged")
		}
		same := changed.Type == gosnmp.Integer && changed.Value == any(p.family.isOff)
		if p.oids[i] == p.status && r.Power == fence.PowerOff && !same {
			t.Fatalf("%s: off by %v %v", p.family.name, changed.Type, changed.Value)
		}
		none := changed.Type == gosnmp.Integer && changed.Value == any(p.family.pendingNone)
		if p.oids[i] == p.pending && !drop && r.Pending == fence.PendingNone && !none {
			t.Fatalf("%s: nothing pending by %v %v", p.family.name, changed.Type, changed.Value)
		}
		if r.Load.Metered() && r.Load.Value < 0 {
			t.Fatalf("load %v", r.Load)
		}
	})
}

func TestOnAndOffOfEachFamilyDifferAndOrdersAreItsOwn(t *testing.T) {
	names := map[string]bool{}
	for _, f := range families {
		if names[f.name] {
			t.Errorf("%s stands twice", f.name)
		}
		names[f.name] = true
		if f.isOn == f.isOff || f.on == f.off {
			t.Errorf("%s: on and off are the same", f.name)
		}
		if f.pending != "" && (f.pendingYes == f.pendingNone || f.pendingYes == 0) {
			t.Errorf("%s: pending is not told from none", f.name)
		}
		if f.depth < 1 || f.depth > 3 || len(f.ids) == 0 {
			t.Errorf("%s: depth %d, ids %q", f.name, f.depth, f.ids)
		}
		for _, column := range append(optional(f.status, f.pending, f.on.column, f.off.column, f.outletName, f.module, f.number, f.count), f.model...) {
			if !strings.HasPrefix(column, enterprises) || strings.Contains(column, "..") || strings.HasSuffix(column, ".") {
				t.Errorf("%s: column %q", f.name, column)
			}
		}
	}
}

func TestTheInvertedTablesOfAPCAreNotMixedUp(t *testing.T) {
	want := map[string][4]int{ // reads on, reads off, order on, order off: pdu tables of PowerNet-MIB
		"apc-spdu": {1, 2, 1, 2}, "apc-vm": {1, 2, 1, 2}, "apc-msp": {1, 2, 1, 3}, "apc-rpdu": {1, 2, 1, 2},
		"apc-rpdu2": {2, 1, 1, 2}, "apc-rpdub": {2, 1, 1, 2}, "apc-epdu": {2, 1, 1, 2},
		"raritan-px1": {1, 0, 1, 0}, "raritan-px2": {7, 8, 1, 0}, "eaton-epdu": {1, 0, 0, 0},
		"sentry-3": {1, 0, 1, 2}, "sentry-4": {1, 2, 1, 2}, "cyberpower-epdu": {1, 2, 1, 2},
		"tripplite-lx": {2, 1, 2, 1}, "tripplite-pdu": {2, 1, 2, 1}, "ibm-ipdu": {1, 0, 1, 0}, "ibm-ipdu2": {1, 0, 1, 0},
	}
	for _, f := range families {
		if got := [4]int{f.isOn, f.isOff, f.on.value, f.off.value}; got != want[f.name] {
			t.Errorf("%s has %v, want %v", f.name, got, want[f.name])
		}
	}
	if len(families) != len(want) {
		t.Errorf("%d families, want %d", len(families), len(want))
	}
}

func TestTheErrorShowsTheRawValue(t *testing.T) {
	for i := range families {
		p := planOf(&families[i])
		vars := p.good()
		vars[1].Value = 4711
		r, err := p.judge(vars)
		if err == nil || !strings.Contains(err.Error(), short(p.status)+"=4711") || !strings.Contains(r.Raw, "=4711") {
			t.Errorf("%s: reading %+v, err %v", p.family.name, r, err)
		}
	}
}

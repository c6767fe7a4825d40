package snmp_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/snmp"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

func TestAReadIsOneRequestAndAnOrderTwo(t *testing.T) {
	for _, shape := range snmptest.Shapes {
		for _, version := range []string{"1", "2c"} {
			_, agent := strip(t, shape.Name)
			o := outlet(t, unit(t, agent.Address(), version), shape.Selector(2))
			if _, err := o.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			before, _, _ := agent.Counts()
			if before > 14 {
				t.Errorf("%s v%s: learning took %d requests", shape.Name, version, before)
			}
			if _, err := o.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, _, _ := agent.Counts(); n != before+1 {
				t.Errorf("%s v%s: a read took %d requests", shape.Name, version, n-before)
			}
			if err := o.SwitchOff(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, sets, _ := agent.Counts(); n != before+3 || sets != 1 {
				t.Errorf("%s v%s: an order took %d requests, %d of them SETs", shape.Name, version, n-before-1, sets)
			}
		}
	}
}

func TestOneRequestIsUnderWayAtATime(t *testing.T) {
	pdu, agent := strip(t, "apc-rpdu")
	pdu.Behave(snmptest.Lies{Delay: 10 * time.Millisecond})
	u := unit(t, agent.Address(), "1")
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			o := outlet(t, u, strconv.Itoa(n+1))
			for range 3 {
				if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOn {
					t.Errorf("reading %+v, err %v", r, err)
				}
			}
		})
	}
	all.Wait()
	if _, _, most := agent.Counts(); most > 1 {
		t.Errorf("%d requests waited at once", most)
	}
}

func TestARequestEndsWithItsContext(t *testing.T) {
	pdu, agent := strip(t, "apc-rpdu")
	u := unitOf(t, snmp.Config{Address: agent.Address(), Version: "1", Community: "private", Timeout: 20 * time.Second})
	o := outlet(t, u, "2")
	if _, err := o.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	pdu.Behave(snmptest.Lies{Deaf: true})
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 100*time.Millisecond)
		},
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		ctx, cancel := end()
		began := time.Now()
		_, err := o.Read(ctx)
		if took := time.Since(began); took > 5*time.Second || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: took %v, err %v", name, took, err)
		}
		cancel()
	}
	// Who waits for the device to be free gives up in time, too.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = o.Read(ctx) }()
	time.Sleep(50 * time.Millisecond)
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if err := o.SwitchOff(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err %v", err)
	}
	cancel()
	pdu.Behave(snmptest.Lies{})
	if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOn {
		t.Errorf("after that: %+v, %v", r, err)
	}
}

func TestALateAnswerIsNotTakenForALaterRequests(t *testing.T) {
	for _, version := range []string{"1", "2c"} {
		pdu, agent := strip(t, "apc-rpdu")
		o := outlet(t, unit(t, agent.Address(), version), "2")
		if err := o.SwitchOff(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Asked while it is off, answered after it is on.
		pdu.Behave(snmptest.Lies{Delay: 300 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := o.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err %v", err)
		}
		cancel()
		time.Sleep(100 * time.Millisecond)
		pdu.Reset()
		if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOn {
			t.Errorf("v%s: reading %+v, err %v", version, r, err)
		}
	}
}

func TestTheVersionIsFoundOut(t *testing.T) {
	for _, c := range []struct {
		v1, v2c bool
		asked   int // requests by a version that is not answered
	}{{true, true, 0}, {true, false, 0}, {false, true, 1}} {
		pdu, agent := strip(t, "apc-rpdu2")
		agent.Versions(c.v1, c.v2c)
		u := unitOf(t, snmp.Config{Address: agent.Address(), Community: "private", Timeout: 200 * time.Millisecond})
		o := outlet(t, u, "2")
		began := time.Now()
		if err := o.SwitchOff(t.Context()); err != nil || pdu.HasPower(2) {
			t.Errorf("%+v: err %v", c, err)
		}
		if took := time.Since(began); took < time.Duration(c.asked)*200*time.Millisecond {
			t.Errorf("%+v: took %v", c, took)
		}
	}
	_, agent := strip(t, "apc-rpdu2")
	u := unitOf(t, snmp.Config{Address: agent.Address(), Community: "wrong", Timeout: 50 * time.Millisecond})
	if _, err := u.Identify(t.Context()); err == nil || !strings.Contains(err.Error(), "community") {
		t.Errorf("wrong community: err %v", err)
	}
}

func TestAVendorLimitsTheFamilies(t *testing.T) {
	_, agent := strip(t, "eaton-epdu")
	u := unitOf(t, snmp.Config{Address: agent.Address(), Version: "1", Community: "private", Vendor: "apc"})
	if _, err := u.Identify(t.Context()); !errors.Is(err, fence.ErrNotSwitchable) {
		t.Errorf("an Eaton is no APC: %v", err)
	}
	u = unitOf(t, snmp.Config{Address: agent.Address(), Version: "1", Community: "private", Vendor: "eaton"})
	if _, err := u.Identify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAStripThatIsReplacedIsSeenByTheNextRead(t *testing.T) {
	pdu, agent := strip(t, "apc-rpdu")
	u := unit(t, agent.Address(), "1")
	o := outlet(t, u, "2")
	if _, err := o.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	pdu.Behave(snmptest.Lies{Object: "1.3.6.1.4.1.318.1.3.4.8"})
	r, err := o.Read(t.Context())
	if err == nil || r.Power != fence.PowerUnknown || !strings.Contains(err.Error(), "318.1.3.4.8") {
		t.Errorf("reading %+v, err %v", r, err)
	}
	if id, err := u.Identify(t.Context()); err != nil || id.ObjectID != "1.3.6.1.4.1.318.1.3.4.8" {
		t.Errorf("identity %v, err %v", id, err)
	}
}

func TestNothingIsOrderedOfAnOutletThatIsNotSeenToBeTheOne(t *testing.T) {
	for name, lies := range map[string]snmptest.Lies{
		"another device":     {Object: "1.3.6.1.4.1.318.1.3.4.8"},
		"readings get lost":  {Drop: everyReading},
		"metered only now":   {Metered: true},
		"readings go astray": {Mangle: onReading(func(_, a *gosnmp.SnmpPacket) { a.Error, a.ErrorIndex = gosnmp.GenErr, 1 })},
	} {
		for _, shape := range []string{"apc-rpdu", "eaton-epdu"} {
			pdu, agent := strip(t, shape)
			s := snmptest.ShapeOf(shape)
			u := unitOf(t, snmp.Config{Address: agent.Address(), Version: "1", Community: "private", Timeout: 100 * time.Millisecond})
			o := outlet(t, u, s.Selector(2))
			if _, err := o.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			pdu.Behave(lies)
			if err := o.SwitchOff(t.Context()); err == nil || len(pdu.Orders()) > 0 {
				t.Errorf("%s, %s: err %v, orders %v", shape, name, err, pdu.Orders())
			}
		}
	}
}

func TestNeitherErrorNorNullIsTakenForAnOrderCarriedOut(t *testing.T) {
	pdu, agent := strip(t, "apc-rpdu")
	o := outlet(t, unit(t, agent.Address(), "1"), "2")
	for name, c := range map[string]struct {
		lies snmptest.Lies
		want error
	}{
		"genErr":    {snmptest.Lies{Error: gosnmp.GenErr}, nil},
		"read only": {snmptest.Lies{Error: gosnmp.ReadOnly}, fence.ErrNotSwitchable},
		"no object": {snmptest.Lies{Mangle: func(r, a *gosnmp.SnmpPacket) {
			if r.PDUType == gosnmp.SetRequest {
				a.Variables = nil
			}
		}}, nil},
		"the request itself": {snmptest.Lies{Mangle: func(r, a *gosnmp.SnmpPacket) {
			if r.PDUType == gosnmp.SetRequest {
				*a = *r
			}
		}}, nil},
		"another object": {snmptest.Lies{Mangle: func(r, a *gosnmp.SnmpPacket) {
			if r.PDUType == gosnmp.SetRequest {
				a.Variables = []gosnmp.SnmpPDU{{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.Integer, Value: 2}}
			}
		}}, nil},
	} {
		pdu.Behave(c.lies)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := o.SwitchOff(ctx)
		cancel()
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: err %v", name, err)
		}
	}
}

func TestAMeterOfAnotherTableIsFoundByTheOutletsPhase(t *testing.T) {
	pdu, agent := strip(t, "apc-rpdu")
	o := outlet(t, unit(t, agent.Address(), "1"), "2")
	r, err := o.Read(t.Context())
	if err != nil || r.Load != (fence.Load{Scope: "phase", Value: 4, Unit: "A"}) {
		t.Errorf("reading %+v, err %v: 8 outlets of 0.5 A", r, err)
	}
	if err := o.SwitchOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := o.Read(t.Context()); err != nil || r.Load.Value != 3.5 {
		t.Errorf("reading %+v, err %v: 7 outlets of 0.5 A", r, err)
	}
	pdu.Behave(snmptest.Lies{Unmetered: true})
	if r, err := o.Read(t.Context()); err != nil || r.Load.Metered() {
		t.Errorf("reading %+v, err %v: the meter reads -1", r, err)
	}
}

func TestBothSuppliesOfABoxOnOneStripGoOffOrNeitherIsProven(t *testing.T) {
	for name, c := range map[string]struct {
		lies   snmptest.Lies
		proven bool
	}{
		"healthy":                 {snmptest.Lies{}, true},
		"only outlet 1 is served": {snmptest.Lies{OnlyOne: true}, false},
		"the first order is lost": {snmptest.Lies{LoseNext: 1}, false},
	} {
		pdu, agent := strip(t, "apc-rpdu2")
		u := unit(t, agent.Address(), "1")
		var both []fence.Device
		for _, n := range []string{"1", "2"} {
			d, err := fence.New(outlet(t, u, n), fence.Timing{Poll: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			both = append(both, d)
		}
		pdu.Behave(c.lies)
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		proof, err := fence.Chain{Devices: both}.Off(ctx)
		cancel()
		dark := !pdu.HasPower(1) && !pdu.HasPower(2)
		if proof.Proven != c.proven || (err == nil) != c.proven || proof.Proven && !dark {
			t.Errorf("%s: proof %+v, err %v, dark %v", name, proof, err, dark)
		}
	}
}

func TestIdentifyIsOneRequestOnceTheDeviceIsKnown(t *testing.T) {
	for _, shape := range snmptest.Shapes {
		_, agent := strip(t, shape.Name)
		u := unit(t, agent.Address(), "1")
		first, err := u.Identify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before, _, _ := agent.Counts()
		second, err := u.Identify(t.Context())
		if n, _, _ := agent.Counts(); err != nil || first != second || n != before+1 {
			t.Errorf("%s: %v, then %v, err %v, in %d requests", shape.Name, first, second, err, n-before)
		}
	}
}

func TestAListTakesTwoRequestsARow(t *testing.T) {
	for _, shape := range snmptest.Shapes {
		if shape.Name == "apc-rpdu" {
			continue // looks for the meter of each outlet's phase
		}
		_, agent := strip(t, shape.Name)
		u := unit(t, agent.Address(), "1")
		if _, err := u.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, _, _ := agent.Counts(); n > 2*8+14 {
			t.Errorf("%s: %d requests for 8 outlets", shape.Name, n)
		}
	}
}

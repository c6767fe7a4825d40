package snmp_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/snmp"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == passArg {
		os.Exit(passPersist(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// strip starts a PDU of a shape with 8 outlets and an agent for it.
func strip(t testing.TB, shape string) (*snmptest.PDU, *snmptest.Agent) {
	t.Helper()
	pdu := snmptest.New(snmptest.ShapeOf(shape), 8)
	agent, err := snmptest.Serve(pdu)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Stop)
	return pdu, agent
}

// unit makes the driver for an address, with short times.
func unit(t testing.TB, address, version string) *snmp.Unit {
	t.Helper()
	return unitOf(t, snmp.Config{Address: address, Version: version, Community: "private", Timeout: time.Second})
}

func unitOf(t testing.TB, c snmp.Config) *snmp.Unit {
	t.Helper()
	u, err := snmp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

func outlet(t testing.TB, u *snmp.Unit, selector string) fence.Switch {
	t.Helper()
	o, err := u.Outlet(selector)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// off proves an outlet off, within a time.
func off(ctx context.Context, o fence.Switch, within time.Duration) (fence.Proof, error) {
	d, err := fence.New(o, fence.Timing{Poll: 50 * time.Millisecond, Holdup: 300 * time.Millisecond})
	if err != nil {
		return fence.Proof{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return d.Off(ctx)
}

func TestEveryFamilyIsFoundSwitchedAndReadBack(t *testing.T) {
	for _, shape := range snmptest.Shapes {
		for _, version := range []string{"1", "2c", ""} {
			t.Run(shape.Name+" v"+version, func(t *testing.T) {
				t.Parallel()
				pdu, agent := strip(t, shape.Name)
				u := unit(t, agent.Address(), version)
				id, err := u.Identify(t.Context())
				if err != nil || id.Family != shape.Name || id.ObjectID != shape.ObjectID {
					t.Fatalf("identity %v, err %v", id, err)
				}
				if shape.Counts() && id.Outlets != 8 {
					t.Errorf("it has %d outlets, want 8", id.Outlets)
				}
				o := outlet(t, u, shape.Selector(2))
				if err := o.SwitchOff(t.Context()); err != nil || pdu.HasPower(2) {
					t.Fatalf("err %v, power %v", err, pdu.HasPower(2))
				}
				if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOff {
					t.Fatalf("reading %+v, err %v", r, err)
				}
				if want := []string{"off 2"}; !slices.Equal(pdu.Orders(), want) {
					t.Errorf("orders %v, want %v", pdu.Orders(), want)
				}
				for n := 1; n <= 8; n++ {
					if n != 2 && !pdu.HasPower(n) {
						t.Errorf("outlet %d went off, too", n)
					}
				}
				if err := o.SwitchOn(t.Context()); err != nil {
					t.Fatal(err)
				}
				if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOn || !pdu.HasPower(2) {
					t.Errorf("reading %+v, err %v, power %v", r, err, pdu.HasPower(2))
				}
			})
		}
	}
}

func TestAllOutletsAreListedWithTheirNamesAndStates(t *testing.T) {
	for _, shape := range snmptest.Shapes {
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			_, agent := strip(t, shape.Name)
			u := unit(t, agent.Address(), "1")
			o := outlet(t, u, "3")
			if err := o.SwitchOff(t.Context()); err != nil {
				t.Fatal(err)
			}
			list, err := u.List(t.Context())
			if err != nil || len(list) != 8 {
				t.Fatalf("%d outlets, err %v", len(list), err)
			}
			for i, l := range list {
				want := fence.PowerOn
				if i == 2 {
					want = fence.PowerOff
				}
				if l.Power != want || l.Index != shape.Selector(i+1) {
					t.Errorf("outlet %d is %+v, want index %s, %v", i+1, l, shape.Selector(i+1), want)
				}
				if name := fmt.Sprintf("Outlet %d", i+1); shape.Named() && l.Name != name {
					t.Errorf("outlet %d has name %q, want %q", i+1, l.Name, name)
				}
				if shape.Metered() && l.Power == fence.PowerOn && !l.Load.Metered() {
					t.Errorf("outlet %d has no load", i+1)
				}
				if l.Load.Scope == "outlet" {
					checkLoad(t, l)
				}
				if shape.Pends() != (l.Pending != fence.PendingUntold) || shape.Pends() && l.Pending != fence.PendingNone {
					t.Errorf("outlet %d has pending %v", i+1, l.Pending)
				}
			}
		})
	}
}

// checkLoad holds a load against the 115 W or 0.5 A of a fake's outlet.
func checkLoad(t *testing.T, l fence.Outlet) {
	t.Helper()
	want := map[string]float64{"W": snmptest.Draw, "A": snmptest.Draw / 230}[l.Load.Unit]
	if l.Power == fence.PowerOff {
		want = 0
	}
	if d := l.Load.Value - want; d > 0.01 || d < -0.01 {
		t.Errorf("outlet %s draws %v, want %v", l.Index, l.Load, want)
	}
}

func TestAnOutletIsFoundByItsName(t *testing.T) {
	for _, shape := range snmptest.Shapes {
		if !shape.Named() {
			continue
		}
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			pdu, agent := strip(t, shape.Name)
			pdu.Name(5, "Firewall 2 PSU 1")
			u := unit(t, agent.Address(), "1")
			o := outlet(t, u, "Firewall 2 PSU 1")
			if _, err := off(t.Context(), o, 10*time.Second); err != nil || pdu.HasPower(5) {
				t.Fatalf("err %v, power %v", err, pdu.HasPower(5))
			}
			id, err := o.(fence.Identifier).Identify(t.Context())
			if err != nil || id.Name != "Firewall 2 PSU 1" || id.Outlet != shape.Selector(5) {
				t.Errorf("identity %v, err %v", id, err)
			}
			pdu.Name(6, "Firewall 2 PSU 1")
			if _, err := o.(fence.Identifier).Identify(t.Context()); !errors.Is(err, fence.ErrNoOutlet) {
				t.Errorf("two outlets have the name: err %v", err)
			}
		})
	}
}

func TestANameThatMovesIsFollowedAndNotItsOldOutlet(t *testing.T) {
	pdu, agent := strip(t, "apc-rpdu")
	pdu.Name(5, "fw2")
	u := unit(t, agent.Address(), "1")
	o := outlet(t, u, "fw2")
	if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOn {
		t.Fatalf("reading %+v, err %v", r, err)
	}
	pdu.Renumber()
	if err := o.SwitchOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pdu.PowerOf("fw2") || !slices.Equal(pdu.Orders(), []string{"off 6"}) {
		t.Errorf("orders %v, power %v", pdu.Orders(), pdu.PowerOf("fw2"))
	}
	pdu.Name(6, "other")
	if err := o.SwitchOff(t.Context()); !errors.Is(err, fence.ErrNoOutlet) || len(pdu.Orders()) != 1 {
		t.Errorf("the name is gone: err %v, orders %v", err, pdu.Orders())
	}
}

func TestTheIndexOfAChainIsTheStripAndItsOutlet(t *testing.T) {
	for _, shape := range []string{"apc-rpdu2", "apc-epdu"} {
		pdu, agent := strip(t, shape)
		for n := 5; n <= 8; n++ {
			pdu.Place(n, 2, n-4)
		}
		u := unit(t, agent.Address(), "1")
		if err := outlet(t, u, "5").SwitchOff(t.Context()); !errors.Is(err, fence.ErrNoOutlet) || len(pdu.Orders()) > 0 {
			t.Errorf("%s: row 5 is outlet 1 of strip 2: err %v, orders %v", shape, err, pdu.Orders())
		}
		o := outlet(t, u, "2.1")
		if err := o.SwitchOff(t.Context()); err != nil || pdu.HasPower(5) || !pdu.HasPower(1) {
			t.Errorf("%s: err %v, orders %v", shape, err, pdu.Orders())
		}
		if err := outlet(t, u, "1.4").SwitchOff(t.Context()); err != nil || pdu.HasPower(4) {
			t.Errorf("%s: err %v, orders %v", shape, err, pdu.Orders())
		}
		if err := outlet(t, u, "3.1").SwitchOff(t.Context()); !errors.Is(err, fence.ErrNoOutlet) {
			t.Errorf("%s: there is no third strip: %v", shape, err)
		}
		pdu.Place(5, 3, 1) // another strip was put in between
		if r, err := o.Read(t.Context()); err == nil || r.Power != fence.PowerUnknown {
			t.Errorf("%s: the row is another outlet's now: %+v, %v", shape, r, err)
		}
	}
}

func TestAMeteredStripIsRefusedByName(t *testing.T) {
	for _, shape := range []string{"apc-rpdu", "apc-rpdu2", "apc-rpdub", "eaton-epdu", "sentry-3"} {
		for _, lies := range []snmptest.Lies{{Metered: true}, {Nothing: true}} {
			pdu, agent := strip(t, shape)
			if s := snmptest.ShapeOf(shape); lies.Nothing && !s.Counts() {
				continue
			}
			pdu.Behave(lies)
			for _, version := range []string{"1", "2c"} {
				u := unit(t, agent.Address(), version)
				_, err := u.Identify(t.Context())
				if !errors.Is(err, fence.ErrNotSwitchable) || !strings.Contains(err.Error(), "metered only") {
					t.Errorf("%s v%s: err %v", shape, version, err)
				}
				if err := outlet(t, u, "2").SwitchOff(t.Context()); err == nil || len(pdu.Orders()) > 0 {
					t.Errorf("%s v%s: err %v, orders %v", shape, version, err, pdu.Orders())
				}
			}
		}
	}
}

func TestABareSysObjectIDIsTriedAgainstEveryTable(t *testing.T) {
	for _, shape := range []string{"apc-rpdu", "apc-rpdu2", "apc-msp", "apc-vm", "apc-epdu", "apc-spdu"} {
		pdu, agent := strip(t, shape)
		pdu.Behave(snmptest.Lies{Object: "1.3.6.1.4.1.318"})
		id, err := unit(t, agent.Address(), "1").Identify(t.Context())
		if err != nil || id.Family != shape {
			t.Errorf("%s: identity %v, err %v", shape, id, err)
		}
	}
}

func TestAConfigThatCannotWorkIsRefused(t *testing.T) {
	for _, c := range []struct {
		config snmp.Config
		want   string
	}{
		{snmp.Config{Community: "x"}, "no address"},
		{snmp.Config{Address: "pdu"}, "no community"},
		{snmp.Config{Address: "pdu:0", Community: "x"}, "port"},
		{snmp.Config{Address: "pdu:snmp", Community: "x"}, "port"},
		{snmp.Config{Address: "pdu", Community: "x", Timeout: -1}, "negative"},
		{snmp.Config{Address: "pdu", Community: "x", Version: "2"}, "none of 1, 2c, 3"},
		{snmp.Config{Address: "pdu", Community: "x", Vendor: "acme"}, "vendor"},
		{snmp.Config{Address: "pdu", Community: strings.Repeat("x", 256)}, "longer"},
		{snmp.Config{Address: "pdu", User: "u", Version: "1", Community: "x"}, "no user"},
		{snmp.Config{Address: "pdu", Version: "3"}, "needs a user"},
		{snmp.Config{Address: "pdu", User: "u", AuthProtocol: "crc"}, "auth protocol"},
		{snmp.Config{Address: "pdu", User: "u", AuthProtocol: "sha", AuthPassword: "short"}, "shorter than 8"},
		{snmp.Config{Address: "pdu", User: "u", PrivProtocol: "aes", PrivPassword: "longenough"}, "needs an auth protocol"},
		{snmp.Config{Address: "pdu", User: "u", AuthProtocol: "SHA-256", AuthPassword: "longenough", PrivProtocol: "rot13"}, "priv protocol"},
	} {
		if _, err := snmp.New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: err %v, want %q", c.config, err, c.want)
		}
	}
	for _, address := range []string{"pdu", "pdu:1161", "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:1161"} {
		if _, err := snmp.New(snmp.Config{Address: address, Community: "x"}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

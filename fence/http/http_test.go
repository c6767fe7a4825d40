package http

import (
	"context"
	"errors"
	"flag"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

// proveTime is what an off may take that must be proven: 0.6 s of its own, and
// 3 s until an order is given anew.
const proveTime = 8 * time.Second

// TestMain lets tests run side by side: they wait for most of their time.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "24")
	m.Run()
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (b *bench) prover(t *testing.T, pin fence.Pin) *fence.Prover {
	t.Helper()
	p, err := fence.NewFeed(fence.Feed{Switch: b.outlet, Pin: pin, Unit: "u"}, fence.Timing{Poll: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOffAndOnOfEachFamilyAreProven(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, k)
			p := b.prover(t, fence.Pin{})
			ctx := within(t, proveTime)
			if power, err := p.Status(ctx); power != fence.PowerOn {
				t.Fatalf("reads %v (%v) at first", power, err)
			}
			proof, err := p.Off(ctx)
			if err != nil || b.relays.HasPower(k.relay) {
				t.Fatalf("off: %v, has power: %v; %s", err, b.relays.HasPower(k.relay), proof.Detail)
			}
			if want := map[bool]fence.Grade{true: fence.GradeLoad, false: fence.GradeClaim}[k.metered]; proof.Grade != want && k.name != "tasmota-4" {
				t.Errorf("graded %q, want %q: %s", proof.Grade, want, proof.Evidence)
			}
			for i := range k.outlets {
				if i != k.relay && !b.relays.HasPower(i) {
					t.Errorf("outlet %d went off, too", i)
				}
			}
			if b.relays.Orders() != 1 {
				t.Errorf("%d orders were given: %q", b.relays.Orders(), b.web.Seen())
			}
			if err := p.On(ctx); err != nil || !b.relays.HasPower(k.relay) {
				t.Fatalf("on: %v, has power: %v", err, b.relays.HasPower(k.relay))
			}
		})
	}
}

// A mischief is something that a device does. When it is proven off it must be
// off, whatever it did; and where the order came through it must be proven.
type mischief struct {
	name   string
	relays fencetest.RelayFault
	web    fencetest.WebFault
	proven bool
	quick  bool // cannot come to a proof: wait no longer than needed
}

var mischiefs = []mischief{
	{name: "moves after 700 ms", relays: fencetest.RelayFault{Lag: 700 * time.Millisecond}, proven: true},
	{name: "never moves", relays: fencetest.RelayFault{Dead: true}, quick: true},
	{name: "comes back as after a reboot", relays: fencetest.RelayFault{FlipBack: 200 * time.Millisecond}, quick: true},
	{name: "answers 500 and acts", web: fencetest.WebFault{Orders: 9}, proven: true},
	{name: "acts and cuts the connection", web: fencetest.WebFault{Lost: 9}, proven: true},
	{name: "cuts three readings off", web: fencetest.WebFault{Cut: 3}, proven: true},
	{name: "answers half of each reading", web: fencetest.WebFault{Half: 1 << 20}, quick: true},
	{name: "answers nonsense thrice", web: fencetest.WebFault{Garbled: 3}, proven: true},
	{name: "answers nonsense for ever", web: fencetest.WebFault{Garbled: 1 << 20}, quick: true},
	{name: "shows a login page with 200", web: fencetest.WebFault{Login: true}, quick: true},
	{name: "answers a megabyte", web: fencetest.WebFault{Long: true}, quick: true},
	{name: "redirects to another host", web: fencetest.WebFault{Elsewhere: "http://192.0.2.1/off"}, quick: true},
	{name: "denies everything", web: fencetest.WebFault{Denied: true}, quick: true},
	{name: "restarts after the order", web: fencetest.WebFault{Down: time.Second}, proven: true},
	{name: "takes 150 ms for each answer", web: fencetest.WebFault{Slow: 150 * time.Millisecond}, proven: true},
	{name: "switches the wrong outlet", relays: fencetest.RelayFault{Neighbor: true}, quick: true},
}

func TestNoMisbehaviourIsProvenOffAndNoneThatIsOffIsMissed(t *testing.T) {
	for _, k := range kinds {
		for _, m := range mischiefs {
			if m.relays.Neighbor && k.outlets == 1 {
				continue
			}
			t.Run(k.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, k)
				limit := proveTime
				if m.quick {
					limit = 1500 * time.Millisecond
				}
				ctx := within(t, limit)
				p := b.prover(t, fence.Pin{})
				b.relays.Fail(m.relays)
				b.web.Fail(m.web)
				proof, err := p.Off(ctx)
				power := b.relays.HasPower(k.relay)
				if proof.Proven != (err == nil) {
					t.Fatalf("proven %v with error %v", proof.Proven, err)
				}
				if proof.Proven && power {
					t.Fatalf("LIE: proven off and has power: %s", proof.Evidence)
				}
				if proof.Proven != m.proven {
					t.Errorf("proven %v, want %v (has power: %v): %v; %s", proof.Proven, m.proven, power, err, proof.Detail)
				}
			})
		}
	}
}

func TestAMeterUnmasksALyingRelay(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, k)
			p := b.prover(t, fence.Pin{})
			ctx := within(t, 2*time.Second)
			b.relays.Fail(fencetest.RelayFault{Lie: true})
			proof, err := p.Off(ctx)
			if k.metered && err == nil {
				t.Errorf("proven off while the meter shows its load: %s", proof.Evidence)
			}
			if proof.Grade == fence.GradeLoad {
				t.Errorf("graded %q: %s", proof.Grade, proof.Evidence)
			}
		})
	}
}

func TestAnotherDeviceThatAnswersAfterTheOrderIsNotBelieved(t *testing.T) {
	for _, k := range kinds {
		if k.config.Family == Generic {
			continue // nothing at a URL says what it is
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, k)
			ctx := within(t, 2*time.Second)
			id, err := b.outlet.Identify(ctx)
			if err != nil {
				t.Fatal(err)
			}
			b.relays.Fail(fencetest.RelayFault{Dead: true})
			// The same kind of device, off, with another serial or outlets.
			other := fencetest.NewRelays(k.outlets)
			other.Tell(k.relay, false)
			twin := k.device(other)
			b.web.Fail(fencetest.WebFault{Other: nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
				rec := httptest.NewRecorder()
				twin.ServeHTTP(rec, r)
				for name, v := range rec.Header() {
					w.Header()[name] = v
				}
				w.WriteHeader(rec.Code)
				body := rec.Body.String()
				for old, changed := range map[string]string{"AABBCC112233": "AABBCC000000", "E09806A9E103": "E09806000000", "5C:CF:7F:00:12:34": "5C:CF:7F:00:00:00", "LPC612010": "LPC000000", "EPCR5": "EPCR6"} {
					body = strings.ReplaceAll(body, old, changed)
				}
				_, _ = w.Write([]byte(body))
			})})
			p := b.prover(t, fence.Pin{Family: id.Family, Model: id.Model, Serial: id.Serial, Name: id.Name, Outlets: id.Outlets})
			proof, err := p.Off(ctx)
			if err == nil {
				t.Fatalf("LIE: another device's off is proof: %s", proof.Evidence)
			}
			if !errors.Is(err, fence.ErrPin) {
				t.Errorf("not for its identity: %v", err)
			}
		})
	}
}

func TestEachFamilySaysWhatItIs(t *testing.T) {
	want := map[string]fence.Identity{
		"digitalloggers-rest": {Family: "digitalloggers-rest", Model: "EPCR5", Firmware: "1.10.16.0", Outlets: 8, Outlet: "3", Name: "Server 3"},
		"digitalloggers-page": {Family: "digitalloggers-page", Serial: "LPC612010", Firmware: "1.8.4", Outlets: 8, Outlet: "3", Name: "Server 3"},
		"tasmota":             {Family: "tasmota", Model: "ESP8266EX", Serial: "5C:CF:7F:00:12:34", Firmware: "12.5.0(tasmota)", Outlets: 1, Outlet: "1", Name: "firewall"},
		"tasmota-4":           {Family: "tasmota", Model: "ESP8266EX", Serial: "5C:CF:7F:00:12:34", Firmware: "12.5.0(tasmota)", Outlets: 4, Outlet: "2", Name: "Server 2"},
		"shelly-gen1":         {Family: "shelly-gen1", Model: "SHSW-25", Serial: "E09806A9E103", Firmware: "20220809-124723/v1.12-g99f7e0b", Outlets: 2, Outlet: "1", Name: "firewall 2"},
		"shelly-gen2":         {Family: "shelly-gen2", Model: "SPSW-104PE16EU", Serial: "AABBCC112233", Firmware: "1.0.0", Outlets: 4, Outlet: "2", Name: "firewall 2"},
		"http-text":           {Family: "http", Outlet: "2"},
		"http-json":           {Family: "http", Outlet: "2"},
	}
	for _, k := range kinds {
		b := newBench(t, k)
		ctx := within(t, 5*time.Second)
		id, err := b.outlet.Identify(ctx)
		if err != nil || id != want[k.name] {
			t.Errorf("%s is\n%+v (%v), want\n%+v", k.name, id, err, want[k.name])
		}
		if unit, err := b.unit.Identify(ctx); err != nil || unit.Family != id.Family || unit.Serial != id.Serial {
			t.Errorf("%s: the unit is %+v (%v)", k.name, unit, err)
		}
		all, err := b.unit.List(ctx)
		if err != nil || k.config.Family != Generic && len(all) != k.outlets {
			t.Fatalf("%s lists %d outlets (%v)", k.name, len(all), err)
		}
		for _, o := range all {
			if o.Power != fence.PowerOn || o.Raw == "" {
				t.Errorf("%s lists %+v", k.name, o)
			}
		}
	}
}

func TestAnOutletThatIsNotThereIsSaidSo(t *testing.T) {
	for _, k := range kinds {
		b := newBench(t, k)
		ctx := within(t, 5*time.Second)
		for _, selector := range []string{"nobody", "33"} {
			if k.config.Family == Generic && selector == "nobody" {
				continue
			}
			sw, err := b.unit.Outlet(selector)
			if err != nil {
				t.Fatalf("%s: %v", k.name, err)
			}
			if r, err := sw.Read(ctx); err == nil || r.Power != fence.PowerUnknown {
				t.Errorf("%s: outlet %s reads %v", k.name, selector, r.Power)
			}
			before := b.relays.Orders()
			err = sw.SwitchOff(ctx)
			if selector == "nobody" && (!errors.Is(err, fence.ErrNoOutlet) || b.relays.Orders() != before) {
				t.Errorf("%s: %d orders for nobody: %v", k.name, b.relays.Orders()-before, err)
			}
		}
		for i := range k.outlets {
			if !b.relays.HasPower(i) {
				t.Errorf("%s: outlet %d went off", k.name, i)
			}
		}
	}
}

func TestAWrongPasswordIsNamedAndNeverShown(t *testing.T) {
	for _, k := range kinds {
		if k.config.Password == "" {
			continue
		}
		k.config.Password = "wr0ng&"
		b := newBench(t, k)
		ctx := within(t, 5*time.Second)
		_, err := b.outlet.Read(ctx)
		if err == nil {
			t.Fatalf("%s reads with a wrong password", k.name)
		}
		for _, secret := range []string{"wr0ng", "wr0ng%26"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s shows the password: %v", k.name, err)
			}
		}
		if n := len(b.web.Seen()); n > 5 {
			t.Errorf("%s asked %d times: it may lock the account: %q", k.name, n, b.web.Seen())
		}
	}
}

func TestSettingsThatSwitchByThemselvesAreWarnedOf(t *testing.T) {
	want := map[string]string{"shelly-gen1:0": "auto_on", "shelly-gen2:1": "auto_on", "digitalloggers-rest:8": "locked", "digitalloggers-page:8": "locked"}
	for _, k := range kinds {
		b := newBench(t, k)
		ctx := within(t, 5*time.Second)
		if got, err := b.outlet.Warnings(ctx); err != nil || len(got) > 0 {
			t.Errorf("%s: %q (%v)", k.name, got, err)
		}
		for key, text := range want {
			selector, mine := strings.CutPrefix(key, k.name+":")
			if !mine {
				continue
			}
			sw, err := b.unit.Outlet(selector)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sw.(*outlet).Warnings(ctx)
			if err != nil || len(got) == 0 || !strings.Contains(got[0], text) {
				t.Errorf("%s: %q (%v), want one of %s", key, got, err, text)
			}
		}
	}
}

func TestACheckFindsSuchSettings(t *testing.T) {
	b := newBench(t, kinds[5])
	ctx := within(t, 5*time.Second)
	for selector, want := range map[string]string{"0": "", "1": "auto_on: it switches itself on 60 s after it was switched off", "2": ""} {
		sw, err := b.unit.Outlet(selector)
		if err != nil {
			t.Fatal(err)
		}
		p, err := fence.New(sw, fence.Timing{})
		if err != nil {
			t.Fatal(err)
		}
		found, err := p.Check(ctx)
		switch {
		case err != nil || (want == "") != (len(found) == 0):
			t.Errorf("outlet %s: %v (%v)", selector, found, err)
		case want != "" && (found[0].Kind != fence.FindingSetting || found[0].Detail != want):
			t.Errorf("outlet %s: %v, want %s", selector, found[0], want)
		}
	}
}

func TestOneRequestAtATimeReachesADevice(t *testing.T) {
	b := newBench(t, kinds[0])
	b.web.Fail(fencetest.WebFault{Slow: 300 * time.Millisecond})
	held := make(chan error, 1)
	go func() {
		_, err := b.outlet.Read(within(t, 5*time.Second))
		held <- err
	}()
	for len(b.web.Seen()) == 0 {
		time.Sleep(time.Millisecond)
	}
	before := len(b.web.Seen())
	if _, err := b.outlet.Read(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second did not wait for its turn: %v", err)
	}
	if n := len(b.web.Seen()); n != before {
		t.Errorf("%d requests at once", n-before+1)
	}
	if err := <-held; err != nil {
		t.Error(err)
	}
}

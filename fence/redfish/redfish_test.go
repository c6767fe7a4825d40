package redfish

import (
	"context"
	"errors"
	"flag"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
	"github.com/twinbeat/twinbeat/fence/http"
)

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

func TestOffAndOnOfEachBMCAreProven(t *testing.T) {
	for _, kind := range trees {
		for _, session := range []bool{false, true} {
			t.Run(kind.name+map[bool]string{true: "/session"}[session], func(t *testing.T) {
				t.Parallel()
				b := newBMC(t, kind)
				c := b.config()
				c.Session = session
				u, s, p := b.drive(t, c)
				ctx := within(t, 8*time.Second)
				r, err := s.Read(ctx)
				if err != nil || r.Power != fence.PowerOn {
					t.Fatalf("reads %+v (%v) at first", r, err)
				}
				if want := map[bool]float64{true: 180}[kind.meter]; r.Load.Value != want {
					t.Errorf("its meter shows %v, want %v", r.Load, want)
				}
				proof, err := p.Off(ctx)
				if err != nil || b.relays.HasPower(0) {
					t.Fatalf("off: %v, has power: %v; %s", err, b.relays.HasPower(0), proof.Detail)
				}
				if b.relays.Orders() != 1 {
					t.Errorf("%d orders were given: %q", b.relays.Orders(), b.web.Seen())
				}
				// An order that is not needed is refused (iDRAC: 409); what is off is off.
				if _, err := p.Off(ctx); err != nil {
					t.Errorf("off again: %v", err)
				}
				if err := p.On(ctx); err != nil || !b.relays.HasPower(0) {
					t.Fatalf("on: %v, has power: %v", err, b.relays.HasPower(0))
				}
				if err := u.Close(); err != nil || len(b.sessions) != 0 || session && b.logins != 1 {
					t.Errorf("close: %v; %d of %d sessions are open", err, len(b.sessions), b.logins)
				}
			})
		}
	}
}

func TestNoMisbehaviourIsProvenOffAndNoneThatIsOffIsMissed(t *testing.T) {
	for _, m := range []struct {
		name   string
		relays fencetest.RelayFault
		web    fencetest.WebFault
		set    func(*bmc)
		proven bool
	}{
		{name: "takes 700 ms", relays: fencetest.RelayFault{Lag: 700 * time.Millisecond}, proven: true},
		{name: "makes a task of it", relays: fencetest.RelayFault{Lag: 500 * time.Millisecond}, set: func(b *bmc) { b.task = true }, proven: true},
		{name: "makes a task and never does it", relays: fencetest.RelayFault{Dead: true}, set: func(b *bmc) { b.task = true }},
		{name: "comes back", relays: fencetest.RelayFault{FlipBack: 200 * time.Millisecond}},
		{name: "answers 500 and acts", web: fencetest.WebFault{Orders: 9}, proven: true},
		{name: "acts and cuts the connection", web: fencetest.WebFault{Lost: 9}, proven: true},
		{name: "is off already", set: func(b *bmc) { b.relays.Tell(0, false) }, proven: true},
		{name: "cuts three readings off", web: fencetest.WebFault{Cut: 3}, proven: true},
		{name: "answers half of each reading", web: fencetest.WebFault{Half: 1 << 20}},
		{name: "answers nonsense for ever", web: fencetest.WebFault{Garbled: 1 << 20}},
		{name: "shows a login page with 200", web: fencetest.WebFault{Login: true}},
		{name: "answers a megabyte", web: fencetest.WebFault{Long: true}},
		{name: "redirects to another host", web: fencetest.WebFault{Elsewhere: "https://192.0.2.1/redfish/v1/Systems"}},
		{name: "denies everything", web: fencetest.WebFault{Denied: true}},
		{name: "restarts after the order", web: fencetest.WebFault{Down: time.Second}, proven: true},
		{name: "takes 150 ms for each answer", web: fencetest.WebFault{Slow: 150 * time.Millisecond}, proven: true},
		{name: "does not allow ForceOff", set: func(b *bmc) { b.forbid = true }},
		{name: "says PoweringOff for ever", set: func(b *bmc) { b.state = `"PoweringOff"` }},
		{name: "says null", set: func(b *bmc) { b.state = `null` }},
		{name: "says off in small letters", set: func(b *bmc) { b.state = `"off"` }},
		{name: "says false", set: func(b *bmc) { b.state = `false` }},
		{name: "says Off and On", set: func(b *bmc) { b.state = `"Off", "PowerState": "On", "Power": "On"` }},
		{name: "says Off in an object", set: func(b *bmc) { b.state = `{"PowerState": "Off"}` }},
	} {
		for _, kind := range trees {
			t.Run(kind.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				b := newBMC(t, kind)
				limit := 1500 * time.Millisecond
				if m.proven {
					limit = 9 * time.Second
				}
				if m.set != nil {
					b.set(func() { m.set(b) })
				}
				if strings.Contains(b.state, `"PowerState": "On"`) && kind.legacy {
					b.set(func() { b.state = `"Off", "Power": "On"` })
				}
				_, _, p := b.drive(t, b.config())
				b.relays.Fail(m.relays)
				b.web.Fail(m.web)
				proof, err := p.Off(within(t, limit))
				power := b.relays.HasPower(0)
				if proof.Proven && power {
					t.Fatalf("LIE: proven off and has power: %s", proof.Evidence)
				}
				if proof.Proven != m.proven || proof.Proven != (err == nil) {
					t.Errorf("proven %v, want %v (has power: %v): %v; %s", proof.Proven, m.proven, power, err, proof.Detail)
				}
			})
		}
	}
}

func TestALyingBMCIsNeverGradedByItsMeter(t *testing.T) {
	b := newBMC(t, idrac)
	_, _, p := b.drive(t, b.config())
	b.relays.Fail(fencetest.RelayFault{Lie: true})
	if proof, _ := p.Off(within(t, 6*time.Second)); proof.Grade == fence.GradeLoad {
		t.Errorf("graded %q: %s", proof.Grade, proof.Evidence)
	}
}

func TestOneOfSeveralSystemsMustBeNamed(t *testing.T) {
	kind := idrac
	kind.more = 2
	b := newBMC(t, kind)
	u, s, p := b.drive(t, b.config())
	ctx := within(t, 5*time.Second)
	if err := s.SwitchOff(ctx); !errors.Is(err, fence.ErrNoOutlet) || !strings.Contains(err.Error(), "System.Embedded.1, other0, other1") {
		t.Errorf("switched without a name: %v", err)
	}
	if _, err := p.Off(within(t, 700*time.Millisecond)); err == nil || b.relays.Orders() != 0 {
		t.Errorf("proven (%v), with %d orders", err, b.relays.Orders())
	}
	for selector, want := range map[string]bool{"System.Embedded.1": true, "Embedded.1": false, "other9": false, "system.embedded.1": false} {
		sw, err := u.Outlet(selector)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := sw.Read(ctx); (err == nil) != want || (r.Power == fence.PowerOn) != want {
			t.Errorf("%s reads %v (%v)", selector, r.Power, err)
		}
	}
}

func TestTheServerSaysWhatItIs(t *testing.T) {
	want := map[string]fence.Identity{
		"idrac":   {Family: "redfish", Model: "Dell Inc. PowerEdge R640", Serial: "CN7016360A0123", Firmware: "2.12.2", Outlets: 1, Outlet: "System.Embedded.1", Name: "fw2"},
		"ilo5":    {Family: "redfish", Model: "Dell Inc. PowerEdge R640", Serial: "CN7016360A0123", Firmware: "2.12.2", Outlets: 1, Outlet: "1", Name: "fw2"},
		"ilo4":    {Family: "ilo-rest", Model: "HP ProLiant DL360 Gen8", Serial: "CN7016360A0123", Firmware: "P71 07/01/2015", Outlets: 1, Outlet: "1", Name: "fw2"},
		"openbmc": {Family: "redfish", Model: "Dell Inc. PowerEdge R640", Serial: "CN7016360A0123", Firmware: "2.12.2", Outlets: 1, Outlet: "system", Name: "fw2"},
	}
	for _, kind := range trees {
		b := newBMC(t, kind)
		u, _, _ := b.drive(t, b.config())
		ctx := within(t, 5*time.Second)
		if id, err := u.Identify(ctx); err != nil || id != want[kind.name] {
			t.Errorf("%s is\n%+v (%v), want\n%+v", kind.name, id, err, want[kind.name])
		}
		all, err := u.List(ctx)
		if err != nil || len(all) != 1 || all[0].Power != fence.PowerOn || all[0].Index != want[kind.name].Outlet {
			t.Errorf("%s lists %+v (%v)", kind.name, all, err)
		}
	}
}

func TestOnlyTheRightCertificateIsSpokenTo(t *testing.T) {
	b := newBMC(t, idrac)
	var pem strings.Builder
	writePEM(&pem, b.server.Certificate().Raw)
	good := b.config().Trust.Fingerprint
	for _, c := range []struct {
		name  string
		trust http.Trust
		ok    bool
	}{
		{"system's roots", http.Trust{}, false},
		{"another fingerprint", http.Trust{Fingerprint: strings.Repeat("00", 32)}, false},
		{"its fingerprint with colons, in capitals", http.Trust{Fingerprint: colons(strings.ToUpper(good))}, true},
		{"its authority", http.Trust{CA: pem.String()}, true},
		{"insecure", http.Trust{Insecure: true}, true},
	} {
		conf := b.config()
		conf.Trust = c.trust
		u, s, _ := b.drive(t, conf)
		before := len(b.web.Seen())
		err := s.SwitchOff(within(t, 5*time.Second))
		if (err == nil) != c.ok && !strings.Contains(err.Error(), "already") {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.ok && (len(b.web.Seen()) != before || !strings.Contains(err.Error(), good)) {
			t.Errorf("%s: the BMC was asked, or its fingerprint is not shown: %v", c.name, err)
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestASessionThatRanOutIsRenewed(t *testing.T) {
	b := newBMC(t, ilo5)
	c := b.config()
	c.Session = true
	u, s, _ := b.drive(t, c)
	ctx := within(t, 5*time.Second)
	for range 2 {
		if _, err := s.Read(ctx); err != nil {
			t.Fatal(err)
		}
		b.set(func() { clear(b.sessions) })
	}
	if err := s.SwitchOff(ctx); err != nil || b.logins != 3 {
		t.Errorf("off: %v after %d logins", err, b.logins)
	}
	if err := u.Close(); err != nil || len(b.sessions) != 0 {
		t.Errorf("close: %v, %d sessions are open", err, len(b.sessions))
	}
}

func TestAWrongPasswordIsNamedAndNotRepeated(t *testing.T) {
	for _, session := range []bool{false, true} {
		b := newBMC(t, idrac)
		c := b.config()
		c.Password, c.Session = "wr0ng", session
		_, s, _ := b.drive(t, c)
		_, err := s.Read(within(t, 5*time.Second))
		if err == nil || !strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("session %v: %v", session, err)
		}
		if n := len(b.web.Seen()); n != 1 {
			t.Errorf("session %v: asked %d times, the BMC may lock the account: %q", session, n, b.web.Seen())
		}
	}
}

func TestWhatTheBMCSaysOfARefusalIsShown(t *testing.T) {
	for kind, want := range map[*tree]string{&idrac: "HTTP 409: \"Server is already powered OFF.\"", &ilo5: "InvalidOperationForSystemState"} {
		b := newBMC(t, *kind)
		b.relays.Tell(0, false)
		_, s, _ := b.drive(t, b.config())
		if err := s.SwitchOff(within(t, 5*time.Second)); !errors.Is(err, fence.ErrAlreadyOff) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", kind.name, err, want)
		}
	}
}

func TestOnlyForceOffAndOnAreEverOrdered(t *testing.T) {
	for _, kind := range trees {
		b := newBMC(t, kind)
		_, s, _ := b.drive(t, b.config())
		ctx := within(t, 5*time.Second)
		if err := errors.Join(s.SwitchOff(ctx), s.SwitchOn(ctx)); err != nil {
			t.Fatal(err)
		}
		for _, body := range b.bodies {
			if !strings.Contains(body, "ResetType:ForceOff") && !strings.Contains(body, "ResetType:On") {
				t.Errorf("%s: ordered %s", kind.name, body)
			}
		}
		if len(b.bodies) < 2 {
			t.Errorf("%s: ordered %q", kind.name, b.bodies)
		}
	}
}

func TestABadConfigIsRefused(t *testing.T) {
	for _, c := range []Config{
		{},
		{Address: "bmc/path"},
		{Address: "ftp://bmc"},
		{Address: "bmc", Timeout: -1},
		{Address: "bmc", Session: true},
		{Address: "bmc", Trust: http.Trust{Fingerprint: "12:34"}},
		{Address: "bmc", Trust: http.Trust{CA: "no PEM"}},
		{Address: "bmc", Trust: http.Trust{Insecure: true, Fingerprint: strings.Repeat("0", 64)}},
		{Address: "http://bmc", Trust: http.Trust{Insecure: true}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// fence_redfish is the reference of the field: what it switches on a healthy
// BMC, we do, too.
func TestFenceRedfishAgreesOnAHealthyBMC(t *testing.T) {
	program, err := exec.LookPath("fence_redfish")
	if err != nil {
		t.Skip("fence_redfish of Debian's fence-agents is not installed")
	}
	for _, kind := range []tree{idrac, ilo5} {
		b := newBMC(t, kind)
		host, port, err := net.SplitHostPort(b.address())
		if err != nil {
			t.Fatal(err)
		}
		agent := func(action string) (string, error) {
			cmd := exec.CommandContext(within(t, 30*time.Second), program, "--ip", host, "--ipport", port, "--username", testUser,
				"--password", testPassword, "--ssl-insecure", "--action", action)
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		_, s, p := b.drive(t, b.config())
		if out, err := agent("status"); err != nil {
			t.Fatalf("%s: its status on a server that is on: %v: %s", kind.name, err, out)
		}
		began := time.Now()
		out, err := agent("off")
		theirs := time.Since(began)
		if err != nil || b.relays.HasPower(0) {
			t.Fatalf("%s: its off: %v, has power: %v: %s", kind.name, err, b.relays.HasPower(0), out)
		}
		if r, err := s.Read(within(t, 5*time.Second)); r.Power != fence.PowerOff {
			t.Errorf("%s: after its off we read %v (%v)", kind.name, r.Power, err)
		}
		if err := p.On(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		proof, err := p.Off(within(t, 8*time.Second))
		if err != nil || b.relays.HasPower(0) {
			t.Fatalf("%s: our off: %v", kind.name, err)
		}
		t.Logf("%s: fence_redfish %v; ours %v, with the proof (%s)", kind.name, theirs.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), proof.Evidence)
		if out, err := agent("status"); err == nil {
			t.Errorf("%s: it does not see our off: %s", kind.name, out)
		}
	}
}

// A BMC that is reached under another name redirects there; that name is not
// spoken to, and learns no password.
func TestARedirectTakesNoPasswordAway(t *testing.T) {
	asked := make(chan string, 10)
	thief := httptest.NewTLSServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		asked <- r.Header.Get("Authorization")
	}))
	defer thief.Close()
	b := newBMC(t, idrac)
	b.web.Fail(fencetest.WebFault{Elsewhere: thief.URL + "/redfish/v1/Systems"})
	c := b.config()
	c.Trust = http.Trust{Insecure: true}
	_, s, _ := b.drive(t, c)
	if _, err := s.Read(within(t, 5*time.Second)); err == nil || !strings.Contains(err.Error(), "leads elsewhere") {
		t.Errorf("followed: %v", err)
	}
	if len(asked) != 0 {
		t.Errorf("the other host was asked, with %q", <-asked)
	}
}

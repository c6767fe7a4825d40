package cli

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

// hasDriver is the conditions [driver:NAME] and [service:NAME]: whether this
// build has a driver of fences or of services.
func hasDriver(condition string) (bool, error) {
	if name, ok := strings.CutPrefix(condition, "driver:"); ok {
		return agent.HasFenceDriver(name) == nil, nil
	}
	if name, ok := strings.CutPrefix(condition, "service:"); ok {
		_, err := service.New(service.Spec{Name: "s", Driver: name, Unit: "/opt/x"})
		return err == nil, nil
	}
	if condition == "lite" {
		return len(lacking) > 1, nil // the full build lacks simulate
	}
	return false, fmt.Errorf("unknown condition %q", condition)
}

// startStrip serves a power strip by SNMP in this process: strip NAME SHAPE
// OUTLETS [LIE]. $NAME becomes its address.
func startStrip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: strip NAME SHAPE OUTLETS [LIE...]")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	pdu := snmptest.New(snmptest.ShapeOf(args[1]), n)
	pdu.Name(1, "fw1, PSU 1")
	pdu.Behave(lies(ts, args[3:]))
	agent, err := snmptest.Serve(pdu)
	ts.Check(err)
	ts.Defer(agent.Stop)
	ts.Setenv(args[0], agent.Address())
	strips(ts)[args[0]] = pdu
}

func lies(ts *testscript.TestScript, words []string) snmptest.Lies {
	var l snmptest.Lies
	for _, w := range words {
		switch w {
		case "dead":
			l.Dead = true
		case "welded":
			l.Welded = true
		case "onlyone":
			l.OnlyOne = true
		case "metered":
			l.Metered = true
		case "deaf":
			l.Deaf = true
		case "unmetered":
			l.Unmetered = true
		default:
			ts.Fatalf("no lie is called %s", w)
		}
	}
	return l
}

func strips(ts *testscript.TestScript) map[string]*snmptest.PDU {
	return ts.Value(stripsKey{}).(map[string]*snmptest.PDU)
}

type stripsKey struct{}

// relay tells the truth of outlets: relay NAME on|off OUTLET...
func relay(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: relay NAME on|off OUTLET...")
	}
	for _, s := range args[2:] {
		n, err := strconv.Atoi(s)
		ts.Check(err)
		if on := strips(ts)[args[0]].HasPower(n); (on == (args[1] == "on")) == neg {
			ts.Fatalf("outlet %d of %s: has power is %v", n, args[0], on)
		}
	}
}

// orders says which orders a strip took, in any order: orders NAME WORD...
func stripOrders(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: taken NAME ORDER...")
	}
	got := strips(ts)[args[0]].Orders()
	slices.Sort(got)
	if want := args[1:]; strings.Join(got, " ") != strings.Join(want, " ") {
		ts.Fatalf("%s took %q, want %q", args[0], got, want)
	}
}

func TestEveryFlagOfADeviceIsAKeyOfTheConfiguration(t *testing.T) {
	for _, f := range deviceFlags {
		o := &options{device: map[string]any{f.key: "x"}}
		_, err := o.flagDevice(nil)
		if err != nil && strings.Contains(err.Error(), "unknown key") {
			t.Errorf("--%s: %v", f.flag, err)
		}
	}
}

func TestOutletsAreAListOrRepeated(t *testing.T) {
	for _, tt := range []struct {
		given []string
		want  []string // nil: refused
	}{
		{[]string{"3"}, []string{"3"}},
		{[]string{"1,5"}, []string{"1", "5"}},
		{[]string{`fw1\, PSU 1,7`}, []string{"fw1, PSU 1", "7"}},
		{[]string{"fw1, PSU 1", "fw1, PSU 2"}, []string{"fw1, PSU 1", "fw1, PSU 2"}},
		{[]string{"1", "5"}, []string{"1", "5"}},
		{[]string{"1,5", "6"}, nil}, // a list and a repeat: which is meant?
		{[]string{"1,1"}, nil},
		{[]string{"1,"}, nil},
		{[]string{""}, nil},
	} {
		got, err := outletList(tt.given)
		if (err != nil) != (tt.want == nil) || err == nil && !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v", tt.given, got, err)
		}
	}
	if got, err := outletList(nil); len(got) != 0 || err != nil {
		t.Errorf("none given: %q, %v", got, err)
	}
}

func TestCtrlCDuringOffSaysThatTheStateIsUnknown(t *testing.T) {
	if err := agent.HasFenceDriver("apc"); err != nil {
		t.Skip(err)
	}
	pdu := snmptest.New(snmptest.ShapeOf("apc-rpdu"), 8)
	pdu.Behave(snmptest.Lies{Dead: true})
	card, err := snmptest.Serve(pdu)
	if err != nil {
		t.Fatal(err)
	}
	defer card.Stop()
	go func() { // it holds SIGINT from before the first request
		for end := time.Now().Add(soon); len(pdu.Orders()) == 0 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
	}()
	code, out, errs := call(t, "", "fence", "off", "--json", "--driver", "apc", "--address", card.Address(), "--outlet", "3", "--community", "private",
		"--config", "/nonexistent")
	if code != exitUnproven || !strings.Contains(errs, "twinbeat: interrupted: the state of "+card.Address()+":3 is unknown") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if !strings.Contains(out, `"proven":false`) || !strings.Contains(out, `"exit_code":5}`) {
		t.Errorf("got %s", out)
	}
}

func TestProgressTellsAReadingOnce(t *testing.T) {
	var out bytes.Buffer
	tr := newTrace(&out)
	for range 2 * maxReadings {
		tr.note(reading{Outlet: "pdu:1", Did: "read", Power: "on", Pending: "none"}, time.Now())
	}
	tr.note(reading{Outlet: "pdu:1", Did: "read", Power: "off", Pending: "none"}, time.Now())
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("%d lines:\n%s", got, out.String())
	}
	kept, dropped := tr.all()
	if len(kept) != maxReadings || dropped != maxReadings+1 || kept[maxReadings-1].Power != "off" {
		t.Errorf("%d kept, %d dropped", len(kept), dropped)
	}
}

func TestAddressesAreComparedByTheirHost(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"192.0.2.20", "192.0.2.20:161"}: true, {"https://PDU/", "pdu"}: true, {"[2001:db8::1]:161", "2001:db8::1"}: true,
		{"192.0.2.20", "192.0.2.21"}: false, {"", ""}: false,
	} {
		if got := sameHost(pair[0], pair[1]); got != want {
			t.Errorf("%v: %v", pair, got)
		}
	}
}

func TestExitCodesOfAnErrorAreFoundBehindOthers(t *testing.T) {
	for want, err := range map[int]error{
		exitRefused: fmt.Errorf("off: %w", refuse("x", "")), exitUsage: fmt.Errorf("off: %w", &usageError{text: "x"}), exitFailed: os.ErrClosed, exitDegraded: errDegraded,
	} {
		if got := exitOf(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

package exec

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

func TestMain(m *testing.M) {
	fencetest.Main()
	os.Exit(m.Run())
}

func program(t *testing.T, edit func(*Config)) (*fencetest.Program, fence.Device) {
	t.Helper()
	p, err := fencetest.NewProgram(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Name: "pdu", Off: p.Argv("off"), On: p.Argv("on"), Status: p.Argv("status"), Timeout: 2 * time.Second}
	if edit != nil {
		edit(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p, d
}

func TestOffIsProvenByARealCommand(t *testing.T) {
	p, d := program(t, nil)
	proof, err := d.Off(t.Context())
	if err != nil || !proof.Proven || p.HasPower() {
		t.Fatalf("proof %+v, err %v, power %v", proof, err, p.HasPower())
	}
	if !strings.HasPrefix(proof.Evidence, "off, relay claim only: by the word of the command, read twice") {
		t.Errorf("evidence %q", proof.Evidence)
	}
	if proof.Took < fence.Gap {
		t.Errorf("took %v, less than the gap between two readings", proof.Took)
	}
	if err := d.On(t.Context()); err != nil || !p.HasPower() {
		t.Errorf("on: %v, power %v", err, p.HasPower())
	}
}

func TestAnythingButTheExactTextIsUnknown(t *testing.T) {
	cases := []struct {
		text string
		code int
		want fence.Power
	}{
		{"off", 0, fence.PowerOff},
		{"  off\r\n", 0, fence.PowerOff},
		{"on\n", 0, fence.PowerOn},
		{"off", 1, fence.PowerUnknown},
		{"on", 1, fence.PowerUnknown},
		{"OFF", 0, fence.PowerUnknown},
		{"off off", 0, fence.PowerUnknown},
		{"off\noff", 0, fence.PowerUnknown},
		{"offline", 0, fence.PowerUnknown},
		{"Status: OFF", 0, fence.PowerUnknown},
		{"noSuchInstance", 0, fence.PowerUnknown},
		{"\x00", 0, fence.PowerUnknown},
		{strings.Repeat("x", 9000) + strings.Repeat(" ", 9000) + "off", 0, fence.PowerUnknown}, // the end alone reads off
	}
	for _, c := range cases {
		p, d := program(t, nil)
		if err := p.Print(c.text, c.code); err != nil {
			t.Fatal(err)
		}
		got, err := d.Status(t.Context())
		if got != c.want || (err != nil) != (c.want == fence.PowerUnknown) {
			t.Errorf("%.20q, code %d: %v, %v; want %v", c.text, c.code, got, err, c.want)
		}
	}
}

func TestConfiguredTextsAreUsed(t *testing.T) {
	p, d := program(t, func(c *Config) { c.OffText, c.OnText = "outlet 3: Off", "outlet 3: On" })
	for text, want := range map[string]fence.Power{"outlet 3: Off\n": fence.PowerOff, "outlet 3: On": fence.PowerOn, "off": fence.PowerUnknown} {
		if err := p.Print(text, 0); err != nil {
			t.Fatal(err)
		}
		if got, _ := d.Status(t.Context()); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestACommandThatClaimsSuccessAndDoesNothingProvesNothing(t *testing.T) {
	p, d := program(t, nil)
	if err := p.Dead(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	proof, err := d.Off(ctx)
	if proof.Proven || !errors.Is(err, fence.ErrUnproven) || !p.HasPower() {
		t.Errorf("proof %+v, err %v", proof, err)
	}
}

func TestHangingCommandsProveNothingAndEnd(t *testing.T) {
	for _, verb := range []string{"off", "status"} {
		p, d := program(t, func(c *Config) { c.Timeout = 200 * time.Millisecond })
		if err := p.Hang(verb, time.Hour); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		proof, err := d.Off(ctx)
		cancel()
		if proof.Proven || !errors.Is(err, fence.ErrUnproven) {
			t.Errorf("%s hangs: proof %+v, err %v", verb, proof, err)
		}
	}
}

func TestMissingProgramProvesNothing(t *testing.T) {
	_, d := program(t, func(c *Config) { c.Off, c.Status = []string{"/no/such/pdu"}, []string{"/no/such/pdu"} })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	proof, err := d.Off(ctx)
	if proof.Proven || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("proof %+v, err %v", proof, err)
	}
}

func TestArgumentsAreNotReadByAShell(t *testing.T) {
	marker := t.TempDir() + "/x"
	_, d := program(t, func(c *Config) { c.Status = []string{"/bin/echo", "off; touch " + marker, "$(touch " + marker + ")"} })
	if p, _ := d.Status(t.Context()); p != fence.PowerUnknown {
		t.Errorf("power %v", p)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a shell ran the argument")
	}
}

func TestNewRefusesADeviceThatCouldProveNothing(t *testing.T) {
	ok := Config{Name: "pdu", Off: []string{"off"}, Status: []string{"status"}}
	if _, err := New(ok); err != nil {
		t.Fatal(err)
	}
	bad := map[string]func(*Config){
		"name":        func(c *Config) { c.Name = "" },
		"off command": func(c *Config) { c.Off = nil },
		"status":      func(c *Config) { c.Status = nil },
		"both read":   func(c *Config) { c.OnText = " off " },
		"negative":    func(c *Config) { c.Timeout = -1 },
		"holdup":      func(c *Config) { c.Holdup = time.Hour },
	}
	for want, edit := range bad {
		c := ok
		edit(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	d, _ := New(ok)
	if err := d.On(t.Context()); err == nil || !strings.Contains(err.Error(), "no on command") {
		t.Errorf("on without a command: %v", err)
	}
}

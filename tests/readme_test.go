package tests

import (
	"context"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/exec"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

// readmeScript writes README's script for lite to a file, with the address of
// another device and its secret beside it.
func readmeScript(t *testing.T, address string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```sh\n")
	script, _, found := strings.Cut(rest, "```")
	if n := strings.Count(script, "\n"); !found || n > 15 {
		t.Fatalf("a script of %d lines in README, found %v", n, found)
	}
	dir := t.TempDir()
	script = strings.NewReplacer("192.0.2.20", address, "/etc/twinbeat", dir).Replace(script)
	file := filepath.Join(dir, "pdu")
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "snmp.conf"), []byte("defVersion 2c\ndefCommunity private\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheScriptInReadmeFencesByNetSNMP(t *testing.T) {
	for _, name := range []string{"snmpget", "snmpset"} {
		if _, err := osexec.LookPath(name); err != nil {
			t.Skipf("net-snmp's tools are not installed: %v", err)
		}
	}
	pdu := snmptest.New(snmptest.ShapeOf("apc-rpdu"), 8)
	card, err := snmptest.Serve(pdu)
	if err != nil {
		t.Fatal(err)
	}
	defer card.Stop()
	file := readmeScript(t, card.Address())
	sw, err := exec.NewSwitch(exec.Config{
		Name: "pdu", Off: []string{file, "off", "3"}, On: []string{file, "on", "3"}, Status: []string{file, "status", "3"}, Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	reads := func(want fence.Power, what string) {
		t.Helper()
		if r, err := sw.Read(context.Background()); r.Power != want || (err == nil) != (want != fence.PowerUnknown) {
			t.Errorf("%s: read as %v, %v", what, r.Power, err)
		}
	}
	reads(fence.PowerOn, "at first")
	if err := sw.SwitchOff(context.Background()); err != nil || pdu.HasPower(3) || !pdu.HasPower(2) {
		t.Errorf("off: %v, %q", err, pdu.Orders())
	}
	reads(fence.PowerOff, "after off")
	if err := sw.SwitchOn(context.Background()); err != nil || !pdu.HasPower(3) {
		t.Errorf("on: %v, %q", err, pdu.Orders())
	}
	reads(fence.PowerOn, "after on")
	for what, lies := range map[string]snmptest.Lies{
		"a status that is neither": {Status: 3}, "a text that begins as off": {Status: "2 2"}, "no status": {NoStatus: true},
		"a command pending": {Status: 2, Pending: 1}, "pending not known": {Status: 2, NoPending: true}, "no answer": {Deaf: true},
	} {
		pdu.Behave(lies)
		reads(fence.PowerUnknown, what)
	}
	pdu.Behave(snmptest.Lies{Error: gosnmp.GenErr})
	if err := sw.SwitchOff(context.Background()); err == nil || !pdu.HasPower(3) {
		t.Errorf("refused off: %v, %q", err, pdu.Orders())
	}
}

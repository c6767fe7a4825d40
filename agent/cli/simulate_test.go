//go:build !lite

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/sim"
)

func simulates(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := Main(append([]string{"simulate"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestSimulateRepeatsItsDigest(t *testing.T) {
	var digests []string
	for range 2 {
		code, out, errs := simulates(t, "--seeds", "6", "--seed", "3", "--mode", "lease", "--json")
		var a simulated
		if err := json.Unmarshal([]byte(out), &a); code != exitWell || err != nil || a.Schedules != 6 || a.Hours < 0.9 {
			t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
		}
		digests = append(digests, a.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("digests %v", digests)
	}
}

func TestSimulateReplaysAndCutsDownAFailure(t *testing.T) {
	t.Chdir(t.TempDir())
	for seed := uint64(1); seed < 200; seed++ {
		c, s := sim.Draw(seed, pair.ModeSilence)
		c.Mutant, c.Wire = sim.ProbeBlind, false
		if sim.Run(c, s).Violation == nil {
			continue
		}
		if err := os.WriteFile("big.sched", []byte(sim.Format(c, s)), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := simulates(t, "--replay", "big.sched", "--json")
		var a simulated
		if err := json.Unmarshal([]byte(out), &a); code != exitFailed || err != nil || a.Violations != 1 || a.Mode != "silence" || a.First != seed {
			t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
		}
		code, out, errs = simulates(t, "--replay", "big.sched", "--minimise")
		if code != exitFailed || !strings.Contains(errs, "two owners") || !strings.Contains(errs, "hint: cut down") {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
		return
	}
	t.Fatal("no run of the mutant fails")
}

func TestSimulateRefusesAnUnknownMode(t *testing.T) {
	if code, _, errs := simulates(t, "--mode", "hope"); code != exitUsage || !strings.Contains(errs, "hope") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

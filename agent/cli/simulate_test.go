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

// slicing gives the test sources of its own and short slices.
func slicing(t *testing.T) {
	t.Helper()
	seeds, digest := sliceSeeds, sources
	sliceSeeds, sources = 4, "feed"
	t.Cleanup(func() { sliceSeeds, sources = seeds, digest })
	t.Chdir(t.TempDir())
}

func results(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("r.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestSimulateGoesOnWhereItWasInterrupted(t *testing.T) {
	slicing(t)
	if code, out, errs := simulates(t, "--seeds", "8", "--seed", "3", "--results", "r.jsonl", "--record", "no.md"); code != exitWell || strings.Count(out, "\n") != 3 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if err := os.Remove("no.md"); err != nil {
		t.Fatal(err)
	}
	lines := results(t)
	torn := lines[0] + lines[1][:40] // as a kill in the middle of a write leaves it
	if err := os.WriteFile("r.jsonl", []byte(torn), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := simulates(t, "--seeds", "10", "--seed", "3", "--results", "r.jsonl", "--record", "r.md", "--json")
	var a, whole simulated
	if err := json.Unmarshal([]byte(out), &a); code != exitWell || err != nil || a.Schedules != 10 {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
	}
	if now := results(t); len(now) != 4 || now[0] != lines[0] {
		t.Errorf("%d lines, want the first slice as it was, the torn one and two played now: %q", len(now), now)
	}
	_, out, _ = simulates(t, "--seeds", "10", "--seed", "3", "--json")
	if err := json.Unmarshal([]byte(out), &whole); err != nil || whole.Digest != a.Digest || whole.Faults != a.Faults || whole.Pairs != a.Pairs || whole.LeastFaults != a.LeastFaults {
		t.Errorf("slices came to %+v, one call to %+v", a, whole)
	}
	record, err := os.ReadFile("r.md")
	if err != nil || !strings.Contains(string(record), "`twinbeat simulate --seeds 10 --seed 3`") || !strings.Contains(string(record), whole.Digest) || strings.Count(string(record), "\n| ") != 4 {
		t.Errorf("%v: %s", err, record)
	}
}

func TestSimulateNeverMixesSlicesOfOtherSources(t *testing.T) {
	slicing(t)
	for i, digest := range []string{"feed", "f00d", "feed"} {
		sources = digest
		if code, out, errs := simulates(t, "--seeds", "4", "--mode", "fence", "--results", "r.jsonl"); code != exitWell {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
		if n := len(results(t)); n != min(i+1, 2) {
			t.Errorf("%d slices after call %d", n, i+1)
		}
	}
	sources = ""
	if code, _, errs := simulates(t, "--seeds", "4", "--results", "r.jsonl"); code != exitFailed || !strings.Contains(errs, "make simulate") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// Each kind of campaign has its section; the last one of a kind stays.
func TestSimulateKeepsTheRecordsOfOtherCampaigns(t *testing.T) {
	slicing(t)
	for _, args := range [][]string{{"--seeds", "2"}, {"--seeds", "3", "--mode", "fence"}, {"--seeds", "4"}} {
		if code, out, errs := simulates(t, append(args, "--results", "r.jsonl", "--record", "r.md")...); code != exitWell {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
	}
	b, err := os.ReadFile("r.md")
	text := string(b)
	if err != nil || strings.Count(text, "## ") != 2 || !strings.Contains(text, "--seeds 4 --seed 1`") || !strings.Contains(text, "--seeds 3 --seed 1 --mode fence`") {
		t.Errorf("%v: %s", err, text)
	}
}

// A slice in which a rule was broken is told of by every later call.
func TestSimulateRemembersABrokenSlice(t *testing.T) {
	slicing(t)
	bad := slice{simulated: simulated{First: 1, Seeds: 4, Schedules: 4, Violations: 1, Violation: "seed 2: two owners", Schedule: "s", Digest: "00"}, Sources: sources}
	if err := appendSlice("r.jsonl", &bad); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := simulates(t, "--seeds", "4", "--results", "r.jsonl"); code != exitFailed || !strings.Contains(errs, "two owners") {
		t.Errorf("exit %d: %s", code, errs)
	}
	good := bad
	good.Digest = "01"
	if err := appendSlice("r.jsonl", &good); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := simulates(t, "--seeds", "4", "--results", "r.jsonl"); code != exitFailed || !strings.Contains(errs, "does not repeat") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestSimulateRefusesFlagsThatMeanNothing(t *testing.T) {
	for _, args := range []string{"--minimise", "--record x", "--results x --trace", "--results x --replay y"} {
		if code, _, errs := simulates(t, strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, "goes with") {
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
	}
}

func TestSimulateRefusesAnUnknownMode(t *testing.T) {
	if code, _, errs := simulates(t, "--mode", "hope"); code != exitUsage || !strings.Contains(errs, "hope") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

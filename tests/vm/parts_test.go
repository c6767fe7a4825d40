package vm

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnInitramfsIsWhatCpioReads(t *testing.T) {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("busybox is not installed:", err)
	}
	want := tree{"init": []byte("#!/bin/sh\n"), "etc/twinbeat/keys": []byte("secret"), "lib/modules/a.ko": bytes.Repeat([]byte{7}, 4097), "empty": nil}
	dir := t.TempDir()
	cmd := exec.Command("busybox", "cpio", "-i", "-d")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(want.cpio())
	if out, err := cmd.CombinedOutput(); err != nil && os.Geteuid() == 0 { // the console needs root
		t.Fatalf("%v: %s", err, out)
	}
	for name, data := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v, %d bytes, want %d", name, err, len(got), len(data))
		}
	}
	if s, err := os.Stat(filepath.Join(dir, "etc/twinbeat/keys")); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("keys: %v, %v", s, err)
	}
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	ko := func(needs string) []byte {
		return []byte("\x7fELF\x00license=GPL\x00depends=" + needs + "\x00name=x\x00")
	}
	files := map[string][]byte{
		"ext4": ko("mbcache,jbd2,crc16"), "jbd2": ko(""), "mbcache": ko(""), "crc16": ko(""),
		"nf_tables": ko("nfnetlink,libcrc32c"), "nfnetlink": ko(""), "libcrc32c": ko(""), "virtio_pci": ko("virtio-ring"), "virtio_ring": ko(""),
	}
	got, err := inOrder([]string{"nf_tables", "ext4", "virtio-pci"}, func(name string) ([]string, error) { return moduleNeeds(files[name]), nil })
	want := strings.Fields("nfnetlink libcrc32c nf_tables mbcache jbd2 crc16 ext4 virtio_ring virtio_pci")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestAPlanFollowsFromItsSeedAndIsAllowed(t *testing.T) {
	seen := map[string]bool{}
	for n := range 2000 {
		p := newPlan(3, n)
		if again := newPlan(3, n); !reflect.DeepEqual(p, again) {
			t.Fatalf("%s, then %s", p, again)
		}
		if len(p.Strokes) < 1 || len(p.Strokes) > 2 || p.Hold < holdLeast || p.Hold > holdMost {
			t.Fatalf("bad plan %s", p)
		}
		var touched []string
		for _, name := range p.Strokes {
			seen[name] = true
			s := strokes[slices.IndexFunc(strokes, func(s stroke) bool { return s.name == name })]
			if s.fenced && p.Mode != "fence" || !goWith(p.Mode, touched, s.touches) {
				t.Fatalf("plan %s: %s is not allowed", p, name)
			}
			touched = append(touched, s.touches)
		}
	}
	if len(seen) != len(strokes) {
		t.Errorf("drew %d strokes of %d", len(seen), len(strokes))
	}
}

func TestResultsAreNotPlayedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results")
	for n := range 3 {
		r := result{plan: newPlan(1, 2*n), Seed: uint64(n % 2)}
		if err := errors.Join(appendRow(file, row{Chaos: &r}), appendRow(file, row{Scenario: &seen{Name: "power-cut"}})); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := readRows(file)
	if got, want := played(rows, 0), map[int]bool{0: true, 4: true}; err != nil || len(rows) != 6 || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v of %d rows, want %v", got, err, len(rows), want)
	}
	if err := os.WriteFile(file, []byte("{\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readRows(file); err == nil || !strings.Contains(err.Error(), "results:1") {
		t.Errorf("broken file: %v", err)
	}
}

func TestTheRecordSaysWhatWasSeen(t *testing.T) {
	p := newPlan(1, 5)
	got := recordOf([]row{
		{Commit: "c1", Reset: &bitten{Cause: "lease", Timeout: 9000, AfterMS: 9100, BeforeMS: 8000, OutageMS: 200, Evidence: "released", Reason: "watchdog-reset"}},
		{Commit: "c2", Reset: &bitten{Cause: "lease", Timeout: 9000, AfterMS: 9300, BeforeMS: 7000, OutageMS: 400, Evidence: "released", Wrong: "no\nreason"}},
		{Commit: "c2", Scenario: &seen{Name: "power-cut", Scale: 1, OutageMS: 3900, Owner: "fw2", Evidence: "silence"}},
		{Commit: "c2", Chaos: &result{plan: p, Seed: 1, HealMS: 1500, BothMS: 12, Violation: "both nodes were active"}},
		{Commit: "c2", Load: &loaded{Minutes: 60, Scale: 1, WorstMS: 812}},
	})
	for _, want := range []string{
		"commits c1, c2", "2 resets; both active: 0 ms", "| lease | 2 | 9 | 9.1 to 9.3 | 7.0 | 0.4 / 0.4 | released | 1 | 1 |", "- wrong: lease: no reason",
		"| power-cut | 1 | fw2 silence | 3.9 / 3.9 | 0 | 1.0 to 1.0 | 0 |", "1 iterations, **1 violations**, both active 12 ms", p.String(), "for 60 minutes", "812 ms at most",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestTheConfigurationTakesEveryScale(t *testing.T) {
	binary := os.Getenv(binaryEnv)
	if binary == "" {
		t.Skip("no binary: ", os.Getenv(skipEnv))
	}
	dir := t.TempDir()
	if out, err := exec.Command(binary, "keygen", "--out", dir+"/keys").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, scale := range []float64{1, 1.37, scaleMost} {
		for _, o := range []Options{{Mode: "silence", Baud: 115200}, {Mode: "silence", Baud: 9600}, {Mode: "lease", Baud: 115200}, {Mode: "silence", Baud: 115200, Guarded: true}} {
			p := &Pair{Options: o, Timing: Timing{scale}}
			text := strings.ReplaceAll(p.config(), "/etc/twinbeat", dir)
			if err := os.WriteFile(dir+"/twinbeat.toml", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(binary, "check", "--config", dir+"/twinbeat.toml", "--node", "fw1")
			cmd.WaitDelay = time.Minute
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("scale %v, %+v: %v\n%s", scale, o, err, out)
			}
		}
	}
}

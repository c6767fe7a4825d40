package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A mutant is one rule, broken.
type mutant struct {
	name  string // lower-case words with dashes: what the broken product does
	rule  string // what the sound product does, in one sentence
	rings string // names of the rings that ought to kill it, with spaces between
	by    string // pattern of the tests that hold the rule, in rings that take long; empty: all
	edits edits
}

// edits are applied together.
type edits []edit

// An edit replaces a text that must be in the file exactly once.
type edit struct{ file, old, new string }

// in returns a maker of edits of one file.
func in(file string) func(old, new string) edit {
	return func(old, new string) edit { return edit{file, old, new} }
}

// all returns every mutant.
func all() []mutant {
	return slices.Concat(pairTakeover, pairOwner, pairPeer, pairFence, pairRelease, wireMutants, loopMutants, loopFence, gateMutants, aroundMutants, snmpMutants, serviceMutants, watchdogMutants)
}

// packages returns the folders of what the mutant breaks.
func (m mutant) packages() []string {
	var out []string
	for _, e := range m.edits {
		if dir := path.Dir(e.file); !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}

// apply returns the doctored files by name. It fails if a text is not there
// exactly once, or nothing would change.
func (m mutant) apply(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	if len(m.edits) == 0 {
		return nil, fmt.Errorf("apply %s: it changes nothing", m.name)
	}
	for _, e := range m.edits {
		src, ok := files[e.file]
		if !ok {
			var err error
			if src, err = os.ReadFile(filepath.Join(root, e.file)); err != nil {
				return nil, fmt.Errorf("apply %s: %w", m.name, err)
			}
		}
		if n := bytes.Count(src, []byte(e.old)); n != 1 {
			return nil, fmt.Errorf("apply %s: %s holds %d times what is to be replaced, not once: %q", m.name, e.file, n, e.old)
		}
		if e.old == e.new {
			return nil, fmt.Errorf("apply %s: the replacement in %s is the same text", m.name, e.file)
		}
		files[e.file] = bytes.Replace(src, []byte(e.old), []byte(e.new), 1)
	}
	return files, nil
}

// A ring is a set of tests.
type ring struct {
	name  string
	parts []part
	timed bool // measures the kernel's clocks: one at a time, and a kill must be seen twice
	full  bool // takes too long but for -full
}

// A part is a package's tests.
type part struct{ pkg, run string }

// rings by cheapness.
var rings = []ring{
	{name: "vital", parts: []part{{"agent/vital", ""}}},
	{name: "watchdog", parts: []part{{"agent/watchdog", ""}}},
	{name: "report", parts: []part{{"agent/report", ""}}},
	{name: "transcripts", parts: []part{{"agent/pair", ""}}},
	{name: "config", parts: []part{{"agent/config", ""}}},
	{name: "journal", parts: []part{{"agent/journal", ""}}},
	{name: "loop", parts: []part{{"agent/loop", ""}}},
	{name: "wire", parts: []part{{"agent/wire", ""}}},
	{name: "fence", parts: []part{{"fence", ""}, {"fence/exec", ""}}},
	{name: "snmp", parts: []part{{"fence/snmp", "Judge|Inverted|Misbehaviour|Name|Chain|Replaced|Metered|Neither|Nothing|Raw"}}},
	{name: "service", parts: []part{{"agent/service", "Status|Codes|Fail|List|Chosen|AScript|Adopt|AStop|AnAction|RealOCF"}}},
	{name: "links", parts: []part{{"agent/link/mcast", ""}, {"agent/link/serial", ""}}, timed: true},
	{name: "announce", parts: []part{{"vip/announce", ""}}, timed: true},
	{name: "lease", parts: []part{{"vip/gate", ""}, {"agent", "Lease|Adopt|Gate|Token|NotRenewed|Unasked"}}, timed: true},
	{name: "sim", parts: []part{{"agent/sim", ""}}, full: true},
}

func ringNames() []string {
	var names []string
	for _, r := range rings {
		names = append(names, r.name)
	}
	return names
}

// oughtTo says whether the ring is one that must kill the mutant.
func (m mutant) oughtTo(ring string) bool { return slices.Contains(strings.Fields(m.rings), ring) }

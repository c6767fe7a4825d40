//go:build !lite

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
)

// sources is set by the build to a digest of the sources that a simulated run
// depends on; see the Makefile. Runs of other sources prove nothing of these.
var sources = ""

// sliceSeeds is how many seeds are one line of the results, and so what an
// interruption costs at most. Tests make it shorter.
var sliceSeeds uint64 = 10_000

// A slice is one line of the results.
type slice struct {
	simulated
	Sources string    `json:"sources"`
	Version string    `json:"version"`
	At      time.Time `json:"at"` // when it was played
}

// same says whether two slices stand for the same runs of the same sources.
func (s *slice) same(o *slice) bool {
	return s.First == o.First && s.Seeds == o.Seeds && s.Mode == o.Mode && s.Only == o.Only && s.Sources == o.Sources
}

// whole says whether the slice went to its end.
func (s *slice) whole() bool { return uint64(s.Schedules) == s.Seeds }

// played is what the results hold.
type played []slice

// simulateSlices plays what the results do not yet hold.
func (sh *shell) simulateSlices(o *options, c *campaign) error {
	if sources == "" {
		return &control.Error{Text: "this build does not know the digest of its sources", Advice: "make simulate N=1000000 plays slices"}
	}
	all, err := readSlices(o.results)
	if err != nil {
		return err
	}
	var part []slice
	var broken error
	for first := c.first; first < c.last && broken == nil; first += sliceSeeds {
		one := campaign{first: first, last: min(first+sliceSeeds, c.last), mode: c.mode, cuts: c.cuts}
		have, err := all.of(&one, o)
		if err == nil && have == nil {
			have, err = playSlice(o, &one)
		}
		if err == nil && !o.json {
			err = sh.print(have.line() + "\n")
		}
		if err != nil {
			return err
		}
		part = append(part, *have)
		broken = have.broken()
	}
	return errors.Join(sh.tellSlices(o, c, part), broken)
}

// playSlice plays one slice and appends it to the results.
func playSlice(o *options, c *campaign) (*slice, error) {
	start := time.Now()
	c.run()
	a, err := c.answer(o, time.Since(start))
	if err != nil {
		return nil, err
	}
	s := slice{simulated: a, Sources: sources, Version: programVersion(), At: start.UTC().Truncate(time.Second)}
	return &s, appendSlice(o.results, &s)
}

func (s *slice) line() string {
	return fmt.Sprintf("seeds %d to %d: violations %d, pairs %d of %d, digest %s, %.1f s",
		s.First, s.First+s.Seeds-1, s.Violations, s.Pairs, s.PairsOfAll, s.Digest, s.Seconds)
}

// appendSlice adds a line, on a line of its own even where the last call was
// interrupted in the middle of one.
func appendSlice(name string, s *slice) error {
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode slice: %w", err)
	}
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read results: %w", err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		line = append([]byte("\n"), line...)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// readSlices reads the results. A line that was cut short, and what else is no
// slice, is left out, and so is played again.
func readSlices(name string) (played, error) {
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read results: %w", err)
	}
	var p played
	for line := range bytes.Lines(b) {
		var s slice
		if json.Unmarshal(line, &s) == nil {
			p = append(p, s)
		}
	}
	return p, nil
}

// of returns the slice of these seeds if it was played to its end. Two that
// tell of the same runs must agree.
func (p played) of(c *campaign, o *options) (*slice, error) {
	want := slice{simulated: simulated{First: c.first, Seeds: c.last - c.first, Mode: o.mode, Only: o.only}, Sources: sources}
	var have *slice
	for i := range p {
		s := &p[i]
		switch {
		case !s.same(&want) || !s.whole():
		case have != nil && have.Digest != s.Digest:
			return nil, fmt.Errorf("read results: seeds from %d on came to digests %s and %s: a run does not repeat", c.first, have.Digest, s.Digest)
		default:
			have = s
		}
	}
	return have, nil
}

// tellSlices sums up the slices of a campaign and, once they are all there and
// whole, writes the record.
func (sh *shell) tellSlices(o *options, c *campaign, part []slice) error {
	a, err := sumSlices(o, c, part)
	if err != nil {
		return err
	}
	if o.json {
		err = sh.printJSON(a)
	} else {
		err = sh.print(fmt.Sprintf("%d schedules, %.0f hours, %d faults: violations %d, pairs %d of %d, digest %s, %.0f s\n",
			a.Schedules, a.Hours, a.Faults, a.Violations, a.Pairs, a.PairsOfAll, a.Digest, a.Seconds))
	}
	if o.record == "" || err != nil || uint64(a.Schedules) != a.Seeds {
		return err
	}
	return writeRecord(o, &a, part)
}

// sumSlices adds slices up. Digests add up, too: one call with all the seeds
// comes to the same.
func sumSlices(o *options, c *campaign, part []slice) (simulated, error) {
	a := simulated{First: c.first, Seeds: c.last - c.first, Mode: o.mode, Only: o.only}
	digest := uint64(0)
	for i := range part {
		s := &part[i]
		d, err := strconv.ParseUint(s.Digest, 16, 64)
		if err != nil {
			return a, fmt.Errorf("read results: digest of seed %d: %w", s.First, err)
		}
		digest += d
		if i == 0 {
			a.LeastFaults, a.NotMet, a.PairsOfAll = s.LeastFaults, s.NotMet, s.PairsOfAll
		}
		a.LeastFaults = min(a.LeastFaults, s.LeastFaults)
		a.NotMet = slices.DeleteFunc(slices.Clone(a.NotMet), func(x string) bool { return !slices.Contains(s.NotMet, x) })
		a.add(&s.simulated)
	}
	a.Pairs = a.PairsOfAll - len(a.NotMet)
	a.Digest = fmt.Sprintf("%016x", digest)
	return a, nil
}

func (a *simulated) add(s *simulated) {
	a.Schedules += s.Schedules
	a.Hours += s.Hours
	a.Faults += s.Faults
	a.Entries += s.Entries
	a.Fences += s.Fences
	a.Replayed += s.Replayed
	a.Events += s.Events
	a.Violations += s.Violations
	a.BothOff += s.BothOff
	a.Deceived += s.Deceived
	a.Seconds += s.Seconds
	if a.Violation == "" {
		a.Violation, a.Schedule = s.Violation, s.Schedule
	}
}

const (
	recordTop     = "# The last recorded runs of the simulator\n\nWritten by the program itself. Do not edit.\n"
	recordSection = "\n## "
)

// writeRecord puts a campaign in the place of the last one of its kind.
func writeRecord(o *options, a *simulated, part []slice) error {
	old, err := os.ReadFile(o.record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read record: %w", err)
	}
	title := "Every mode"
	if o.mode != "" {
		title = "Mode " + o.mode
	}
	if o.only != "" {
		title += ", only " + o.only
	}
	sections := []string{title + "\n\n" + runText(a, part)}
	for _, s := range strings.Split(string(old), recordSection)[1:] {
		if !strings.HasPrefix(s, title+"\n") {
			sections = append(sections, s)
		}
	}
	slices.Sort(sections)
	text := recordTop + recordSection + strings.Join(sections, recordSection)
	if err := os.WriteFile(o.record, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// runText tells of a campaign in a section of the record.
func runText(a *simulated, part []slice) string {
	command := fmt.Sprintf("twinbeat simulate --seeds %d --seed %d", a.Seeds, a.First)
	if a.Mode != "" {
		command += " --mode " + a.Mode
	}
	if a.Only != "" {
		command += " --only " + a.Only
	}
	var versions []string
	from, to := part[0].At, part[0].At
	for i := range part {
		if v := part[i].Version; !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
		if at := part[i].At; at.Before(from) {
			from = at
		} else if at.After(to) {
			to = at
		}
	}
	const day = "2006-01-02 15:04"
	var b strings.Builder
	fmt.Fprintf(&b, "- command: `%s`, in slices; digest **%s**\n", command, a.Digest)
	fmt.Fprintf(&b, "- played: %s to %s UTC in %.0f s, version %s, sources %s\n", from.Format(day), to.Format(day), a.Seconds, strings.Join(versions, ", "), part[0].Sources)
	fmt.Fprintf(&b, "- schedules: %d, %.0f hours of a pair, %d faults, at least %d a schedule; %d recorded frames sent again\n", a.Schedules, a.Hours, a.Faults, a.LeastFaults, a.Replayed)
	fmt.Fprintf(&b, "- **violations: %d**\n", a.Violations)
	if a.Only == onlyCuts {
		fmt.Fprintf(&b, "- both nodes off at once: %d, of them by one cut: none, or it would be a violation; the others are of a node that was shot, came back behind the cut and shot in its turn, or of a liar\n- ended by a lie of the fence device that no reading finds out: %d\n", a.BothOff, a.Deceived)
	}
	fmt.Fprintf(&b, "- %d entries to ACTIVE, %d orders to a fence device, %d events\n", a.Entries, a.Fences, a.Events)
	fmt.Fprintf(&b, "- (state, input) pairs: %d of %d\n\n", a.Pairs, a.PairsOfAll)
	b.WriteString("| first seed | seeds | hours | faults | pairs | violations | digest | seconds |\n|--:|--:|--:|--:|--:|--:|---|--:|\n")
	for i := range part {
		s := &part[i]
		fmt.Fprintf(&b, "| %d | %d | %.0f | %d | %d | %d | %s | %.0f |\n", s.First, s.Seeds, s.Hours, s.Faults, s.Pairs, s.Violations, s.Digest, s.Seconds)
	}
	return b.String()
}

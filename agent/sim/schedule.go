package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// A FaultKind names one way in which the world goes wrong.
type FaultKind uint8

// The faults. What For, N and M mean is said behind each.
const (
	FaultPower     FaultKind = 1 + iota // a node loses power for For
	FaultHang                           // a node's agent hangs; after For the watchdog resets the box
	FaultStop                           // SIGSTOP for For before part N of a turn
	FaultKill                           // kill -9; started again after For
	FaultRestart                        // an orderly stop; started again after For
	FaultSlow                           // each turn takes up to N microseconds longer, for For
	FaultJournal                        // killed, and the journal is lost, torn, torn twice or a backup (N = 0..3)
	FaultCut                            // link N is cut in direction M (0, 1, 2 both) for For
	FaultCutAll                         // every link is cut in direction M for For
	FaultLoss                           // every link loses N percent of the frames for For
	FaultBurst                          // N percent of the frames begin a loss of up to M frames, for For
	FaultBits                           // link N has one bit in 10^M wrong, for For
	FaultReorder                        // link N delays each frame by up to M microseconds more, for For
	FaultDuplicate                      // link N doubles M percent of the frames, for For
	FaultHold                           // frames of kind N are delayed by up to M milliseconds more, for For
	FaultClog                           // direction M of link N holds everything back for For, then delivers
	FaultReplay                         // M recorded frames come again on link N
	FaultGarbage                        // M bytes of noise on the serial line, to node N
	FaultLAN                            // the LAN is down for For
	FaultAlien                          // a third host answers for the addresses, for For
	FaultDevice                         // the fence device behaves like N for For; see device.go
	FaultReach                          // a node does not reach the device for For
	FaultBar                            // a node, or each (N = 1), may not fence for For
	FaultFlush                          // a stranger empties the node's tables
	FaultOrder                          // an operator's order N for group M; For is not zero: forced
	FaultSick                           // services do not start on the node for For, and one of group N fails
	FaultIll                            // the node's health falls by M points for For, by source N (2 of them; critical if 7 divides N)
	FaultKeys                           // the node takes the next step of a key rotation
	FaultWall                           // the node's wall clock jumps by For; must have no effect
	FaultHeal                           // everything is mended
	faultKinds
)

var faultNames = [...]string{
	FaultPower: "power", FaultHang: "hang", FaultStop: "stop", FaultKill: "kill", FaultRestart: "restart", FaultSlow: "slow",
	FaultJournal: "journal", FaultCut: "cut", FaultCutAll: "cut-all", FaultLoss: "loss", FaultBurst: "burst", FaultBits: "bits",
	FaultReorder: "reorder", FaultDuplicate: "duplicate", FaultHold: "hold", FaultClog: "clog", FaultReplay: "replay", FaultGarbage: "garbage",
	FaultLAN: "lan", FaultAlien: "alien", FaultDevice: "device", FaultReach: "reach", FaultBar: "bar", FaultFlush: "flush", FaultOrder: "order",
	FaultSick: "sick", FaultIll: "ill", FaultKeys: "keys", FaultWall: "wall", FaultHeal: "heal",
}

// String returns the fault's name as a schedule spells it.
func (k FaultKind) String() string {
	if int(k) < len(faultNames) && faultNames[k] != "" {
		return faultNames[k]
	}
	return fmt.Sprintf("fault(%d)", uint8(k))
}

// A Fault is one line of a schedule.
type Fault struct {
	At   time.Duration // from the start of the run, true time
	Kind FaultKind
	Node int // 0 or 1
	For  time.Duration
	N, M int
}

// String returns the fault as a line of a schedule.
func (f Fault) String() string {
	return fmt.Sprintf("%-14v %-9v node=%d for=%v n=%d m=%d", f.At, f.Kind, f.Node, f.For, f.N, f.M)
}

// A Schedule is every fault of a run, in the order of time.
type Schedule []Fault

// Format writes a run as text that [ParseSchedule] reads back. Remarks come
// first, each on a line of its own.
func Format(c Config, s Schedule, remarks ...string) string {
	var b strings.Builder
	for _, r := range remarks {
		for line := range strings.Lines(r) {
			fmt.Fprintf(&b, "# %s\n", strings.TrimRight(line, "\n"))
		}
	}
	for _, f := range c.fields() {
		fmt.Fprintf(&b, "config %s=%s\n", f.name, f.get())
	}
	for _, f := range s {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// ParseSchedule reads what [Format] wrote, or what a person made of it. Empty
// lines and those that begin with '#' say nothing.
func ParseSchedule(text string) (Config, Schedule, error) {
	var c Config
	var s Schedule
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		var err error
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "config":
			err = c.set(words[1:])
		default:
			var f Fault
			f, err = parseFault(words)
			s = append(s, f)
		}
		if err != nil {
			return c, nil, fmt.Errorf("read schedule: line %d: %w", n, err)
		}
	}
	if c.Mode < pair.ModeFence || c.Mode > pair.ModeLease {
		return c, nil, fmt.Errorf("read schedule: config mode is missing")
	}
	return c, s, nil
}

func parseFault(words []string) (f Fault, err error) {
	if len(words) < 2 {
		return f, fmt.Errorf("%q is no fault", strings.Join(words, " "))
	}
	if f.At, err = time.ParseDuration(words[0]); err != nil {
		return f, err
	}
	for k := FaultPower; k < faultKinds; k++ {
		if faultNames[k] == words[1] {
			f.Kind = k
		}
	}
	if f.Kind == 0 {
		return f, fmt.Errorf("unknown fault %q", words[1])
	}
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "node":
			f.Node, err = strconv.Atoi(value)
			if err == nil && f.Node != 0 && f.Node != 1 {
				err = fmt.Errorf("node %d", f.Node)
			}
		case "for":
			f.For, err = time.ParseDuration(value)
		case "n":
			f.N, err = strconv.Atoi(value)
		case "m":
			f.M, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown word %q", w)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// A field is one word of a configuration in text.
type field struct {
	name string
	get  func() string
	set  func(string) error
}

// fields are the words of a configuration, in the order in which they are written.
func (c *Config) fields() []field {
	var out []field
	add := func(name string, get func() string, set func(string) error) { out = append(out, field{name, get, set}) }
	number := func(name string, p *int) {
		add(name, func() string { return strconv.Itoa(*p) }, func(s string) (err error) { *p, err = strconv.Atoi(s); return err })
	}
	truth := func(name string, p *bool) {
		add(name, func() string { return strconv.FormatBool(*p) }, func(s string) (err error) { *p, err = strconv.ParseBool(s); return err })
	}
	length := func(name string, p *time.Duration) {
		add(name, func() string { return p.String() }, func(s string) (err error) { *p, err = time.ParseDuration(s); return err })
	}
	add("seed", func() string { return strconv.FormatUint(c.Seed, 10) }, func(s string) (err error) { c.Seed, err = strconv.ParseUint(s, 10, 64); return err })
	add("mode", func() string { return c.Mode.String() }, func(s string) error { return c.setMode(s) })
	add("profile", func() string { return c.Profile }, func(s string) error { c.Profile = s; return nil })
	number("scale", &c.Scale)
	length("length", &c.Length)
	truth("fence", &c.Fence)
	number("groups", &c.Groups)
	number("feeds", &c.Feeds)
	truth("cuts", &c.Cuts)
	truth("wire", &c.Wire)
	number("drift0", &c.Drift[0])
	number("drift1", &c.Drift[1])
	length("tick0", &c.Tick[0])
	length("tick1", &c.Tick[1])
	number("hiccup", &c.Hiccup)
	number("trouble", &c.Trouble)
	truth("slow", &c.Slow)
	add("failback", func() string { return c.Failback.String() }, c.setFailback)
	truth("no-services", &c.NoServices)
	truth("stop-failure-fence", &c.StopFailureFence)
	truth("lines", &c.Lines)
	add("mutant", func() string { return strconv.Itoa(int(c.Mutant)) }, func(s string) error {
		n, err := strconv.ParseUint(s, 10, 8)
		if c.Mutant = Mutant(n); err == nil && c.Mutant >= mutants {
			err = fmt.Errorf("mutant %d", n)
		}
		return err
	})
	return out
}

func (c *Config) setMode(s string) error {
	m, ok := pair.ModeNamed(s)
	if !ok {
		return fmt.Errorf("unknown mode %q", s)
	}
	c.Mode = m
	return nil
}

func (c *Config) setFailback(s string) error {
	f, ok := pair.FailbackNamed(s)
	if !ok {
		return fmt.Errorf("unknown failback %q", s)
	}
	c.Failback = f
	return nil
}

func (c *Config) set(words []string) error {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		known := false
		for _, f := range c.fields() {
			if f.name != name {
				continue
			}
			known = true
			if err := f.set(value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if !known {
			return fmt.Errorf("unknown config %q", name)
		}
	}
	return nil
}

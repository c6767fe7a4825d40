package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Probes is the number of VIP probes before a takeover that rests on silence.
const Probes = 3

// ProbeGrace is pair.ProbeGrace: how old a finished probe may be when a gate opens.
const ProbeGrace = 14 * time.Millisecond

// ProbeTime is how long the probes take, with the wait after the last.
func (t Timing) ProbeTime() time.Duration { return Probes * t.Probe }

const (
	// frameBytes is a heartbeat on a serial line, framing included; each
	// group after the first adds groupBytes.
	frameBytes = 57
	groupBytes = 5
	bitsAByte  = 10 // 8N1: a start and a stop bit
	// utilisation is the share of a serial line that heartbeats may fill, in
	// percent: CLAIM and its answer must find room between two of them.
	utilisation = 60
	// drift is the rate by which the two clocks may differ, as a divisor:
	// 1000 ppm, twice what NTP may slew CLOCK_MONOTONIC.
	drift = 1000
	// fastBaud is the least that carries 200 heartbeats a second.
	fastBaud = 230400
	// coarsest is a jiffy at HZ=100, the coarsest timer grain in use.
	coarsest = 10 * time.Millisecond
)

// FrameTime is how long a heartbeat that carries so many groups occupies a
// serial line.
func FrameTime(groups, baud int) time.Duration {
	if baud <= 0 {
		return 0
	}
	bits := time.Duration(FrameBytes(groups) * bitsAByte)
	return bits * time.Second / time.Duration(baud)
}

// FrameBytes is the length on a serial line, framing included, that the
// timing allows for a heartbeat that carries so many groups.
func FrameBytes(groups int) int { return frameBytes + groupBytes*max(0, groups-1) }

// A profile is a set of intervals that keeps every inequality.
type profile struct {
	Timing
	leaseTakeover time.Duration // takeover in mode lease, which must outwait ack, too
}

const millisecond = time.Millisecond

// profiles by name. The probes of fast are close together, so that they fit
// between the end of the peer's lease and the takeover.
var profiles = map[string]profile{
	"default": {Timing{
		Beat: 50 * millisecond, Dead: 250 * millisecond, Lease: 300 * millisecond, Window: 25 * millisecond,
		Takeover: 400 * millisecond, Probe: 15 * millisecond, Reserve: 15 * millisecond,
	}, 700 * millisecond},
	"fast": {Timing{
		Beat: 5 * millisecond, Dead: 35 * millisecond, Lease: 35 * millisecond, Window: 6 * millisecond,
		Takeover: 45 * millisecond, Probe: 500 * time.Microsecond, Reserve: 2 * millisecond,
	}, 85 * millisecond},
	"slow": {Timing{
		Beat: 125 * millisecond, Dead: 600 * millisecond, Lease: 700 * millisecond, Window: 50 * millisecond,
		Takeover: time.Second, Probe: 20 * millisecond, Reserve: 15 * millisecond,
		Ack: 700 * millisecond, // an echo takes two frames, which are long at 9600 baud
	}, 1500 * millisecond},
}

// timing resolves the intervals: the file's, else the profile's.
func (p *parser) timing(t table) {
	c := &p.config
	c.Timing = profiles[c.Profile].Timing
	if c.Mode == "lease" {
		c.Timing.Takeover = profiles[c.Profile].leaseTakeover
	}
	for _, k := range []struct {
		name string
		to   *time.Duration
	}{
		{"beat", &c.Timing.Beat},
		{"dead", &c.Timing.Dead},
		{"lease", &c.Timing.Lease},
		{"window", &c.Timing.Window},
		{"takeover", &c.Timing.Takeover},
		{"probe", &c.Timing.Probe},
		{"reserve", &c.Timing.Reserve},
		{"ack", &c.Timing.Ack},
	} {
		if t.has(k.name) {
			*k.to = t.duration(k.name)
		}
	}
	if !t.has("probe") {
		c.Timing.Probe = c.Timing.fitProbe()
	}
	c.Timing.BootWait = t.duration("boot_wait")
	c.Timing.FenceTime = t.duration("fence_time")
	c.Timing.Lifetime = t.duration("lifetime")
	c.Timing.Race = t.duration("race")
	if !t.has("fence_time") {
		c.Timing.FenceTime = defaultFenceTime(c.Fence)
	}
	if c.Timing.Lifetime%time.Second != 0 {
		t.report("lifetime", show(c.Timing.Lifetime)+" is not whole seconds", "the kernel counts address lifetimes in seconds")
	}
}

// fitProbe is the profile's, or longer if window asks for it and takeover leaves the
// room: the last of a node's probes is to see a gate for which another node's probe
// ended when this one began.
func (t Timing) fitProbe() time.Duration {
	want := (ProbeGrace + t.Window + 1) / 2
	if room := (t.Takeover - 2*t.Takeover/drift - t.Lease - t.Window - t.Reserve) / Probes; want > room {
		return t.Probe
	}
	return max(t.Probe, want)
}

// An inequality is one rule of the timing, with its figures.
type inequality struct {
	key  string // that breaks it
	name string // of the left side
	have time.Duration
	sum  string // the right side, spelled out
	need time.Duration
	why  string
	hint string
}

func (q inequality) holds() bool { return q.have >= q.need }

func (q inequality) broken() string {
	return fmt.Sprintf("%s %s is shorter than %s", q.name, show(q.have), q.sum)
}

// A term is one addend of a right side.
type term struct {
	name  string
	value time.Duration
}

// sum spells terms out: "lease 300ms + window 25ms = 325ms".
func sum(terms ...term) (string, time.Duration) {
	var words []string
	total := time.Duration(0)
	for _, t := range terms {
		words = append(words, t.name+" "+show(t.value))
		total += t.value
	}
	if len(terms) == 1 {
		return words[0], total
	}
	return strings.Join(words, " + ") + " = " + show(total), total
}

// drifted is what an interval of the peer must be outwaited by, if its clock
// is slow and ours is fast: (measured * (1+rho) + fixed) / (1-rho), rounded up.
func drifted(measured, fixed time.Duration) time.Duration {
	s := measured + measured/drift + 1 + fixed
	return s + s/(drift-1) + 1
}

// timingRules lists every inequality of a configuration with its figures.
func timingRules(c Config) []inequality {
	t := c.Timing
	var out []inequality
	add := func(q inequality, terms ...term) {
		if q.sum == "" {
			q.sum, q.need = sum(terms...)
		}
		out = append(out, q)
	}
	frame := time.Duration(0)
	for i, l := range c.Links {
		one := FrameTime(len(c.Groups), l.Baud)
		frame = max(frame, one)
		out = append(out, linkRules(c, i, one)...)
	}
	add(inequality{key: "timing.lease", name: "lease", have: t.Lease, why: "two heartbeats in a row may be late", hint: "lengthen lease or shorten beat"},
		term{"3 x beat", 3 * t.Beat})
	add(inequality{key: "timing.window", name: "lease", have: t.Lease, why: "a turn longer than half a lease is a stall", hint: "shorten window"},
		term{"2 x window", 2 * t.Window})
	out = append(out, takeoverRules(c, frame)...)
	add(inequality{key: "timing.boot_wait", name: "boot_wait", have: t.BootWait, why: "a node that boots must outwait a peer that is just taking over", hint: "lengthen boot_wait"},
		term{"takeover", t.Takeover})
	if c.Fence != nil {
		add(inequality{key: "timing.race", name: "race", have: t.Race, why: "a fence in flight when its sender dies must be over before the other one starts", hint: "lengthen race, or shorten fence_time or dead"},
			term{"fence_time", t.FenceTime}, term{"dead", t.Dead}, term{"5 x beat", 5 * t.Beat}, term{"2 x reserve", 2 * t.Reserve})
	}
	add(inequality{key: "timing.lifetime", name: "lifetime", have: t.Lifetime, why: "the addresses are the second layer: they must outlive the lease by the kernel's grain of 1s", hint: "lengthen lifetime"},
		term{"lease", t.Lease}, term{"grain", time.Second})
	out = append(out, watchdogRules(c)...)
	out = append(out, fenceTimes(c)...)
	return out
}

// linkRules are those of one link.
func linkRules(c Config, i int, frame time.Duration) []inequality {
	t, l := c.Timing, c.Links[i]
	key := element("link", i)
	terms := []term{{"4 x beat", 4 * t.Beat}}
	if frame > 0 {
		terms = append(terms, term{fmt.Sprintf("frame of %d bytes at %d baud", FrameBytes(len(c.Groups)), l.Baud), frame})
	}
	right, need := sum(append(terms, term{"reserve", t.Reserve})...)
	rules := []inequality{{
		key: key + ".dead", name: fmt.Sprintf("dead of link %d (%s)", i+1, l.Type), have: l.Dead, sum: right, need: need,
		why: "three heartbeats may be lost in a row", hint: "lengthen dead or shorten beat",
	}}
	if frame == 0 {
		return rules
	}
	least := frame * 100 / utilisation
	return append(rules, inequality{
		key: key + ".baud", name: "beat", have: t.Beat, need: least,
		sum: fmt.Sprintf("frame of %d bytes at %d baud %s / %d%% = %s", FrameBytes(len(c.Groups)), l.Baud, show(frame), utilisation, show(least)),
		why: "a CLAIM and its answer must find room between heartbeats", hint: `raise baud, or lengthen beat: profile = "slow" is for 9600 baud`,
	})
}

// takeoverRules keep a takeover by silence away from a peer that may own.
func takeoverRules(c Config, frame time.Duration) []inequality {
	t := c.Timing
	reserve := term{"reserve", t.Reserve}
	rule := func(why string, fixed []term, measured ...term) inequality {
		q := inequality{key: "timing.takeover", name: "takeover", have: t.Takeover, why: why, hint: "lengthen takeover, or shorten the others"}
		_, m := sum(measured...)
		_, f := sum(fixed...)
		q.sum, _ = sum(append(measured, fixed...)...)
		q.need = drifted(m, f)
		q.sum += fmt.Sprintf(", %s with clocks %d ppm off", show(q.need), 1_000_000/drift)
		return q
	}
	lease, window := term{"lease", t.Lease}, term{"window", t.Window}
	rules := []inequality{
		rule("a lease that was refreshed with the last heartbeat must be over", []term{reserve}, lease, window),
	}
	claim := []term{{"dead", t.Dead}}
	if frame > 0 {
		claim = append(claim, term{"CLAIM and answer", 2 * frame})
	}
	if c.Mode != "fence" {
		probes := term{fmt.Sprintf("%d probes", Probes), t.ProbeTime()}
		claim = append(claim, probes)
		rules = append(rules, rule("the probes come after the lease: a stopped peer is dark then, and cannot veto", []term{probes, reserve}, lease, window))
	}
	right, need := sum(append(claim, reserve)...)
	rules = append(rules, inequality{
		key: "timing.takeover", name: "takeover", have: t.Takeover, sum: right, need: need,
		why: "a peer that still hears must have time to answer the CLAIM", hint: "lengthen takeover, or shorten dead",
	})
	if c.Mode == "lease" {
		rules = append(rules, rule("an active that nobody acknowledges must have stepped down", []term{reserve}, term{"ack", t.Ack}, lease, window))
		right, need = sum(term{"4 x beat", 4 * t.Beat}, term{"frame and answer", 2 * frame}, reserve)
		rules = append(rules, inequality{
			key: "timing.ack", name: "ack", have: t.Ack, sum: right, need: need,
			why: "three lost heartbeats must not cost the service", hint: "lengthen ack or shorten beat",
		})
	}
	return rules
}

// inequalities reports every rule of the timing that does not hold.
func (p *parser) inequalities() {
	c := p.config
	for i, l := range c.Links {
		if c.Profile == "fast" && l.Type == "serial" && l.Baud < fastBaud {
			p.report(element("link", i)+".baud", fmt.Sprintf("profile fast needs %d baud, not %d", fastBaud, l.Baud), fmt.Sprintf("baud = %d, or another profile", fastBaud))
		}
	}
	seen := map[string]bool{}
	for _, q := range timingRules(c) {
		if q.holds() || seen[q.key] {
			continue // the first rule that a key breaks says enough
		}
		seen[q.key] = true
		at := q.key
		if _, inFile := p.lines.at[at]; !inFile && strings.HasPrefix(at, "timing.") {
			at = p.blame(at)
		}
		p.report(at, q.broken(), q.hint+": "+q.why)
	}
}

// blame finds what in the file an interval comes from, if it is not set there.
func (p *parser) blame(key string) string {
	for _, source := range []string{key, "profile", "timing", "mode"} {
		if _, ok := p.lines.at[source]; ok {
			return source
		}
	}
	return key
}

// show prints a duration as a person writes it: 1m, not 1m0s; 0.5ms, not 500µs.
func show(d time.Duration) string {
	d = d.Round(10 * time.Microsecond)
	if d > 0 && d < time.Millisecond {
		return strconv.FormatFloat(d.Seconds()*1000, 'f', -1, 64) + "ms"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

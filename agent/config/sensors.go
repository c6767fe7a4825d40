package config

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"
)

// MaxSensorRules bounds the sections [[sensors.rule]].
const MaxSensorRules = 128

// Sensors says how the sensors of this node are read and what they may do.
type Sensors struct {
	Line      int // in the file
	Interval  time.Duration
	Deadline  time.Duration // of one source
	Act       string        // move or alert
	Ambient   string        // glob; empty: none
	SaveEvery time.Duration // 0: at the end only
	Root      string
	Rules     []SensorRule
	Smart     []SmartDrive // of this node, as all that follows
	I2C       []I2CChip
	UPS       []UPS
}

// A SensorRule is for the sensors whose ID matches; the first one that matches
// counts.
type SensorRule struct {
	Line            int // in the file
	Match           string
	Ignore          bool
	Label           string
	Low, High, Crit float64 // NaN: not given
	Weight          int     // per cent
	Act             string  // move, alert; empty: as for all
}

var sensorKeys = []key{
	{path: "sensors", kind: section, doc: "Sensors of this node: temperatures, fans, voltages, errors of memory, bus and network, wear of flash. With this section they are read, their trends are followed, and a node that is about to fail hands over before it does. `twinbeat sensors` shows them with their IDs. Not in lite."},
	{path: "sensors.enable", kind: boolean, def: "true", doc: "false: none is read."},
	{path: "sensors.interval", kind: duration, def: `"2s"`, min: second, max: minute, doc: "Between two rounds through all sensors."},
	{path: "sensors.deadline", kind: duration, def: `"2s"`, min: 50 * ms, max: 30 * second, doc: "A chip that has not answered for so long is blocked: it is left behind and named, and the others are read."},
	{path: "sensors.act", kind: text, def: `"move"`, oneOf: []string{"move", "alert"}, doc: "What trouble may do. move: it takes from the node's health, and a peer that is healthier takes over. alert: it raises alarms, no more."},
	{path: "sensors.ambient", kind: text, def: `""`, doc: "ID, with * for any text, of the temperature of the air that comes in. It explains the others: a hot room is no fault of the box."},
	{path: "sensors.save_every", kind: duration, def: `"24h"`, orZero: true, min: hour, max: 30 * 24 * hour, doc: "Between two writes of what was learned, about 1 KB a sensor; it is also written at the end. \"0s\": only then."},
	{path: "sensors.root", kind: textByNode, hidden: true, show: `"/"`, doc: "Folder in which sys and proc are looked for: for tests, and for containers. Default: /."},
	{path: "sensors.rule", kind: sections, doc: "What the sensors whose ID matches are to be; of several sections the first that matches counts."},
	{path: "sensors.rule.match", kind: text, required: true, show: `"hwmon/k10temp@*"`, doc: "ID, with * for any text and ? for one character."},
	{path: "sensors.rule.ignore", kind: boolean, def: "false", doc: "Read it, and never mind."},
	{path: "sensors.rule.label", kind: text, show: `"CPU"`, doc: "What it is called in sentences. Default: as chip and driver call it."},
	{path: "sensors.rule.low", kind: decimal, show: "11.4", doc: "Lower limit, in the sensor's unit. Of what is neither temperature, fan, voltage, current, power nor humidity it is critical."},
	{path: "sensors.rule.high", kind: decimal, show: "80.0", doc: "Upper limit: an alert."},
	{path: "sensors.rule.crit", kind: decimal, show: "95.0", doc: "Upper limit at which the box fails. Limits that are not given here are the device's, where they can be true."},
	{path: "sensors.rule.weight", kind: number, def: "100", min: 0, max: 100, doc: "Per cent of what its trouble takes from the node's health."},
	{path: "sensors.rule.act", kind: text, oneOf: []string{"move", "alert"}, show: `"alert"`, doc: "As above, for these. Default: as for all."},
}

// sensors reads the section [sensors], nil if it is switched off.
func (p *parser) sensors(t table) *Sensors {
	s := &Sensors{
		Line:     p.lines.line(t.path),
		Interval: t.duration("interval"), Deadline: t.duration("deadline"), Act: t.text("act"), Ambient: t.text("ambient"),
		SaveEvery: t.duration("save_every"),
	}
	roots := t.perNode("root", func(s string) (string, bool) { return "a full path", strings.HasPrefix(s, "/") })
	s.Root = cmp.Or(roots[p.config.Self], "/")
	sub := t.tables("rule")
	if len(sub) > MaxSensorRules {
		t.report("rule", fmt.Sprintf("%d sections", len(sub)), fmt.Sprintf("%d at most; * in match stands for any text", MaxSensorRules))
		return nil
	}
	for i, r := range sub {
		s.Rules = append(s.Rules, p.sensorRule(r))
		for _, before := range s.Rules[:i] {
			if before.Match == s.Rules[i].Match && before.Match != "" {
				r.report("match", fmt.Sprintf("%q stands twice", before.Match), "the first one that matches counts: write one section")
				break
			}
		}
	}
	p.chips(t, s)
	if !t.boolean("enable") {
		return nil
	}
	return s
}

// sensorLoss is what the first sensor that asks for a handover takes from a
// node's health, in points, before its limit is reached.
const sensorLoss = 70

// upsLoss is the same of a UPS on battery.
const upsLoss = 25

// sensorWarnings tells of sections that contradict each other in silence.
func (p *parser) sensorWarnings() {
	c := &p.config
	if c.Sensors != nil && c.Sensors.Act == "move" && c.Health.Margin > sensorLoss {
		p.warn(p.blame("health.margin"), fmt.Sprintf("a sensor that is on its way to its limit takes %d points: nothing moves before the limit is reached", sensorLoss),
			"a smaller margin, or act = \"alert\" in [sensors]")
	} else if c.Sensors != nil && c.Sensors.Act == "move" && len(c.Sensors.UPS) > 0 && c.Health.Margin > upsLoss {
		p.warn(p.blame("health.margin"), fmt.Sprintf("a UPS on battery takes %d points: nothing moves before its battery is low", upsLoss),
			fmt.Sprintf("a margin of %d or less, if the peer on the mains is to take over", upsLoss))
	}
}

func (p *parser) sensorRule(t table) SensorRule {
	r := SensorRule{
		Line:  p.lines.line(t.path),
		Match: t.text("match"), Ignore: t.boolean("ignore"), Label: t.text("label"), Weight: t.int31("weight"), Act: t.text("act"),
		Low: t.decimal("low"), High: t.decimal("high"), Crit: t.decimal("crit"),
	}
	if r.Low >= r.High || r.Low >= r.Crit {
		t.report("low", fmt.Sprintf("%g is not below the upper limit", r.Low), "low is the limit from above, high and crit are those from below")
	}
	if r.High > r.Crit {
		t.report("high", fmt.Sprintf("%g is above crit, %g", r.High, r.Crit), "high warns before crit is reached")
	}
	return r
}

// decimal reads a number with or without a point, NaN if it is not given.
func (t table) decimal(name string) float64 {
	v, k := t.value(name)
	switch v := v.(type) {
	case nil:
	case int64:
		return float64(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.report(name, fmt.Sprintf("%g is no limit", v), "write "+k.example(name))
			return math.NaN()
		}
		return v
	default:
		t.wrongType(name, k, v, "a number")
	}
	return math.NaN()
}

package sysfs

import (
	"cmp"
	"math"
	"path/filepath"
	"strings"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// chips finds the hwmon devices. One that only mirrors a thermal zone is left to
// zones.
func (t *Tree) chips() []*device {
	var out []*device
	class := t.at("sys/class/hwmon")
	for _, n := range list(class) {
		dir := filepath.Join(class, n)
		place := t.place(dir)
		if strings.Contains(place, "/virtual/thermal/") {
			continue
		}
		base := dir
		if !exists(filepath.Join(base, "name")) && exists(filepath.Join(dir, "device/name")) {
			base = filepath.Join(dir, "device") // before Linux 3.15
		}
		out = append(out, chip(base, strings.TrimSuffix(strings.TrimSuffix(place, "/"+n), "/hwmon")))
	}
	return out
}

// chip is one hwmon device with its inputs.
func chip(dir, place string) *device {
	c := hwmon{dir: dir, name: cmp.Or(sensors.Clean(text(filepath.Join(dir, "name"))), "unnamed"), files: map[string]bool{}}
	where := address(place)
	c.prefix = "hwmon/" + c.name + "@" + where + "/"
	d := &device{name: "hwmon " + c.name + " at " + where, dir: dir}
	names := list(dir)
	for _, f := range names {
		c.files[f] = true
	}
	for _, f := range names {
		if in := c.input(f); in != nil {
			d.inputs = append(d.inputs, in)
		}
	}
	return d
}

// A hwmon is a chip that is being looked through.
type hwmon struct {
	dir, name, prefix string
	files             map[string]bool
}

// channels are the kinds of inputs by the word their files begin with, with the
// scale to the unit of their kind.
var channels = map[string]struct {
	kind  sensors.Kind
	scale float64
}{
	"temp": {sensors.Temperature, 1e-3}, "fan": {sensors.Fan, 1}, "in": {sensors.Voltage, 1e-3}, "curr": {sensors.Current, 1e-3},
	"power": {sensors.Power, 1e-6}, "humidity": {sensors.Humidity, 1e-3},
}

// input makes an input of the file that names it, nil of any other file.
func (c *hwmon) input(file string) *input {
	channel, what, ok := strings.Cut(file, "_")
	word, n := numbered(channel)
	switch {
	case word == "pwm" && n >= 0 && !ok:
		return &input{
			id: c.prefix + file, label: c.name + " " + file, kind: sensors.Context, unit: "%",
			file: filepath.Join(c.dir, file), scale: 100.0 / 255,
		}
	case n < 0 || !ok:
		return nil
	case word == "intrusion" && what == "alarm", what == "lcrit_alarm" && !c.has(channel+"_input"), what == "lcrit_alarm" && c.name == "rpi_volt":
		return &input{
			id: c.prefix + file, label: c.name + " " + c.label(channel) + " " + what, kind: sensors.Alarm,
			alarms: []string{filepath.Join(c.dir, file)},
		}
	}
	ch, known := channels[word]
	if c.name == "rpi_volt" || !known || what != "input" && !(what == "average" && word == "power" && !c.has(channel+"_input")) {
		return nil // rpi_volt: its value is never there, only the alarm is
	}
	label := c.label(channel)
	in := &input{
		id: c.prefix + sensors.Clean(label), label: c.name + " " + label, kind: ch.kind,
		file: filepath.Join(c.dir, file), scale: ch.scale, limits: predict.NoLimits(),
	}
	in.fault, in.enable = c.path(channel+"_fault"), c.path(channel+"_enable")
	if word == "power" && strings.HasPrefix(c.name, "sfp") {
		optical(in)
		return in
	}
	c.limit(in, channel)
	if word == "fan" {
		in.drive = c.path("pwm" + channel[len("fan"):])
	}
	return in
}

func (c *hwmon) has(file string) bool { return c.files[file] }

// path returns the path of a file, "" if the chip has none of this name.
func (c *hwmon) path(file string) string {
	if !c.has(file) {
		return ""
	}
	return filepath.Join(c.dir, file)
}

// label is what the driver calls a channel, or its name. The same label on two
// channels of a chip is made distinct later.
func (c *hwmon) label(channel string) string {
	if l := text(filepath.Join(c.dir, channel+"_label")); l != "" {
		return l
	}
	return channel
}

// limit reads the limits of a channel. Its alarms count only with a limit that
// could be true: the bits of inputs nobody configured are always set.
func (c *hwmon) limit(in *input, channel string) {
	first := func(names ...string) float64 {
		for _, n := range names {
			if v, err := number(c.path(channel + n)); err == nil {
				return v * in.scale
			}
		}
		return math.NaN()
	}
	switch l := &in.limits; in.kind {
	case sensors.Temperature:
		*l = predict.Limits{Low: first("_lcrit"), High: first("_max"), Crit: first("_crit", "_emergency")}
	case sensors.Fan:
		*l = predict.Limits{Low: first("_min"), High: math.NaN(), Crit: math.NaN()} // a fan too fast is no fault
	default:
		*l = predict.Limits{Low: first("_min", "_lcrit"), High: first("_max"), Crit: first("_crit")}
	}
	if _, state := in.limits.Accept(predict.Kind(in.kind)); state != predict.ValidLimit {
		return
	}
	for _, a := range [...]string{"_alarm", "_crit_alarm", "_emergency_alarm", "_lcrit_alarm", "_min_alarm", "_max_alarm"} {
		if p := c.path(channel + a); p != "" {
			in.alarms = append(in.alarms, p)
		}
	}
}

// optical makes an input of the light that an SFP module sends or gets: in dBm,
// in which its decay is a straight line.
func optical(in *input) {
	in.kind, in.unit = sensors.Other, "dBm"
	in.read = func(_ *device, in *input, r *sensors.Reading) error {
		microwatts, err := number(in.file)
		if err != nil {
			return err
		}
		r.Value = max(10*math.Log10(max(microwatts, 0)/1000), darkness)
		return nil
	}
}

// darkness is what a module that sees no light is said to get, in dBm.
const darkness = -40.0

// zones finds the thermal zones. What a firmware calls critical is where it
// switches the box off; passive trips only make it slower.
func (t *Tree) zones() []*device {
	var out []*device
	class := t.at("sys/class/thermal")
	for _, n := range list(class) {
		if !strings.HasPrefix(n, "thermal_zone") {
			continue
		}
		dir := filepath.Join(class, n)
		kind := text(filepath.Join(dir, "type"))
		in := &input{
			id: "thermal/" + kind, label: kind, kind: sensors.Temperature,
			file: filepath.Join(dir, "temp"), scale: 1e-3, limits: predict.NoLimits(),
		}
		in.id = sensors.Clean(in.id)
		for _, f := range list(dir) {
			trip, ok := strings.CutSuffix(f, "_type")
			if !ok || !strings.HasPrefix(f, "trip_point_") {
				continue
			}
			v, err := number(filepath.Join(dir, trip+"_temp"))
			if err != nil {
				continue
			}
			switch text(filepath.Join(dir, f)) {
			case "critical":
				in.limits.Crit = v * in.scale
			case "hot":
				in.limits.High = v * in.scale
			}
		}
		out = append(out, &device{name: "thermal zone " + kind, dir: dir, inputs: []*input{in}})
	}
	return out
}

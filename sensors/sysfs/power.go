package sysfs

import (
	"path/filepath"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// supplies finds power supplies and batteries (power_supply class).
func (t *Tree) supplies() []*device {
	var out []*device
	class := t.at("sys/class/power_supply")
	for _, n := range list(class) {
		dir := filepath.Join(class, n)
		if text(filepath.Join(dir, "scope")) == "Device" {
			continue // of a mouse
		}
		d := &device{name: "power supply " + n, dir: dir}
		id, label := "power/"+n+"/", "supply "+n+" "
		for _, m := range [...]struct {
			file  string
			kind  sensors.Kind
			scale float64
		}{
			{"voltage_now", sensors.Voltage, 1e-6},
			{"current_now", sensors.Current, 1e-6},
			{"power_now", sensors.Power, 1e-6},
			{"temp", sensors.Temperature, 0.1},
		} {
			if file := filepath.Join(dir, m.file); exists(file) {
				d.inputs = append(d.inputs, &input{
					id: sensors.Clean(id + m.file), label: label + m.file, kind: m.kind, file: file, scale: m.scale, limits: predict.NoLimits(),
				})
			}
		}
		if file := filepath.Join(dir, "capacity"); exists(file) {
			d.inputs = append(d.inputs, &input{
				id: sensors.Clean(id + "capacity"), label: label + "charge", kind: sensors.Context, unit: "%", file: file, scale: 1,
			})
		}
		for _, w := range [...]struct{ file, label string }{
			{"online", "without power"},
			{"status", "on battery"},
			{"health", "bad health"},
		} {
			if file := filepath.Join(dir, w.file); exists(file) {
				in := &input{id: sensors.Clean(id + w.file), label: label + w.label, kind: sensors.Alarm, file: file}
				in.read = supplyState(w.file)
				d.inputs = append(d.inputs, in)
			}
		}
		if d.inputs != nil {
			out = append(out, d)
		}
	}
	return out
}

// supplyState reads a file with a word (Documentation/ABI/testing/sysfs-class-power).
func supplyState(what string) func(*device, *input, *sensors.Reading) error {
	return func(_ *device, in *input, r *sensors.Reading) error {
		said, err := word(in.file)
		if err != nil {
			return err
		}
		bad := ""
		switch what {
		case "online":
			if said == "0" {
				bad = "gives no power"
			}
		case "status":
			if said == "Discharging" {
				bad = "the box runs on its battery"
			}
		case "health":
			if said != "Good" && said != "Unknown" && said != "" {
				bad = "says of itself: " + said
			}
		}
		r.Value = flag(bad != "")
		if bad != "" {
			r.Finding = predict.Finding{Level: predict.Alert, Text: bad}
		}
		return nil
	}
}

// trouble are the bits of a regulator (Documentation/ABI/testing/sysfs-class-regulator).
var trouble = [...]string{"fail", "under_voltage", "over_current", "over_temp", "regulation_out"}

// regulators finds the voltage regulators that tell of trouble.
func (t *Tree) regulators() []*device {
	var out []*device
	class := t.at("sys/class/regulator")
	for _, n := range list(class) {
		dir := filepath.Join(class, n)
		in := &input{kind: sensors.Alarm}
		for _, bit := range trouble {
			if file := filepath.Join(dir, bit); exists(file) {
				in.alarms = append(in.alarms, file)
			}
		}
		if in.alarms == nil {
			continue
		}
		name := text(filepath.Join(dir, "name"))
		in.id, in.label = sensors.Clean("regulator/"+name+"@"+address(t.place(filepath.Join(dir, "device")))), "regulator "+name
		out = append(out, &device{name: in.label, dir: dir, inputs: []*input{in}})
	}
	return out
}

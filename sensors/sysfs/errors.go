package sysfs

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/sensors"
)

// Bounds of what is counted, so that a server's buses leave room for the rest.
const (
	maxProcessors = 64
	maxBusDevices = 32
	maxNetworks   = 16
)

// counter makes an input of a file with a number of errors.
func counter(id, label, file string) *input {
	return &input{id: sensors.Clean(id), label: label, kind: sensors.Count, file: file, scale: 1}
}

// memoryErrors finds the memory controllers (EDAC). An error that was not
// corrected has changed memory.
func (t *Tree) memoryErrors() []*device {
	var out []*device
	class := t.at("sys/devices/system/edac/mc")
	for _, n := range list(class) {
		dir := filepath.Join(class, n)
		if !exists(filepath.Join(dir, "ce_count")) {
			continue
		}
		ce := counter("edac/"+n+"/corrected", "memory "+n+" corrected errors", filepath.Join(dir, "ce_count"))
		ue := counter("edac/"+n+"/uncorrected", "memory "+n+" uncorrected errors", filepath.Join(dir, "ue_count"))
		ue.fatal = true
		out = append(out, &device{name: "memory controller " + n, dir: dir, inputs: []*input{ce, ue}})
	}
	return out
}

// throttling finds the counters of Intel processors that had to slow down: the
// cooling has failed to keep up already.
func (t *Tree) throttling() []*device {
	var cores, packages []string
	class := t.at("sys/devices/system/cpu")
	for _, n := range list(class) {
		if word, i := numbered(n); word != "cpu" || i < 0 || len(cores) >= maxProcessors {
			continue
		}
		dir := filepath.Join(class, n, "thermal_throttle")
		if exists(filepath.Join(dir, "core_throttle_count")) {
			cores = append(cores, filepath.Join(dir, "core_throttle_count"))
		}
		if exists(filepath.Join(dir, "package_throttle_count")) {
			packages = append(packages, filepath.Join(dir, "package_throttle_count"))
		}
	}
	d := &device{name: "processor throttling", dir: class}
	if len(cores) > 0 {
		in := counter("cpu/throttle/core", "core throttled", cores[0])
		in.read = over(cores, plus)
		d.inputs = append(d.inputs, in)
	}
	if len(packages) > 0 {
		in := counter("cpu/throttle/package", "processor throttled", packages[0])
		in.read = over(packages, math.Max) // every processor of a package tells the package's number
		d.inputs = append(d.inputs, in)
	}
	if d.inputs == nil {
		return nil
	}
	return []*device{d}
}

// over joins what several files of one number hold.
func over(files []string, join func(a, b float64) float64) func(*device, *input, *sensors.Reading) error {
	return func(_ *device, _ *input, r *sensors.Reading) error {
		r.Value = 0
		for _, f := range files {
			n, err := number(f)
			if err != nil {
				return err
			}
			r.Value = join(r.Value, n)
		}
		return nil
	}
}

func plus(a, b float64) float64 { return a + b }

// networks finds the counters of network devices that are hardware.
func (t *Tree) networks() []*device {
	var out []*device
	class := t.at("sys/class/net")
	for _, n := range list(class) {
		dir := filepath.Join(class, n)
		if !exists(filepath.Join(dir, "device")) || len(out) >= maxNetworks {
			continue
		}
		d := &device{name: "network device " + n, dir: dir}
		for _, c := range [...]struct{ file, id, label string }{
			{"statistics/rx_crc_errors", "crc", "CRC errors"},
			{"statistics/rx_errors", "rx", "receive errors"},
			{"statistics/tx_errors", "tx", "send errors"},
			{"carrier_changes", "carrier", "carrier changes"},
		} {
			if file := filepath.Join(dir, c.file); exists(file) {
				d.inputs = append(d.inputs, counter("net/"+n+"/"+c.id, n+" "+c.label, file))
			}
		}
		if d.inputs != nil {
			out = append(out, d)
		}
	}
	return out
}

// busErrors finds the PCIe devices that report errors (AER).
func (t *Tree) busErrors() []*device {
	var out []*device
	bus := t.at("sys/bus/pci/devices")
	for _, n := range list(bus) {
		dir := filepath.Join(bus, n)
		if !exists(filepath.Join(dir, "aer_dev_correctable")) || len(out) >= maxBusDevices {
			continue
		}
		d := &device{name: "PCIe device " + n, dir: dir}
		for _, c := range [...]struct{ id, label, file, total string }{
			{"correctable", "corrected bus errors", "aer_dev_correctable", "TOTAL_ERR_COR"},
			{"nonfatal", "uncorrected bus errors", "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL"},
			{"fatal", "fatal bus errors", "aer_dev_fatal", "TOTAL_ERR_FATAL"},
		} {
			in := counter("pcie/"+n+"/"+c.id, n+" "+c.label, filepath.Join(dir, c.file))
			in.read = total(c.total)
			d.inputs = append(d.inputs, in)
		}
		out = append(out, d)
	}
	return out
}

var errNoTotal = errors.New("holds no total of this kind")

// total reads the line "NAME n" of a file of counters.
func total(name string) func(*device, *input, *sensors.Reading) error {
	return func(_ *device, in *input, r *sensors.Reading) error {
		var buf [maxPage]byte
		n, err := slurp(in.file, buf[:])
		if err != nil {
			return err
		}
		for line := range bytes.Lines(buf[:n]) {
			if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
				v, err := strconv.ParseUint(strings.TrimSpace(string(rest)), 10, 64)
				r.Value = float64(v)
				return err
			}
		}
		return errNoTotal
	}
}

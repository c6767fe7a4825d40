package sysfs

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/sensors"
)

// context is what explains other sensors, or is good to know: load, memory,
// disk, traces of a crash and of a watchdog's reset. Each is a device of its own,
// because a disk may hang.
func (t *Tree) context() []*device {
	var out []*device
	add := func(id, label, unit, file string, read func(*device, *input, *sensors.Reading) error) {
		if !exists(file) {
			return
		}
		in := &input{id: id, label: label, kind: sensors.Context, unit: unit, file: file, read: read, scale: 1}
		out = append(out, &device{name: label, dir: file, inputs: []*input{in}})
	}
	add(sensors.LoadID, "processor load", "%", t.at("proc/stat"), load)
	add("context/memory", "memory available", "%", t.at("proc/meminfo"), memory)
	if t.disk != "" {
		add("context/disk", "disk free at "+t.disk, "%", t.disk, disk)
	}
	add("context/pstore", "kernel dumps kept", "", t.at("sys/fs/pstore"), dumps)
	class := t.at("sys/class/watchdog")
	for _, n := range list(class) {
		add("context/"+sensors.Clean(n)+"/bootstatus", n+" boot status", "", filepath.Join(class, n, "bootstatus"), nil)
	}
	return out
}

var errFormat = errors.New("is not of the form that is known")

// load is how busy the processors were since the last look, in per cent (proc(5)).
func load(d *device, in *input, r *sensors.Reading) error {
	var buf [maxText]byte
	n, err := slurp(in.file, buf[:])
	if err != nil {
		return err
	}
	line, _, _ := bytes.Cut(buf[:n], []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 6 || string(fields[0]) != "cpu" {
		return errFormat
	}
	var all, idle uint64
	for i, f := range fields[1:min(len(fields), 9)] { // guests are in user already
		v, ok := whole(f)
		if !ok {
			return errFormat
		}
		all += uint64(v)
		if i == 3 || i == 4 { // idle, and waiting for a disk
			idle += uint64(v)
		}
	}
	before := d.busy
	d.busy = [2]uint64{all - idle, all}
	if before[1] == 0 || all <= before[1] || d.busy[0] < before[0] {
		r.State, r.Why = sensors.Absent, "needs two looks"
		return nil
	}
	r.Value = 100 * float64(d.busy[0]-before[0]) / float64(all-before[1])
	return nil
}

// memory is what a new program could have, in per cent of all.
func memory(_ *device, in *input, r *sensors.Reading) error {
	var buf [maxPage]byte
	n, err := slurp(in.file, buf[:])
	if err != nil {
		return err
	}
	find := func(name string) float64 {
		_, rest, _ := strings.Cut(string(buf[:n]), name+":")
		word := strings.Fields(rest)
		if len(word) == 0 {
			return 0
		}
		v, _ := whole([]byte(word[0]))
		return v
	}
	all := find("MemTotal")
	if all <= 0 {
		return errFormat
	}
	r.Value = 100 * find("MemAvailable") / all
	return nil
}

// disk is the space that is free, in per cent.
func disk(_ *device, in *input, r *sensors.Reading) error {
	var st unix.Statfs_t
	if err := unix.Statfs(in.file, &st); err != nil {
		return err
	}
	if st.Blocks == 0 {
		return errFormat
	}
	r.Value = 100 * float64(st.Bavail) / float64(st.Blocks)
	return nil
}

// dumps counts what the last kernels left in pstore as they died.
func dumps(_ *device, in *input, r *sensors.Reading) error {
	r.Value = 0
	for _, n := range list(in.file) {
		if strings.HasPrefix(n, "dmesg-") {
			r.Value++
		}
	}
	return nil
}

package sysfs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// maxText is how much is read of a file with words, maxPage of one with lines.
const (
	maxText = 256
	maxPage = 4096
)

// An input is one sensor of a device.
type input struct {
	id, label string
	kind      sensors.Kind
	unit      string
	file      string  // of the value; empty: there is none
	scale     float64 // of the number in it
	fault     string  // file that is 1 while the sensor is broken; empty: none
	enable    string  // file that is 0 while it is switched off
	alarms    []string
	drive     string         // fan: file of its pwm
	limits    predict.Limits // of kinds before Other
	fatal     bool
	// read takes the reading in a way of its own; nil: a number in file.
	read func(d *device, in *input, r *sensors.Reading) error
}

// A device is a set of files that hangs as a whole.
type device struct {
	name   string
	dir    string
	inputs []*input
	where  atomic.Pointer[string]
	busy   [2]uint64 // of the processors: time at work and time in all, at the last look
}

var _ sensors.Source = (*device)(nil)

// key tells two states of the world apart.
func (d *device) key() string {
	var b strings.Builder
	b.WriteString(d.name + "\n" + d.dir)
	for _, in := range d.inputs {
		b.WriteString("\n" + in.id)
	}
	return b.String()
}

// Name names the device.
func (d *device) Name() string { return d.name }

// Where names the file that is being read.
func (d *device) Where() string {
	if w := d.where.Load(); w != nil {
		return filepath.Base(*w)
	}
	return ""
}

// Read reads every input, see [sensors.Source].
func (d *device) Read(to []sensors.Reading, at time.Time, _ time.Duration) []sensors.Reading {
	for _, in := range d.inputs {
		r := sensors.New(in.id, in.label, in.kind, math.NaN(), at)
		r.Unit, r.Fatal = in.unit, in.fatal
		if in.kind < sensors.Other {
			r.Low, r.High, r.Crit = in.limits.Low, in.limits.High, in.limits.Crit
		}
		d.where.Store(&in.file)
		if err := d.take(in, &r); err != nil {
			r.State, r.Why = sensors.Unreadable, reason(err)
		}
		to = append(to, r)
	}
	return to
}

// reason is the error without the path, which the sensor's name stands for.
func reason(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno) + ": " + errno.Error()
	}
	return err.Error()
}

func (d *device) take(in *input, r *sensors.Reading) error {
	if in.fault != "" {
		if broken, err := number(in.fault); err == nil && broken != 0 {
			r.State, r.Why = sensors.Fault, "the chip says that the sensor is broken or missing"
			return nil
		}
	}
	if in.enable != "" {
		if on, err := number(in.enable); err == nil && on == 0 {
			r.State, r.Why = sensors.Absent, "is switched off"
			return nil
		}
	}
	d.alarms(in, r)
	if in.drive != "" {
		if pwm, err := number(in.drive); err == nil {
			r.Drive = pwm
		}
	}
	if in.read != nil {
		return in.read(d, in, r)
	}
	if in.file == "" {
		return nil // the alarm is all
	}
	v, err := number(in.file)
	if err != nil {
		return err
	}
	r.Value = v * in.scale
	return nil
}

// alarms asks the bits that the chip sets by itself.
func (d *device) alarms(in *input, r *sensors.Reading) {
	on := false
	for _, file := range in.alarms {
		bit, err := number(file)
		if err != nil || bit == 0 {
			continue
		}
		on = true
		r.Finding = predict.Finding{Level: predict.Alert, Text: "the chip raises " + filepath.Base(file)}
	}
	if in.kind == sensors.Alarm && in.file == "" {
		r.Value = flag(on)
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

var errNoNumber = errors.New("holds no number")

// number reads a file that holds one.
func number(file string) (float64, error) {
	var buf [64]byte
	n, err := slurp(file, buf[:])
	if err != nil {
		return 0, err
	}
	line := bytes.TrimSpace(buf[:n])
	if i, ok := whole(line); ok {
		return i, nil
	}
	v, err := strconv.ParseFloat(string(line), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q: %w", line[:min(len(line), 20)], errNoNumber)
	}
	return v, nil
}

// mostDigits of a whole number that a float64 holds exactly.
const mostDigits = 15

// whole reads a plain decimal number without making garbage.
func whole(line []byte) (v float64, ok bool) {
	digits := line
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > mostDigits {
		return 0, false
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if len(digits) < len(line) {
		n = -n
	}
	return float64(n), true
}

// interrupts bounds how often a read that a signal ended is begun anew.
const interrupts = 10

// slurp reads the beginning of a file. It goes around os.File, which would ask
// for the poller and make garbage, sixty times a second.
func slurp(file string, buf []byte) (int, error) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	for range interrupts {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return max(n, 0), err
	}
	return 0, unix.EINTR
}

package sysfs

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// flash finds what wears: eMMC, UFS, raw NAND under UBI, and MTD devices. SD
// cards do not tell.
func (t *Tree) flash() []*device {
	return append(append(append(t.cards(), t.universal()...), t.ubi()...), t.mtd()...)
}

func wear(id, label, file string, read func(*device, *input, *sensors.Reading) error) *input {
	return &input{id: sensors.Clean(id), label: label, kind: sensors.Wear, file: file, read: read}
}

// cards finds eMMC (Documentation/ABI/testing/sysfs-bus-mmc).
func (t *Tree) cards() []*device {
	var out []*device
	class := t.at("sys/block")
	for _, n := range list(class) {
		dir := filepath.Join(class, n, "device")
		if !strings.HasPrefix(n, "mmcblk") || strings.Contains(n, "boot") || !exists(filepath.Join(dir, "life_time")) {
			continue
		}
		name := text(filepath.Join(dir, "name"))
		in := wear("emmc/"+name+"@"+address(t.place(dir))+"/life", "eMMC "+name, filepath.Join(dir, "life_time"), eMMC)
		out = append(out, &device{name: "eMMC " + name, dir: dir, inputs: []*input{in}})
	}
	return out
}

func eMMC(_ *device, in *input, r *sensors.Reading) error {
	life, err := word(in.file)
	if err != nil {
		return err
	}
	words := strings.Fields(life)
	if len(words) != 2 {
		return fmt.Errorf("%q: two numbers are wanted", strings.Join(words, " "))
	}
	eol, err := hex(filepath.Join(filepath.Dir(in.file), "pre_eol_info"))
	if err != nil {
		eol = 0 // not told
	}
	return lived(r, words[0], words[1], eol)
}

// lived judges the two life times of a flash device and its spare blocks.
func lived(r *sensors.Reading, a, b string, eol uint8) error {
	lifeA, errA := strconv.ParseUint(a, 0, 8)
	lifeB, errB := strconv.ParseUint(b, 0, 8)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	r.Finding = predict.EMMC(uint8(lifeA), uint8(lifeB), eol)
	if worst := max(lifeA, lifeB); worst == 0 {
		r.State, r.Why = sensors.Absent, "the device does not tell"
	} else {
		r.Value = float64(10 * worst)
	}
	return nil
}

func hex(file string) (uint8, error) {
	v, err := strconv.ParseUint(text(file), 0, 8)
	return uint8(v), err
}

// universal finds UFS (Documentation/ABI/testing/sysfs-driver-ufs).
func (t *Tree) universal() []*device {
	var out []*device
	for _, bus := range [...]string{"platform", "pci"} {
		devices := t.at("sys/bus", bus, "devices")
		for _, n := range list(devices) {
			dir := filepath.Join(devices, n, "health_descriptor")
			if !exists(filepath.Join(dir, "life_time_estimation_a")) {
				continue
			}
			in := wear("ufs/"+n+"/life", "UFS "+n, filepath.Join(dir, "life_time_estimation_a"), ufs)
			out = append(out, &device{name: "UFS " + n, dir: dir, inputs: []*input{in}})
		}
	}
	return out
}

func ufs(_ *device, in *input, r *sensors.Reading) error {
	dir := filepath.Dir(in.file)
	eol, err := hex(filepath.Join(dir, "eol_info"))
	if err != nil {
		eol = 0
	}
	return lived(r, text(in.file), text(filepath.Join(dir, "life_time_estimation_b")), eol)
}

// ubi finds raw NAND under UBI (Documentation/ABI/stable/sysfs-class-ubi).
func (t *Tree) ubi() []*device {
	var out []*device
	class := t.at("sys/class/ubi")
	for _, n := range list(class) {
		dir := filepath.Join(class, n)
		if !exists(filepath.Join(dir, "max_ec")) {
			continue
		}
		in := wear("ubi/"+n+"/wear", "flash "+n, filepath.Join(dir, "max_ec"), ubiWear)
		in.unit = "erase cycles"
		out = append(out, &device{name: "UBI " + n, dir: dir, inputs: []*input{in}})
	}
	return out
}

func ubiWear(_ *device, in *input, r *sensors.Reading) error {
	dir := filepath.Dir(in.file)
	var v [4]float64
	for i, f := range [...]string{"max_ec", "bad_peb_count", "reserved_for_bad", "ro_mode"} {
		var err error
		if v[i], err = number(filepath.Join(dir, f)); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		if v[i] < 0 || v[i] > math.MaxUint32 {
			return fmt.Errorf("%s: %g is no count", f, v[i])
		}
	}
	r.Value = v[0]
	r.Finding = predict.UBI(predict.UBIState{MaxErase: uint64(v[0]), Bad: uint64(v[1]), Reserved: uint64(v[2]), ReadOnly: v[3] != 0})
	return nil
}

// mtd finds the error counters of MTD devices that have an ECC.
func (t *Tree) mtd() []*device {
	var out []*device
	class := t.at("sys/class/mtd")
	for _, n := range list(class) {
		dir := filepath.Join(class, n)
		if word, i := numbered(n); word != "mtd" || i < 0 || text(filepath.Join(dir, "ecc_strength")) == "0" || !exists(filepath.Join(dir, "ecc_failures")) {
			continue
		}
		name := text(filepath.Join(dir, "name"))
		id, label := "mtd/"+name+"/", "flash partition "+name+" "
		out = append(out, &device{name: "MTD " + n, dir: dir, inputs: []*input{
			counter(id+"corrected", label+"corrected bits", filepath.Join(dir, "corrected_bits")),
			counter(id+"failures", label+"uncorrected reads", filepath.Join(dir, "ecc_failures")),
		}})
	}
	return out
}

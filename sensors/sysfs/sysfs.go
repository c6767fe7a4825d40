// Package sysfs reads the sensors that a Linux kernel knows: hwmon chips, thermal
// zones, memory and bus errors, network devices, flash wear, power supplies,
// regulators, and load, memory and disk as context. It decides what each file is
// called and in which unit it is; it refuses to judge a value, and to name a
// sensor by the order in which a boot found it: an ID is made of the chip's name,
// its device's address and the input's label.
//
// The kernel's documents: Documentation/hwmon/sysfs-interface.rst,
// Documentation/driver-api/thermal/sysfs-api.rst and Documentation/ABI/*.
// Start reading at [Tree.Find], then device.go.
package sysfs

import (
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/sensors"
)

const (
	// maxEntries bounds what is looked at of a folder.
	maxEntries = 1000
	// maxDevices bounds the sources, and maxInputs the sensors of one.
	maxDevices = 256
	maxInputs  = 128
)

// A Tree is /sys and /proc below a root, and the devices that were found there.
type Tree struct {
	root  string
	disk  string // a folder on the disk that is context
	known map[string]*device
}

// New returns the tree below root, "/" for this machine's. disk is a folder on
// the disk whose free space is of interest, empty for none.
func New(root, disk string) *Tree { return &Tree{root: root, disk: disk, known: map[string]*device{}} }

// Find returns the devices there are. One that is still the same is the same
// pointer; a chip whose number changed is a new one with the same IDs.
func (t *Tree) Find() []sensors.Source {
	var found []*device
	for _, look := range [...]func(*Tree) []*device{
		(*Tree).chips, (*Tree).zones, (*Tree).supplies, (*Tree).regulators, (*Tree).flash, (*Tree).memoryErrors,
		(*Tree).throttling, (*Tree).networks, (*Tree).busErrors, (*Tree).context,
	} {
		found = append(found, look(t)...)
		runtime.Gosched() // with one processor the agent's beat waits for it
	}
	found = found[:min(len(found), maxDevices)]
	distinct(found)
	now := map[string]*device{}
	out := make([]sensors.Source, 0, len(found))
	for _, d := range found {
		d.inputs = d.inputs[:min(len(d.inputs), maxInputs)]
		key := d.key()
		if old, ok := t.known[key]; ok {
			d = old
		}
		now[key] = d
		out = append(out, d)
	}
	t.known = now
	return out
}

// distinct gives a number to what is called alike: two chips of one kind that no
// address tells apart.
func distinct(all []*device) {
	seen := map[string]int{}
	for _, d := range all {
		for _, in := range d.inputs {
			seen[in.id]++
			if n := seen[in.id]; n > 1 {
				in.id += "#" + strconv.Itoa(n)
				in.label += " #" + strconv.Itoa(n)
			}
		}
	}
}

// at returns a path below the root.
func (t *Tree) at(parts ...string) string {
	return filepath.Join(append([]string{t.root}, parts...)...)
}

// list returns the names in a folder, in order of their numbers; none if there
// is no such folder.
func list(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxEntries)
	sort.Slice(names, func(i, k int) bool { return before(names[i], names[k]) })
	return names
}

// before orders hwmon2 before hwmon10.
func before(a, b string) bool {
	wordA, a1 := numbered(a)
	wordB, b1 := numbered(b)
	if wordA == wordB && a1 != b1 {
		return a1 < b1
	}
	return a < b
}

// numbered splits a name from the number at its end, -1 if there is none.
func numbered(name string) (word string, n int) {
	word = strings.TrimRight(name, "0123456789")
	n, err := strconv.Atoi(name[len(word):])
	if err != nil {
		return name, -1
	}
	return word, n
}

// text reads a short file without the space around it, "" if that is not possible.
func text(file string) string {
	s, err := word(file)
	if err != nil {
		return ""
	}
	return s
}

// word reads a short file without the space around it.
func word(file string) (string, error) {
	var b [maxText]byte
	n, err := slurp(file, b[:])
	return strings.TrimSpace(string(b[:n])), err
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// place returns where a folder of a class really is, as a path of /sys/devices
// that is the same after each boot as far as buses have addresses.
func (t *Tree) place(dir string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return dir
	}
	base, err := filepath.EvalSymlinks(t.root)
	if err != nil {
		return real
	}
	return strings.TrimPrefix(real, strings.TrimSuffix(base, "/"))
}

// address returns the last part of a device's path that is an address on a bus,
// such as 0000:00:18.3, 2-0048, it87.2608 or 1f000000.mmc: what classes number in
// the order of a boot, such as nvme0 or hwmon3, is left out.
func address(place string) string {
	for p := place; p != "/" && p != "." && p != ""; p = path.Dir(p) {
		part := path.Base(p)
		if strings.ContainsAny(part, ":.-") && strings.ContainsAny(part, "0123456789") {
			return part
		}
	}
	return path.Base(place)
}

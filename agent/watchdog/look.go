package watchdog

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Seen is a device as it looks without being opened, which would arm it.
type Seen struct {
	Path     string        `json:"path"`
	Identity string        `json:"identity,omitempty"`
	State    string        `json:"state,omitempty"` // active: somebody has it open
	Timeout  time.Duration `json:"timeout_ns,omitempty"`
	TimeLeft time.Duration `json:"time_left_ns,omitempty"` // 0: the driver does not know
	NoWayOut string        `json:"nowayout"`
	Governor string        `json:"governor,omitempty"`
	Boot     []string      `json:"boot_status,omitempty"`
	Holder   string        `json:"holder,omitempty"`
}

// maxSeen bounds the devices that are looked at.
const maxSeen = 16

// Look lists the devices of this box.
func Look() []Seen { return system().look() }

func (k machine) look() []Seen {
	paths, _ := filepath.Glob(filepath.Join(k.root, "dev/watchdog[0-9]*"))
	if len(paths) == 0 {
		paths, _ = filepath.Glob(filepath.Join(k.root, "dev/watchdog")) // of a driver older than the class
	}
	slices.Sort(paths)
	var out []Seen
	for _, p := range paths[:min(len(paths), maxSeen)] {
		s := Seen{Path: "/dev/" + filepath.Base(p)}
		c := k.class(s.Path)
		s.Identity, s.State, s.NoWayOut, s.Governor = c.identity(), c.read("state"), c.noWayOut(), c.governor()
		s.Timeout, s.TimeLeft = c.duration("timeout"), c.duration("timeleft")
		if v, err := strconv.ParseUint(c.read("bootstatus"), 10, 32); err == nil {
			s.Boot = bits(uint32(v) & bootBits)
		}
		s.Holder, _ = k.holder(s.Path)
		out = append(out, s)
	}
	return out
}

// duration reads a number of seconds.
func (s sysfs) duration(name string) time.Duration {
	v, err := strconv.ParseUint(s.read(name), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(v) * time.Second
}

// String says what the device is, in a line.
func (s Seen) String() string {
	parts := []string{s.Path}
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	add("identity", s.Identity)
	add("state", s.State)
	if s.Timeout > 0 {
		add("timeout", s.Timeout.String())
	}
	if s.TimeLeft > 0 {
		add("time left", s.TimeLeft.String())
	}
	add("nowayout", s.NoWayOut)
	add("governor", s.Governor)
	add("boot status", strings.Join(s.Boot, " "))
	add("held by", s.Holder)
	return strings.Join(parts, ", ")
}

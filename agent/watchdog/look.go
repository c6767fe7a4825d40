package watchdog

import (
	"os"
	"path/filepath"
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

// LookBelow is Look on the machine whose root folder that is.
func LookBelow(root string) []Seen { return machine{root: root}.look() }

func (k machine) look() []Seen {
	names := k.devices()
	var out []Seen
	for _, name := range names[:min(len(names), maxSeen)] {
		s := Seen{Path: "/dev/" + name}
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

// devices are the names in /dev, in their order; watchdog alone is of a driver
// older than the class.
func (k machine) devices() (names []string) {
	all, _ := os.ReadDir(filepath.Join(k.root, "dev")) // sorted by name
	old := false
	for _, e := range all {
		number, ok := strings.CutPrefix(e.Name(), "watchdog")
		switch {
		case ok && number == "":
			old = true
		case ok && number[0] >= '0' && number[0] <= '9':
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 && old {
		names = []string{"watchdog"}
	}
	return names
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

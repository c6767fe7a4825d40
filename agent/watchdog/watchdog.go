// Package watchdog holds a hardware watchdog open: it sets what the driver lets
// be set, reads back what the driver made of it, and feeds it when told. It
// refuses to decide when that is, and to disarm a device unless told so in as
// many words. Start reading at [Open].
//
// github.com/mdlayher/watchdog opens and feeds /dev/watchdog. It has nothing
// for the rest (timeout, pretimeout, boot status, another path, an end without
// disarming), so that comes by ioctl on a duplicate of its descriptor.
package watchdog

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultPath is the first device, as every kernel names it.
const DefaultPath = "/dev/watchdog"

// Config says how a device is to be used. Times are whole seconds, as the
// kernel has them.
type Config struct {
	Path       string
	Timeout    time.Duration // in force from the first feed on
	Pretimeout time.Duration // 0: none
	Governor   string        // of the pretimeout; empty: as it is
	Handover   time.Duration // in force before that, and after a clean stop
}

// An Info is what a device is and does.
type Info struct {
	Path     string
	Identity string
	Options  []string      // capabilities, by the kernel's names
	Timeout  time.Duration // as read back
	Worst    time.Duration // within which a box that is not fed is reset for certain
	Handover time.Duration // as read back

	Pretimeout time.Duration
	Governor   string
	NoWayOut   string   // yes, no, or unknown
	Boot       []string // what the device says of the last reset, by the kernel's names
	BootKnown  bool     // it can say
	Running    bool     // it was armed before it was opened, by an agent before
	Software   bool     // it dies with the kernel
	Warnings   []string
}

// A handle is an open device.
type handle interface {
	Info() (identity string, options uint32, err error)
	Get(request uint) (int, error)
	Set(request uint, value int) error
	Feed() error
	Disarm() error // the magic close
}

// A Device is open and armed until the box is reset, or until [Device.Disarm].
// Its methods belong to one goroutine.
type Device struct {
	cfg     Config
	h       handle
	info    Info
	options uint32
	working bool // the working timeout is in force
	off     bool
}

// seconds turns a duration into what the kernel takes.
func seconds(d time.Duration) int { return int(min(math.Ceil(d.Seconds()), math.MaxInt32)) }

// Open arms the device with the hand-over timeout: a start may take longer than
// the working one. An error says who holds it, if that is the matter.
func Open(c Config) (*Device, error) { return system().open(c) }

func (k machine) open(c Config) (*Device, error) {
	class := k.class(c.Path)
	running := class.running()
	h, err := k.arm(c.Path)
	if err != nil {
		return nil, k.explain(c.Path, err)
	}
	d := &Device{cfg: c, h: h, info: Info{Path: c.Path, Running: running, NoWayOut: class.noWayOut()}}
	identity, options, err := h.Info()
	d.info.Options = bits(options)
	if err != nil {
		d.warn("it does not say what it is: %v", err)
		options = unix.WDIOF_SETTIMEOUT | unix.WDIOF_MAGICCLOSE // tried, and read back
	}
	d.options, d.info.Identity = options, identity
	if class.identity() != identity {
		class = sysfs{} // of another driver: this one has none
		d.info.NoWayOut, d.info.Running = unknown, false
	}
	d.readBoot()
	if err := d.setTimes(); err != nil {
		return nil, errors.Join(fmt.Errorf("set timeout of %s: %w", c.Path, err), d.Disarm())
	}
	d.setPretimeout(class)
	d.judge()
	return d, nil
}

func (d *Device) warn(format string, args ...any) {
	d.info.Warnings = append(d.info.Warnings, fmt.Sprintf(format, args...))
}

// readBoot asks for the cause of the last reset.
func (d *Device) readBoot() {
	v, err := d.h.Get(unix.WDIOC_GETBOOTSTATUS)
	if err == nil {
		d.info.Boot, d.info.BootKnown = bits(uint32(v)&bootBits), true
	}
}

// errNoTimeout says that a device tells nothing of its timeout.
var errNoTimeout = errors.New("the driver neither takes a timeout nor says what is in force")

// setTimes learns what the driver makes of the working timeout, and leaves the
// longest up to the hand-over timeout in force: the device must be fed within
// that.
func (d *Device) setTimes() error {
	real, err := d.setTimeout(d.cfg.Timeout)
	if real == 0 {
		return errors.Join(errNoTimeout, err)
	}
	if err != nil {
		d.warn("the driver refuses %s: %v", d.cfg.Timeout, err)
	}
	d.info.Timeout, d.info.Worst = real, worst(d.info.Identity, real)
	d.info.Handover = d.lengthen()
	return nil
}

// setTimeout sets the timeout and returns what the driver has then: many round
// it, some cannot set it at all. Zero is not known. The error is a refusal.
func (d *Device) setTimeout(want time.Duration) (time.Duration, error) {
	refused := errors.ErrUnsupported
	if d.options&unix.WDIOF_SETTIMEOUT != 0 {
		refused = d.h.Set(unix.WDIOC_SETTIMEOUT, seconds(want))
	}
	got, err := d.h.Get(unix.WDIOC_GETTIMEOUT)
	switch {
	case err == nil && got > 0:
		return time.Duration(got) * time.Second, refused
	case refused == nil:
		return want, nil // it took it, and cannot be asked
	}
	return 0, refused
}

// lengthenTries bounds the search for the longest timeout that a device takes.
const lengthenTries = 8

// lengthen puts the hand-over timeout in force, or the longest that the device
// takes (some end at 16 s), and returns it.
func (d *Device) lengthen() time.Duration {
	d.working = false
	want := d.cfg.Handover
	for range lengthenTries {
		if want <= d.info.Timeout {
			break
		}
		if got, err := d.setTimeout(want); err == nil {
			return got
		}
		want /= 2
	}
	got, _ := d.setTimeout(d.cfg.Timeout)
	return got
}

// setPretimeout sets pretimeout and governor; a device without them is worth a
// warning and no more.
func (d *Device) setPretimeout(class sysfs) {
	if d.cfg.Pretimeout == 0 {
		return
	}
	if d.options&unix.WDIOF_PRETIMEOUT == 0 {
		d.warn("it has no pretimeout")
		return
	}
	if err := d.h.Set(unix.WDIOC_SETPRETIMEOUT, seconds(d.cfg.Pretimeout)); err != nil {
		d.warn("set pretimeout: %v", err)
	}
	got, err := d.h.Get(unix.WDIOC_GETPRETIMEOUT)
	if err != nil {
		d.warn("read pretimeout: %v", err)
		return
	}
	d.info.Pretimeout = time.Duration(got) * time.Second
	if d.info.Pretimeout != d.cfg.Pretimeout {
		d.warn("pretimeout is %s instead of %s", d.info.Pretimeout, d.cfg.Pretimeout)
	}
	if d.cfg.Governor != "" {
		if err := class.setGovernor(d.cfg.Governor); err != nil {
			d.warn("set governor of the pretimeout: %v", err)
		}
	}
	d.info.Governor = class.governor()
}

// judge notes what an operator should know of this device.
func (d *Device) judge() {
	i := &d.info
	if i.Software = softwareNames[i.Identity]; i.Software {
		d.warn("a software watchdog dies with the kernel that it watches")
	}
	if i.Timeout != d.cfg.Timeout {
		d.warn("timeout is %s instead of %s", i.Timeout, d.cfg.Timeout)
	}
	if i.Worst > i.Timeout {
		d.warn("this driver resets after up to %s, not %s", i.Worst, i.Timeout)
	}
	if d.options&unix.WDIOF_MAGICCLOSE == 0 && i.NoWayOut != yes {
		d.warn("any close disarms it: an agent that dies leaves the box unguarded")
	}
}

// Info returns what is known of the device.
func (d *Device) Info() Info { return d.info }

// Feed keeps the box alive for another timeout. The first one puts the working
// timeout in force.
func (d *Device) Feed() error {
	if d.off {
		return nil
	}
	if !d.working { // what the driver refuses it refused at the start, and it was reckoned with
		_, _ = d.setTimeout(d.cfg.Timeout)
		d.working = true
	}
	if err := d.h.Feed(); err != nil {
		return fmt.Errorf("feed %s: %w", d.cfg.Path, err)
	}
	return nil
}

// Leave prepares a clean end: the next process has the hand-over timeout to open
// the device again, which stays armed.
func (d *Device) Leave() error {
	if d.off {
		return nil
	}
	if got := d.lengthen(); got < d.cfg.Handover {
		return fmt.Errorf("lengthen timeout of %s: %s is in force instead of %s", d.cfg.Path, got, d.cfg.Handover)
	}
	return nil
}

// ErrNoWayOut says that the kernel lets nobody disarm the device.
var ErrNoWayOut = errors.New("the kernel does not let it be disarmed (nowayout)")

// Disarm ends the watch over this box until the device is opened anew.
func (d *Device) Disarm() error {
	if d.off {
		return nil
	}
	if d.info.NoWayOut == yes {
		return fmt.Errorf("disarm %s: %w", d.cfg.Path, ErrNoWayOut)
	}
	if err := d.h.Disarm(); err != nil {
		return fmt.Errorf("disarm %s: %w", d.cfg.Path, err)
	}
	d.off = true
	return nil
}

// TimeLeft returns how long the box lives without another feed. Few drivers
// know.
func (d *Device) TimeLeft() (time.Duration, bool) {
	if d.off {
		return 0, false
	}
	v, err := d.h.Get(unix.WDIOC_GETTIMELEFT)
	return time.Duration(v) * time.Second, err == nil
}

// softwareNames are the identities of watchdogs that are a timer of the kernel.
var softwareNames = map[string]bool{"Software Watchdog": true}

// worst is the time within which a box is reset for certain. Measured in QEMU:
// iTCO resets at the second expiry (10 s with 5 set), ib700 counts in steps of
// two seconds (7 s with 5 set).
func worst(identity string, told time.Duration) time.Duration {
	switch identity {
	case "iTCO_wdt":
		return 2 * told
	case "IB700 WDT":
		return told + 2*time.Second
	}
	return told
}

// flags of the kernel's watchdog interface (watchdog-api.rst).
var flags = []struct {
	bit  uint32
	name string
}{
	{unix.WDIOF_OVERHEAT, "OVERHEAT"},
	{unix.WDIOF_FANFAULT, "FANFAULT"},
	{unix.WDIOF_EXTERN1, "EXTERN1"},
	{unix.WDIOF_EXTERN2, "EXTERN2"},
	{unix.WDIOF_POWERUNDER, "POWERUNDER"},
	{unix.WDIOF_CARDRESET, "CARDRESET"},
	{unix.WDIOF_POWEROVER, "POWEROVER"},
	{unix.WDIOF_SETTIMEOUT, "SETTIMEOUT"},
	{unix.WDIOF_MAGICCLOSE, "MAGICCLOSE"},
	{unix.WDIOF_PRETIMEOUT, "PRETIMEOUT"},
	{unix.WDIOF_ALARMONLY, "ALARMONLY"},
	{unix.WDIOF_KEEPALIVEPING, "KEEPALIVEPING"},
}

// bootBits are those that a boot status may have.
const bootBits = unix.WDIOF_OVERHEAT | unix.WDIOF_FANFAULT | unix.WDIOF_EXTERN1 | unix.WDIOF_EXTERN2 |
	unix.WDIOF_POWERUNDER | unix.WDIOF_CARDRESET | unix.WDIOF_POWEROVER

func bits(v uint32) []string {
	var out []string
	for _, f := range flags {
		if v&f.bit != 0 {
			out = append(out, f.name)
		}
	}
	return out
}

// Period is the pause between two feeds: an eighth of the timeout, at most a
// second. A feed of some devices is a message to a slow controller.
func Period(timeout time.Duration) time.Duration { return min(timeout/8, time.Second) }

// String says what the device is, in a line.
func (i Info) String() string {
	s := fmt.Sprintf("%s (%s), timeout %s", i.Path, i.Identity, i.Timeout)
	if len(i.Boot) > 0 {
		s += ", boot status " + strings.Join(i.Boot, " ")
	}
	return s
}

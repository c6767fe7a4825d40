package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	device "github.com/mdlayher/watchdog"
	"golang.org/x/sys/unix"
)

// A machine is the box whose devices are opened; a test makes its own.
type machine struct {
	root string // before /dev, /proc and /sys
	arm  func(path string) (handle, error)
}

func system() machine { return machine{root: "/", arm: arm} }

// arm opens a device, which starts it.
func arm(path string) (handle, error) {
	if path == DefaultPath {
		return armFirst()
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &plain{fd}, nil
}

// armFirst opens /dev/watchdog with the library and finds its descriptor. Where
// the library gives up on a device that does not say what it is, the device is
// open and armed all the same, so that its descriptor is used without it.
func armFirst() (handle, error) {
	lib, err := device.Open()
	if opening, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, opening.Err
	}
	fd, lost := ownDescriptor(DefaultPath)
	switch {
	case lost != nil:
		return nil, errors.Join(err, lost)
	case err != nil:
		return &plain{fd}, nil
	}
	return &library{plain{fd}, lib}, nil
}

// ownDescriptor returns a duplicate of this process's descriptor of a device.
// The kernel lets a watchdog be opened once, so there is one.
func ownDescriptor(path string) (int, error) {
	var want unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		return 0, fmt.Errorf("find %s: %w", path, err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == want.Rdev {
			return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		}
	}
	return 0, fmt.Errorf("find %s: it is open, but not among /proc/self/fd", path)
}

// plain is a device by its descriptor.
type plain struct{ fd int }

func (p *plain) Info() (string, uint32, error) {
	info, err := unix.IoctlGetWatchdogInfo(p.fd)
	if err != nil {
		return "", 0, err
	}
	return unix.ByteSliceToString(info.Identity[:]), info.Options, nil
}

func (p *plain) Get(request uint) (int, error) {
	v, err := unix.IoctlGetUint32(p.fd, request)
	return int(v), err
}

func (p *plain) Set(request uint, value int) error {
	return unix.IoctlSetPointerInt(p.fd, request, value)
}

func (p *plain) Feed() error { return unix.IoctlWatchdogKeepalive(p.fd) }

// Disarm writes the magic letter (watchdog-api.rst) and closes. Without the letter
// a close would leave it armed, with nobody to feed it.
func (p *plain) Disarm() error {
	if _, err := unix.Write(p.fd, []byte("V")); err != nil {
		return err
	}
	return unix.Close(p.fd)
}

// library feeds by the library.
type library struct {
	plain
	lib *device.Device // kept: its descriptor must not be collected, which would close it
}

func (l *library) Feed() error { return l.lib.Ping() }

// Disarm closes both descriptors; the library writes the magic letter.
func (l *library) Disarm() error { return errors.Join(l.lib.Close(), unix.Close(l.fd)) }

// yes and others are what sysfs says of a switch.
const (
	yes     = "yes"
	no      = "no"
	unknown = "unknown"
)

// sysfs is a device's folder in /sys/class/watchdog; empty where the driver is
// older than that class, as ib700 and ipmi_watchdog are.
type sysfs struct{ dir string }

// class finds the folder of a device. /dev/watchdog is the first of the class,
// if it is one of the class at all: the identity must tell.
func (k machine) class(path string) sysfs {
	name := filepath.Base(path)
	if target, err := os.Readlink(filepath.Join(k.root, path)); err == nil {
		name = filepath.Base(target)
	}
	if name == "watchdog" {
		name = "watchdog0"
	}
	dir := filepath.Join(k.root, "/sys/class/watchdog", name)
	if _, err := os.Stat(dir); err != nil {
		return sysfs{}
	}
	return sysfs{dir}
}

func (s sysfs) read(name string) string {
	if s.dir == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (s sysfs) identity() string { return s.read("identity") }
func (s sysfs) governor() string { return s.read("pretimeout_governor") }

func (s sysfs) noWayOut() string {
	switch s.read("nowayout") {
	case "1":
		return yes
	case "0":
		return no
	}
	return unknown
}

// running says whether the device is armed already, as an agent leaves it that
// ended. What a bootloader armed is fed by the kernel, which does not tell.
func (s sysfs) running() bool { return s.read("state") == "active" }

func (s sysfs) setGovernor(name string) error {
	if s.dir == "" {
		return errors.New("the driver has no class in sysfs")
	}
	if err := os.WriteFile(filepath.Join(s.dir, "pretimeout_governor"), []byte(name), 0o644); err != nil {
		return fmt.Errorf("%w (it has: %s)", err, s.read("pretimeout_available_governors"))
	}
	return nil
}

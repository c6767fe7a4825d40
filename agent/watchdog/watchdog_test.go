package watchdog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A fakeDriver is a driver with its habits.
type fakeDriver struct {
	identity  string
	options   uint32
	mute      bool // GETSUPPORT fails
	least     int  // shortest timeout it takes
	most      int  // longest; 0: any
	grain     int  // it rounds up to whole ones
	refuses   error
	timeout   int
	noGet     bool // GETTIMEOUT fails
	boot      int
	noBoot    bool
	left      int // GETTIMELEFT; 0: not supported
	pre       int
	preGrain  int
	feedErr   error
	disarmErr error

	log []string
}

const core = unix.WDIOF_SETTIMEOUT | unix.WDIOF_MAGICCLOSE | unix.WDIOF_KEEPALIVEPING

func (f *fakeDriver) Info() (string, uint32, error) {
	if f.mute {
		return "", 0, unix.ENOTTY
	}
	return f.identity, f.options, nil
}

func (f *fakeDriver) Get(request uint) (int, error) {
	switch {
	case request == unix.WDIOC_GETTIMEOUT && !f.noGet:
		return f.timeout, nil
	case request == unix.WDIOC_GETBOOTSTATUS && !f.noBoot:
		return f.boot, nil
	case request == unix.WDIOC_GETTIMELEFT && f.left > 0:
		return f.left, nil
	case request == unix.WDIOC_GETPRETIMEOUT:
		return f.pre, nil
	}
	return 0, unix.ENOTTY
}

func (f *fakeDriver) Set(request uint, v int) error {
	if request == unix.WDIOC_SETPRETIMEOUT {
		f.pre = v
		if f.preGrain > 0 {
			f.pre = v - v%f.preGrain
		}
		return nil
	}
	if request != unix.WDIOC_SETTIMEOUT {
		return unix.ENOTTY
	}
	if f.refuses != nil {
		return f.refuses
	}
	if v < f.least || f.most > 0 && v > f.most {
		return unix.EINVAL
	}
	if f.grain > 0 {
		v = (v + f.grain - 1) / f.grain * f.grain
	}
	f.timeout = v
	f.log = append(f.log, "timeout")
	return nil
}

func (f *fakeDriver) Feed() error {
	f.log = append(f.log, "feed")
	return f.feedErr
}

func (f *fakeDriver) Disarm() error {
	f.log = append(f.log, "disarm")
	return f.disarmErr
}

// box makes a machine whose one device is f, with the given files.
func box(t *testing.T, f handle, openErr error, files map[string]string) machine {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, link := strings.CutPrefix(text, "-> "); link {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return machine{root: root, arm: func(string) (handle, error) { return f, openErr }}
}

const class = "sys/class/watchdog/watchdog0/"

var usual = Config{Path: DefaultPath, Timeout: 5 * time.Second, Handover: 60 * time.Second}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name   string
		driver fakeDriver
		config Config
		files  map[string]string
		want   Info
		err    string
	}{
		{
			name:   "i6300esb after its reset",
			driver: fakeDriver{identity: "i6300ESB timer", options: core, boot: 32, timeout: 30},
			files:  map[string]string{class + "identity": "i6300ESB timer\n", class + "nowayout": "0\n", class + "state": "inactive\n"},
			want: Info{
				Identity: "i6300ESB timer", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"},
				Timeout: 5 * time.Second, Worst: 5 * time.Second, Handover: 60 * time.Second,
				NoWayOut: no, Boot: []string{"CARDRESET"}, BootKnown: true,
			},
		},
		{
			name:   "armed by the agent before, and nowayout",
			driver: fakeDriver{identity: "imx2+ watchdog", options: core, timeout: 60, most: 128},
			files:  map[string]string{class + "identity": "imx2+ watchdog\n", class + "nowayout": "1\n", class + "state": "active\n"},
			want: Info{
				Identity: "imx2+ watchdog", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"},
				Timeout: 5 * time.Second, Worst: 5 * time.Second, Handover: 60 * time.Second,
				NoWayOut: yes, BootKnown: true, Running: true,
			},
		},
		{
			name:   "rounds up, and ends at 16 s",
			driver: fakeDriver{identity: "at91", options: core, grain: 8, most: 16, timeout: 16},
			want: Info{
				Identity: "at91", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"},
				Timeout: 8 * time.Second, Worst: 8 * time.Second, Handover: 16 * time.Second,
				NoWayOut: unknown, BootKnown: true, Warnings: []string{"timeout is 8s instead of 5s"},
			},
		},
		{
			name:   "cannot be set",
			driver: fakeDriver{identity: "fixed", options: unix.WDIOF_MAGICCLOSE, timeout: 30},
			want: Info{
				Identity: "fixed", Options: []string{"MAGICCLOSE"}, Timeout: 30 * time.Second, Worst: 30 * time.Second,
				Handover: 30 * time.Second, NoWayOut: unknown, BootKnown: true,
				Warnings: []string{"the driver refuses 5s: unsupported operation", "timeout is 30s instead of 5s"},
			},
		},
		{
			name:   "refuses what is too short",
			driver: fakeDriver{identity: "slow", options: core, least: 10, timeout: 20},
			want: Info{
				Identity: "slow", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"}, Timeout: 20 * time.Second,
				Worst: 20 * time.Second, Handover: 60 * time.Second, NoWayOut: unknown, BootKnown: true,
				Warnings: []string{"the driver refuses 5s: invalid argument", "timeout is 20s instead of 5s"},
			},
		},
		{
			name:   "older than the class: ib700",
			driver: fakeDriver{identity: "IB700 WDT", options: core, most: 30, timeout: 30},
			files:  map[string]string{class + "identity": "another driver's\n", class + "nowayout": "1\n", class + "state": "active\n"},
			want: Info{
				Identity: "IB700 WDT", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"}, Timeout: 5 * time.Second,
				Worst: 7 * time.Second, Handover: 30 * time.Second, NoWayOut: unknown, BootKnown: true,
				Warnings: []string{"this driver resets after up to 7s, not 5s"},
			},
		},
		{
			name:   "says nothing of itself: ipmi_watchdog",
			driver: fakeDriver{mute: true, noBoot: true, timeout: 10},
			want: Info{
				Timeout: 5 * time.Second, Worst: 5 * time.Second, Handover: 60 * time.Second, NoWayOut: unknown,
				Warnings: []string{"it does not say what it is: inappropriate ioctl for device"},
			},
		},
		{
			name:   "takes a timeout and cannot be asked for it",
			driver: fakeDriver{identity: "dumb", options: core, noGet: true},
			want: Info{
				Identity: "dumb", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"}, Timeout: 5 * time.Second,
				Worst: 5 * time.Second, Handover: 60 * time.Second, NoWayOut: unknown, BootKnown: true,
			},
		},
		{
			name:   "tells nothing of its timeout",
			driver: fakeDriver{identity: "mystery", options: unix.WDIOF_MAGICCLOSE, noGet: true},
			err:    "set timeout of /dev/watchdog: the driver neither takes a timeout nor says what is in force\nunsupported operation",
		},
		{
			name:   "softdog, and no magic close",
			driver: fakeDriver{identity: "Software Watchdog", options: unix.WDIOF_SETTIMEOUT, timeout: 60},
			want: Info{
				Identity: "Software Watchdog", Options: []string{"SETTIMEOUT"}, Timeout: 5 * time.Second, Worst: 5 * time.Second,
				Handover: 60 * time.Second, NoWayOut: unknown, BootKnown: true, Software: true,
				Warnings: []string{
					"a software watchdog dies with the kernel that it watches",
					"any close disarms it: an agent that dies leaves the box unguarded",
				},
			},
		},
		{
			name:   "iTCO resets at the second expiry",
			driver: fakeDriver{identity: "iTCO_wdt", options: core, timeout: 30},
			want: Info{
				Identity: "iTCO_wdt", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"}, Timeout: 5 * time.Second,
				Worst: 10 * time.Second, Handover: 60 * time.Second, NoWayOut: unknown, BootKnown: true,
				Warnings: []string{"this driver resets after up to 10s, not 5s"},
			},
		},
		{
			name:   "pretimeout and governor",
			driver: fakeDriver{identity: "pre", options: core | unix.WDIOF_PRETIMEOUT, timeout: 30},
			config: Config{Path: DefaultPath, Timeout: 10 * time.Second, Handover: 60 * time.Second, Pretimeout: 3 * time.Second, Governor: "panic"},
			files:  map[string]string{class + "identity": "pre", class + "pretimeout_governor": "noop\n", class + "nowayout": "0"},
			want: Info{
				Identity: "pre", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "PRETIMEOUT", "KEEPALIVEPING"},
				Timeout: 10 * time.Second, Worst: 10 * time.Second, Handover: 60 * time.Second, NoWayOut: no, BootKnown: true,
				Pretimeout: 3 * time.Second, Governor: "panic",
			},
		},
		{
			name:   "a pretimeout that is rounded away, without a class",
			driver: fakeDriver{identity: "pre", options: core | unix.WDIOF_PRETIMEOUT, timeout: 30, preGrain: 5},
			config: Config{Path: DefaultPath, Timeout: 10 * time.Second, Handover: 60 * time.Second, Pretimeout: 3 * time.Second, Governor: "panic"},
			want: Info{
				Identity: "pre", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "PRETIMEOUT", "KEEPALIVEPING"},
				Timeout: 10 * time.Second, Worst: 10 * time.Second, Handover: 60 * time.Second, NoWayOut: unknown, BootKnown: true,
				Warnings: []string{"pretimeout is 0s instead of 3s", "set governor of the pretimeout: the driver has no class in sysfs"},
			},
		},
		{
			name:   "no pretimeout",
			driver: fakeDriver{identity: "plain", options: core, timeout: 30},
			config: Config{Path: DefaultPath, Timeout: 5 * time.Second, Handover: 60 * time.Second, Pretimeout: time.Second},
			want: Info{
				Identity: "plain", Options: []string{"SETTIMEOUT", "MAGICCLOSE", "KEEPALIVEPING"}, Timeout: 5 * time.Second,
				Worst: 5 * time.Second, Handover: 60 * time.Second, NoWayOut: unknown, BootKnown: true, Warnings: []string{"it has no pretimeout"},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.config.Path == "" {
				c.config = usual
			}
			d, err := box(t, &c.driver, nil, c.files).open(c.config)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				if diff := cmp.Diff([]string{"disarm"}, c.driver.log); diff != "" {
					t.Errorf("a device of which nothing is known must not stay armed: %s", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.want.Path = DefaultPath
			if diff := cmp.Diff(c.want, d.Info()); diff != "" {
				t.Errorf("info (-want +got):\n%s", diff)
			}
			if got := time.Duration(c.driver.timeout) * time.Second; got != 0 && got != c.want.Handover {
				t.Errorf("%v is in force before the first feed, want %v", got, c.want.Handover)
			}
		})
	}
}

func TestFeedPutsTheWorkingTimeoutInForceOnce(t *testing.T) {
	f := &fakeDriver{identity: "x", options: core, timeout: 30}
	d, err := box(t, f, nil, nil).open(usual)
	if err != nil {
		t.Fatal(err)
	}
	f.log = nil
	for range 2 {
		if err := d.Feed(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"timeout", "feed", "feed"}, f.log); diff != "" || f.timeout != 5 {
		t.Errorf("%d s in force; calls (-want +got):\n%s", f.timeout, diff)
	}
	f.feedErr = unix.EIO
	if err := d.Feed(); !errors.Is(err, unix.EIO) {
		t.Errorf("a feed that failed: %v", err)
	}
}

func TestLeaveKeepsItArmedAndLengthens(t *testing.T) {
	f := &fakeDriver{identity: "x", options: core, timeout: 30}
	d, err := box(t, f, nil, nil).open(usual)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Feed(); err != nil {
		t.Fatal(err)
	}
	f.log = nil
	if err := d.Leave(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"timeout"}, f.log); diff != "" || f.timeout != 60 {
		t.Errorf("%d s in force; calls (-want +got):\n%s", f.timeout, diff)
	}
	f.most = 5
	if err := d.Leave(); err == nil {
		t.Error("a hand-over that is shorter than asked for was not told")
	}
}

func TestDisarm(t *testing.T) {
	f := &fakeDriver{identity: "x", options: core, timeout: 30}
	d, err := box(t, f, nil, nil).open(usual)
	if err != nil {
		t.Fatal(err)
	}
	f.log = nil
	for range 2 {
		if err := d.Disarm(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.Feed(), d.Leave()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"disarm"}, f.log); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if _, ok := d.TimeLeft(); ok {
		t.Error("a disarmed device has time left")
	}

	n := &fakeDriver{identity: "x", options: core, timeout: 30}
	d, err = box(t, n, nil, map[string]string{class + "identity": "x", class + "nowayout": "1"}).open(usual)
	if err != nil {
		t.Fatal(err)
	}
	n.log = nil
	if err := d.Disarm(); !errors.Is(err, ErrNoWayOut) || len(n.log) > 0 {
		t.Errorf("nowayout: %v, calls %v", err, n.log)
	}
}

func TestTimeLeft(t *testing.T) {
	f := &fakeDriver{identity: "x", options: core, timeout: 30}
	d, err := box(t, f, nil, nil).open(usual)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := d.TimeLeft(); ok {
		t.Error("a driver that does not know was believed")
	}
	f.left = 4
	if left, ok := d.TimeLeft(); !ok || left != 4*time.Second {
		t.Errorf("%v %v", left, ok)
	}
}

func TestOpenSaysWhoHoldsIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		files map[string]string
		want  string
		hint  string
	}{
		{
			"systemd by the other name", unix.EBUSY,
			map[string]string{"proc/1/comm": "systemd\n", "proc/1/fd/7": "-> /dev/watchdog0", "proc/77/fd/0": "-> /dev/null", "proc/self/fd/0": "-> /dev/watchdog"},
			"open /dev/watchdog: device or resource busy, held by systemd (pid 1)", "RuntimeWatchdogSec",
		},
		{
			"busybox", unix.EBUSY,
			map[string]string{"proc/112/comm": "watchdog\n", "proc/112/fd/3": "-> /dev/watchdog"},
			"open /dev/watchdog: device or resource busy, held by watchdog (pid 112)", "S15watchdog",
		},
		{
			"sbd", unix.EBUSY,
			map[string]string{"proc/9/comm": "sbd\n", "proc/9/fd/3": "-> /dev/watchdog"},
			"open /dev/watchdog: device or resource busy, held by sbd (pid 9)", "one owner",
		},
		{
			"somebody", unix.EBUSY,
			map[string]string{"proc/9/comm": "cat\n", "proc/9/fd/3": "-> /dev/watchdog"},
			"open /dev/watchdog: device or resource busy, held by cat (pid 9)", "stop it",
		},
		{"nobody to be seen", unix.EBUSY, nil, "open /dev/watchdog: device or resource busy", "another container"},
		{"no device", unix.ENOENT, nil, "open /dev/watchdog: no such file or directory", "modprobe"},
		{"no driver behind it", unix.ENODEV, nil, "open /dev/watchdog: no such device", "modprobe"},
		{"no right", unix.EACCES, nil, "open /dev/watchdog: permission denied", "root"},
		{"else", unix.EIO, nil, "open /dev/watchdog: input/output error", "dmesg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := box(t, nil, c.err, c.files).open(usual)
			var open *OpenError
			if !errors.As(err, &open) || !errors.Is(err, c.err) {
				t.Fatalf("%v", err)
			}
			if err.Error() != c.want || !strings.Contains(open.Hint(), c.hint) {
				t.Errorf("got %q, hint %q", err, open.Hint())
			}
		})
	}
}

func TestRealOpenOfNoDevice(t *testing.T) {
	if _, err := os.Stat(DefaultPath); err == nil {
		t.Skip("this machine has a watchdog, which a test must not open")
	}
	for _, path := range []string{DefaultPath, "/dev/watchdog-that-is-not"} {
		var open *OpenError
		if _, err := Open(Config{Path: path, Timeout: time.Second}); !errors.As(err, &open) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestOwnDescriptor(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := ownDescriptor("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("V")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("it is another device: %v", err)
	}
	if _, err := ownDescriptor("/dev/zero"); err == nil {
		t.Error("a device that is not open was found")
	}
}

func TestPeriod(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		2 * time.Second: 250 * time.Millisecond, 5 * time.Second: 625 * time.Millisecond, time.Minute: time.Second,
	} {
		if got := Period(timeout); got != want || 3*got > timeout {
			t.Errorf("%v: %v", timeout, got)
		}
	}
}

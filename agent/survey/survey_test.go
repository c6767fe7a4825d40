//go:build !lite

package survey

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/twinbeat/twinbeat/agent/watchdog"
)

// tree makes a root folder. A value that begins with "-> " is a symbolic link.
func tree(t *testing.T, files map[string]string) Box {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(to, file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return Box{Root: root, Interfaces: func() ([]Interface, error) { return nil, nil }}
}

// apu is a router board, as its files read: two UARTs of which the first is the
// console, two that the 8250 driver only claims, a USB adapter, ptys.
var apu = map[string]string{
	"sys/class/tty/ttyS0/type": "4\n", "sys/class/tty/ttyS0/uartclk": "1843200\n",
	"sys/class/tty/ttyS1/type": "4\n", "sys/class/tty/ttyS1/uartclk": "1843200\n",
	"sys/class/tty/ttyS2/type": "0\n", "sys/class/tty/ttyS2/uartclk": "1843200\n",
	"sys/class/tty/ttyS3/type": "0\n", "sys/class/tty/ttyS3/uartclk": "1843200\n",
	"sys/class/tty/tty0/active": "tty1\n", "sys/class/tty/ptmx/dev": "5:2\n", "sys/class/tty/ttyGS0/dev": "235:0\n",
	"sys/class/tty/ttyUSB0":                                   "-> ../../devices/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0",
	"sys/devices/usb1/1-1/product":                            "FT232R USB UART\n",
	"sys/devices/usb1/1-1/manufacturer":                       "FTDI\n",
	"sys/devices/usb1/1-1/1-1:1.0/ttyUSB0/port_number":        "0\n",
	"sys/devices/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0/device": "-> ../../../ttyUSB0",
	"dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0":    "-> ../../ttyUSB0",
	"proc/consoles": "ttyS0                -W- (EC p a)    4:64\n",
	"proc/cmdline":  "BOOT_IMAGE=/vmlinuz root=/dev/sda1 console=ttyS0,115200n8 quiet\n",
	"proc/1/comm":   "init\n",
}

func with(base map[string]string, more map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{base, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func TestSerialPorts(t *testing.T) {
	console := Serial{Device: "/dev/ttyS0", Kind: "uart", Most: 115200, Taken: []string{"the kernel's console"}}
	free := Serial{Device: "/dev/ttyS1", Kind: "uart", Most: 115200}
	usb := Serial{Device: "/dev/ttyUSB0", Kind: "usb", Text: "FTDI FT232R USB UART", Stable: "/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0"}
	taken := func(s Serial, why ...string) Serial {
		s.Taken = append(append([]string{}, s.Taken...), why...)
		return s
	}
	for _, c := range []struct {
		name string
		more map[string]string
		want []Serial
	}{
		{"as it is", nil, []Serial{console, free, usb}},
		{"a getty of systemd", map[string]string{"etc/systemd/system/getty.target.wants/serial-getty@ttyS1.service": "-> /lib/systemd/system/serial-getty@.service"}, []Serial{console, taken(free, "serial-getty@ttyS1.service is enabled"), usb}},
		{"a getty of inittab", map[string]string{"etc/inittab": "id:2:initdefault:\n#T0:23:respawn:/sbin/getty -L ttyUSB0 9600\nT1:23:respawn:/sbin/getty -L ttyS1 9600 vt100\n"}, []Serial{console, taken(free, "a getty of /etc/inittab"), usb}},
		{"a getty of busybox", map[string]string{"etc/inittab": "::sysinit:/etc/rcS\nttyS1::respawn:/sbin/getty 115200 -\n"}, []Serial{console, taken(free, "a getty of /etc/inittab"), usb}},
		{
			"open in a process",
			map[string]string{"proc/77/comm": "gpsd\n", "proc/77/fd/3": "-> /dev/ttyUSB0", "proc/77/fd/4": "-> /dev/ttyUSB0", "proc/77/fd/5": "-> /dev/null"},
			[]Serial{console, free, taken(usb, "open in gpsd (pid 77)")},
		},
		{"open in the agent", map[string]string{"proc/78/comm": "twinbeat\n", "proc/78/fd/3": "-> /dev/ttyS1"}, []Serial{console, free, usb}},
		{"a console of the next boot", map[string]string{"proc/cmdline": "console=tty0 console=ttyS1,9600", "proc/consoles": "ttyS0  -W- (EC) 4:64\n"}, []Serial{console, taken(free, "console= on the kernel's command line"), usb}},
		{"a board's own UART", map[string]string{"sys/class/tty/ttyAMA0/type": "32\n"}, []Serial{{Device: "/dev/ttyAMA0", Kind: "uart"}, console, free, usb}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := tree(t, with(apu, c.more))
			if diff := cmp.Diff(c.want, b.serials(b.processes()), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestABoxThatTellsNothingIsEmptyAndNotWrong(t *testing.T) {
	facts, err := tree(t, nil).Look()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(facts)
	if want := `{"serial":[],"interfaces":[],"watchdogs":[],"services":[]}`; err != nil || string(text) != want {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
}

func TestInterfacesThatCannotBeListedAreAnError(t *testing.T) {
	b := tree(t, nil)
	away := errors.New("no netlink")
	b.Interfaces = func() ([]Interface, error) { return nil, away }
	if _, err := b.Look(); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
}

func TestInterfaces(t *testing.T) {
	b := tree(t, map[string]string{
		"sys/class/net/eth0/carrier": "1\n", "sys/class/net/eth0/speed": "1000\n", "sys/class/net/eth0/device": "-> ../../../0000:01:00.0",
		"sys/class/net/eth1/carrier": "0\n", "sys/class/net/eth1/speed": "-1\n", "sys/class/net/eth1/device": "-> ../../../0000:02:00.0",
		"sys/class/net/eth1/master": "-> ../br-lan", "sys/class/net/br-lan/carrier": "1\n",
		"proc/sys/net/ipv6/conf/eth0/disable_ipv6": "0\n", "proc/sys/net/ipv6/conf/eth1/disable_ipv6": "1\n",
		"proc/net/route": "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
			"eth0\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nbr-lan\t00000A0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
	})
	own := []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24")}
	b.Interfaces = func() ([]Interface, error) {
		return []Interface{{Name: "lo"}, {Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Addresses: own}, {Name: "eth1", MAC: "02:00:00:00:00:02"}, {Name: "br-lan", MAC: "02:00:00:00:00:03", Up: true}}, nil
	}
	got, err := b.nets()
	want := []Net{
		{Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Carrier: true, Mbit: 1000, Default: true, IPv6: true, Addresses: own},
		{Name: "eth1", MAC: "02:00:00:00:00:02", Master: "br-lan"},
		{Name: "br-lan", MAC: "02:00:00:00:00:03", Up: true, Carrier: true, Virtual: true},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if !got[0].IPv4() || got[1].IPv4() {
		t.Error("which interface has an IPv4 address")
	}
}

func TestServicesAndTheirInit(t *testing.T) {
	running := map[string]string{"proc/9/comm": "dnsmasq\n", "proc/10/comm": "named\n", "proc/11/comm": "lighttpd\n", "proc/12/comm": "sshd\n"}
	for _, c := range []struct {
		name string
		more map[string]string
		init string
		want []Service
	}{
		{
			"systemd",
			map[string]string{
				"run/systemd/system/x": "", "usr/lib/systemd/system/dnsmasq.service": "", "lib/systemd/system/named.service": "", "etc/init.d/lighttpd": "#!/bin/sh\n",
			},
			"systemd",
			[]Service{{"dnsmasq.service", "systemd", "dnsmasq"}, {"named.service", "systemd", "named"}, {"lighttpd", "sysv", "lighttpd"}},
		},
		{
			"sysvinit",
			map[string]string{"etc/init.d/dnsmasq": "#!/bin/sh\n", "etc/init.d/bind9": "#!/bin/sh\n"},
			"sysv",
			[]Service{{"dnsmasq", "sysv", "dnsmasq"}, {"bind9", "sysv", "named"}},
		},
		{"OpenRC", map[string]string{"run/openrc/softlevel": "default", "etc/init.d/dnsmasq": "#!/sbin/openrc-run\n"}, "openrc", []Service{{"dnsmasq", "openrc", "dnsmasq"}}},
		{
			"OpenWrt",
			map[string]string{"sbin/procd": "", "var/run/ubus/ubus.sock": "", "etc/init.d/dnsmasq": "#!/bin/sh /etc/rc.common\nUSE_PROCD=1\n"},
			"procd",
			[]Service{{"dnsmasq", "procd", "dnsmasq"}},
		},
		{"runit", map[string]string{"proc/1/comm": "runit\n", "etc/service/dnsmasq/run": "", "etc/service/dnsmasq/supervise/ok": ""}, "runit", []Service{{"dnsmasq", "runit", "dnsmasq"}}},
		{"nobody knows them", nil, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts, err := tree(t, with(running, c.more)).Look()
			if err != nil || facts.Init != c.init {
				t.Errorf("init %q, want %q, %v", facts.Init, c.init, err)
			}
			if diff := cmp.Diff(c.want, facts.Services, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWatchdogsAreSeenAndNotOpened(t *testing.T) {
	facts, err := tree(t, map[string]string{
		"dev/watchdog": "", "dev/watchdog0": "", "sys/class/watchdog/watchdog0/identity": "i6300ESB timer\n", "sys/class/watchdog/watchdog0/timeout": "30\n",
		"sys/class/watchdog/watchdog0/state": "inactive\n", "sys/class/watchdog/watchdog0/nowayout": "0\n",
	}).Look()
	if err != nil || len(facts.Watchdogs) != 1 {
		t.Fatalf("%v, %v", facts.Watchdogs, err)
	}
	want := watchdog.Seen{Path: "/dev/watchdog0", Identity: "i6300ESB timer", State: "inactive"}
	if got := facts.Watchdogs[0]; got.Path != want.Path || got.Identity != want.Identity || got.State != want.State {
		t.Errorf("%+v", got)
	}
}

func TestThisBoxCanBeLookedAt(t *testing.T) {
	facts, err := This().Look()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range facts.Nets {
		if n.Name == "lo" || n.MAC == "" {
			t.Errorf("%+v is no Ethernet", n)
		}
	}
	for _, s := range facts.Serials {
		if _, err := os.Stat(s.Device); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

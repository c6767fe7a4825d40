package vm

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A Timing is the profile of emulated machines, which gap a heartbeat by half a
// second on a busy host, times what this host is slower than a good one.
type Timing struct{ Scale float64 }

const (
	beat     = 200 * time.Millisecond
	dead     = 2 * time.Second
	lease    = 2 * time.Second
	window   = 400 * time.Millisecond
	takeover = 3200 * time.Millisecond // lease, window, three probes, reserve
	tookOver = 5 * time.Second         // in mode lease: an owner that nobody acknowledges has stepped down
	probe    = 100 * time.Millisecond
	reserve  = 200 * time.Millisecond
	bootWait = 5 * time.Second

	watchdog  = 8 * time.Second
	patience  = 4 * time.Second
	proveDisk = 2 * time.Second

	fenceTime = 6 * time.Second // a slow strip included
	race      = fenceTime + dead + 5*beat + 2*reserve

	bootTime  = 60 * time.Second // to be up, at the longest
	usualBoot = 6 * time.Second  // and as it is on a good host
	scaleMost = 3.0              // beyond it the configuration's bounds are met
)

func (t Timing) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * t.Scale).Round(time.Millisecond)
}

// section is [timing] of the configuration in a mode; guarded: by a watchdog.
func (t Timing) section(mode string, guarded bool) string {
	takeover, bootWait := takeover, bootWait
	if mode == "lease" {
		takeover = tookOver
	}
	if guarded {
		bootWait = watchdog + 2*takeover // outlasts a hung peer that is yet to be reset
	}
	var b strings.Builder
	b.WriteString("\n[timing]\n")
	for _, k := range []struct {
		name string
		d    time.Duration
	}{
		{"beat", beat},
		{"dead", dead},
		{"lease", lease},
		{"window", window},
		{"takeover", takeover},
		{"probe", probe},
		{"reserve", reserve},
		{"boot_wait", bootWait},
	} {
		fmt.Fprintf(&b, "%s = %q\n", k.name, t.scaled(k.d))
	}
	lifetime := (t.scaled(lease+time.Second) + time.Second).Truncate(time.Second)
	fmt.Fprintf(&b, "lifetime = %q\nfence_time = %q\nrace = %q\n", lifetime, t.scaled(fenceTime), t.scaled(race))
	return b.String()
}

// guard is [watchdog] of the configuration. It bites after a takeover, so that a
// scenario sees both.
func (t Timing) guard() string {
	const whole = time.Second // devices count in seconds
	return fmt.Sprintf("\n[watchdog]\ntimeout = %q\nrequired = true\npatience = %q\njournal_every = %q\njournal_timeout = %q\n",
		t.scaled(watchdog).Truncate(whole)+whole, t.scaled(patience), t.scaled(proveDisk), t.scaled(patience))
}

// service is one of the group that is looked at each second, and runs where a
// file says so.
const service = `
[[group.service]]
name = "svc"
driver = "command"
start = ["/bin/touch", "/run/svc"]
stop = ["/bin/rm", "-f", "/run/svc"]
status = ["/bin/test", "-e", "/run/svc"]
check_interval = "1s"
start_timeout = "3s"
stop_timeout = "3s"
status_timeout = "2s"
`

// config is the file that both machines read.
func (p *Pair) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster = \"lab\"\nmode = %q\nkey_file = \"/etc/twinbeat/keys\"\n", p.Mode)
	b.WriteString(p.Timing.section(p.Mode, p.Guarded))
	b.WriteString("\n[[node]]\nname = \"fw1\"\n[[node]]\nname = \"fw2\"\n")
	fmt.Fprintf(&b, "\n[[link]]\ntype = \"serial\"\ndevice = \"/dev/ttyS1\"\nbaud = %d\n", p.Baud)
	b.WriteString("\n[[link]]\ntype = \"multicast\"\ninterface = \"ha0\"\ngroup = \"239.255.77.1\"\nport = 6940\n")
	fmt.Fprintf(&b, "\n[[group]]\nname = \"g1\"\npreferred = \"fw1\"\nflap_max = 0\naddresses = [\"%s/16@eth0\"]\n", lab.VIP(0))
	if p.PDU != nil {
		b.WriteString(p.PDU.section())
	}
	if p.Guarded {
		b.WriteString(service + p.Timing.guard())
	}
	return b.String()
}

// rc is what a machine does at boot before the agent starts.
const rc = `hostname %[1]s
ip link set lo up
ip link set eth1 name ha0
ip addr add 10.78.0.%[2]d/24 dev ha0
ip link set ha0 up
ip addr add 10.77.0.%[3]d/16 dev eth0
ip link set eth0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
mkdir -p /var/lib/twinbeat
for m in $(cat /lib/modules/%[6]s.order); do insmod /lib/modules/$m; done
mount -t ext4 %[4]s /dev/vda /var/lib/twinbeat
%[5]s
`

// files are what a machine has of its own in its initramfs.
func (p *Pair) files(i int) (tree, error) {
	keys, err := os.ReadFile(p.Dir + "/keys")
	if err != nil {
		return nil, err
	}
	options := ""
	if p.ReadOnly[i] {
		options = "-o ro"
	}
	t := tree{
		"etc/twinbeat/keys":          keys,
		"etc/twinbeat/twinbeat.toml": []byte(p.config()),
		"etc/rc":                     fmt.Appendf(nil, rc, names[i], 1+i, 11+i, options, p.Early[i], p.Watchdog),
	}
	if p.Boot == "" || p.Boot == names[i] {
		t["etc/agent"] = []byte("/bin/twinbeat run --log-level info\n")
	}
	return t, nil
}

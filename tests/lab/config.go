package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// ClientIP is the client's address on the LAN.
const ClientIP = "10.77.0.100"

// Addresses of the lab's LAN. They exist only inside its namespaces.
const (
	lanPrefix   = 16
	askerIP     = "10.77.0.101" // nobody's: the observer asks in its name
	firstVIP    = "10.77.1.1"
	firstVIP6   = "fd77::1:1"
	serialBaud  = 115200
	heartbeatIP = "239.255.77.1"
)

// Options say which pair the lab builds.
type Options struct {
	Binary   string // the program under test
	Mode     string // silence if empty
	Profile  string // default if empty
	Baud     int    // 115200 if 0
	VIPs     int    // of the first group; 1 if 0
	IPv6     bool   // give the first group an IPv6 address, too
	Groups   int    // 1 if 0; further groups have one address each and prefer fw2
	NoSerial bool
	BootWait time.Duration // 1 s if 0
	Timing   string        // further lines for [timing]
	Group    string        // further lines for the first [[group]]
	Extra    string        // further sections at the end of the file
	LogLevel string        // info if empty
	Nice     int           // of what runs on the boxes
}

func (o Options) defaults() Options {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&o.Mode, "silence")
	set(&o.Profile, "default")
	set(&o.LogLevel, "info")
	if o.Baud == 0 {
		o.Baud = serialBaud
	}
	o.VIPs, o.Groups = max(o.VIPs, 1), max(o.Groups, 1)
	if o.BootWait == 0 {
		o.BootWait = time.Second
	}
	return o
}

// VIP returns the n-th address of the lab, counted from 0.
func VIP(n int) netip.Addr {
	a := netip.MustParseAddr(firstVIP).As4()
	v := int(a[2])<<8 + int(a[3]) + n
	a[2], a[3] = byte(v>>8), byte(v)
	return netip.AddrFrom4(a)
}

// groupVIP returns the address of group i, counted from 1, beyond the first group's.
func groupVIP(i int) netip.Addr { return VIP(0x2000 + i) }

// config writes the file that both nodes read.
func (l *Lab) config() string {
	o := l.Options
	var b strings.Builder
	fmt.Fprintf(&b, "cluster = \"lab\"\nmode = %q\nprofile = %q\n", o.Mode, o.Profile)
	fmt.Fprintf(&b, "key_file = %q\nstate_dir = \"@STATE@\"\ncontrol_socket = \"@SOCKET@\"\n", l.Dir+"/keys")
	fmt.Fprintf(&b, "\n[timing]\nboot_wait = %q\n%s\n", o.BootWait, o.Timing)
	b.WriteString("\n[[node]]\nname = \"fw1\"\n[[node]]\nname = \"fw2\"\n")
	if !o.NoSerial {
		fmt.Fprintf(&b, "\n[[link]]\ntype = \"serial\"\ndevice = { fw1 = %q, fw2 = %q }\nbaud = %d\n",
			l.Serial.Device(0), l.Serial.Device(1), o.Baud)
	}
	fmt.Fprintf(&b, "\n[[link]]\ntype = \"multicast\"\ninterface = \"ha0\"\ngroup = %q\nport = 6940\n", heartbeatIP)
	for g := range o.Groups {
		l.writeGroup(&b, g)
	}
	b.WriteString(o.Extra)
	return b.String()
}

func (l *Lab) writeGroup(b *strings.Builder, g int) {
	o := l.Options
	if g > 0 {
		fmt.Fprintf(b, "\n[[group]]\nname = \"g%d\"\npreferred = \"fw2\"\naddresses = [\"%s/%d@eth0\"]\n", g+1, groupVIP(g), lanPrefix)
		return
	}
	b.WriteString("\n[[group]]\nname = \"g1\"\npreferred = \"fw1\"\naddresses = [\n")
	for n := range o.VIPs {
		fmt.Fprintf(b, "  \"%s/%d@eth0\",\n", VIP(n), lanPrefix)
	}
	if o.IPv6 {
		fmt.Fprintf(b, "  \"%s/64@eth0\",\n", firstVIP6)
	}
	fmt.Fprintf(b, "]\n%s\n", o.Group)
}

package gate

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// Bounds of a gate. Open refuses a configuration beyond them.
const (
	MaxGroups  = 8    // group ids are 0..7, as on the wire
	MaxVIPs    = 4096 // addresses of one group
	MaxDevices = 32   // interfaces of one gate
	MaxOwn     = 4096 // own prefixes
)

// minTicks is the shortest timeout in kernel ticks. The kernel rounds down and
// an element may lose the tick it is born in: with one tick it could be stale
// at birth, and zero means "never expires".
const minTicks = 2

// Config says what a gate guards.
type Config struct {
	// Table is the name of the nftables table, at most 64 of [a-zA-Z0-9_-].
	Table string
	// Groups are the groups with their addresses.
	Groups []Group
	// Window is how long one Turn permits grants and renewals.
	Window time.Duration
	// Own are the node's own addresses on all of its interfaces, loopback and
	// anycast ones too: only traffic to them is not taken for transit. Virtual
	// addresses among them are ignored.
	Own []netip.Prefix

	plain bool // tests: no table owner, as on kernels before 6.9
	old   bool // tests: no egress hook and no chains for devices to come, as before 5.16
}

// A Group is a set of virtual addresses that one node holds together.
type Group struct {
	// ID is 0..7 and names the group in Grant, Renew, Close and Held.
	ID uint8
	// VIPs are the virtual addresses.
	VIPs []netip.Addr
	// Devices are the interfaces on which the group is at home. Its addresses
	// are gated on every device of the gate. Where it is not at home, packets
	// that are only routed past (to or from the node that holds the address)
	// may pass, if the kernel can tell (nft fib expression).
	Devices []string
	// Lease is how long one Grant or Renew keeps the gate open.
	Lease time.Duration
	// Transit gates forwarding as well: a device that is home of groups with
	// Transit takes frames for other hosts only while one of them is open.
	Transit bool
	// Virtual are devices of this group alone, with a hardware address that the
	// peer's have, too. Without the lease nothing enters or leaves by them, and on
	// what they stand on no frame for or from that address passes: one frame would
	// tell switches that it is here. They count among Devices; what they stand on
	// must be among them.
	Virtual []vip.Virtual
}

// Tick returns the kernel's timer tick, 1/HZ: 1 ms to 10 ms.
func Tick() time.Duration {
	// The coarse clocks advance once a tick and say so by their resolution
	// (kernel/time/posix-timers.c, KTIME_LOW_RES).
	var ts unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil || ts.Nano() <= 0 {
		return 10 * time.Millisecond // HZ=100, the coarsest there is
	}
	return time.Duration(ts.Nano())
}

// Effective returns how long a timeout of d really lives on this kernel: longer
// than shortest, at most longest (not counting a late tick), both rounded down
// to ticks. longest never exceeds d.
func Effective(d time.Duration) (shortest, longest time.Duration) {
	return effective(d, Tick())
}

func effective(d, tick time.Duration) (shortest, longest time.Duration) {
	longest = d.Truncate(time.Millisecond).Truncate(tick) // the netlink attribute counts ms
	return max(longest-tick, 0), longest
}

// check returns a sorted, deduplicated copy of the configuration.
func (c Config) check(tick time.Duration) (Config, error) {
	if !validName(c.Table) {
		return c, fmt.Errorf("check table name %q: want 1..64 of [a-zA-Z0-9_-]", c.Table)
	}
	if len(c.Groups) == 0 || len(c.Groups) > MaxGroups {
		return c, fmt.Errorf("check groups: %d given, want 1..%d", len(c.Groups), MaxGroups)
	}
	if len(c.Own) > MaxOwn {
		return c, fmt.Errorf("check own addresses: %d given, at most %d", len(c.Own), MaxOwn)
	}
	if err := checkTimeout("window", c.Window, tick); err != nil {
		return c, err
	}
	groups := make([]Group, 0, len(c.Groups))
	owner := map[netip.Addr]uint8{}
	devices := map[string]bool{}
	for _, g := range c.Groups {
		g, err := g.check(tick)
		if err != nil {
			return c, fmt.Errorf("check group %d: %w", g.ID, err)
		}
		for _, a := range g.VIPs {
			if other, taken := owner[a]; taken {
				return c, fmt.Errorf("check group %d: %v is in group %d already", g.ID, a, other)
			}
			owner[a] = g.ID
		}
		for _, d := range g.Devices {
			devices[d] = true
		}
		if slices.ContainsFunc(groups, func(o Group) bool { return o.ID == g.ID }) {
			return c, fmt.Errorf("check group %d: the id is used twice", g.ID)
		}
		groups = append(groups, g)
	}
	if len(devices) > MaxDevices {
		return c, fmt.Errorf("check devices: %d given, at most %d", len(devices), MaxDevices)
	}
	sort.Slice(groups, func(i, k int) bool { return groups[i].ID < groups[k].ID })
	c.Groups = groups
	c.Own = slices.Clone(c.Own)
	return c, nil
}

func (g Group) check(tick time.Duration) (Group, error) {
	if g.ID >= MaxGroups {
		return g, fmt.Errorf("id: want 0..%d", MaxGroups-1)
	}
	if len(g.VIPs) == 0 || len(g.VIPs) > MaxVIPs {
		return g, fmt.Errorf("%d addresses, want 1..%d", len(g.VIPs), MaxVIPs)
	}
	if len(g.Devices) == 0 {
		return g, fmt.Errorf("no device")
	}
	if err := checkTimeout("lease", g.Lease, tick); err != nil {
		return g, err
	}
	vips := make([]netip.Addr, 0, len(g.VIPs))
	for _, a := range g.VIPs {
		a = a.Unmap().WithZone("")
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return g, fmt.Errorf("address %v cannot be virtual", a)
		}
		vips = append(vips, a)
	}
	sort.Slice(vips, func(i, k int) bool { return vips[i].Less(vips[k]) })
	g.VIPs = slices.Compact(vips)
	g.Devices, g.Virtual = slices.Clone(g.Devices), slices.Clone(g.Virtual)
	for _, v := range g.Virtual {
		if slices.Contains(g.Devices, v.Device) || !slices.Contains(g.Devices, v.Parent) {
			return g, fmt.Errorf("virtual device %s on %s: want a device of its own on one of the group", v.Device, v.Parent)
		}
		g.Devices = append(g.Devices, v.Device)
	}
	slices.Sort(g.Devices)
	g.Devices = slices.Compact(g.Devices)
	for _, d := range g.Devices {
		if d == "" || len(d) >= unix.IFNAMSIZ || bytes.ContainsAny([]byte(d), "/: \t\n\x00") {
			return g, fmt.Errorf("device name %q is not valid", d)
		}
	}
	return g, nil
}

func checkTimeout(name string, d, tick time.Duration) error {
	if _, longest := effective(d, tick); longest < minTicks*tick {
		return fmt.Errorf("check %s: %v is shorter than %d kernel ticks of %v", name, d, minTicks, tick)
	}
	if d > time.Hour {
		return fmt.Errorf("check %s: %v is longer than an hour", name, d)
	}
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if !ok {
			return false
		}
	}
	return true
}

// devices returns the names of all devices, sorted.
func (c Config) devices() []string {
	var all []string
	for _, g := range c.Groups {
		all = append(all, g.Devices...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// at returns the groups at home on a device, and whether there are others.
func (c Config) at(device string) (home []Group, foreign bool) {
	for _, g := range c.Groups {
		if slices.Contains(g.Devices, device) {
			home = append(home, g)
		} else {
			foreign = true
		}
	}
	return home, foreign
}

// group returns the group with this id.
func (c Config) group(id uint8) (Group, bool) {
	for _, g := range c.Groups {
		if g.ID == id {
			return g, true
		}
	}
	return Group{}, false
}

// Package kernel puts a group's addresses, routes and rules into the kernel,
// renews the addresses' lifetime and takes everything out again; it refuses to
// decide who owns them and to remove what the set does not name. Start reading
// at Kernel.Take.
//
// It speaks rtnetlink by github.com/vishvananda/netlink: routes and rules by the
// library's own calls, the rest by messages of its package nl, of which many
// addresses go into one write: see socket.do.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// Protocol marks the addresses (IFA_PROTO, Linux 5.18) and routes
// (rtm_protocol) that twinbeat has set: `ip route show proto 84`. The number is
// free in rt_protos; 84 is the letter T.
const Protocol = 84

// ErrElsewhere says that a VIP that was dropped is still on a device that the
// set does not name, so that this node may go on answering for it.
var ErrElsewhere = errors.New("address is still on another device")

// MissingError names the addresses that Renew found gone.
type MissingError struct {
	Addresses []vip.Address
}

// Error names the first of the addresses and counts the others.
func (e *MissingError) Error() string {
	text := fmt.Sprintf("renew address %s: it is gone", e.Addresses[0])
	if more := len(e.Addresses) - 1; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text
}

// A Finding is something the operator should know that is not a failure.
type Finding struct {
	Kind    FindingKind
	Address vip.Address // zero for Promoted
	Device  string
	Text    string // a sentence
}

// FindingKind sorts the findings.
type FindingKind uint8

// The kinds of findings.
const (
	_              FindingKind = iota
	Adopted                    // the address was there already, set by someone else; it is ours now
	FoundElsewhere             // a dropped address is also on a device the set does not name
	Resized                    // a dropped address was also there with another prefix length; removed
	Promoted                   // promote_secondaries was off on a device; switched on
)

// String names the kind in a word.
func (k FindingKind) String() string {
	switch k {
	case Adopted:
		return "adopted"
	case FoundElsewhere:
		return "found elsewhere"
	case Resized:
		return "resized"
	case Promoted:
		return "promoted"
	}
	return "unknown"
}

// Options of a Kernel.
type Options struct {
	// Found hears of findings, in the goroutine of the call that made them. It
	// must not call back into the Kernel. Nil: they are not told.
	Found func(Finding)
}

// A Kernel holds addresses, routes and rules in the network namespace of the
// process. Its methods may be called from any goroutine; they take turns.
type Kernel struct {
	found func(Finding)
	pulse *socket // of Answers alone: whose turn it is elsewhere says nothing of the kernel

	mu       sync.Mutex // over everything below, also for the length of a request
	s        *socket
	devices  map[string]device
	known    map[place]vip.Address // the VIPs of every group, ours or not
	knownIPs map[netip.Addr]bool
	wanted   map[place]*wanted      // the VIPs that are to be here now
	routes   map[routeID]*vip.Route // the routes that are to be here now
	compare  [2]bool                // IPv4, IPv6: the kernel can renew only what is there
}

// A place is an address on a device. The kernel holds an IPv6 address once a
// device, and we hold an IPv4 address so too.
type place struct {
	ip     netip.Addr
	device string
}

type wanted struct {
	address vip.Address
	until   time.Time // the kernel removes it by itself then; zero: never
}

func placeOf(a vip.Address) place { return place{a.Prefix.Addr(), a.Device} }

// New opens the kernel's door and reads the devices.
func New(o Options) (*Kernel, error) {
	s, err := newAsker()
	if err != nil {
		return nil, err
	}
	pulse, err := newAsker()
	if err != nil {
		s.close()
		return nil, err
	}
	k := &Kernel{
		found:    o.Found,
		pulse:    pulse,
		s:        s,
		known:    map[place]vip.Address{},
		knownIPs: map[netip.Addr]bool{},
		wanted:   map[place]*wanted{},
		routes:   map[routeID]*vip.Route{},
	}
	if k.found == nil {
		k.found = func(Finding) {}
	}
	if err := k.readDevices(); err != nil {
		_ = k.Close()
		return nil, err
	}
	k.probeCompare()
	return k, nil
}

// Close ends all use of the Kernel. It leaves everything where it is.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s.close()
	k.pulse.close()
	return nil
}

// Know names the VIPs of every group of this node, whoever owns them now.
// OwnAddresses leaves them out, Watch reports if one appears by a stranger's
// hand, and their devices are made ready for Take. It replaces what an earlier
// call named.
func (k *Kernel) Know(ctx context.Context, sets ...vip.Set) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.known)
	clear(k.knownIPs)
	var all []vip.Address
	for _, s := range sets {
		for _, a := range s.Addresses {
			k.known[placeOf(a)] = a
			k.knownIPs[a.Prefix.Addr()] = true
		}
		all = append(all, s.Addresses...)
	}
	if err := k.readDevices(); err != nil {
		return err
	}
	return k.promote(ctx, all)
}

// Take puts the set into the kernel: rules and routes that need no address
// first, so that the first packet for an address finds its way on, then the
// addresses, then the routes that need one of them (a preferred source, a
// gateway inside the prefix of a VIP). It is idempotent and undoes nothing
// when a part fails: the error names what is missing.
//
// The kernel removes the addresses by itself when lifetime has passed without
// a Renew (rounded up to seconds; zero: never). IPv6 addresses are set without
// duplicate address detection, since the pair has decided already and DAD
// would keep them dark for a second (RFC 4862 section 5.4). The kernel adds
// the prefix route of each address as it does for `ip addr add`: the flag
// noprefixroute is not set, because on a box with a single address from the
// provider the VIP is what makes the subnet reachable.
//
// An address that someone else has set already is taken over and reported. A
// route of someone else with the same table, destination and metric is
// replaced, and Drop does not bring it back.
//
// A thousand IPv4 addresses take some 10 ms. For IPv6 the kernel walks all
// multicast groups of the device for each address it sets or renews, which is
// 200 ms for a thousand addresses; it is 20 ms if they share their last 24
// bits and with them their one solicited-node group (RFC 4291 section 2.7.1).
//
// When a device is set down, the kernel forgets its routes and IPv6 addresses:
// call Take again when Watch reports it up.
func (k *Kernel) Take(ctx context.Context, set vip.Set, lifetime time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var f faults
	before, after := set.SplitRoutes()
	addRules(ctx, set.Rules, &f)
	k.putRoutes(ctx, before, &f)
	f.add(k.promote(ctx, set.Addresses))
	k.putAddresses(ctx, set.Addresses, lifetime, &f)
	k.putRoutes(ctx, after, &f)
	return f.join()
}

// Drop takes the set out of the kernel, in the reverse order of Take. It is
// idempotent, goes on after a failure, and removes only what the set names. If
// a VIP is also on another device, it stays there, is reported, and the error
// is ErrElsewhere.
//
// Deleting the first IPv4 address of a subnet makes the kernel delete the
// others of that subnet with it unless promote_secondaries is set on the
// device. Take and Know set it, by netlink, and report that they did.
func (k *Kernel) Drop(ctx context.Context, set vip.Set) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var f faults
	before, after := set.SplitRoutes()
	k.dropRoutes(ctx, after, &f)
	k.dropAddresses(ctx, set.Addresses, &f)
	k.dropRoutes(ctx, before, &f)
	dropRules(ctx, set.Rules, &f)
	return f.join()
}

// faults collects errors up to a bound: a thousand addresses on a missing
// device make one page, not a thousand lines.
type faults struct {
	errs []error
	more int
}

const maxFaults = 8

func (f *faults) add(err error) {
	switch {
	case err == nil:
	case len(f.errs) < maxFaults:
		f.errs = append(f.errs, err)
	default:
		f.more++
	}
}

func (f *faults) join() error {
	if f.more > 0 {
		return errors.Join(append(f.errs, fmt.Errorf("and %d more", f.more))...)
	}
	return errors.Join(f.errs...)
}

// gone are the kernel's answers to removing what is not there.
var gone = []unix.Errno{unix.EADDRNOTAVAIL, unix.ESRCH, unix.ENOENT, unix.ENODEV, unix.ENETUNREACH}

package gate

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Errors a caller may branch on.
var (
	// ErrRefused means that the kernel did not do what was asked: the turn is
	// older than the window, or the lease to renew has lapsed.
	ErrRefused = errors.New("refused by the kernel: turn or lease expired")
	// ErrMissing means that our table, or part of it, is not in the kernel:
	// nothing is gated until Restore.
	ErrMissing = errors.New("the gate is not in the kernel")
	// ErrOwned means that another live process holds the table.
	ErrOwned = errors.New("the table belongs to another running process")
	// ErrNoEgress means that this kernel cannot gate what leaves, without which
	// a virtual device is not safe.
	ErrNoEgress = errors.New("virtual devices need a kernel that gates what leaves (egress hook, Linux 5.16)")
	// ErrUnknownGroup means that the configuration has no such group.
	ErrUnknownGroup = errors.New("unknown group")
)

// A Gate is our table in the kernel. All methods may be called from any
// goroutine; Turn, Grant, Renew and Close do not wait for the others.
type Gate struct {
	speaker  *speaker
	leaseAt  [MaxGroups]int16 // index of a group's lease duration, -1: no such group
	features features

	mu      sync.Mutex // guards what follows, and the order of transactions
	nl      *socket
	cfg     Config
	cookie  [cookieSize]byte
	state   fingerprint // as we left the table
	missing []string
	indexes map[string]int // of the devices, as of the last apply
	owned   bool
}

// Open puts the gate into the kernel of the calling thread's network namespace.
//
// A table of the same name is taken over: what is gated stays gated at every
// moment, unexpired leases live on (see Held) unless their addresses changed
// group, and frames of the process that made it are no longer obeyed.
// The table stays when the process ends; Remove takes it out.
func Open(cfg Config) (*Gate, error) {
	cfg, err := cfg.check(Tick())
	if err != nil {
		return nil, err
	}
	g := &Gate{cfg: cfg}
	if _, err := rand.Read(g.cookie[:]); err != nil {
		return nil, fmt.Errorf("choose cookie: %w", err)
	}
	if g.nl, err = dial(); err != nil {
		return nil, err
	}
	if g.features, err = probe(g.nl, cfg); err != nil {
		g.nl.close()
		return nil, err
	}
	if !g.features.egress && slices.ContainsFunc(cfg.Groups, func(o Group) bool { return len(o.Virtual) > 0 }) {
		g.nl.close()
		return nil, ErrNoEgress
	}
	if g.speaker, err = newSpeaker(g.cookie, g.features.control); err != nil {
		g.nl.close()
		return nil, err
	}
	g.indexLeases()
	if err := g.apply(); err != nil {
		g.release()
		return nil, fmt.Errorf("install gate %s: %w", cfg.Table, err)
	}
	return g, nil
}

func (g *Gate) indexLeases() {
	leases := g.cfg.leases()
	for id := range g.leaseAt {
		g.leaseAt[id] = -1
		group, ok := g.cfg.group(uint8(id))
		for i, d := range leases {
			if ok && d == group.Lease {
				g.leaseAt[id] = int16(i)
			}
		}
	}
}

// Info says how the gate works on this kernel.
type Info struct {
	// Control is the hook that takes control frames: "egress" tells every
	// outcome in the same call, "ingress" (kernels before 5.16) does not.
	Control string
	// Egress is true if frames that leave are gated too.
	Egress bool
	// RoutedPast is true if packets to or from the VIPs of a group may pass
	// a device on which the group is not at home while its gate is closed.
	RoutedPast bool
	// Owned is true if other processes cannot change the table (`nft flush
	// ruleset` leaves it alone); since Linux 6.9, while the agent lives.
	Owned bool
	// Missing are devices that did not exist when the gate was last installed.
	// Kernels before 6.16 gate them only after Restore.
	Missing []string
}

// Info returns how the gate works on this kernel.
func (g *Gate) Info() Info {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Info{
		Control: g.features.controlHook(), Egress: g.features.egress, RoutedPast: g.features.fib,
		Owned: g.owned, Missing: append([]string(nil), g.missing...),
	}
}

func (f features) controlHook() string {
	if f.control {
		return "egress"
	}
	return "ingress"
}

// Turn begins a loop turn: for Window from now (see Effective) the kernel obeys
// Grant and Renew. It fails with ErrMissing if the table is gone.
func (g *Gate) Turn() error {
	taken, err := g.speaker.do(opTurn, 0, 0, true)
	switch {
	case err != nil:
		return fmt.Errorf("begin turn: %w", err)
	case !taken:
		return fmt.Errorf("begin turn: %w", ErrMissing)
	}
	return nil
}

// Grant opens a group's gate for its lease, if the turn is younger than the
// window. It fails with ErrRefused if the kernel did not; when Info.Control is
// "ingress" only Held can tell.
func (g *Gate) Grant(group uint8) error { return g.extend("grant", opGrant, group) }

// Renew extends a group's lease if the turn is younger than the window and the
// lease has not expired. It fails with ErrRefused if the kernel did not; when
// Info.Control is "ingress" only Held can tell.
func (g *Gate) Renew(group uint8) error { return g.extend("renew", opRenew, group) }

func (g *Gate) extend(verb string, op byte, group uint8) error {
	if group >= MaxGroups || g.leaseAt[group] < 0 {
		return fmt.Errorf("%s group %d: %w", verb, group, ErrUnknownGroup)
	}
	taken, err := g.speaker.do(op, byte(g.leaseAt[group]), group, false)
	switch {
	case err != nil:
		return fmt.Errorf("%s group %d: %w", verb, group, err)
	case !taken:
		return fmt.Errorf("%s group %d: %w", verb, group, ErrRefused)
	}
	return nil
}

// Close ends a group's lease. It returns nil only if the kernel confirmed that
// the gate is closed. When Info.Control is "ingress" it also ends the turn: no
// group can be granted or renewed until the next.
func (g *Gate) Close(group uint8) error {
	if group >= MaxGroups || g.leaseAt[group] < 0 {
		return fmt.Errorf("close group %d: %w", group, ErrUnknownGroup)
	}
	if g.features.control && g.features.erase {
		taken, err := g.speaker.do(opClose, 0, group, false)
		if err == nil && taken {
			// A second frame, because ENOBUFS could have been a shortage of
			// memory and this answer must not be wrong.
			if open, err := g.speaker.do(opProbe, 0, group, false); err == nil && !open {
				return nil
			}
		}
	}
	if err := g.closeSlowly(group); err != nil {
		return fmt.Errorf("close group %d: %w", group, err)
	}
	return nil
}

// closeSlowly deletes the lease by netlink and reads back.
func (g *Gate) closeSlowly(group uint8) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.features.control {
		// A grant may still wait in the queue of the loopback device. Without the
		// turn's token it comes to nothing; nor does any other until the next turn.
		b := newBatch(g.cfg.Table)
		b.clearSet(setTurn)
		if err := g.nl.transact(b); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	b := newBatch(g.cfg.Table)
	b.delElements(setLease, []element{{key: key32(uint32(group))}})
	if err := g.nl.transact(b); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	open, _, err := g.held(group)
	if err == nil && open {
		return ErrRefused
	}
	return err
}

// Held reports whether a group's lease is unexpired in the kernel, and for how
// long yet. It also tells about a lease that an earlier process was granted.
func (g *Gate) Held(group uint8) (bool, time.Duration, error) {
	if group >= MaxGroups || g.leaseAt[group] < 0 {
		return false, 0, fmt.Errorf("read lease of group %d: %w", group, ErrUnknownGroup)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	open, left, err := g.held(group)
	if err != nil {
		return false, 0, fmt.Errorf("read lease of group %d: %w", group, err)
	}
	return open, left, nil
}

func (g *Gate) held(group uint8) (open bool, left time.Duration, err error) {
	key := attrs{}.nest(unix.NFTA_LIST_ELEM, encodeElement(element{key: key32(uint32(group))}))
	body := attrs{}.text(unix.NFTA_SET_ELEM_LIST_TABLE, g.cfg.Table).text(unix.NFTA_SET_ELEM_LIST_SET, setLease).
		nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, key)
	err = g.nl.ask(unix.NFT_MSG_GETSETELEM, false, body, func(m message) error {
		_, _, a, ok := m.nft()
		if !ok {
			return nil
		}
		item := attr(attr(a, unix.NFTA_SET_ELEM_LIST_ELEMENTS), unix.NFTA_LIST_ELEM)
		left = time.Duration(be64(attr(item, unix.NFTA_SET_ELEM_EXPIRATION))) * time.Millisecond
		open = item != nil && left > 0
		return nil
	})
	if errors.Is(err, unix.ENOENT) { // no element, or no set at all
		_, err = readTable(g.nl, g.cfg.Table)
		return false, 0, err
	}
	return open, left, err
}

// SetOwn replaces the node's own addresses. Packets to them are never taken for
// transit; virtual addresses among them are ignored.
func (g *Gate) SetOwn(own []netip.Prefix) error {
	if len(own) > MaxOwn {
		return fmt.Errorf("set own addresses: %d given, at most %d", len(own), MaxOwn)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cfg.Own = append([]netip.Prefix(nil), own...)
	want := newLayout(g.cfg, g.features, g.cookie)
	for _, set := range []string{setOwn4, setOwn6} {
		if err := g.fill(set, want.content[set]); err != nil {
			return fmt.Errorf("set own addresses: %w", err)
		}
	}
	return g.remember()
}

// Update makes the groups' addresses, devices and transit those of groups, which
// must have the ids and leases that Open was given. Leases live on, and what is
// gated before and after is gated at every moment, unless an address changes its
// group: that closes all gates. If the kernel refuses, the groups stay as they were.
func (g *Gate) Update(groups []Group) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := g.cfg
	next.Groups = groups
	next, err := next.check(Tick())
	if err != nil {
		return fmt.Errorf("update gate %s: %w", g.cfg.Table, err)
	}
	for _, n := range next.Groups {
		if was, ok := g.cfg.group(n.ID); !ok || was.Lease != n.Lease || len(next.Groups) != len(g.cfg.Groups) {
			return fmt.Errorf("update gate %s: group %d is new, or another one is gone, or its lease is another", g.cfg.Table, n.ID)
		}
	}
	was := g.cfg.Groups
	g.cfg.Groups = next.Groups
	if err := g.apply(); err != nil {
		g.cfg.Groups = was
		return fmt.Errorf("update gate %s: %w", g.cfg.Table, errors.Join(err, g.apply()))
	}
	return nil
}

// Restore puts the table back as it must be, whatever a stranger did to it. If
// the leases are gone, every gate is closed until granted again.
func (g *Gate) Restore() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.apply(); err != nil {
		return fmt.Errorf("restore gate %s: %w", g.cfg.Table, err)
	}
	return nil
}

// Remove takes the table out of the kernel: nothing is gated any more. Then it
// closes the sockets; the Gate is of no further use.
func (g *Gate) Remove() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := newBatch(g.cfg.Table)
	b.delTable()
	err := g.nl.transact(b)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove gate %s: %w", g.cfg.Table, err)
	}
	g.release()
	return nil
}

// Detach closes the sockets and leaves the table in the kernel, where open
// gates close by themselves. The Gate is of no further use.
func (g *Gate) Detach() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.release()
}

func (g *Gate) release() {
	g.nl.close()
	g.speaker.close()
}

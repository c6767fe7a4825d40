package announce

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

const (
	maxSamples = 3  // addresses that one Probe asks for
	maxProbes  = 16 // probes for each, whatever is asked for
	maxEach    = 64 // addresses that ProbeEach asks for at a time: their answers fit into a socket
	// Frames that one wait reads from one socket before it looks at the clock.
	maxReads = 256
)

// A ProbeResult is what a probe saw.
type ProbeResult struct {
	Sent    bool   // at least one probe went out and was heard out; if false, silence means nothing
	Foreign bool   // another node answered for, announced or probed for an address
	Address string // that address
	MAC     string // the hardware address that has it, or is about to take it
	Device  string // where it was heard
	Reason  string // why probes did not go out, if any did not
}

// Probe asks up to three of the addresses, spread over their devices, whether
// someone else has them: by ARP probe from 0.0.0.0 (RFC 5227 section 2.1.1),
// or by neighbour solicitation from the unspecified address (RFC 4862 section
// 5.4.2), which leave no trace in anyone's tables. It sends n probes, at 0,
// spacing, 2*spacing and so on, listens until n*spacing has passed since the
// first, and returns as soon as a hardware address that is not of this node
// answers. Like RFC 5227 it takes an announcement for an answer, and also the
// probe of another node for any of the addresses: two nodes that are about to
// take the same address must both hear it here if nowhere else. The addresses
// need not be set here, and frames are heard before any packet filter of this
// node.
//
// A router that does proxy ARP for the subnet answers for every address.
func (a *Announcer) Probe(ctx context.Context, addrs []vip.Address, n int, spacing time.Duration) (ProbeResult, error) {
	return a.probe(ctx, addrs, Samples(addrs), n, spacing)
}

// ProbeEach is Probe for every one of the addresses, where each may have an
// owner of its own: maxEach of them at a time. Sent says that each was asked n
// times and heard out; if false, Reason tells of one that was not.
func (a *Announcer) ProbeEach(ctx context.Context, addrs []vip.Address, n int, spacing time.Duration) (ProbeResult, error) {
	for len(addrs) > 0 {
		now := addrs[:min(len(addrs), maxEach)]
		addrs = addrs[len(now):]
		r, err := a.probe(ctx, now, now, n, spacing)
		if err != nil || r.Foreign || r.Reason != "" {
			r.Sent = r.Sent && r.Reason == ""
			return r, err
		}
	}
	return ProbeResult{Sent: true}, nil
}

func (a *Announcer) probe(ctx context.Context, addrs, samples []vip.Address, n int, spacing time.Duration) (ProbeResult, error) {
	p := &probe{a: a, asked: map[netip.Addr]bool{}, group: make(map[netip.Addr]bool, len(addrs))}
	for _, addr := range addrs {
		p.group[addr.Prefix.Addr()] = true
	}
	defer p.close()
	for _, e := range earsFor(samples) {
		p.open(e)
	}
	if len(p.ears) == 0 {
		p.result.Reason = reasonOf(p.errs)
		return p.result, nil
	}
	next := time.Now()
	for range min(max(n, 1), maxProbes) {
		p.ask()
		// From the first, so that what sending costs makes no probe longer. But a
		// process that was stopped meanwhile still hears each one out.
		next = later(next.Add(spacing), time.Now().Add(spacing/2))
		if err := p.listen(ctx, next); err != nil {
			p.result.Sent = false // nobody listened long enough
			return p.result, err
		}
		if p.result.Foreign {
			break
		}
	}
	p.result.Reason = reasonOf(p.errs)
	return p.result, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func reasonOf(errs []error) string {
	if len(errs) == 0 {
		return ""
	}
	return errs[len(errs)-1].Error()
}

// Samples chooses up to three addresses: one of each device before a second of
// any, and of one device the first, a middle one and the last, so that they
// are of both families where there are both. The choice is always the same.
func Samples(addrs []vip.Address) []vip.Address {
	byDevice := map[string][]vip.Address{}
	var names []string
	for _, addr := range (vip.Set{Addresses: addrs}).Canonical().Addresses {
		if byDevice[addr.Device] == nil {
			names = append(names, addr.Device)
		}
		byDevice[addr.Device] = append(byDevice[addr.Device], addr)
	}
	var chosen []vip.Address
	for turn := range maxSamples {
		for _, name := range names {
			list := byDevice[name]
			if len(chosen) < maxSamples && turn < len(list) {
				chosen = append(chosen, pick(list, turn))
			}
		}
	}
	return chosen
}

// pick takes the first, then the last, then the middle of the list.
func pick(list []vip.Address, turn int) vip.Address {
	switch turn {
	case 0:
		return list[0]
	case 1:
		return list[len(list)-1]
	}
	return list[len(list)/2]
}

// A probe is one run of Probe.
type probe struct {
	a      *Announcer
	own    map[MAC]bool // nil: not read yet
	ears   []ear
	asked  map[netip.Addr]bool // what we ask for
	group  map[netip.Addr]bool // what a rival may ask for: its list may be another
	all    *answers            // nil: the first foreign one is enough
	result ProbeResult
	errs   []error
}

// An ear hears answers on one device, and knows what to ask there.
type ear struct {
	fd     int
	device string
	ips    []netip.Addr
}

// earsFor makes an ear, still closed, for each device of the samples.
func earsFor(samples []vip.Address) []ear {
	var ears []ear
	for _, s := range samples {
		i := slices.IndexFunc(ears, func(e ear) bool { return e.device == s.Device })
		if i < 0 {
			i = len(ears)
			ears = append(ears, ear{device: s.Device})
		}
		ears[i].ips = append(ears[i].ips, s.Prefix.Addr())
	}
	return ears
}

// groups are the Ethernet groups in which answers and rivals' probes come.
// Answers to a solicitation from no address go to all nodes.
func (e ear) groups() []MAC {
	var groups []MAC
	for _, ip := range e.ips {
		if !ip.Is6() {
			continue
		}
		if groups == nil {
			groups = append(groups, allNodesMAC)
		}
		groups = append(groups, solicitedMAC(ip))
	}
	return groups
}

func (p *probe) open(e ear) {
	port, err := lookup(p.a.fd, e.device)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	// All protocols: such sockets hear a frame before any filter at the
	// device's ingress, so that the closed gate of this node hides nothing.
	if err = p.a.join(port, e.groups(), false); err == nil {
		e.fd, err = listener(port, unix.ETH_P_ALL, rivals)
	}
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	p.ears = append(p.ears, e)
	for _, ip := range e.ips {
		p.asked[ip] = true
	}
}

// close closes the sockets aside: the kernel waits for all processors to let go
// of a packet socket, which takes milliseconds, and the verdict is urgent.
func (p *probe) close() {
	for _, e := range p.ears {
		p.a.closing.Go(func() { _ = unix.Close(e.fd) })
	}
}

func (p *probe) ask() {
	for _, e := range p.ears {
		port, err := lookup(p.a.fd, e.device)
		if err != nil {
			p.errs = append(p.errs, err)
			continue
		}
		for _, ip := range e.ips {
			if err := p.send(port, ip); err != nil {
				p.errs = append(p.errs, fmt.Errorf("probe %s on %s: %w", ip, e.device, err))
				continue
			}
			p.all.asked(ip)
			p.result.Sent = true
		}
	}
}

func (p *probe) send(to port, ip netip.Addr) error {
	var buffer [naLength]byte
	if !ip.Is6() {
		return send(p.a.fd, to, appendARPProbe(buffer[:0], to.mac, ip))
	}
	if err := send(p.a.fd, to, appendSolicitation(buffer[:0], to.mac, ip)); err != nil {
		return err
	}
	return send(p.a.fd, to, appendRivalSolicitation(buffer[:0], to.mac, ip))
}

// listen hears until the deadline, or until something foreign.
func (p *probe) listen(ctx context.Context, deadline time.Time) error {
	fds := make([]unix.PollFd, len(p.ears))
	for i, e := range p.ears {
		fds[i] = unix.PollFd{Fd: int32(e.fd), Events: unix.POLLIN}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		late := !time.Now().Before(deadline) // what came in before it is heard all the same
		rest := unix.NsecToTimespec(int64(max(time.Until(deadline), 0)))
		n, err := unix.Ppoll(fds, &rest, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for answers: %w", err)
		}
		for i := range p.ears {
			if n <= 0 || fds[i].Revents == 0 {
				continue
			}
			if p.hear(p.ears[i]) {
				return nil
			}
		}
		if late {
			return nil
		}
	}
}

// hear reads what has come in on one device.
func (p *probe) hear(e ear) (foreign bool) {
	var frame [frameBuffer]byte
	for range maxReads {
		n, _, err := unix.Recvfrom(e.fd, frame[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false // nothing more; a device that went down fails at the next probe
		}
		if p.all != nil {
			p.all.hear(p, frame[:n])
			continue
		}
		if c, ok := p.concerns(frame[:n]); ok && p.foreign(c.mac) {
			p.result.Foreign = true
			p.result.Address, p.result.MAC, p.result.Device = c.ip.String(), c.mac.String(), e.device
			return true
		}
	}
	return false
}

// concerns reads a frame that answers our question or asks the same.
func (p *probe) concerns(frame []byte) (claim, bool) {
	if c, ok := parseClaim(frame); ok {
		return c, p.asked[c.ip]
	}
	c, ok := parseProbe(frame)
	return c, ok && p.group[c.ip]
}

// foreign says whether the hardware address is none of this node's. They are
// read only when there is something to compare them with: the kernel lists them
// under a lock that whoever changes addresses holds. If they cannot be read,
// what was heard counts as foreign.
func (p *probe) foreign(mac MAC) bool {
	if p.own == nil {
		own, err := ownMACs()
		if err != nil {
			return true
		}
		p.own = own
	}
	return !p.own[mac]
}

package announce

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

const (
	maxSamples = 3  // addresses that one Probe asks for
	maxProbes  = 16 // probes for each, whatever is asked for
	// Frames that one wait reads from one socket before it looks at the clock.
	maxReads = 256
)

// A ProbeResult is what a probe saw.
type ProbeResult struct {
	Sent    bool   // at least one probe went out; if false, silence means nothing
	Foreign bool   // another node answered for or announced an address
	Address string // that address
	MAC     string // the hardware address that has it
	Device  string // where it was heard
	Reason  string // why probes did not go out, if any did not
}

// Probe asks up to three of the addresses, spread over their devices, whether
// someone else has them: by ARP probe from 0.0.0.0 (RFC 5227 section 2.1.1),
// or by neighbour solicitation from the unspecified address (RFC 4862 section
// 5.4.2), which leave no trace in anyone's tables. It sends n probes, spacing
// apart, waits spacing after the last, and returns as soon as a hardware
// address that is not of this node answers. Like RFC 5227 it takes an
// announcement for an answer. The addresses need not be set here, and frames
// are heard before any packet filter of this node.
//
// A router that does proxy ARP for the subnet answers for every address.
func (a *Announcer) Probe(ctx context.Context, addrs []vip.Address, n int, spacing time.Duration) (ProbeResult, error) {
	own, err := ownMACs()
	if err != nil {
		return ProbeResult{}, err
	}
	p := &probe{a: a, own: own, asked: map[netip.Addr]bool{}}
	defer p.close()
	for _, addr := range Samples(addrs) {
		p.open(addr)
	}
	if len(p.ears) == 0 {
		p.result.Reason = reasonOf(p.errs)
		return p.result, nil
	}
	for range min(max(n, 1), maxProbes) {
		p.ask()
		if err := p.listen(ctx, spacing); err != nil {
			return p.result, err
		}
		if p.result.Foreign {
			break
		}
	}
	p.result.Reason = reasonOf(p.errs)
	return p.result, nil
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
	own    map[MAC]bool
	ears   []ear
	asked  map[netip.Addr]bool
	result ProbeResult
	errs   []error
}

// An ear hears answers on one device, and knows what to ask there.
type ear struct {
	fd     int
	device string
	ips    []netip.Addr
}

func (p *probe) open(addr vip.Address) {
	ip := addr.Prefix.Addr()
	for i := range p.ears {
		if p.ears[i].device == addr.Device {
			p.ears[i].ips = append(p.ears[i].ips, ip)
			p.asked[ip] = true
			return
		}
	}
	port, err := lookup(p.a.fd, addr.Device)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	// All protocols: such sockets hear a frame before any filter at the
	// device's ingress, so that the closed gate of this node hides nothing.
	fd, err := listener(port, unix.ETH_P_ALL)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	p.ears = append(p.ears, ear{fd: fd, device: addr.Device, ips: []netip.Addr{ip}})
	p.asked[ip] = true
}

// close closes the sockets aside: the kernel waits for all processors to let go
// of a packet socket, which takes milliseconds, and the verdict is urgent.
func (p *probe) close() {
	for _, e := range p.ears {
		p.a.closing.Go(func() { _ = unix.Close(e.fd) })
	}
}

func (p *probe) ask() {
	var buffer [naLength]byte
	for _, e := range p.ears {
		port, err := lookup(p.a.fd, e.device)
		if err != nil {
			p.errs = append(p.errs, err)
			continue
		}
		for _, ip := range e.ips {
			frame := buffer[:0]
			if ip.Is6() {
				frame = appendSolicitation(frame, port.mac, ip)
			} else {
				frame = appendARPProbe(frame, port.mac, ip)
			}
			if err := send(p.a.fd, port, frame); err != nil {
				p.errs = append(p.errs, fmt.Errorf("probe %s on %s: %w", ip, e.device, err))
				continue
			}
			p.result.Sent = true
		}
	}
}

// listen hears answers for as long as spacing, or until a foreign one.
func (p *probe) listen(ctx context.Context, spacing time.Duration) error {
	deadline := time.Now().Add(spacing)
	fds := make([]unix.PollFd, len(p.ears))
	for i, e := range p.ears {
		fds[i] = unix.PollFd{Fd: int32(e.fd), Events: unix.POLLIN}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		rest := unix.NsecToTimespec(int64(max(time.Until(deadline), 0)))
		n, err := unix.Ppoll(fds, &rest, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for answers: %w", err)
		}
		for i := range p.ears {
			if n > 0 && fds[i].Revents != 0 && p.hear(p.ears[i]) {
				return nil
			}
		}
		if !time.Now().Before(deadline) {
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
		c, ok := parseClaim(frame[:n])
		if ok && p.asked[c.ip] && !p.own[c.mac] {
			p.result.Foreign = true
			p.result.Address, p.result.MAC, p.result.Device = c.ip.String(), c.mac.String(), e.device
			return true
		}
	}
	return false
}

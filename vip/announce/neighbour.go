package announce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Neighbours asks hosts on the device for their hardware addresses, once, as
// Probe does: without an address of this node's own, and without a trace in
// anyone's tables. It returns them in the order of ips, zero for who did not
// answer, as soon as enough have answered or the time is over. Unlike Probe it
// takes nobody's question for an answer, since the peer asks for the same hosts.
//
// The error wraps ErrNoCarrier if the device cannot send now.
func (a *Announcer) Neighbours(ctx context.Context, device string, ips []netip.Addr, enough int, within time.Duration) ([]MAC, error) {
	deadline := time.Now().Add(within)
	own, err := ownMACs()
	if err != nil {
		return nil, err
	}
	p, err := lookup(a.fd, device)
	if err != nil {
		return nil, err
	}
	if err := a.join(p, ear{ips: ips}.groups(), false); err != nil {
		return nil, err
	}
	fd, err := listener(p, unix.ETH_P_ALL, claims)
	if err != nil {
		return nil, err
	}
	ear := os.NewFile(uintptr(fd), device)
	defer a.closing.Go(func() { _ = ear.Close() }) // aside, as a probe's
	raw, err := ear.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", device, err)
	}
	for _, ip := range ips {
		if err := a.solicit(p, ip); err != nil {
			return nil, fmt.Errorf("ask for %s on %s: %w", ip, device, err)
		}
	}
	_ = ear.SetReadDeadline(deadline)
	defer context.AfterFunc(ctx, func() { _ = ear.SetReadDeadline(time.Unix(1, 0)) })()
	r := roll{ips: ips, own: own, self: p.mac, macs: make([]MAC, len(ips)), missing: min(enough, len(ips))}
	if err := raw.Read(r.hear); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("listen on %s: %w", device, err)
	}
	return r.macs, ctx.Err()
}

// ErrNoCarrier marks a device that is down or has no carrier.
var ErrNoCarrier = errNoCarrier

// solicit asks for one address.
func (a *Announcer) solicit(to port, ip netip.Addr) error {
	var buffer [naLength]byte
	if ip.Is6() {
		return send(a.fd, to, appendSolicitation(buffer[:0], to.mac, ip))
	}
	return send(a.fd, to, appendARPProbe(buffer[:0], to.mac, ip))
}

// A roll notes who has answered.
type roll struct {
	ips     []netip.Addr
	own     map[MAC]bool
	self    MAC
	macs    []MAC
	missing int
}

// hear reads what has come, and says whether that is enough.
func (r *roll) hear(fd uintptr) (enough bool) {
	var frame [frameBuffer]byte
	for range maxReads {
		n, _, err := unix.Recvfrom(int(fd), frame[:], unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false // nothing more; a device that went down fails at the next look
		}
		c, ok := parseClaim(frame[:n])
		at := slices.Index(r.ips, c.ip)
		if !ok || at < 0 || r.own[c.mac] || r.macs[at] != (MAC{}) || !r.toUs(frame[:n]) {
			continue
		}
		r.macs[at] = c.mac
		if r.missing--; r.missing == 0 {
			return true
		}
	}
	return false
}

// toUs tells an ARP reply to this node from all that its sender may say of itself
// while it does not hear us. Advertisements that answer who has no address go to
// all nodes (RFC 4861 section 7.2.4), and cannot be told apart.
func (r *roll) toUs(frame []byte) bool {
	if binary.BigEndian.Uint16(frame[12:]) != etherARP {
		return true
	}
	return binary.BigEndian.Uint16(frame[20:]) == arpReply && MAC(frame[32:38]) == r.self
}

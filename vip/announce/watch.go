package announce

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

const (
	// One address is reported at most so often, and all together so often.
	reportEvery   = time.Second
	reportsPerSec = 16
	// Own hardware addresses are read again at most so often.
	ownEvery = 100 * time.Millisecond
	// A device that is not there, or went, is tried again so often.
	reopenEvery = 500 * time.Millisecond
	// Addresses whose last report is remembered; the oldest memory goes then.
	maxRemembered = 4096
)

// Foreign says who else claims an address.
type Foreign struct {
	Address string
	MAC     string
	Device  string
}

// Watch calls report for each ARP message and neighbour advertisement in which
// a hardware address that is not of this node claims one of the addresses, at
// most once a second for each address and sixteen times a second in all. It
// only listens: on each device to ARP, and to IPv6 only where there is an IPv6
// address to watch. A probe is no claim and is not reported. Unlike Probe it
// hears what the ingress filter lets through, so that the rest of a router's
// traffic costs nothing. It returns nil when ctx ends. report is called by one
// goroutine at a time. On the standby the owner's own frames are what is
// reported; who owns is the caller's knowledge.
func (a *Announcer) Watch(ctx context.Context, addrs []vip.Address, report func(Foreign)) error {
	w := &watcher{a: a, report: report, last: map[netip.Addr]time.Time{}, groups: map[string][]MAC{}}
	for _, e := range earsFor(Samples(addrs)) {
		w.groups[e.device] = e.groups()
	}
	var all sync.WaitGroup
	for name, list := range perDevice(addrs) {
		ips := map[uint16]map[netip.Addr]bool{}
		for _, ip := range list {
			protocol := uint16(unix.ETH_P_ARP)
			if ip.Is6() {
				protocol = unix.ETH_P_IPV6
			}
			if ips[protocol] == nil {
				ips[protocol] = map[netip.Addr]bool{}
			}
			ips[protocol][ip] = true
		}
		for protocol, set := range ips {
			all.Go(func() { w.device(ctx, name, protocol, set) })
		}
	}
	all.Wait()
	<-ctx.Done()
	return nil
}

func perDevice(addrs []vip.Address) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for _, addr := range addrs {
		out[addr.Device] = append(out[addr.Device], addr.Prefix.Addr())
	}
	return out
}

type watcher struct {
	a      *Announcer
	report func(Foreign)
	groups map[string][]MAC // to join, by device

	mu      sync.Mutex
	own     map[MAC]bool
	ownRead time.Time
	last    map[netip.Addr]time.Time // of the last report
	second  time.Time                // that reports are counted in
	reports int
}

// device listens on one device until ctx ends. When the device goes down or
// away the socket fails and a new one is tried until it is back.
func (w *watcher) device(ctx context.Context, name string, protocol uint16, ips map[netip.Addr]bool) {
	for ctx.Err() == nil {
		p, err := lookup(w.a.fd, name)
		switch {
		case errors.Is(err, errNoEthernet):
			return // there is nobody to hear
		case err == nil || errors.Is(err, errNoCarrier):
			w.listen(ctx, p, protocol, ips)
		}
		_ = sleep(ctx, reopenEvery)
	}
}

// listen hears until ctx ends or the socket fails.
func (w *watcher) listen(ctx context.Context, p port, protocol uint16, ips map[netip.Addr]bool) {
	groups := w.groups[p.name] // for the probes
	if protocol == unix.ETH_P_IPV6 && groups == nil {
		groups = []MAC{allNodesMAC} // the device may have no IPv6 of its own
	}
	if err := w.a.join(p, groups, true); err != nil {
		return
	}
	fd, err := listener(p, protocol, claims)
	if err != nil {
		return
	}
	file := os.NewFile(uintptr(fd), "packet")
	defer file.Close()
	defer context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })()
	var frame [frameBuffer]byte
	for {
		n, err := file.Read(frame[:])
		if err != nil {
			return // ctx has ended, or the device went down or away
		}
		if c, ok := parseClaim(frame[:n]); ok && ips[c.ip] {
			w.claimed(c, p.name)
		}
	}
}

// claimed reports the claim unless it is our own or one too many.
func (w *watcher) claimed(c claim, device string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.own[c.mac] || now.Sub(w.last[c.ip]) < reportEvery {
		return
	}
	if now.Sub(w.ownRead) >= ownEvery {
		// Not known as ours: look again before calling it foreign.
		if own, err := ownMACs(); err == nil {
			w.own, w.ownRead = own, now
		}
	}
	if w.own == nil || w.own[c.mac] || !w.allowed(now) {
		return
	}
	if len(w.last) >= maxRemembered {
		clear(w.last)
	}
	w.last[c.ip] = now
	w.report(Foreign{Address: c.ip.String(), MAC: c.mac.String(), Device: device})
}

func (w *watcher) allowed(now time.Time) bool {
	if now.Sub(w.second) >= time.Second {
		w.second, w.reports = now, 0
	}
	w.reports++
	return w.reports <= reportsPerSec
}

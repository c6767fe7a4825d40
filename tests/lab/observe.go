package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An Observer stands on the LAN and asks, every millisecond, who has an
// address. Each question bears its number in the asker's hardware address, and
// each answer brings it back (RFC 826: the target of the reply is the sender
// of the request), so that two answers to one question are proof that two
// kernels answered for the address at the same time.
type Observer struct {
	fd    int
	index int
	mac   net.HardwareAddr
	ip    [4]byte
	began time.Time
	every time.Duration
	stop  chan struct{}
	all   sync.WaitGroup

	mu      sync.Mutex
	asked   []time.Duration
	answers [][2]net.HardwareAddr // by question: the first two that answered
	came    [][2]time.Duration    // when
}

// Observe starts to ask who has addr.
func (l *Lab) Observe(addr netip.Addr, every time.Duration) (*Observer, error) {
	return ObserveFrom(l.Client, addr, every)
}

// ObserveFrom is Observe on a LAN of one's own; see NewLAN.
func ObserveFrom(client *Space, addr netip.Addr, every time.Duration) (*Observer, error) {
	o := &Observer{ip: addr.As4(), began: time.Now(), every: every, stop: make(chan struct{})}
	link, err := client.nl.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	o.index, o.mac = link.Attrs().Index, link.Attrs().HardwareAddr
	err = client.Do(func() (err error) {
		o.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ARP)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(o.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: o.index}); err != nil {
		return nil, fmt.Errorf("bind packet socket: %w", err)
	}
	// The answers go to the numbered addresses, which are not this device's.
	mreq := unix.PacketMreq{Ifindex: int32(o.index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(o.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return nil, fmt.Errorf("listen to all: %w", err)
	}
	_ = unix.SetsockoptTimeval(o.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	_ = unix.SetsockoptInt(o.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) // bursts of announcements come here, too
	o.all.Go(o.ask)
	o.all.Go(o.listen)
	return o, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// Stop ends the observer.
func (o *Observer) Stop() {
	close(o.stop)
	o.all.Wait()
	unix.Close(o.fd)
}

func (o *Observer) stopped() bool {
	select {
	case <-o.stop:
		return true
	default:
		return false
	}
}

// askerMAC carries question n; 02 is the bit of locally given addresses.
func askerMAC(n int) []byte {
	mac := []byte{0x02, 0x77, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(mac[2:], uint32(n))
	return mac
}

func (o *Observer) ask() {
	steady()
	asker := netip.MustParseAddr(askerIP).As4()
	to := &unix.SockaddrLinklayer{Ifindex: o.index, Protocol: htons(unix.ETH_P_ARP), Halen: 6}
	next := time.Now()
	for n := 0; n < probeHistory && !o.stopped(); n++ {
		if d := time.Until(next); d > 0 {
			nap(d)
		} else if d < -o.every {
			next = time.Now()
		}
		next = next.Add(o.every)
		mac := askerMAC(n)
		frame := make([]byte, 0, 42)
		frame = append(frame, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		frame = append(frame, o.mac...) // not the number: the switch would learn each
		frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
		frame = append(frame, mac...)
		frame = append(frame, asker[:]...)
		frame = append(frame, 0, 0, 0, 0, 0, 0)
		frame = append(frame, o.ip[:]...)
		o.mu.Lock()
		o.asked = append(o.asked, time.Since(o.began))
		o.answers = append(o.answers, [2]net.HardwareAddr{})
		o.came = append(o.came, [2]time.Duration{})
		o.mu.Unlock()
		_ = unix.Sendto(o.fd, frame, unix.MSG_DONTWAIT, to)
	}
}

func (o *Observer) listen() {
	buf := make([]byte, 128)
	for !o.stopped() {
		n, _, err := unix.Recvfrom(o.fd, buf, 0)
		if err != nil || n < 42 || binary.BigEndian.Uint16(buf[20:]) != 2 {
			continue // not an ARP reply
		}
		sender, target := buf[22:28], buf[32:38]
		if [4]byte(buf[28:32]) != o.ip || target[0] != 0x02 || target[1] != 0x77 {
			continue
		}
		question := int(binary.BigEndian.Uint32(target[2:]))
		o.note(question, append(net.HardwareAddr(nil), sender...))
	}
}

func (o *Observer) note(question int, who net.HardwareAddr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if question >= len(o.answers) {
		return
	}
	a := &o.answers[question]
	switch {
	case a[0] == nil:
		a[0], o.came[question][0] = who, time.Since(o.began)
	case a[0].String() != who.String() && a[1] == nil:
		a[1], o.came[question][1] = who, time.Since(o.began)
	}
}

// Now is the observer's clock, for the bounds of BothActive.
func (o *Observer) Now() time.Duration { return time.Since(o.began) }

// BothActive returns for how long two boxes answered, between two moments of
// the observer's clock, and how many questions were asked in that span.
func (o *Observer) BothActive(from, to time.Duration) (both time.Duration, asked int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, at := range o.asked {
		if at < from || at > to {
			continue
		}
		asked++
		if o.answers[i][1] != nil {
			both += o.every
		}
	}
	return both, asked
}

// Owner returns who answered the newest question that had time to be
// answered, nil if nobody did.
func (o *Observer) Owner(settle time.Duration) net.HardwareAddr {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.asked) - 1; i >= 0; i-- {
		if o.asked[i] < time.Since(o.began)-settle {
			return o.answers[i][0]
		}
	}
	return nil
}

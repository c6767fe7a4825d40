package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
)

const (
	watchEvery = time.Millisecond
	watchMost  = 900_000 // questions: fifteen minutes of one lab
	// proofWithin is less than a group needs to go and come back: each way takes
	// a frame and an address in the kernel.
	proofWithin = 3 * time.Millisecond
	watchNice   = -20 // another machine is not held up by the boxes
)

// What is asked of each box every millisecond.
const (
	asksARP     = iota // who has the IPv4 address (RFC 826)
	asksND             // who has the IPv6 address (RFC 4861)
	asksIP             // echo from the address
	asksTransit        // routing of a packet for somebody else
	kinds
)

var kindNames = [kinds]string{"ARP", "ND", "IP", "transit"}

// Addresses of the watch's own: nobody has them.
var (
	watchIP  = [4]byte{10, 77, 0, 103}
	clientIP = [4]byte{10, 77, 0, 100}
	watchIP6 = netip.MustParseAddr("fe80::77:103").As16()
	watchVIP = lab.VIP(0).As4()
	vip6     = netip.MustParseAddr("fd77::1:1").As16()
)

// A question is one millisecond of the watch.
type question struct {
	at      time.Duration
	took    time.Duration // to send it
	by      [kinds]uint8  // bit n: node n answered
	transit bool          // both boxes have a gate, so that routing says who owns
}

// A watch stands on the LAN and asks both boxes at once, every millisecond, by
// frames to each box's own MAC, whatever caches and switches believe. Each
// answer brings the number of its question back.
//
// The boxes are asked in turn, fw1 before fw2. Both own an address at a moment
// if one answers two questions that stand around one which the other answers,
// and no more than proofWithin passed from the first to the last: neither a
// move between two frames nor one away and back is taken for two owners. A
// watch that was held up itself is blind meanwhile, and says for how long.
type watch struct {
	fd    int
	index int
	mac   net.HardwareAddr
	began time.Time
	stop  chan struct{}
	done  sync.WaitGroup
	gated [2]atomic.Bool

	mu    sync.Mutex
	macs  [2]net.HardwareAddr
	asked []question
	late  time.Duration // longest time between two questions, less the interval
}

func newWatch(l *lab.Lab) (*watch, error) {
	w := &watch{began: time.Now(), stop: make(chan struct{}), asked: make([]question, 0, 1<<16)}
	err := l.Client.Do(func() error {
		dev, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		w.index, w.mac = dev.Index, dev.HardwareAddr
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(network(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch the LAN: %w", err)
	}
	if err := unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_ALL), Ifindex: w.index}); err != nil {
		return nil, fmt.Errorf("watch the LAN: %w", err)
	}
	mreq := unix.PacketMreq{Ifindex: int32(w.index), Type: unix.PACKET_MR_PROMISC} // answers go to numbered addresses
	if err := unix.SetsockoptPacketMreq(w.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return nil, fmt.Errorf("watch the LAN: %w", err)
	}
	_ = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	for _, n := range l.Nodes {
		w.aim(n)
	}
	w.done.Go(w.run)
	return w, nil
}

func network(v uint16) uint16 { return v<<8 | v>>8 }

// aim takes up a box that was switched on: it has a new MAC.
func (w *watch) aim(n *lab.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.macs[n.Index] = n.MAC
}

func (w *watch) end() {
	close(w.stop)
	w.done.Wait()
	unix.Close(w.fd)
}

func (w *watch) run() {
	runtime.LockOSThread() // the thread ends with the goroutine
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, watchNice)
	to := &unix.SockaddrLinklayer{Ifindex: w.index, Halen: 6}
	buf := make([]byte, 2048)
	last, next := time.Now(), time.Now()
	for q := 0; q < watchMost; q++ {
		select {
		case <-w.stop:
			return
		default:
		}
		if d := time.Until(next); d > 0 {
			ts := unix.NsecToTimespec(int64(d))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
		} else if d < -watchEvery {
			next = time.Now()
		}
		next = next.Add(watchEvery)
		w.drain(buf)
		now := time.Now()
		w.mu.Lock()
		w.late = max(w.late, now.Sub(last)-watchEvery)
		gated := w.gated[0].Load() && w.gated[1].Load()
		if !gated && q > 0 {
			w.asked[q-1].transit = false // it may have been sent late
		}
		w.asked = append(w.asked, question{at: now.Sub(w.began), transit: gated})
		macs := w.macs
		w.mu.Unlock()
		last = now
		for _, mac := range macs {
			for _, frame := range [kinds][]byte{w.arp(mac, q), w.nd(mac, q), w.echo(mac, q), w.route(mac, q)} {
				_ = unix.Sendto(w.fd, frame, unix.MSG_DONTWAIT, to)
			}
		}
		w.mu.Lock()
		w.asked[q].took = time.Since(now)
		w.mu.Unlock()
	}
}

// number is the asker's MAC in question q; 02 is the bit of locally given ones.
func number(q int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0x02, 0x77}, uint32(q))
}

func (w *watch) ethernet(mac net.HardwareAddr, kind uint16) []byte {
	f := make([]byte, 0, 96)
	f = append(append(f, mac...), w.mac...)
	return binary.BigEndian.AppendUint16(f, kind)
}

func (w *watch) arp(mac net.HardwareAddr, q int) []byte {
	f := w.ethernet(mac, unix.ETH_P_ARP)
	f = append(f, 0, 1, 8, 0, 6, 4, 0, 1)
	f = append(append(f, number(q)...), watchIP[:]...)
	f = append(f, 0, 0, 0, 0, 0, 0)
	return append(f, watchVIP[:]...)
}

// nd is a neighbour solicitation; the box answers to the link-layer address
// that it brings.
func (w *watch) nd(mac net.HardwareAddr, q int) []byte {
	f := w.ethernet(mac, unix.ETH_P_IPV6)
	f = append(f, 0x60, 0, 0, 0, 0, 32, unix.IPPROTO_ICMPV6, 255)
	f = append(f, watchIP6[:]...)
	f = append(f, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, vip6[13], vip6[14], vip6[15])
	f = append(f, 135, 0, 0, 0, 0, 0, 0, 0)
	f = append(f, vip6[:]...)
	f = append(append(f, 1, 1), number(q)...)
	pseudo := append(append([]byte(nil), f[22:54]...), 0, 0, 0, 32, 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(f[56:], lab.Checksum(append(pseudo, f[54:]...)))
	return f
}

func (w *watch) echo(mac net.HardwareAddr, q int) []byte {
	return w.icmp(mac, q, 8, asksIP, clientIP, watchVIP)
}

// route is an echo reply, which nobody answers, from nobody to the client: a
// box that routes sends it on.
func (w *watch) route(mac net.HardwareAddr, q int) []byte {
	return w.icmp(mac, q, 0, asksTransit, watchIP, clientIP)
}

// routeTTL tells a routed frame from the question.
const routeTTL = 9

// mark is in the identifier of the watch's echos.
const mark = 0x7c

func (w *watch) icmp(mac net.HardwareAddr, q int, kind, ask byte, from, to [4]byte) []byte {
	f := w.ethernet(mac, unix.ETH_P_IP)
	f = append(f, 0x45, 0, 0, 32, 0, 0, 0, 0, routeTTL, unix.IPPROTO_ICMP, 0, 0)
	f = append(append(f, from[:]...), to[:]...)
	binary.BigEndian.PutUint16(f[24:], lab.Checksum(f[14:34]))
	f = append(f, kind, 0, 0, 0, mark, ask, 0, 0)
	f = binary.BigEndian.AppendUint32(f, uint32(q))
	binary.BigEndian.PutUint16(f[36:], lab.Checksum(f[34:]))
	return f
}

// drainMost bounds what is read between two questions.
const drainMost = 512

func (w *watch) drain(buf []byte) {
	for range drainMost {
		n, from, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype != unix.PACKET_OUTGOING {
			w.read(buf[:n])
		}
	}
}

// read takes an answer.
func (w *watch) read(f []byte) {
	if len(f) < 42 {
		return
	}
	numbered := func(mac []byte) (int, bool) {
		return int(binary.BigEndian.Uint32(mac[2:])), mac[0] == 0x02 && mac[1] == 0x77
	}
	switch binary.BigEndian.Uint16(f[12:]) {
	case unix.ETH_P_ARP:
		if q, ok := numbered(f[32:38]); ok && f[21] == 2 && [4]byte(f[28:32]) == watchVIP {
			w.note(f[6:12], asksARP, q)
		}
	case unix.ETH_P_IPV6:
		if q, ok := numbered(f[0:6]); ok && len(f) >= 78 && f[20] == unix.IPPROTO_ICMPV6 && f[54] == 136 && [16]byte(f[62:78]) == vip6 {
			w.note(f[6:12], asksND, q)
		}
	case unix.ETH_P_IP:
		if len(f) < 46 || f[14] != 0x45 || f[23] != unix.IPPROTO_ICMP || f[34] != 0 || f[38] != mark {
			return
		}
		if kind := int(f[39]); kind == asksIP || kind == asksTransit && f[22] < routeTTL {
			w.note(f[6:12], kind, int(binary.BigEndian.Uint32(f[42:])))
		}
	}
}

func (w *watch) note(from []byte, kind, q int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, mac := range w.macs {
		if q < len(w.asked) && bytes.Equal(mac, from) {
			w.asked[q].by[kind] |= 1 << i
		}
	}
}

func (w *watch) now() time.Duration { return time.Since(w.began) }

// A view sums up a span of the watch.
type view struct {
	Asked int
	Both  [kinds]int // milliseconds in which both boxes answered
	First time.Duration
	Late  time.Duration // longest time in which the watch itself did not ask
	Blind time.Duration // all the time in which it asked too slowly to prove anything
}

func (v view) both() int {
	most := 0
	for _, b := range v.Both {
		most = max(most, b)
	}
	return most
}

// between sums up the questions between two moments of the watch's clock.
func (w *watch) between(from, to time.Duration) view {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v view
	for i, q := range w.asked {
		if q.at < from || q.at > to || i == 0 {
			continue
		}
		v.Asked++
		before := w.asked[i-1]
		v.Late = max(v.Late, q.at-before.at-watchEvery)
		if q.at+q.took-before.at > proofWithin {
			v.Blind += q.at - before.at
			continue
		}
		v.count(before, q)
	}
	return v
}

// count takes two questions in a row: both boxes answered if one of them did
// before and after the other.
func (v *view) count(before, q question) {
	for kind := range kinds {
		if kind == asksTransit && !(q.transit && before.transit) {
			continue
		}
		a, b := before.by[kind], q.by[kind]
		if a == 3 && b&1 != 0 || a&2 != 0 && b == 3 { // fw1 fw2 fw1, or fw2 fw1 fw2
			v.Both[kind]++
			if v.First == 0 {
				v.First = q.at
			}
		}
	}
}

// serves says whether, for the last few milliseconds, one box alone has
// answered everything: who of them, or -1.
func (w *watch) serves(during time.Duration) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	const settle = 10 * time.Millisecond // for answers that are under way
	now := time.Since(w.began)
	who := -1
	for i := len(w.asked) - 1; i >= 0 && w.asked[i].at > now-settle-during; i-- {
		q := w.asked[i]
		if q.at > now-settle {
			continue
		}
		for _, by := range q.by[:asksTransit] {
			if by != 1 && by != 2 || who >= 0 && who != int(by)-1 {
				return -1
			}
			who = int(by) - 1
		}
	}
	return who
}

// strip prints the questions of a span in short: for each run of equal answers
// how many milliseconds it lasted and who answered what.
func (w *watch) strip(from, to time.Duration) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	var since question
	n := 0
	flush := func() {
		if n > 0 {
			line := fmt.Sprintf("%10.1f ms %6d x", float64(since.at.Microseconds())/1000, n)
			for k, by := range since.by {
				line += fmt.Sprintf("  %s:%s", kindNames[k], [4]string{"-", "fw1", "fw2", "BOTH"}[by])
			}
			lines = append(lines, line)
		}
	}
	for _, q := range w.asked {
		if q.at < from || q.at > to {
			continue
		}
		if n > 0 && q.by == since.by {
			n++
			continue
		}
		flush()
		since, n = q, 1
	}
	flush()
	return lines
}

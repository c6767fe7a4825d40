package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// probeHistory bounds what one prober remembers: ten minutes at one probe a
// millisecond; a longer run forgets its beginning.
const probeHistory = 600_000

// A Prober is the client: it pings an address through its kernel's own
// neighbour cache, on a fixed schedule, and remembers which were answered.
type Prober struct {
	every time.Duration
	fd    int
	id    uint16
	to    unix.SockaddrInet4
	began time.Time
	stop  chan struct{}
	all   sync.WaitGroup

	mu      sync.Mutex
	sent    []time.Duration // since began, by sequence
	replies []bool
	took    []time.Duration // until the kernel had the answer; see ServedWithin
}

// Probe starts to ping addr from the client every interval.
func (l *Lab) Probe(addr netip.Addr, every time.Duration) (*Prober, error) {
	return ProbeFrom(l.Client, addr, every)
}

// ProbeFrom is Probe on a LAN of one's own; see NewLAN.
func ProbeFrom(client *Space, addr netip.Addr, every time.Duration) (*Prober, error) {
	p := &Prober{every: every, id: uint16(time.Now().UnixNano()>>10) | 1, began: time.Now(), stop: make(chan struct{})}
	p.to.Addr = addr.As4()
	err := client.Do(func() (err error) {
		p.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open ping socket: %w", err)
	}
	_ = unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
	_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	p.all.Go(p.send)
	p.all.Go(p.receive)
	return p, nil
}

// Stop ends the prober.
func (p *Prober) Stop() {
	close(p.stop)
	p.all.Wait()
	unix.Close(p.fd)
}

func (p *Prober) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *Prober) send() {
	steady()
	packet := make([]byte, 16)
	packet[0] = 8 // echo request, RFC 792
	binary.BigEndian.PutUint16(packet[4:], p.id)
	next := time.Now()
	for seq := 0; seq < probeHistory && !p.stopped(); seq++ {
		if d := time.Until(next); d > 0 {
			nap(d)
		} else if d < -p.every {
			next = time.Now() // the prober itself was late: leave a gap, do not burst
		}
		next = next.Add(p.every)
		binary.BigEndian.PutUint16(packet[6:], uint16(seq))
		binary.BigEndian.PutUint32(packet[8:], uint32(seq))
		binary.BigEndian.PutUint32(packet[12:], uint32(time.Now().UnixMicro()))
		packet[2], packet[3] = 0, 0
		binary.BigEndian.PutUint16(packet[2:], Checksum(packet))
		p.mu.Lock()
		p.sent = append(p.sent, time.Since(p.began))
		p.replies = append(p.replies, false)
		p.took = append(p.took, 0)
		p.mu.Unlock()
		_ = unix.Sendto(p.fd, packet, unix.MSG_DONTWAIT, &p.to) // an error is a lost probe
	}
}

func (p *Prober) receive() {
	buf, extra := make([]byte, 256), make([]byte, 64)
	for !p.stopped() {
		n, nx, _, from, err := unix.Recvmsg(p.fd, buf, extra, 0)
		if err != nil || n < 36 {
			continue
		}
		a, ok := from.(*unix.SockaddrInet4)
		icmp := buf[int(buf[0]&15)*4 : n]
		if !ok || a.Addr != p.to.Addr || len(icmp) < 16 || icmp[0] != 0 || binary.BigEndian.Uint16(icmp[4:]) != p.id {
			continue
		}
		seq := int(binary.BigEndian.Uint32(icmp[8:]))
		p.mu.Lock()
		if seq < len(p.replies) {
			p.replies[seq] = true
			p.took[seq] = roundTrip(binary.BigEndian.Uint32(icmp[12:]), extra[:nx])
		}
		p.mu.Unlock()
	}
}

// Checksum is the Internet checksum, RFC 1071, of an even number of bytes.
func Checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Now is the prober's clock, for the bounds of a Report.
func (p *Prober) Now() time.Duration { return time.Since(p.began) }

// A Report says what the client saw in a span of time.
type Report struct {
	Sent, Lost int
	// Outage is the longest time without a working probe: from the last
	// answered one before it to the first answered one after it, less the
	// interval between two probes.
	Outage time.Duration
	// Late is the longest time in which the prober itself did not probe; an
	// outage that is not longer may be its own.
	Late time.Duration
	// Up says that the last probe in the span that had time to be answered was.
	Up bool
}

// Report sums up what was sent between two moments of the prober's clock.
func (p *Prober) Report(from, to time.Duration) Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	var r Report
	lastUp, last := time.Duration(-1), time.Duration(-1)
	for i, at := range p.sent {
		if at < from || at > to {
			continue
		}
		if last >= 0 {
			r.Late = max(r.Late, at-last-p.every)
		}
		last = at
		r.Sent++
		r.Up = p.replies[i]
		if !p.replies[i] {
			r.Lost++
			continue
		}
		if lastUp >= 0 {
			r.Outage = max(r.Outage, at-lastUp-p.every)
		}
		lastUp = at
	}
	if last >= 0 && !r.Up { // still down at the end
		r.Outage = max(r.Outage, last-max(lastUp, from))
	}
	return r
}

// Strip returns the newest n probes, oldest first: true for answered. The very
// newest, which may still be on their way, are left out.
func (p *Prober) Strip(n int, settle time.Duration) []bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := len(p.sent)
	for end > 0 && p.sent[end-1] > time.Since(p.began)-settle {
		end--
	}
	return append([]bool(nil), p.replies[max(0, end-n):end]...)
}

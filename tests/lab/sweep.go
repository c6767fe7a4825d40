package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sweepPerMS bounds how many addresses a sweeper asks for in a millisecond:
// each question is a broadcast that both boxes' kernels have to look at, and
// more would slow down what is measured.
const sweepPerMS = 10

// A Sweeper asks on the LAN who has each of many addresses, and notes when
// each was first answered, and first announced (gratuitous ARP), by a certain
// box. An address that is announced is asked for at once, and one that has
// answered is not asked for again. So a time is never too early, and too late
// by no more than the box itself took between having the address and saying so.
type Sweeper struct {
	fd    int
	index int
	mac   net.HardwareAddr
	owner net.HardwareAddr
	first netip.Addr
	began time.Time
	stop  chan struct{}
	all   sync.WaitGroup

	mu        sync.Mutex
	answered  []time.Duration // since began, 0: not yet
	announced []time.Duration
	late      time.Duration // longest time between two rounds of questions, less the millisecond
}

// Sweep starts to ask for the first n addresses of the lab, waiting for the
// box with the hardware address owner.
func (l *Lab) Sweep(n int, owner net.HardwareAddr) (*Sweeper, error) {
	s := &Sweeper{
		owner: owner, first: VIP(0), began: time.Now(), stop: make(chan struct{}),
		answered: make([]time.Duration, n), announced: make([]time.Duration, n),
	}
	link, err := l.Client.nl.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	s.index, s.mac = link.Attrs().Index, link.Attrs().HardwareAddr
	if err := l.Client.Do(func() (err error) {
		s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ARP)))
		return err
	}); err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: s.index}); err != nil {
		unix.Close(s.fd)
		return nil, fmt.Errorf("bind packet socket: %w", err)
	}
	_ = unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	s.all.Go(s.ask)
	s.all.Go(s.listen)
	return s, nil
}

// Stop ends the sweeper.
func (s *Sweeper) Stop() {
	close(s.stop)
	s.all.Wait()
	unix.Close(s.fd)
}

func (s *Sweeper) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *Sweeper) ask() {
	runtime.LockOSThread()
	frame := s.question()
	at, last := 0, time.Now()
	for !s.stopped() {
		time.Sleep(time.Millisecond)
		now := time.Now()
		var batch []int
		batch, at = s.missing(at, now.Sub(last)-time.Millisecond)
		last = now
		for _, i := range batch {
			s.send(frame, i)
		}
	}
}

// question is a broadcast ARP request with the address still to be filled in.
func (s *Sweeper) question() []byte {
	asker := netip.MustParseAddr(askerIP).As4()
	frame := make([]byte, 42)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(frame[6:], s.mac)
	copy(frame[12:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1})
	copy(frame[22:], s.mac)
	copy(frame[28:], asker[:])
	return frame
}

func (s *Sweeper) send(frame []byte, i int) {
	ip := VIP(i).As4()
	copy(frame[38:], ip[:])
	_ = unix.Sendto(s.fd, frame, unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Ifindex: s.index, Protocol: htons(unix.ETH_P_ARP), Halen: 6})
}

// missing returns the next addresses that have not answered, from one on, and
// where to go on.
func (s *Sweeper) missing(from int, late time.Duration) (batch []int, next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = max(s.late, late)
	n := len(s.answered)
	for k := range n {
		i := (from + k) % n
		if s.answered[i] != 0 {
			continue
		}
		if batch = append(batch, i); len(batch) == sweepPerMS {
			return batch, i + 1
		}
	}
	return batch, from
}

func (s *Sweeper) listen() {
	buf, frame := make([]byte, 128), s.question()
	for !s.stopped() {
		n, _, err := unix.Recvfrom(s.fd, buf, 0)
		if err != nil || n < 42 || string(buf[22:28]) != string(s.owner) {
			continue
		}
		sender := netip.AddrFrom4([4]byte(buf[28:32]))
		i := offset(s.first, sender)
		toUs := binary.BigEndian.Uint16(buf[20:]) == 2 && string(buf[:6]) == string(s.mac)
		gratuitous := string(buf[28:32]) == string(buf[38:42])
		if ask := s.note(i, time.Since(s.began), toUs, gratuitous); ask {
			s.send(frame, i)
		}
	}
}

func offset(first, a netip.Addr) int {
	f, b := first.As4(), a.As4()
	return int(binary.BigEndian.Uint32(b[:])) - int(binary.BigEndian.Uint32(f[:]))
}

// note keeps what was heard, and says whether the address should be asked for.
func (s *Sweeper) note(i int, at time.Duration, answer, gratuitous bool) (ask bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < 0 || i >= len(s.answered) {
		return false
	}
	if answer && s.answered[i] == 0 {
		s.answered[i] = at
	}
	if gratuitous && s.announced[i] == 0 {
		s.announced[i] = at
	}
	return gratuitous && s.answered[i] == 0
}

// Now is the sweeper's clock.
func (s *Sweeper) Now() time.Duration { return time.Since(s.began) }

// A SweepReport says when the last of the addresses had moved.
type SweepReport struct {
	Missing     int           // addresses that have not answered
	Unannounced int           // addresses that were not announced
	Answered    time.Duration // when the last one answered first, by the sweeper's clock
	Announced   time.Duration // when the last one was announced first
	Late        time.Duration // longest time in which the sweeper itself did not ask
}

// Report sums up what was seen so far.
func (s *Sweeper) Report() SweepReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := SweepReport{Late: s.late}
	for i := range s.answered {
		if s.answered[i] == 0 {
			r.Missing++
		}
		if s.announced[i] == 0 {
			r.Unannounced++
		}
		r.Answered = max(r.Answered, s.answered[i])
		r.Announced = max(r.Announced, s.announced[i])
	}
	return r
}

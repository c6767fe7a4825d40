package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A speaker sends control frames to our chain on loopback.
//
// On the egress hook the chain runs inside the send call, and the call tells
// what became of the frame: a dropped one (the rule matched and did its work)
// fails with ENOBUFS, one that no rule wanted goes out and is thrown away by
// the network stack, which knows no protocol of that number.
type speaker struct {
	mu       sync.Mutex
	fd       int
	lo       unix.RawSockaddrLinklayer
	frame    [frameSize]byte
	turn     uint32
	answered bool // egress hook: the send call tells the outcome
}

func newSpeaker(cookie [cookieSize]byte, answered bool) (*speaker, error) {
	// Protocol zero: the socket sends only and never receives.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	s := &speaker{fd: fd, answered: answered}
	lo, err := index(fd, "lo")
	if err == nil && lo.flags&unix.IFF_UP == 0 {
		err = errors.New("it is down")
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("use loopback device: %w", err)
	}
	s.lo = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: bigEndian16(etherType), Ifindex: int32(lo.index), Halen: 6}
	s.setCookie(cookie)
	return s, nil
}

func (s *speaker) setCookie(cookie [cookieSize]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.frame[offCookie:], cookie[:])
}

func (s *speaker) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

// do sends one operation. taken says whether a rule took the frame; without the
// egress hook nobody knows, and it is true. A turn begins by new = true.
func (s *speaker) do(op, index byte, group uint8, newTurn bool) (taken bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if newTurn {
		s.turn = (s.turn + 1) % turnKeys
		binary.BigEndian.PutUint32(s.frame[offTurn:], s.turn)
	}
	s.frame[offOp], s.frame[offOp+1] = op, index
	binary.BigEndian.PutUint32(s.frame[offGroup:], uint32(group))
	switch errno := s.send(); errno {
	case 0:
		return !s.answered, nil
	case unix.ENOBUFS:
		return s.answered, nil
	default:
		return false, errno
	}
}

// send goes to the kernel without telling Go's scheduler, which would wake its
// monitor thread twice in each turn for it: the call never waits.
func (s *speaker) send() unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&s.frame[0])), frameSize,
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&s.lo)), unix.SizeofSockaddrLinklayer)
	return errno
}

type device struct {
	index int
	flags uint16
}

// index asks for a device's number and flags in the network namespace of fd.
func index(fd int, name string) (device, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return device{}, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return device{}, err
	}
	d := device{index: int(req.Uint32())}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return device{}, err
	}
	d.flags = req.Uint16()
	return d, nil
}

func bigEndian16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

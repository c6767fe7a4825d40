package monitor

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	echoHeader = 8  // type, code, checksum, id, number (RFC 792, RFC 4443 section 4)
	secretSize = 16 // random bytes behind it, by which an answer is known
	echoSize   = echoHeader + secretSize

	// maxAnswers bounds what one question reads: a host that floods is not one
	// that answers.
	maxAnswers = 256
)

// The four messages.
const (
	echoReply    = 0
	echoRequest  = 8
	echoRequest6 = 128
	echoReply6   = 129
)

func init() {
	kinds["ping"] = func(m *Monitor, _ Neighbours) probe {
		c := &m.cfg
		return func(ctx context.Context) Look { return ping(ctx, c) }
	}
}

// ping asks all targets at once, each by a socket of its own, so that nothing of
// an earlier look can answer this one.
func ping(ctx context.Context, c *Config) Look {
	deadline := time.Now().Add(c.Timeout)
	looks, asked := make([]Look, len(c.Targets)), make([]*question, len(c.Targets))
	for i, t := range c.Targets {
		q, err := ask(t, c.Interface)
		if err != nil {
			looks[i] = refused(t, err)
			continue
		}
		defer q.file.Close()
		asked[i] = q
	}
	for i, q := range asked {
		if q == nil {
			continue
		}
		err := q.await(ctx, deadline)
		switch {
		case err == nil:
			looks[i] = Look{Good, q.target.String() + " answers"}
		case errors.Is(err, os.ErrDeadlineExceeded):
			looks[i] = silent(q.target, c.Timeout)
		default:
			looks[i] = refused(q.target, err)
		}
	}
	return Combine(looks, c.All)
}

// silent is the look at a target that did not answer.
func silent(target netip.Addr, within time.Duration) Look {
	return Look{Bad, fmt.Sprintf("%s does not answer within %v", target, within)}
}

// refused tells a way that is not there from a question that could not be put.
func refused(target netip.Addr, err error) Look {
	l := Look{Unknown, fmt.Sprintf("ask %s: %v", target, err)}
	for _, noWay := range []error{
		unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EADDRNOTAVAIL, unix.EHOSTDOWN, errFlood,
	} {
		if errors.Is(err, noWay) {
			l.Verdict = Bad
		}
	}
	return l
}

var errFlood = errors.New("it sends without end, and no answer to this question")

// A question is one echo request under way.
type question struct {
	target netip.Addr
	file   *os.File
	raw    syscall.RawConn
	sent   [echoSize]byte
	reads  int
}

// ask sends an echo request. The socket is connected, so that the kernel drops
// what comes from another host, or over another interface if one is named.
func ask(target netip.Addr, device string) (*question, error) {
	q := &question{target: target}
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	q.sent[0] = echoRequest
	if target.Is6() {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
		q.sent[0] = echoRequest6
	}
	_, _ = rand.Read(q.sent[4:]) // id, number and secret; it never fails since Go 1.24
	if target.Is4() {
		binary.BigEndian.PutUint16(q.sent[2:], checksum(q.sent[:])) // of ICMPv6 the kernel makes it
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("open raw socket: %w", err)
	}
	if err = prepare(fd, target, device); err == nil {
		_, err = unix.Write(fd, q.sent[:])
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	q.file = os.NewFile(uintptr(fd), "ping")
	if q.raw, err = q.file.SyscallConn(); err != nil {
		q.file.Close()
		return nil, err
	}
	return q, nil
}

// prepare lets only answers of the target in.
func prepare(fd int, target netip.Addr, device string) error {
	index := 0
	if device != "" {
		if err := unix.BindToDevice(fd, device); err != nil {
			return fmt.Errorf("bind to %s: %w", device, err)
		}
		req, err := unix.NewIfreq(device)
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
		}
		if err != nil {
			return fmt.Errorf("find %s: %w", device, err)
		}
		index = int(req.Uint32())
	}
	if target.Is4() {
		const icmpFilter = 1 // linux/icmp.h; a set bit keeps the type out
		if err := unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, ^(1 << echoReply)); err != nil {
			return fmt.Errorf("set filter: %w", err)
		}
		return unix.Connect(fd, &unix.SockaddrInet4{Addr: target.As4()})
	}
	var filter unix.ICMPv6Filter
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[echoReply6>>5] &^= 1 << (echoReply6 & 31)
	if err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter); err != nil {
		return fmt.Errorf("set filter: %w", err)
	}
	to := &unix.SockaddrInet6{Addr: target.As16()}
	if target.IsLinkLocalUnicast() {
		to.ZoneId = uint32(index)
	}
	return unix.Connect(fd, to)
}

// await reads until the answer has come. What has arrived by the deadline
// counts, whenever it is read.
func (q *question) await(ctx context.Context, deadline time.Time) error {
	_ = q.file.SetReadDeadline(deadline)
	defer context.AfterFunc(ctx, func() { _ = q.file.SetReadDeadline(time.Unix(1, 0)) })()
	var err error
	done := false
	read := func(fd uintptr) bool { done, err = q.read(int(fd)); return done }
	late := q.raw.Read(read)
	if late != nil && !done {
		_ = q.raw.Control(func(fd uintptr) { read(fd) })
	}
	if done {
		return err
	}
	return late
}

// read takes what has come; done without an error is the answer.
func (q *question) read(fd int) (done bool, err error) {
	var buf [1500]byte
	for ; q.reads < maxAnswers; q.reads++ {
		n, from, err := unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return true, err
		case q.answers(buf[:n], from):
			return true, nil
		}
	}
	return true, errFlood
}

// answers says whether a packet is the answer to this question: from the target,
// with its id, number and secret.
func (q *question) answers(packet []byte, from unix.Sockaddr) bool {
	kind := byte(echoReply6)
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		if len(packet) < 20 || netip.AddrFrom4(a.Addr) != q.target {
			return false
		}
		kind = echoReply
		packet = packet[min(len(packet), int(packet[0]&15)*4):] // the header comes with it, ip(7)
	case *unix.SockaddrInet6:
		if netip.AddrFrom16(a.Addr) != q.target {
			return false
		}
	default:
		return false
	}
	return len(packet) >= echoSize && packet[0] == kind && packet[1] == 0 && string(packet[4:echoSize]) == string(q.sent[4:])
}

// checksum is that of RFC 1071 over an even number of bytes.
func checksum(b []byte) uint16 {
	total := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		total += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}

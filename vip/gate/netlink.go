package gate

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	receiveSize = 1 << 16 // one netlink datagram; dumps use at most 32 KiB
	sendBuffer  = 4 << 20 // a transaction may hold a whole table of VIPs
	dumpRetries = 8       // a dump that another transaction interrupted is read again
	// maxDatagrams bounds one answer: 8 groups of 4,096 elements in 32 KiB
	// pieces are some 60.
	maxDatagrams = 4096
)

// A socket is a netlink socket of the netfilter family. The kernel handles a
// request inside the send call, so every answer is there when it returns and
// nothing here ever blocks. It is used under the mutex of its Gate.
type socket struct {
	fd   int
	port uint32 // our netlink port id, by which notifications name their author
	seq  uint32
	buf  []byte
}

func dial() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	s := &socket{fd: fd, buf: make([]byte, receiveSize)}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		s.close()
		return nil, fmt.Errorf("bind netfilter socket: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("read netfilter socket: %w", err)
	}
	s.port = name.(*unix.SockaddrNetlink).Pid
	// Force needs CAP_NET_ADMIN outside user namespaces; without it the system's
	// limit (some 400 KB) applies. Both are best effort: a send that does not
	// fit is an error there.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1) // errors need not echo the request
	return s, nil
}

func (s *socket) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

// transact commits one nftables transaction: all of it or nothing.
func (s *socket) transact(b *batch) error {
	if b.err != nil {
		return fmt.Errorf("encode transaction: %w", b.err)
	}
	if b.n == 0 {
		return nil
	}
	first := s.seq + 1
	out, last := b.seal(first)
	s.seq = last
	if err := unix.Sendto(s.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send transaction of %d bytes: %w", len(out), err)
	}
	acked := false
	var failed error
	err := s.receive(func(m message) error {
		if m.kind != unix.NLMSG_ERROR || m.seq < first || m.seq > last {
			return nil
		}
		if e := m.errno(); e != 0 && failed == nil {
			failed = &transactionError{b.name(int(m.seq - first)), e}
		}
		acked = true
		return nil
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return err
	case !acked:
		return errors.New("commit transaction: the kernel did not answer")
	}
	return nil
}

// A transactionError tells which step of a transaction the kernel refused.
type transactionError struct {
	step string
	err  unix.Errno
}

func (e *transactionError) Error() string { return fmt.Sprintf("%s: %v", e.step, e.err) }
func (e *transactionError) Unwrap() error { return e.err }

// ask sends one request and calls each for every answer. dump asks for all
// objects instead of one.
func (s *socket) ask(kind uint16, dump bool, body attrs, each func(message) error) error {
	var err error
	for range dumpRetries {
		err = s.askOnce(kind, dump, body, each)
		if !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

var errInterrupted = errors.New("read ruleset: it changed meanwhile")

func (s *socket) askOnce(kind uint16, dump bool, body attrs, each func(message) error) error {
	flags := uint16(unix.NLM_F_REQUEST)
	if dump {
		flags |= unix.NLM_F_DUMP
	}
	s.seq++
	family := uint8(unix.NFPROTO_NETDEV)
	if kind == unix.NFT_MSG_GETGEN {
		family = unix.NFPROTO_UNSPEC
	}
	seq := s.seq
	req := appendMessage(nil, nftType(kind), flags, seq, family, 0, body)
	if err := unix.Sendto(s.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	done, interrupted := false, false
	err := s.receive(func(m message) error {
		if m.seq != seq || done {
			return nil
		}
		interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
		switch m.kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			done = true
			if e := m.errno(); e != 0 {
				return e
			}
			return nil
		}
		done = !dump
		return each(m)
	})
	switch {
	case err == unix.EINTR, err == nil && interrupted:
		return errInterrupted
	case err != nil:
		return err
	case !done:
		return errors.New("read ruleset: the answer is incomplete")
	}
	return nil
}

// receive reads what is queued and hands every message on. It drains the queue
// even after an error of each, so that no stale answer is left behind.
func (s *socket) receive(each func(message) error) error {
	var first error
	for range maxDatagrams {
		n, _, flags, from, err := unix.Recvmsg(s.fd, s.buf, nil, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return first
		case err == unix.EINTR:
			continue
		case err != nil:
			if first == nil {
				first = fmt.Errorf("read netfilter socket: %w", err)
			}
			continue
		case flags&unix.MSG_TRUNC != 0:
			return errors.New("read netfilter socket: truncated")
		}
		if nl, ok := from.(*unix.SockaddrNetlink); !ok || nl.Pid != 0 {
			continue // not from the kernel
		}
		if err := eachMessage(s.buf[:n], each); err != nil && first == nil {
			first = err
		}
	}
	return errors.New("read netfilter socket: too many answers")
}

// A message is one netlink message; body follows the netlink header.
type message struct {
	kind, flags uint16
	seq, port   uint32
	body        []byte
}

func (m message) errno() unix.Errno {
	if len(m.body) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))
}

// nft returns the nftables message number, the family and the attributes.
func (m message) nft() (kind uint16, family uint8, attributes []byte, ok bool) {
	if m.kind>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.body) < 4 {
		return 0, 0, nil, false
	}
	return m.kind & 0xff, m.body[0], m.body[4:], true
}

func eachMessage(b []byte, each func(message) error) error {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return errors.New("read netlink message: bad length")
		}
		m := message{
			kind:  binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			port:  binary.NativeEndian.Uint32(b[12:]),
			body:  b[unix.NLMSG_HDRLEN:size],
		}
		if err := each(m); err != nil {
			return err
		}
		b = b[min(align4(size), len(b)):]
	}
	return nil
}

// eachAttr calls f for every attribute and stops at the first malformed one.
func eachAttr(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:size])
		b = b[min(align4(size), len(b)):]
	}
}

// attr returns the value of the first attribute of a kind, nil if there is none.
func attr(b []byte, kind uint16) []byte {
	var found []byte
	eachAttr(b, func(k uint16, v []byte) {
		if k == kind && found == nil {
			found = v
		}
	})
	return found
}

func text(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return string(b)
}

func be32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func be64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func align4(n int) int           { return (n + 3) &^ 3 }
func nftType(kind uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | kind }

package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// A batch is one write. 128 answers of about 800 bytes of kernel memory
	// each fit into the smallest usual receive buffer (212,992 bytes), so that
	// none of them can be lost even when every message of the batch fails.
	maxBatch = 128
	// Reads of one exchange or dump; a dump of a full table of 4,096 addresses
	// takes about 20.
	maxReads = 4096
	// A dump that other changes interrupt is started again this often.
	maxDumps = 8
	// The kernel answers rtnetlink requests before the write returns. This
	// only bounds the wait if it ever does not.
	answerSeconds = 5
	readBuffer    = 64 << 10 // the kernel sends dumps in pieces of at most 32 KiB
)

var (
	errNoAnswer    = errors.New("the kernel did not answer")
	errInterrupted = errors.New("the tables changed during each of several attempts to read them")
)

// A socket asks the kernel and reads the answers. It belongs to one caller at
// a time.
type socket struct {
	fd  int
	seq uint32
	out builder
	in  []byte
}

func newSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	s := &socket{fd: fd, in: make([]byte, readBuffer)}
	// Connected to the kernel, the socket takes messages from nobody else.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect netlink socket: %w", err)
	}
	wait := unix.NsecToTimeval(answerSeconds * 1e9)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set netlink timeout: %w", err)
	}
	// Without these three the kernel still answers, only with less text or
	// more of it; kernels older than 4.20 lack the last.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return s, nil
}

func (s *socket) close() error { return unix.Close(s.fd) }

// A work is a list of n requests of one sort. build lays request i down, or
// nothing at all; fail hears of each one that the kernel refused.
type work struct {
	n     int
	build func(w *builder, i int, seq uint32)
	fail  func(i int, err error)
}

// do sends the requests in as few writes as the bounds allow. Only the last
// message of a write asks for an answer; the kernel reports failures unasked
// and works messages off in order, so that this one answer speaks for all.
func (s *socket) do(ctx context.Context, w work) error {
	for from := 0; from < w.n; from += maxBatch {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.batch(w, from, min(from+maxBatch, w.n)); err != nil {
			return err
		}
	}
	return nil
}

func (s *socket) batch(w work, from, to int) error {
	first := s.seq + 1
	s.seq += uint32(to - from)
	s.out.reset()
	for i := from; i < to; i++ {
		w.build(&s.out, i, first+uint32(i-from))
	}
	if len(s.out.b) == 0 {
		return nil
	}
	s.out.acknowledge()
	last := native.Uint32(s.out.b[s.out.start+8:])
	if err := s.write(s.out.b); err != nil {
		return err
	}
	return s.answers(first, last, func(seq uint32, err error) {
		w.fail(from+int(seq-first), err)
	})
}

// answers reads until the one to the message last has come.
func (s *socket) answers(first, last uint32, fail func(seq uint32, err error)) error {
	for range maxReads {
		n, err := s.read()
		if err != nil {
			return err
		}
		done := false
		messages(s.in[:n], func(m message) {
			if m.kind != unix.NLMSG_ERROR || m.seq-first > last-first {
				return // left over from an exchange that was given up
			}
			if err := answer(m); err != nil {
				fail(m.seq, err)
			}
			done = done || m.seq == last
		})
		if done {
			return nil
		}
	}
	return errNoAnswer
}

// dump asks for a whole table. begin is called at each attempt, each for every
// message of it.
func (s *socket) dump(kind uint16, body []byte, begin func(), each func(m message)) error {
	for range maxDumps {
		begin()
		clean, err := s.dumpOnce(kind, body, each)
		if err != nil {
			return err
		}
		if clean {
			return nil
		}
	}
	return errInterrupted
}

func (s *socket) dumpOnce(kind uint16, body []byte, each func(m message)) (clean bool, err error) {
	s.seq++
	seq := s.seq
	s.out.reset()
	s.out.begin(kind, unix.NLM_F_DUMP, seq)
	s.out.b = append(s.out.b, body...)
	s.out.end()
	if err := s.write(s.out.b); err != nil {
		return false, err
	}
	clean = true
	for range maxReads {
		n, err := s.read()
		if err != nil {
			return false, err
		}
		done := false
		messages(s.in[:n], func(m message) {
			if m.seq != seq {
				return
			}
			if m.flags&unix.NLM_F_DUMP_INTR != 0 {
				clean = false
			}
			switch m.kind {
			case unix.NLMSG_ERROR:
				done, err = true, answer(m)
			case unix.NLMSG_DONE:
				done = true
			default:
				each(m)
			}
		})
		if done {
			return clean, err
		}
	}
	return false, errNoAnswer
}

func (s *socket) write(b []byte) error {
	for {
		_, err := unix.Write(s.fd, b)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("ask the kernel: %w", err)
		}
	}
}

func (s *socket) read() (int, error) {
	for {
		n, err := unix.Read(s.fd, s.in)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, errNoAnswer
		case !errors.Is(err, unix.EINTR):
			return 0, fmt.Errorf("read the kernel's answer: %w", err)
		}
	}
}

// A refusal is the kernel's answer to a request that it did not carry out.
type refusal struct {
	errno unix.Errno
	text  string // the kernel's own words, if it had any
}

func (r refusal) Error() string {
	if r.text == "" {
		return r.errno.Error()
	}
	return r.errno.Error() + " (" + r.text + ")"
}

func (r refusal) Unwrap() error { return r.errno }

// answer reads a struct nlmsgerr: the error, the header of the request, and
// with NETLINK_EXT_ACK a text.
func answer(m message) error {
	errno := -int32(number(m.body))
	if errno == 0 {
		return nil
	}
	r := refusal{errno: unix.Errno(errno)}
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.body) < 4+unix.SizeofNlMsghdr {
		return r
	}
	echoed := unix.SizeofNlMsghdr
	if m.flags&unix.NLM_F_CAPPED == 0 {
		echoed = align(int(native.Uint32(m.body[4:])))
	}
	attributes(m.body[min(4+echoed, len(m.body)):], func(kind uint16, value []byte) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			r.text = text(value)
		}
	})
	return r
}

// refused says whether err is one of these answers of the kernel.
func refused(err error, errnos ...unix.Errno) bool {
	var r refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, e := range errnos {
		if r.errno == e {
			return true
		}
	}
	return false
}

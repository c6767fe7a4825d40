package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// A batch is one write. 128 answers of at most 1,280 bytes of kernel memory
	// each fit into the smallest usual receive buffer (212,992 bytes), so that
	// none of them can be lost even when every message of the batch fails.
	maxBatch = 128
	// Reads of one exchange: a batch has one answer a message, and another
	// batch's that was given up may wait before them.
	maxReads = 4096
	// Entries of a table. A box with more of them is no router of ours, and its
	// memory matters more than the answer.
	maxListed = 1 << 17
	// A dump that other changes interrupt is started again this often.
	maxDumps = 8
	// The kernel answers rtnetlink requests before the write returns. This
	// only bounds the wait if it ever does not.
	answerSeconds = 5
)

var patience = unix.Timeval{Sec: answerSeconds}

var (
	errNoAnswer    = errors.New("the kernel did not answer")
	errInterrupted = errors.New("the tables changed during each of several attempts to read them")
	errTooMany     = fmt.Errorf("the table has more than %d entries", maxListed)
)

// What the library does by itself, for routes and rules, it does on a socket
// for each request: with our patience, and asking for the kernel's own words.
func init() {
	nl.SocketTimeoutTv = patience
	nl.EnableErrorMessageReporting = true
}

// A socket asks the kernel and reads the answers, or hears its news. It
// belongs to one caller at a time; close may come from another.
type socket struct {
	*nl.NetlinkSocket
	handles map[int]*nl.SocketHandle // this socket, for the library's Execute
	in, out []byte
	closed  bool // under the library's lock
}

func newSocket() (*socket, error) {
	door, err := nl.Subscribe(unix.NETLINK_ROUTE) // to nothing: see subscribe
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	// Without these two the kernel still answers, only with less text or more
	// of it; kernels older than 4.20 lack the second. NETLINK_CAP_ACK must stay
	// off: the library skips the whole echo of a request that it would cut short.
	_ = door.SetExtAck(true)
	_ = unix.SetsockoptInt(door.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &socket{
		NetlinkSocket: door,
		handles:       map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: door}},
		in:            make([]byte, nl.RECEIVE_BUFFER_SIZE),
	}, nil
}

// newAsker is a socket that waits for no answer longer than our patience.
func newAsker() (*socket, error) {
	s, err := newSocket()
	if err == nil {
		_ = s.SetSendTimeout(&patience) // these two only keep the number
		_ = s.SetReceiveTimeout(&patience)
	}
	return s, err
}

func (s *socket) close() {
	s.Lock()
	defer s.Unlock()
	s.closed = true
	s.Close()
}

// A work is a list of n requests of one sort. build makes request i; fail
// hears of each one that the kernel refused.
type work struct {
	n     int
	build func(i int) *nl.NetlinkRequest
	fail  func(i int, err error)
}

// do sends the requests in as few writes as the bounds allow. Only the last
// message of a write asks for an answer; the kernel reports failures unasked
// and works messages off in order, so that this one answer speaks for all. The
// library knows but one message a write and one answer a message.
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
	count := &s.handles[unix.NETLINK_ROUTE].Seq
	first := *count + 1
	s.out = s.out[:0]
	for i := from; i < to; i++ {
		r := w.build(i)
		*count++
		r.Seq = *count
		if i == to-1 {
			r.Flags |= unix.NLM_F_ACK
		}
		s.out = append(s.out, r.Serialize()...)
	}
	if err := s.write(s.out); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	return s.answers(first, *count, func(seq uint32, err error) {
		w.fail(from+int(seq-first), err)
	})
}

// answers reads until the one to the message last has come.
func (s *socket) answers(first, last uint32, fail func(seq uint32, err error)) error {
	for range maxReads {
		list, err := s.poll()
		if err == nil && list == nil {
			list, err = s.wait()
		}
		if err != nil {
			return said(err)
		}
		for _, m := range list {
			seq := m.Header.Seq
			if m.Header.Type != unix.NLMSG_ERROR || seq-first > last-first {
				continue // left over from an exchange that was given up
			}
			if err := refusal(m); err != nil {
				fail(seq, err)
			}
			if seq == last {
				return nil
			}
		}
	}
	return errNoAnswer
}

// said turns a socket's time-out into words.
func said(err error) error {
	if errors.Is(err, unix.EAGAIN) {
		return errNoAnswer
	}
	return err
}

// list asks for a whole table and keeps what parse makes of its entries.
func list[T any](s *socket, kind int, parse func(m []byte) (T, bool), parts ...nl.NetlinkRequestData) ([]T, error) {
	r := request(kind, unix.NLM_F_DUMP, parts...)
	r.Sockets = s.handles
	answers := uint16(kind - 2) // RTM_GETxxx is RTM_NEWxxx and 2
	for range maxDumps {
		var found []T
		err := r.ExecuteIter(unix.NETLINK_ROUTE, answers, func(m []byte) bool {
			if x, ok := parse(m); ok {
				found = append(found, x)
			}
			return len(found) <= maxListed
		})
		switch {
		case len(found) > maxListed:
			return nil, errTooMany
		case err == nil:
			return found, nil
		case !errors.Is(err, unix.EINTR): // nl.ErrDumpInterrupted is one of these, too
			return nil, said(err)
		}
	}
	return nil, errInterrupted
}

// write sends several messages at once. The kernel works them off before it
// returns, and so never makes us wait.
func (s *socket) write(b []byte) error {
	s.Lock()
	defer s.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	_, err := unix.Write(s.GetFd(), b)
	return err
}

// wait is the library's Receive: it waits for the next datagram, up to the
// socket's time-out if it has one, and makes 64 KiB anew for it.
func (s *socket) wait() ([]syscall.NetlinkMessage, error) {
	list, from, err := s.Receive()
	if err != nil || from.Pid != nl.PidKernel {
		return nil, err
	}
	return list, nil
}

// poll reads a datagram if there is one, into a buffer that is kept: a
// thousand addresses are a thousand datagrams of answers or of news. It
// returns nothing if there is none.
func (s *socket) poll() ([]syscall.NetlinkMessage, error) {
	s.Lock()
	defer s.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	for range maxReads {
		n, from, err := unix.Recvfrom(s.GetFd(), s.in, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == nl.PidKernel {
			return syscall.ParseNetlinkMessage(s.in[:n])
		}
	}
	return nil, nil
}

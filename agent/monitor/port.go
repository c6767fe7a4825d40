package monitor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A port is an interface under watch. Its methods belong to the monitor's
// goroutine.
type port struct {
	cfg    *Config
	bounce Debounce
	rate   Rate
	excess Excess
	wait   time.Duration // until a state that differs has lasted; 0: none does
	fell   atomic.Bool   // the kernel said so since the last look, which may find it up again
	rose   atomic.Bool   // the same the other way round
	began  time.Time
	kernel aside[linkAnswer]
}

func init() {
	kinds["interface"] = func(m *Monitor, _ Neighbours) probe {
		c := &m.cfg
		m.port = &port{
			cfg: c, bounce: Debounce{Up: c.UpFor, Down: c.DownFor},
			rate: Rate{Over: c.Interval / 2}, began: time.Now(),
			excess: Excess{Most: c.MaxErrors, bounce: Debounce{Up: c.UpFor}},
		}
		return m.port.look
	}
}

// look reads carrier, speed and errors. An interface that is not there carries
// nothing.
func (p *port) look(ctx context.Context) Look {
	name := p.cfg.Interface
	flags, err := p.ask(ctx)
	up, why, err := carrier(name, flags, err)
	if err != nil {
		return Look{Unknown, err.Error()}
	}
	now := time.Since(p.began)
	// A change that came and went between two looks begins the time anew.
	fell, rose := p.fell.Swap(false), p.rose.Swap(false)
	if fell && up || rose && !up {
		p.bounce.See(now, !up)
	}
	var stable bool
	stable, p.wait = p.bounce.See(now, up)
	switch {
	case !stable && up:
		return Look{Bad, fmt.Sprintf("%s has not carried frames for %v yet", name, p.cfg.UpFor)}
	case !stable:
		return Look{Bad, why}
	case !up:
		return Look{Good, why + ", for less than " + p.cfg.DownFor.String()}
	}
	return p.quality(now)
}

// quality judges an interface that carries frames.
func (p *port) quality(now time.Duration) Look {
	name := p.cfg.Interface
	if least := p.cfg.MinSpeed; least > 0 {
		switch mbit, err := speed(name); {
		case err != nil:
			return Look{Unknown, fmt.Sprintf("ask for the speed of %s: %v", name, err)}
		case mbit <= 0:
			return Look{Unknown, name + " does not know its speed"}
		case mbit < least:
			return Look{Bad, fmt.Sprintf("%s runs at %d Mbit/s, less than %d", name, mbit, least)}
		}
	}
	if p.cfg.MaxErrors > 0 {
		count, err := frameErrors(name)
		if err != nil {
			return Look{Unknown, err.Error()}
		}
		return p.errors(now, count)
	}
	return Look{Good, name + " carries frames"}
}

// errors judges a reading of the count of errors.
func (p *port) errors(now time.Duration, count uint64) Look {
	name, most := p.cfg.Interface, p.cfg.MaxErrors
	rate := p.rate.See(now, count)
	var few bool
	few, p.wait = p.excess.See(now, rate)
	switch {
	case few:
		return Look{Good, name + " carries frames"}
	case rate > float64(most):
		return Look{Bad, fmt.Sprintf("%s has %.1f errors a second, more than %d", name, rate, most)}
	}
	return Look{Bad, fmt.Sprintf("%s has %.1f errors a second, not less than half of %d for %v yet", name, rate, most, p.cfg.UpFor)}
}

// linkAnswer is what the kernel says of a device.
type linkAnswer struct {
	flags uint32
	err   error
}

// ask has the kernel asked aside: it answers when no driver holds its lock of all
// devices, RTNL.
func (p *port) ask(ctx context.Context) (uint32, error) {
	a, err := p.kernel.ask(ctx, askFor, func() linkAnswer {
		flags, err := linkFlags(p.cfg.Interface)
		return linkAnswer{flags, err}
	})
	if err == errLate {
		err = fmt.Errorf("no answer within %v", askFor)
	}
	return a.flags, cmp.Or(err, a.err)
}

// askFor bounds the wait for the kernel.
const askFor = time.Second

// carrier says by what the kernel told whether a device can carry frames, and if
// not, why. What the kernel tells of itself, and IFF_RUNNING, may come a second
// late (net/core/link_watch.c): a gap would look longer than it was.
func carrier(name string, flags uint32, err error) (up bool, why string, _ error) {
	switch {
	case errors.Is(err, unix.ENODEV):
		return false, name + " is not there", nil
	case err != nil:
		return false, "", fmt.Errorf("ask for %s: %w", name, err)
	case flags&unix.IFF_UP == 0:
		return false, name + " is switched off", nil
	case flags&unix.IFF_LOWER_UP == 0:
		return false, name + " has no carrier", nil
	case flags&unix.IFF_DORMANT != 0: // IEEE 802.1X; Documentation/networking/operstates.rst
		return false, name + " is not let in yet", nil
	}
	return true, "", nil
}

// linkFlags asks the kernel for a device's flags as they are now: RTM_GETLINK,
// rtnetlink(7). A device that is not there is ENODEV.
func linkFlags(name string) (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return 0, err
	}
	order := binary.NativeEndian
	attr := unix.SizeofRtAttr + len(name) + 1
	const align = unix.RTA_ALIGNTO - 1
	ask := make([]byte, 0, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg+(attr+align)&^align)
	ask = order.AppendUint32(ask, uint32(cap(ask)))
	ask = order.AppendUint16(ask, unix.RTM_GETLINK)
	ask = order.AppendUint16(ask, unix.NLM_F_REQUEST)
	ask = append(ask, make([]byte, 8+unix.SizeofIfInfomsg)...) // sequence and port; any family, any index
	ask = order.AppendUint16(ask, uint16(attr))
	ask = order.AppendUint16(ask, unix.IFLA_IFNAME)
	ask = append(append(ask, name...), 0)
	ask = ask[:cap(ask)] // padding
	if err := unix.Sendto(fd, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	answer := make([]byte, 4096) // the rest of a longer one is cut off, behind what is wanted
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, err
	}
	return answeredFlags(answer[:n])
}

// answeredFlags reads the kernel's answer.
func answeredFlags(b []byte) (uint32, error) {
	order := binary.NativeEndian
	if len(b) < unix.SizeofNlMsghdr+unix.SizeofIfInfomsg {
		return 0, fmt.Errorf("an answer of %d bytes", len(b))
	}
	body := b[unix.SizeofNlMsghdr:]
	switch kind := order.Uint16(b[4:]); kind {
	case unix.NLMSG_ERROR:
		return 0, unix.Errno(-int32(order.Uint32(body)))
	case unix.RTM_NEWLINK:
		return order.Uint32(body[8:]), nil // ifi_flags
	default:
		return 0, fmt.Errorf("an answer of kind %d", kind)
	}
}

// speed asks the driver for Mbit/s; less than one if it does not know. The old
// command (ETHTOOL_GSET, linux/ethtool.h) has a fixed form, and the kernel
// answers it from what drivers say today.
func speed(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	const getSettings = 1
	settings := struct {
		command uint32
		_       [2]uint32
		low     uint16 // of the speed
		_       [14]byte
		high    uint16
		_       [14]byte
	}{command: getSettings}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // at least what the kernel reads of the union
	}{data: unsafe.Pointer(&settings)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return 0, errno
	}
	return int(int32(uint32(settings.high)<<16 | uint32(settings.low))), nil // SPEED_UNKNOWN is -1
}

// countersFile has the counters of the namespace that the caller is in.
const countersFile = "/proc/thread-self/net/dev"

// maxCounters bounds what is read of it: 8,000 devices.
const maxCounters = 1 << 20

// frameErrors sums what was received and sent with errors.
func frameErrors(name string) (uint64, error) {
	data, err := readSome(countersFile, maxCounters)
	if err != nil {
		return 0, err
	}
	n, ok := parseCounters(data, name)
	if !ok {
		return 0, fmt.Errorf("%s has no line for %s", countersFile, name)
	}
	return n, nil
}

// parseCounters finds a device: "eth0: bytes packets errs drop fifo frame
// compressed multicast bytes packets errs ...".
func parseCounters(data []byte, name string) (count uint64, ok bool) {
	for line := range bytes.Lines(data) {
		device, rest, found := strings.Cut(string(line), ":")
		if !found || strings.TrimSpace(device) != name {
			continue
		}
		f := strings.Fields(rest)
		if len(f) < 16 {
			return 0, false
		}
		in, err := strconv.ParseUint(f[2], 10, 64)
		out, err2 := strconv.ParseUint(f[10], 10, 64)
		return in + out, err == nil && err2 == nil
	}
	return 0, false
}

// readSome reads a file that may not end.
func readSome(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe without a writer must not hold us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, 0, 4096)
	for len(buf) < most {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := f.Read(buf[len(buf):min(cap(buf), most)])
		buf = buf[:len(buf)+n]
		switch err {
		case nil:
		case io.EOF:
			return buf, nil
		default:
			return nil, err
		}
	}
	return buf, nil
}

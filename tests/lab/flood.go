package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// floodFor in the environment makes a program that calls FloodIfAsked a
	// sender; its value is the rate in frames a second and the time.
	floodFor = "TWINBEAT_LAB_FLOOD"

	// strangerDevice is the only device of the stranger.
	strangerDevice = "eth0"

	// floodBatch is how many frames one call gives to the kernel.
	floodBatch = 32

	// floodMost bounds the tape that a flood plays, in frames.
	floodMost = 1 << 16

	// floodBehind bounds what a late sender makes up for.
	floodBehind = 50 * time.Millisecond
)

// Stranger plugs a third host into the heartbeat switch. The caller closes it.
func (l *Lab) Stranger() (*Space, error) {
	s, err := newSpace("stranger")
	if err != nil {
		return nil, err
	}
	if err := plug(s, strangerDevice, l.HA, "stranger"); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Received returns how many frames have come in at a device of the box.
func (n *Node) Received(device string) (uint64, error) {
	link, err := n.Space.nl.LinkByName(device)
	if err != nil {
		return 0, fmt.Errorf("find %s in %s: %w", device, n.Name, err)
	}
	return link.Attrs().Statistics.RxPackets, nil
}

// A Flood is a program on the stranger that sends frames as fast as it was told.
type Flood struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// Flood starts to send the frames, over and over in their order, at a rate in
// frames a second. It runs this very program again, which must call
// FloodIfAsked first: a sender in here would slow down who measures.
func (s *Space) Flood(frames [][]byte, rate int, d time.Duration) (*Flood, error) {
	if len(frames) == 0 || len(frames) > floodMost {
		return nil, fmt.Errorf("flood: %d frames are not within 1..%d", len(frames), floodMost)
	}
	var tape bytes.Buffer
	for _, f := range frames {
		tape.Write(binary.BigEndian.AppendUint16(nil, uint16(len(f))))
		tape.Write(f)
	}
	f := &Flood{cmd: exec.Command(os.Args[0])}
	f.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", floodFor, rate, d))
	f.cmd.Stdin, f.cmd.Stdout, f.cmd.Stderr = &tape, &f.out, os.Stderr
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.Start(f.cmd); err != nil {
		return nil, fmt.Errorf("start flood: %w", err)
	}
	return f, nil
}

// Wait waits for the end and returns how many frames were sent.
func (f *Flood) Wait() (sent uint64, err error) {
	if err := f.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("flood: %w: %s", err, f.out.Bytes())
	}
	return strconv.ParseUint(string(bytes.TrimSpace(f.out.Bytes())), 10, 64)
}

// FloodIfAsked sends if this process was started for it, and says whether. Call
// it before anything else.
func FloodIfAsked() bool {
	var rate int
	var d string
	if n, _ := fmt.Sscan(os.Getenv(floodFor), &rate, &d); n != 2 {
		return false
	}
	sent, err := flood(rate, d)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(sent)
	return true
}

func flood(rate int, length string) (uint64, error) {
	d, err := time.ParseDuration(length)
	if err != nil {
		return 0, err
	}
	tape, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 0, err
	}
	device, err := net.InterfaceByName(strangerDevice)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: device.Index}); err != nil {
		return 0, fmt.Errorf("bind packet socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1) // faster, not needed
	return play(fd, newTape(tape), rate, d)
}

// multiHeader is struct mmsghdr of recvmmsg(2).
type multiHeader struct {
	unix.Msghdr
	sent uint32
}

// newTape makes one header for each frame, and the first ones again at the end
// so that a batch may begin at any.
func newTape(tape []byte) []multiHeader {
	var all []multiHeader
	for len(tape) > 2 {
		n := int(binary.BigEndian.Uint16(tape))
		v := &unix.Iovec{Base: &tape[2]}
		v.SetLen(n)
		h := multiHeader{Msghdr: unix.Msghdr{Iov: v}}
		h.SetIovlen(1)
		all = append(all, h)
		tape = tape[2+n:]
	}
	for n := len(all); len(all) < n+floodBatch; {
		all = append(all, all[len(all)-n])
	}
	return all
}

// play keeps to the rate as well as the machine lets it.
func play(fd int, tape []multiHeader, rate int, d time.Duration) (sent uint64, err error) {
	steady() // a third host, whose speed does not depend on what the boxes do
	frames := len(tape) - floodBatch
	each := float64(time.Second) / float64(rate)
	began := time.Now()
	for skipped := time.Duration(0); time.Since(began) < d; {
		due := began.Add(skipped + time.Duration(float64(sent)*each))
		switch late := time.Since(due); {
		case late < 0:
			nap(-late)
		case late > floodBehind:
			skipped += late
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&tape[sent%uint64(frames)])), floodBatch, 0, 0, 0)
		switch errno {
		case 0:
			sent += uint64(n)
		case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
			nap(time.Millisecond) // a full queue: the wire is slower than we are
		default:
			return sent, fmt.Errorf("send: %w", errno)
		}
	}
	return sent, nil
}

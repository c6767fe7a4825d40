package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// tapMost bounds what one recording keeps: far more than a pair says in the
// seconds that a test listens.
const tapMost = 10_000

// Offsets in an Ethernet frame that carries UDP over IPv4 without options.
const (
	offIP      = 14
	offUDP     = offIP + 20
	offPayload = offUDP + 8
)

// A Tap stands between a host and its switch: it records what the host sends
// and gives the host frames as if others had sent them.
type Tap struct {
	fd    int
	index int
}

// Tap opens a tap on a device of the space; on a switch the device is the port
// of the host that is listened to.
func (s *Space) Tap(device string) (*Tap, error) {
	link, err := s.nl.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("find %s in %s: %w", device, s.Name, err)
	}
	t := &Tap{index: link.Attrs().Index}
	err = s.Do(func() (err error) {
		t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	_ = unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000})
	if err := unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: t.index}); err != nil {
		unix.Close(t.fd)
		return nil, fmt.Errorf("bind packet socket: %w", err)
	}
	return t, nil
}

// Close ends the tap.
func (t *Tap) Close() { unix.Close(t.fd) }

// Record returns the UDP frames that the host sends within d.
func (t *Tap) Record(d time.Duration) [][]byte {
	stop := t.Listen()
	time.Sleep(d)
	return stop()
}

// Listen records what the host sends until stop is called, which returns the
// UDP frames of it.
func (t *Tap) Listen() (stop func() [][]byte) {
	end, all := make(chan struct{}), make(chan [][]byte)
	go func() { all <- t.listen(end) }()
	return func() [][]byte {
		close(end)
		return <-all
	}
}

func (t *Tap) listen(end chan struct{}) [][]byte {
	var all [][]byte
	buf := make([]byte, 2048)
	for len(all) < tapMost {
		select {
		case <-end:
			return all
		default:
		}
		n, from, err := unix.Recvfrom(t.fd, buf, 0)
		a, ok := from.(*unix.SockaddrLinklayer)
		if err != nil || !ok || a.Pkttype == unix.PACKET_OUTGOING || !isUDP(buf[:n]) {
			continue
		}
		f := append([]byte(nil), buf[:n]...)
		// A virtual wire leaves the checksum to its end; zero means none (RFC 768).
		f[offUDP+6], f[offUDP+7] = 0, 0
		all = append(all, f)
	}
	return all
}

func isUDP(f []byte) bool {
	return len(f) > offPayload && binary.BigEndian.Uint16(f[12:]) == unix.ETH_P_IP && f[offIP] == 0x45 && f[offIP+9] == unix.IPPROTO_UDP
}

// Send gives a frame to the host, or, on a host's own device, to the switch. A
// full queue loses the frame, as on a wire.
func (t *Tap) Send(frame []byte) error {
	err := unix.Sendto(t.fd, frame, unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Ifindex: t.index, Halen: 6})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) {
		return nil
	}
	return err
}

// Payload returns what a recorded UDP frame carries.
func Payload(frame []byte) []byte {
	return frame[offPayload : offUDP+int(binary.BigEndian.Uint16(frame[offUDP+4:]))]
}

// WithPayload returns a UDP frame like the recorded one that carries payload.
func WithPayload(frame, payload []byte) []byte {
	f := append(append([]byte(nil), frame[:offPayload]...), payload...)
	binary.BigEndian.PutUint16(f[offIP+2:], uint16(len(f)-offIP))
	binary.BigEndian.PutUint16(f[offUDP+4:], uint16(len(f)-offUDP))
	f[offIP+10], f[offIP+11] = 0, 0
	binary.BigEndian.PutUint16(f[offIP+10:], Checksum(f[offIP:offUDP]))
	return f
}

// Deafen drops every frame of a host at its port of the switch: the host hears,
// but is not heard. The returned function ends that.
func (l *Lab) Deafen(sw *Space, port string) (heal func() error, err error) {
	rules := fmt.Sprintf("add table netdev deaf_%[1]s; add chain netdev deaf_%[1]s in { type filter hook ingress device %[1]s priority 0; policy drop; }", port)
	if _, err := sw.Run("nft", rules); err != nil {
		return nil, err
	}
	return func() error {
		_, err := sw.Run("nft", "delete table netdev deaf_"+port)
		return err
	}, nil
}

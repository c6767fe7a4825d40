package e2e

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// sweepWait is how long a sweep waits for the last answer.
const sweepWait = 200 * time.Millisecond

// sweep asks on the LAN who has each of the first n addresses and returns for
// how many somebody answered. Two boxes that answer count as a failure.
func (r *rig) sweep(n int) int {
	r.Helper()
	var fd int
	dev, err := r.clientDevice()
	r.try(err)
	r.try(r.Client.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0608) // ETH_P_ARP in network order
		return err
	}))
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000})
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	for i := range n {
		_ = unix.Sendto(fd, whoHas(dev.HardwareAddr, i), 0, &unix.SockaddrLinklayer{Ifindex: dev.Index, Halen: 6})
	}
	answers := map[[4]byte]string{}
	buf := make([]byte, 128)
	for end := time.Now().Add(sweepWait); time.Now().Before(end) && len(answers) < n; {
		m, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || m < 42 || buf[21] != 2 || [4]byte(buf[38:42]) != sweeper {
			continue
		}
		who, mac := [4]byte(buf[28:32]), net.HardwareAddr(buf[22:28]).String()
		if old, ok := answers[who]; ok && old != mac {
			r.Errorf("%v: %s and %s both answer", net.IP(who[:]), old, mac)
		}
		answers[who] = mac
	}
	return len(answers)
}

// sweeper is nobody's address: the sweep asks in its name, so that the answers
// to the observer are not its own.
var sweeper = [4]byte{10, 77, 0, 102}

func whoHas(mac net.HardwareAddr, n int) []byte {
	f := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	f = append(f, mac...)
	f = append(f, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	f = append(f, mac...)
	f = append(f, sweeper[:]...)
	f = append(f, 0, 0, 0, 0, 0, 0)
	to := lab.VIP(n).As4()
	return append(f, to[:]...)
}

func (r *rig) clientDevice() (dev *net.Interface, err error) {
	err = r.Client.Do(func() (err error) {
		dev, err = net.InterfaceByName("eth0")
		return err
	})
	return dev, err
}

// reached6 says whether the IPv6 address answers the client: nobody serves the
// port, and only its kernel can say so.
func (r *rig) reached6() bool {
	err := r.Client.Do(func() error {
		c, err := net.DialTimeout("tcp6", "[fd77::1:1]:9", 300*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	})
	return errors.Is(err, syscall.ECONNREFUSED)
}

// neighbour6 returns the MAC by which the client knows the IPv6 address.
func (r *rig) neighbour6() string {
	out, _ := r.Client.Run("ip", "-6", "neigh", "show", "fd77::1:1", "dev", "eth0")
	if f := strings.Fields(out); len(f) > 2 && f[1] == "lladdr" {
		return f[2]
	}
	return ""
}

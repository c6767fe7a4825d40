package announce

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// errNoEthernet marks devices on which there is nobody to tell: loopback,
// tunnels, point-to-point links.
var errNoEthernet = errors.New("it has no Ethernet address, or no ARP")

var errNoCarrier = errors.New("it is down or has no carrier")

// A port is a device as it is at this moment.
type port struct {
	name  string
	index int
	mac   MAC
}

// request is struct ifreq (linux/if.h): 40 bytes with 64-bit pointers, 32
// otherwise. The kernel reads and writes no more than its own size of it.
type request struct {
	name  [unix.IFNAMSIZ]byte
	union [24]byte
}

// lookup asks for the device's number, state and hardware address. It is done
// for every batch: a device may be made again, and a bond or an operator may
// change the hardware address. None of the three calls takes a lock.
func lookup(fd int, name string) (port, error) {
	p := port{name: name}
	var r request
	if len(name) >= len(r.name) {
		return p, fmt.Errorf("look up device %s: %w", name, unix.ENODEV)
	}
	copy(r.name[:], name)
	if err := ioctl(fd, unix.SIOCGIFINDEX, &r); err != nil {
		return p, fmt.Errorf("look up device %s: %w", name, err)
	}
	p.index = int(*(*int32)(unsafe.Pointer(&r.union)))
	if err := ioctl(fd, unix.SIOCGIFFLAGS, &r); err != nil {
		return p, fmt.Errorf("look up device %s: %w", name, err)
	}
	flags := *(*uint16)(unsafe.Pointer(&r.union))
	if err := ioctl(fd, unix.SIOCGIFHWADDR, &r); err != nil {
		return p, fmt.Errorf("look up device %s: %w", name, err)
	}
	kind := *(*uint16)(unsafe.Pointer(&r.union))
	copy(p.mac[:], r.union[2:])
	switch {
	case kind != unix.ARPHRD_ETHER || flags&unix.IFF_NOARP != 0:
		return p, fmt.Errorf("use device %s: %w", name, errNoEthernet)
	case flags&unix.IFF_UP == 0 || flags&unix.IFF_RUNNING == 0:
		return p, fmt.Errorf("use device %s: %w", name, errNoCarrier)
	}
	return p, nil
}

func ioctl(fd int, call uintptr, r *request) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), call, uintptr(unsafe.Pointer(r)))
	if errno != 0 {
		return errno
	}
	return nil
}

// sender opens a socket that can send on every device and receives nothing,
// because it is bound to no protocol.
func sender() (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	// TC_PRIO_CONTROL: before the data in the device's queue, where it has bands.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 7)
	return fd, nil
}

// send puts one frame on the wire. The protocol in the address is what the
// kernel's own filters see.
func send(fd int, p port, frame []byte) error {
	to := unix.SockaddrLinklayer{Protocol: bigEndian(uint16(frame[12])<<8 | uint16(frame[13])), Ifindex: p.index}
	for {
		err := unix.Sendto(fd, frame, 0, &to)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// bigEndian is the number whose bytes in memory are v's in network order.
func bigEndian(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return *(*uint16)(unsafe.Pointer(&b))
}

// join makes the device receive what is sent to the Ethernet groups, for as
// long as the Announcer lives: each costs a wait for the lock of all network
// configuration (RTNL), which a probe should not have to wait for. Once is
// enough while the device stays; again joins whatever was joined before.
func (a *Announcer) join(p port, groups []MAC, again bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, group := range groups {
		key := membership{p.index, group}
		if a.joined[key] && !again {
			continue
		}
		member := unix.PacketMreq{Ifindex: int32(p.index), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
		copy(member.Address[:], group[:])
		if err := unix.SetsockoptPacketMreq(a.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member); err != nil {
			return fmt.Errorf("join group %s on %s: %w", group, p.name, err)
		}
		if len(a.joined) >= maxMemberships {
			clear(a.joined) // to join twice does no harm
		}
		a.joined[key] = true
	}
	return nil
}

// A membership is an Ethernet group on a device.
type membership struct {
	index int
	group MAC
}

// maxMemberships are remembered: of three addresses in each of eight groups,
// on devices that came and went ten times.
const maxMemberships = 256

// listener opens a socket that hears on the device what the filter passes. The
// filter is attached before the socket is bound, so that nothing else ever
// gets in.
func listener(p port, protocol uint16, filter []unix.SockFilter) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	if err := prepare(fd, p, protocol, filter); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func prepare(fd int, p port, protocol uint16, filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("attach filter on %s: %w", p.name, err)
	}
	// Saves the kernel a copy of each frame we send; since 4.20, and the filter
	// says the same.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	to := unix.SockaddrLinklayer{Protocol: bigEndian(protocol), Ifindex: p.index}
	if err := unix.Bind(fd, &to); err != nil {
		return fmt.Errorf("listen on %s: %w", p.name, err)
	}
	return nil
}

var (
	claims = filter(advertisement, advertisement) // ARP and neighbour advertisements that came in
	rivals = filter(solicitation, advertisement)  // and neighbour solicitations, too
)

// packetType is where a filter finds whom a frame is for: SKF_AD_OFF +
// SKF_AD_PKTTYPE, linux/filter.h.
const packetType = 0xfffff000 + 4

// filter passes ARP and the two types of neighbour discovery, if they came in.
func filter(one, other uint32) []unix.SockFilter {
	const (
		loadHalf = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		verdict  = unix.BPF_RET | unix.BPF_K
	)
	return []unix.SockFilter{
		{Code: loadHalf, K: 12},
		{Code: equal, Jt: 6, K: etherARP},
		{Code: equal, Jf: 8, K: etherIPv6},
		{Code: loadByte, K: ipv6At + 6},
		{Code: equal, Jf: 6, K: icmpv6},
		{Code: loadByte, K: icmpAt},
		{Code: equal, Jt: 1, K: one},
		{Code: equal, Jf: 3, K: other},
		{Code: loadByte, K: packetType},
		{Code: equal, Jt: 1, K: unix.PACKET_OUTGOING},
		{Code: verdict, K: frameBuffer},
		{Code: verdict, K: 0},
	}
}

// frameBuffer holds the largest frame of interest: a message with a few
// options. Longer ones are cut and then claim nothing.
const frameBuffer = 256

// ownMACs are the hardware addresses of this node. An answer from another of
// its own ports on the same wire is no stranger's. One that the peer's virtual
// devices have, too, is not its own: while this node asks its own are silent.
func ownMACs() (map[MAC]bool, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list own hardware addresses: %w", err)
	}
	own := make(map[MAC]bool, len(all))
	for _, i := range all {
		if len(i.HardwareAddr) == 6 && !vip.IsVirtual(i.Name) {
			own[MAC(i.HardwareAddr)] = true
		}
	}
	return own, nil
}

// forwards says whether the device routes IPv6: what the Router flag of an
// advertisement has to say. A device without IPv6 does not.
func forwards(device string) bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + device + "/forwarding")
	return err == nil && strings.TrimSpace(string(b)) != "0"
}

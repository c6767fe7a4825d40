package e2e

import (
	wirebytes "encoding/binary"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// Bounds of a direct.
const (
	directEvery = 2 * time.Millisecond
	directMost  = 60_000 // questions: two minutes
)

// What a direct asks of a box.
const (
	local   = iota // echo from the virtual address itself
	transit        // routing of a packet to somewhere else
	kinds
)

// Each question goes to one box, to the other, and to the first again: three
// answers prove that both served at one moment, even if this process stood
// still in between and the address moved meanwhile.
const asks = 3

// An answer says which turns of a question were answered, by kind.
type answer [kinds][asks]bool

// A direct asks both boxes at once, past all address resolution: frames for
// the virtual address, and frames to be routed, go to each box's own MAC,
// whatever the caches of the LAN believe.
type direct struct {
	fd    int
	index int
	stop  chan struct{}
	all   sync.WaitGroup

	mu      sync.Mutex
	macs    [2]net.HardwareAddr
	kinds   int // how many of the kinds are asked for
	answers []answer
}

// The direct's own address, and one that is routed back to it. Both nodes get
// a route there by the client.
var (
	directIP  = [4]byte{10, 77, 0, 103}
	transitIP = [4]byte{10, 99, 0, 1}
)

// direct starts to ask both boxes. With more than one group each node may
// route for its own by the same device, so nothing is asked about that.
func (r *rig) direct() *direct {
	r.Helper()
	d := &direct{stop: make(chan struct{}), kinds: kinds}
	if r.Groups > 1 {
		d.kinds = transit
	}
	dev, err := r.clientDevice()
	r.try(err)
	d.index = dev.Index
	r.try(r.Client.Do(func() (err error) {
		d.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0008) // ETH_P_IP in network order
		return err
	}))
	r.try(unix.Bind(d.fd, &unix.SockaddrLinklayer{Protocol: 0x0008, Ifindex: d.index}))
	_ = unix.SetsockoptTimeval(d.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000})
	for _, n := range r.Nodes {
		d.aim(r, n)
	}
	d.all.Go(d.ask)
	d.all.Go(d.listen)
	return d
}

// aim takes up a box that was switched on: it has a new MAC and no route. The
// gate must be there: a box on which no agent ever ran routes as it likes.
func (d *direct) aim(r *rig, n *lab.Node) {
	r.Helper()
	dev, err := r.clientDevice()
	r.try(err)
	_, err = n.Space.Run("ip", "route", "replace", "10.99.0.0/24", "via", "10.77.0.100", "dev", "eth0")
	r.try(err)
	for _, ip := range []string{"10.77.0.100", "10.77.0.103"} {
		_, err = n.Space.Run("ip", "neigh", "replace", ip, "lladdr", dev.HardwareAddr.String(), "dev", "eth0", "nud", "permanent")
		r.try(err)
	}
	r.await("the gate of "+n.Name, soon, func() bool { return r.gateBack(n.Index) })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.macs[n.Index] = n.MAC
}

// localOnly ends the questions about transit: both boxes may route from now on.
func (d *direct) localOnly() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kinds = transit
}

// works says whether every kind of question was answered at least once.
func (d *direct) works() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	var seen [kinds]bool
	for _, a := range d.answers {
		for kind, by := range a {
			seen[kind] = seen[kind] || by != [asks]bool{}
		}
	}
	return seen[local] && (seen[transit] || d.kinds == transit)
}

func (d *direct) ask() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	to := &unix.SockaddrLinklayer{Ifindex: d.index, Halen: 6}
	next := time.Now()
	for q := range directMost {
		select {
		case <-d.stop:
			return
		default:
		}
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait)
		} else {
			next = time.Now()
		}
		next = next.Add(directEvery)
		d.mu.Lock()
		macs, kinds := d.macs, d.kinds
		d.answers = append(d.answers, answer{})
		d.mu.Unlock()
		for kind := range kinds {
			for turn := range asks {
				_ = unix.Sendto(d.fd, question(macs[asked(q, turn)], kind, turn, q), unix.MSG_DONTWAIT, to)
			}
		}
	}
}

// asked returns which box a turn of a question goes to.
func asked(q, turn int) int { return (q + turn) % 2 }

// question is an ICMP echo request, to the first virtual address or beyond.
func question(mac net.HardwareAddr, kind, turn, q int) []byte {
	f := make([]byte, 50)
	copy(f, mac)
	f[6], f[7], f[12] = 0x02, 0x78, 8 // from a MAC of its own, IPv4
	ip, icmp := f[14:34], f[34:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, byte(len(f)-14), 9, unix.IPPROTO_ICMP
	copy(ip[12:], directIP[:])
	vip := lab.VIP(0).As4()
	copy(ip[16:], vip[:])
	if kind == transit {
		copy(ip[16:], transitIP[:])
	}
	wirebytes.BigEndian.PutUint16(ip[10:], lab.Checksum(ip))
	icmp[0], icmp[4], icmp[5], icmp[6] = 8, 0x7b, byte(kind), byte(turn)
	wirebytes.BigEndian.PutUint32(icmp[8:], uint32(q))
	wirebytes.BigEndian.PutUint16(icmp[2:], lab.Checksum(icmp))
	return f
}

func (d *direct) listen() {
	buf := make([]byte, 256)
	for {
		select {
		case <-d.stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(d.fd, buf, 0)
		a, ok := from.(*unix.SockaddrLinklayer)
		if err != nil || !ok || a.Pkttype == unix.PACKET_OUTGOING || n < 50 || buf[23] != unix.IPPROTO_ICMP {
			continue
		}
		kind, answer := int(buf[39]), buf[34] == 0 && buf[39] == local || buf[34] == 8 && buf[39] == transit && buf[22] < 9
		if buf[38] == 0x7b && kind < kinds && answer {
			d.note(net.HardwareAddr(buf[6:12]), kind, int(buf[40]), int(wirebytes.BigEndian.Uint32(buf[42:])))
		}
	}
}

func (d *direct) note(from net.HardwareAddr, kind, turn, q int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q < len(d.answers) && turn < asks && d.macs[asked(q, turn)].String() == from.String() {
		d.answers[q][kind][turn] = true
	}
}

// end stops the direct and returns, by kind, how many questions were answered
// at all, and how many by both boxes.
func (d *direct) end() (answered, both [kinds]int) {
	close(d.stop)
	d.all.Wait()
	unix.Close(d.fd)
	for _, a := range d.answers {
		for kind, by := range a {
			if by[0] || by[1] || by[2] {
				answered[kind]++
			}
			if by[0] && by[1] && by[2] {
				both[kind]++
			}
		}
	}
	return answered, both
}

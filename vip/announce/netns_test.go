package announce

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
	"github.com/twinbeat/twinbeat/vip"
)

// TestMain runs the whole test binary again in a network namespace of its own,
// so that every goroutine and /proc/sys see that namespace and nothing of the
// machine can be touched.
func TestMain(m *testing.M) { lab.Main(m) }

var devices atomic.Int32

// A space is another network namespace: the client on the wire.
type space struct {
	tb testing.TB
	ns netns.NsHandle
	h  *netlink.Handle
}

// newSpace makes a namespace and a wire to it, and returns our end's name. The
// other end is eth0 there.
func newSpace(tb testing.TB) (name string, s *space) {
	tb.Helper()
	name = fmt.Sprintf("tb%d", devices.Add(1))
	s = &space{tb: tb}
	apart(func() {
		var err error
		s.ns, err = netns.New()
		if err != nil {
			return
		}
		s.h, _ = netlink.NewHandleAt(s.ns)
	})
	if s.h == nil {
		tb.Fatal("cannot make a network namespace")
	}
	tb.Cleanup(func() { s.h.Close(); s.ns.Close() })
	s.wire(name, "eth0")
	return name, s
}

// wire adds a pair of devices, one here and one there, both up.
func (s *space) wire(name, there string) {
	s.tb.Helper()
	link := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: there, PeerNamespace: netlink.NsFd(s.ns),
	}
	addLink(s.tb, link)
	must(s.tb, s.h.LinkSetUp(s.link(there)))
	carrier(s.tb, name)
	within(s.tb, 3*time.Second, there+" has carrier", func() bool {
		return s.link(there).Attrs().RawFlags&unix.IFF_RUNNING != 0
	})
}

// carrier waits until the device can send: the kernel tells it a moment late.
func carrier(tb testing.TB, name string) {
	tb.Helper()
	within(tb, 3*time.Second, name+" has carrier", func() bool {
		a := byName(tb, name).Attrs()
		return a.RawFlags&unix.IFF_RUNNING != 0 && a.OperState == netlink.OperUp
	})
}

func (s *space) link(name string) netlink.Link {
	s.tb.Helper()
	link, err := s.h.LinkByName(name)
	must(s.tb, err)
	return link
}

func (s *space) mac() string { return s.link("eth0").Attrs().HardwareAddr.String() }

// add sets an address there, without duplicate address detection.
func (s *space) add(text string) {
	s.tb.Helper()
	addr, err := netlink.ParseAddr(text)
	must(s.tb, err)
	addr.Flags = unix.IFA_F_NODAD
	must(s.tb, s.h.AddrAdd(s.link("eth0"), addr))
}

func (s *space) del(text string) {
	s.tb.Helper()
	addr, err := netlink.ParseAddr(text)
	must(s.tb, err)
	must(s.tb, s.h.AddrDel(s.link("eth0"), addr))
}

// do runs f on a thread in the namespace.
func (s *space) do(f func()) {
	apart(func() {
		if err := netns.Set(s.ns); err == nil {
			f()
		}
	})
}

// apart runs f on a thread of its own that ends with it.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends
		f()
	}()
	<-done
}

func addLink(tb testing.TB, link netlink.Link) {
	tb.Helper()
	must(tb, netlink.LinkAdd(link))
	tb.Cleanup(func() { _ = netlink.LinkDel(link) })
	up(tb, link.Attrs().Name)
}

func byName(tb testing.TB, name string) netlink.Link {
	tb.Helper()
	link, err := netlink.LinkByName(name)
	must(tb, err)
	return link
}

func up(tb testing.TB, name string) {
	tb.Helper()
	must(tb, netlink.LinkSetUp(byName(tb, name)))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func parse(tb testing.TB, texts ...string) []vip.Address {
	tb.Helper()
	var as []vip.Address
	for _, text := range texts {
		a, err := vip.ParseAddress(text)
		must(tb, err)
		as = append(as, a)
	}
	return as
}

func sysctl(tb testing.TB, path, value string) {
	tb.Helper()
	must(tb, os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644))
}

// within waits until the condition holds.
func within(tb testing.TB, limit time.Duration, what string, ok func() bool) time.Duration {
	tb.Helper()
	start := time.Now()
	for time.Since(start) < limit {
		if ok() {
			return time.Since(start)
		}
		time.Sleep(time.Millisecond)
	}
	tb.Fatalf("not within %v: %s", limit, what)
	return 0
}

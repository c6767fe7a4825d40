package monitor

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// TestMain runs the whole test binary again in a network namespace of its own.
func TestMain(m *testing.M) { lab.Main(m) }

// A host is a namespace at the other end of a wire, whose device there is eth0.
type host struct {
	t      testing.TB
	ns     netns.NsHandle
	h      *netlink.Handle
	device string // ours
}

// newHost makes one; our end has the address 192.0.2.1/24 and 2001:db8::1/64,
// the host's ends with 2.
func newHost(t testing.TB) *host {
	t.Helper()
	s := &host{t: t, device: fmt.Sprintf("m%d", time.Now().UnixNano()%1e9)}
	apart(func() {
		var err error
		if s.ns, err = netns.New(); err == nil {
			s.h, _ = netlink.NewHandleAt(s.ns)
		}
	})
	if s.h == nil {
		t.Fatal("cannot make a network namespace")
	}
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: s.device}, PeerName: "eth0", PeerNamespace: netlink.NsFd(s.ns),
	}))
	t.Cleanup(func() {
		_ = netlink.LinkDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: s.device}})
		s.h.Close()
		s.ns.Close()
	})
	must(t, netlink.LinkSetUp(s.ours()))
	for _, a := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		must(t, netlink.AddrAdd(s.ours(), address(t, a)))
	}
	s.plug(true)
	for _, a := range []string{"192.0.2.2/24", "2001:db8::2/64"} {
		must(t, s.h.AddrAdd(s.theirs(), address(t, a)))
	}
	return s
}

func address(t testing.TB, text string) *netlink.Addr {
	a, err := netlink.ParseAddr(text)
	must(t, err)
	a.Flags = unix.IFA_F_NODAD
	return a
}

func (s *host) ours() netlink.Link {
	l, err := netlink.LinkByName(s.device)
	must(s.t, err)
	return l
}

func (s *host) theirs() netlink.Link {
	l, err := s.h.LinkByName("eth0")
	must(s.t, err)
	return l
}

// plug pulls the cable out, or plugs it in.
func (s *host) plug(in bool) {
	s.t.Helper()
	if in {
		must(s.t, s.h.LinkSetUp(s.theirs()))
	} else {
		must(s.t, s.h.LinkSetDown(s.theirs()))
	}
	await(s.t, "the carrier follows", func() bool {
		a := s.ours().Attrs()
		return a.RawFlags&unix.IFF_RUNNING != 0 == in && (!in || a.OperState == netlink.OperUp)
	})
}

// do runs f on a thread in the namespace.
func (s *host) do(f func()) {
	apart(func() {
		if err := netns.Set(s.ns); err == nil {
			f()
		}
	})
}

// sysctl sets a value there.
func (s *host) sysctl(path, value string) {
	s.t.Helper()
	var err error
	s.do(func() { err = os.WriteFile("/proc/sys/net/"+path, []byte(value), 0) })
	must(s.t, err)
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until the condition holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 5s: %s", what)
}

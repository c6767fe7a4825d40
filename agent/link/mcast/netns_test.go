package mcast

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

const (
	patience = 20 * time.Second // for what must happen on a busy machine
	glance   = 10 * time.Millisecond
	device   = "ha"
)

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(glance) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// A world is two network namespaces, a box each.
type world struct {
	t   testing.TB
	ns  [2]netns.NsHandle
	nl  [2]*netlink.Handle
	tag int
}

// newWorld makes the namespaces and skips the test where that is forbidden.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for i := range w.ns {
			var err error
			if w.ns[i], err = netns.New(); err != nil {
				made <- err
				return
			}
		}
		made <- nil
	}()
	if err := <-made; err != nil {
		t.Skipf("network namespaces need root or CAP_SYS_ADMIN: %v", err)
	}
	for i := range w.ns {
		var err error
		if w.nl[i], err = netlink.NewHandleAt(w.ns[i]); err != nil {
			t.Fatal(err)
		}
		w.up(i, "lo")
	}
	t.Cleanup(func() {
		for i := range w.ns {
			w.nl[i].Close()
			_ = w.ns[i].Close()
		}
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// inside runs f on a thread of its own in a namespace.
func (w *world) inside(i int, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, as above
		if err := netns.Set(w.ns[i]); err != nil {
			w.t.Errorf("enter namespace: %v", err)
			return
		}
		f()
	}()
	<-done
}

// plug joins the boxes by a cable without addresses.
func (w *world) plug(name string) {
	w.t.Helper()
	w.must(w.nl[0].LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name, PeerNamespace: netlink.NsFd(w.ns[1]),
	}))
	w.up(0, name)
	w.up(1, name)
}

func (w *world) find(i int, name string) netlink.Link {
	w.t.Helper()
	l, err := w.nl[i].LinkByName(name)
	w.must(err)
	return l
}

func (w *world) up(i int, name string)   { w.must(w.nl[i].LinkSetUp(w.find(i, name))) }
func (w *world) down(i int, name string) { w.must(w.nl[i].LinkSetDown(w.find(i, name))) }
func (w *world) unplug(name string)      { w.must(w.nl[0].LinkDel(w.find(0, name))) }

func (w *world) address(i int, name, prefix string) {
	w.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	w.must(err)
	a.Flags = 0x02 // IFA_F_NODAD: the tests need not wait for it
	w.must(w.nl[i].AddrReplace(w.find(i, name), a))
}

// addresses gives both ends of a cable their addresses, 4 and 6.
func (w *world) addresses(name string) {
	w.t.Helper()
	for i := range w.ns {
		w.address(i, name, fmt.Sprintf("10.9.0.%d/24", i+1))
		w.address(i, name, fmt.Sprintf("fd00:9::%d/64", i+1))
		w.address(i, name, fmt.Sprintf("fe80::9:%d/64", i+1))
	}
}

// A station is a running path and what it received.
type station struct {
	*Path
	mu  sync.Mutex
	got [][]byte
}

func (s *station) has(payload []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.got {
		if bytes.Equal(g, payload) {
			return true
		}
	}
	return false
}

func (w *world) start(i int, cfg Config) *station {
	w.t.Helper()
	p, err := New(cfg)
	w.must(err)
	s := &station{Path: p}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.inside(i, func() {
			_ = p.Run(ctx, func(b []byte) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.got = append(s.got, append([]byte(nil), b...))
			})
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			w.t.Error("run does not end with its context")
		}
	})
	return s
}

// deliver sends fresh payloads until one arrives.
func (w *world) deliver(from, to *station) {
	w.t.Helper()
	eventually(w.t, "delivery over "+from.Name(), func() bool {
		w.tag++
		p := fmt.Appendf(nil, "frame %d", w.tag)
		_ = from.Send(p) // errors are expected while the path heals
		for range 5 {
			if to.has(p) {
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	})
}

func (w *world) both(a, b *station) {
	w.t.Helper()
	w.deliver(a, b)
	w.deliver(b, a)
}

// settled waits until a station has received nothing for a while.
func (w *world) settled(s *station) {
	w.t.Helper()
	n, quiet := s.Stats().RxFrames, 0
	eventually(w.t, "quiet on "+s.Name(), func() bool {
		time.Sleep(10 * time.Millisecond)
		quiet++
		if now := s.Stats().RxFrames; now != n {
			n, quiet = now, 0
		}
		return quiet >= 10
	})
}

// kinds returns the configuration of both boxes for every kind of path.
func kinds(name string) map[string][2]Config {
	addr := netip.MustParseAddr
	group := func(g string) [2]Config {
		c := Config{Interface: name, Group: addr(g), Port: 6940}
		return [2]Config{c, c}
	}
	unicast := func(a, b string) [2]Config {
		return [2]Config{
			{Interface: name, Local: addr(a), Remote: addr(b), Port: 6940},
			{Interface: name, Local: addr(b), Remote: addr(a), Port: 6940},
		}
	}
	return map[string][2]Config{
		"multicast4":           group("239.255.77.1"),
		"multicast6 link":      group("ff02::7b"),
		"multicast6 site":      group("ff05::7b"),
		"unicast4":             unicast("10.9.0.1", "10.9.0.2"),
		"unicast6":             unicast("fd00:9::1", "fd00:9::2"),
		"unicast6 link-local ": unicast("fe80::9:1", "fe80::9:2"),
	}
}

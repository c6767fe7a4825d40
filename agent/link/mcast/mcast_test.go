package mcast

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

func TestEveryKindOfPathCarriesFramesBothWays(t *testing.T) {
	for kind, cfg := range kinds(device) {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.plug(device)
			w.addresses(device)
			a, b := w.start(0, cfg[0]), w.start(1, cfg[1])
			w.both(a, b)
			eventually(t, "up", func() bool { return a.Stats().Up })
			s := b.Stats()
			if s.RxFrames == 0 || s.RxBytes == 0 || s.RxErrors != 0 || s.TxFrames == 0 || s.TxBytes == 0 {
				t.Errorf("counters: %+v", s)
			}
			if s := a.Stats(); s.RxFrames > b.Stats().TxFrames {
				t.Errorf("own frames came back: %+v", s)
			}
		})
	}
}

func TestEveryKindOfPathSurvivesItsInterface(t *testing.T) {
	for kind, cfg := range kinds(device) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.start(0, cfg[0]), w.start(1, cfg[1])
			eventually(t, "complaint about the missing interface", func() bool {
				return strings.Contains(a.Stats().Err, "interface "+device)
			})
			if err := a.Send([]byte("x")); !errors.Is(err, link.ErrDown) {
				t.Errorf("send without an interface: %v", err)
			}
			w.plug(device) // addresses come late
			time.Sleep(150 * time.Millisecond)
			w.addresses(device)
			w.both(a, b)

			w.down(0, device)
			eventually(t, "notice of the interface going down", func() bool { return !a.Stats().Up && !b.Stats().Up })
			w.up(0, device)
			w.addresses(device) // down flushed those of IPv6
			w.both(a, b)

			w.unplug(device)
			eventually(t, "notice of the lost interface", func() bool {
				_ = a.Send([]byte("x"))
				return !a.Stats().Up && !b.Stats().Up
			})
			w.plug(device)
			w.addresses(device)
			w.both(a, b)
			if s := a.Stats(); s.Reopens == 0 || s.TxDropped == 0 {
				t.Errorf("counters: %+v", s)
			}
		})
	}
}

// forge sends one datagram from a box to target with a TTL of its choice.
func (w *world) forge(i int, name string, target netip.Addr, ttl int, local netip.Addr) {
	w.t.Helper()
	w.inside(i, func() {
		family, level, uni, multi := unix.AF_INET, unix.IPPROTO_IP, unix.IP_TTL, unix.IP_MULTICAST_TTL
		if target.Is6() {
			family, level, uni, multi = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_MULTICAST_HOPS
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			w.t.Error(err)
			return
		}
		defer func() { _ = unix.Close(fd) }()
		index := w.find(i, name).Attrs().Index
		for _, err := range []error{
			unix.BindToDevice(fd, name),
			unix.SetsockoptInt(fd, level, uni, ttl),
			unix.SetsockoptInt(fd, level, multi, ttl),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.Bind(fd, sockaddr(local, 6940, index)),
			unix.Sendto(fd, []byte("forged"), 0, sockaddr(target, 6940, index)),
		} {
			if err != nil {
				w.t.Errorf("forge: %v", err)
			}
		}
	})
}

func TestDatagramsThatCrossedARouterAreCountedAndDropped(t *testing.T) {
	for kind, cfg := range kinds(device) {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.plug(device)
			w.addresses(device)
			b := w.start(1, cfg[1])
			eventually(t, "up", func() bool { return b.Stats().Up })
			target, local := cfg[0].Group, netip.IPv6Unspecified()
			if target.Is4() {
				local = netip.IPv4Unspecified()
			}
			if !target.IsValid() {
				target, local = cfg[0].Remote, cfg[0].Local
			}
			for _, ttl := range []int{1, 64, 254} {
				before := b.Stats().RxErrors
				w.forge(0, device, target, ttl, local)
				eventually(t, "counting", func() bool { return b.Stats().RxErrors == before+1 })
			}
			if s := b.Stats(); s.RxFrames != 0 || b.has([]byte("forged")) {
				t.Errorf("a datagram with a low TTL was delivered: %+v", s)
			}
			w.forge(0, device, target, MaxTTL, local)
			eventually(t, "delivery with the full TTL", func() bool { return b.has([]byte("forged")) })
		})
	}
}

func TestTheLeastTTLCanBeLowered(t *testing.T) {
	w := newWorld(t)
	w.plug(device)
	w.addresses(device)
	cfg := kinds(device)["multicast4"][1]
	cfg.MinTTL = 253
	b := w.start(1, cfg)
	eventually(t, "up", func() bool { return b.Stats().Up })
	w.forge(0, device, cfg.Group, 252, netip.IPv4Unspecified())
	eventually(t, "counting", func() bool { return b.Stats().RxErrors == 1 })
	w.forge(0, device, cfg.Group, 253, netip.IPv4Unspecified())
	eventually(t, "delivery", func() bool { return b.has([]byte("forged")) })
}

func TestTwoPathsOfOneBoxDoNotMix(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"ha", "lan"} {
		w.plug(name)
		for box := range w.ns {
			w.address(box, name, netip.AddrFrom4([4]byte{10, byte(20 + i), 0, byte(box + 1)}).String()+"/24")
		}
	}
	// The same group and port on both, and a second cluster on one of them.
	cfg := func(name string) Config {
		return Config{Interface: name, Group: netip.MustParseAddr("239.255.77.1"), Port: 6940}
	}
	ha := [2]*station{w.start(0, cfg("ha")), w.start(1, cfg("ha"))}
	lan := [2]*station{w.start(0, cfg("lan")), w.start(1, cfg("lan"))}
	other := w.start(1, cfg("lan"))
	w.both(ha[0], ha[1])
	w.both(lan[0], lan[1])
	w.deliver(lan[0], other)
	w.settled(lan[1]) // deliver sends again what is late
	before := lan[1].Stats().RxFrames
	for range 20 {
		if err := ha[0].Send([]byte("only on ha")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "twenty frames", func() bool { return ha[1].has([]byte("only on ha")) })
	if lan[1].has([]byte("only on ha")) || lan[1].Stats().RxFrames != before {
		t.Error("a frame came in over the wrong path")
	}
	w.unplug("ha")
	w.both(lan[0], lan[1]) // the other path lives
	eventually(t, "the lost path", func() bool { _ = ha[0].Send(nil); return !ha[0].Stats().Up })
}

func TestAPeerWithoutAnAgentIsNoFault(t *testing.T) {
	for _, kind := range []string{"unicast4", "unicast6"} {
		w := newWorld(t)
		w.plug(device)
		w.addresses(device)
		cfg := kinds(device)[kind]
		a := w.start(0, cfg[0])
		eventually(t, "up", func() bool { return a.Stats().Up })
		for range 50 { // each brings "port unreachable" back
			if err := a.Send([]byte("anybody there")); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			time.Sleep(time.Millisecond)
		}
		if s := a.Stats(); !s.Up || s.Reopens != 0 || s.TxDropped != 0 {
			t.Errorf("%s: %+v", kind, s)
		}
		b := w.start(1, cfg[1])
		w.both(a, b)
	}
}

func TestUnicastIgnoresStrangers(t *testing.T) {
	w := newWorld(t)
	w.plug(device)
	w.addresses(device)
	w.address(0, device, "10.9.0.66/24")
	cfg := kinds(device)["unicast4"]
	a, b := w.start(0, cfg[0]), w.start(1, cfg[1])
	w.both(a, b)
	before := b.Stats()
	w.forge(0, device, cfg[0].Remote, MaxTTL, netip.MustParseAddr("10.9.0.66"))
	w.deliver(a, b)
	if b.has([]byte("forged")) || b.Stats().RxErrors != before.RxErrors {
		t.Errorf("a stranger's datagram woke the path: %+v", b.Stats())
	}
}

func TestSendDoesNotBlockWhenTheDeviceTakesNothing(t *testing.T) {
	w := newWorld(t)
	w.plug(device)
	w.addresses(device)
	a := w.start(0, kinds(device)["multicast4"][0])
	eventually(t, "up", func() bool { return a.Stats().Up })
	// A token bucket of 1000 bytes a second: the send buffer fills up at once.
	w.must(w.nl[0].QdiscAdd(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: w.find(0, device).Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       1000, Limit: 1 << 20, Buffer: 15_625_000, // one second in ticks of 64 ns
	}))
	begin := time.Now()
	var last error
	for range 2000 {
		if err := a.Send(make([]byte, 200)); err != nil {
			last = err
		}
	}
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("2000 sends took %v", took)
	}
	if !errors.Is(last, unix.EAGAIN) && !errors.Is(last, unix.ENOBUFS) {
		t.Errorf("a full queue gives %v", last)
	}
	if s := a.Stats(); s.TxDropped == 0 || s.Reopens != 0 {
		t.Errorf("counters: %+v", s)
	}
}

// A loop that was stopped must hear what waits before it judges a silence, and
// cannot wait for a reader that has not run since either.
func TestDrainDeliversWhatWaitsInTheCallersGoroutine(t *testing.T) {
	w := newWorld(t)
	w.plug(device)
	w.addresses(device)
	cfg := kinds(device)["multicast4"]
	a := w.start(0, cfg[0])
	p, err := New(cfg[1])
	w.must(err)
	p.Drain() // closed: nothing
	s := make(chan *socket)
	w.inside(1, func() {
		opened, err := openSocket(&p.cfg)
		w.must(err)
		go func() { s <- opened }()
	})
	sock := <-s
	defer sock.close()
	var got []string
	p.receive = func(b []byte) { got = append(got, string(b)) }
	p.sock.Store(sock) // an open path whose reader never runs
	eventually(t, "up", func() bool { return a.Stats().Up })
	for i := range link.DrainMost + 3 {
		w.must(a.Send([]byte{byte('a' + i)}))
	}
	p.Drain()
	if len(got) != link.DrainMost || got[0] != "a" {
		t.Fatalf("drained %q, want the %d oldest", got, link.DrainMost)
	}
	p.in.Lock()
	p.Drain() // the reader is at work
	p.in.Unlock()
	if len(got) != link.DrainMost {
		t.Error("two read at once")
	}
	p.Drain()
	p.Drain()
	if len(got) != link.DrainMost+3 {
		t.Errorf("drained %d, want all %d", len(got), link.DrainMost+3)
	}
}

func TestFramesLeaveWithTheClassOfNetworkControl(t *testing.T) {
	w := newWorld(t)
	w.plug(device)
	w.addresses(device)
	for kind, cfg := range kinds(device) {
		w.inside(0, func() {
			s, err := openSocket(&cfg[0])
			if err != nil {
				t.Errorf("%s: %v", kind, err)
				return
			}
			defer s.close()
			func(fd int) {
				level, option := unix.IPPROTO_IPV6, unix.IPV6_TCLASS
				if cfg[0].target().Is4() {
					level, option = unix.IPPROTO_IP, unix.IP_TOS
				}
				class, err1 := unix.GetsockoptInt(fd, level, option)
				prio, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY)
				if err1 != nil || err2 != nil || class != 0xc0 || prio != 6 {
					t.Errorf("%s: class %#x, priority %d, %v, %v", kind, class, prio, err1, err2)
				}
			}(s.fd)
		})
	}
}

func TestWayReadsTheControlMessages(t *testing.T) {
	if ttl, index := way(nil); ttl != -1 || index != -1 {
		t.Errorf("nothing: %d, %d", ttl, index)
	}
	if ttl, index := way([]byte{1, 2, 3}); ttl != -1 || index != -1 {
		t.Errorf("rubbish: %d, %d", ttl, index)
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	addr := netip.MustParseAddr
	group := Config{Interface: "eth0", Group: addr("239.255.77.1"), Port: 1}
	unicast := Config{Interface: "eth0", Local: addr("10.0.0.1"), Remote: addr("10.0.0.2"), Port: 1}
	for name, test := range map[string]struct {
		base  Config
		spoil func(*Config)
	}{
		"interface":     {group, func(c *Config) { c.Interface = "" }},
		"long name":     {group, func(c *Config) { c.Interface = "abcdefghijklmnop" }},
		"port":          {group, func(c *Config) { c.Port = 0 }},
		"no multicast":  {group, func(c *Config) { c.Group = addr("10.0.0.1") }},
		"both":          {group, func(c *Config) { c.Local = addr("10.0.0.1") }},
		"frame":         {group, func(c *Config) { c.MaxFrame = link.MaxPayload + 1 }},
		"no remote":     {unicast, func(c *Config) { c.Remote = netip.Addr{} }},
		"families":      {unicast, func(c *Config) { c.Remote = addr("fd00::1") }},
		"ourselves":     {unicast, func(c *Config) { c.Remote = c.Local }},
		"unspecified":   {unicast, func(c *Config) { c.Local = addr("0.0.0.0") }},
		"multicast far": {unicast, func(c *Config) { c.Remote = addr("224.0.0.1") }},
	} {
		if _, err := New(test.base); err != nil {
			t.Fatal(err)
		}
		bad := test.base
		test.spoil(&bad)
		if _, err := New(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p, err := New(group)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != "multicast eth0 239.255.77.1:1" {
		t.Errorf("name %q", p.Name())
	}
	if err := p.Send(make([]byte, link.MaxPayload+1)); !errors.Is(err, link.ErrTooLong) {
		t.Errorf("a long payload: %v", err)
	}
}

func BenchmarkSend(b *testing.B) {
	for kind, cfg := range kinds(device) {
		b.Run(kind, func(b *testing.B) {
			w := newWorld(b)
			w.plug(device)
			w.addresses(device)
			a := w.start(0, cfg[0])
			eventually(b, "up", func() bool { return a.Stats().Up })
			payload := make([]byte, 53)
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Send(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReceive(b *testing.B) {
	for kind, cfg := range kinds(device) {
		b.Run(kind, func(b *testing.B) {
			w := newWorld(b)
			w.plug(device)
			w.addresses(device)
			a := w.start(0, cfg[0])
			eventually(b, "up", func() bool { return a.Stats().Up })
			w.inside(1, func() {
				s, err := openSocket(&cfg[1])
				w.must(err)
				defer s.close()
				payload, buf := make([]byte, 53), make([]byte, 300)
				b.ReportAllocs()
				for b.Loop() {
					_ = a.Send(payload)
					if _, err := s.receive(buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

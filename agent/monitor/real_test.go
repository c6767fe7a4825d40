package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip/announce"
)

// patience is the time-out of one look: the machine may be busy.
const patience = 300 * time.Millisecond

func targets(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// look looks once by a fresh monitor.
func look(t *testing.T, c Config, n Neighbours) Look {
	t.Helper()
	m, err := New(c, n)
	must(t, err)
	return m.look(t.Context())
}

// expect fails the test unless a look has this verdict and reason.
func expect(t *testing.T, l Look, v Verdict, why string) {
	t.Helper()
	if l.Verdict != v || !strings.Contains(l.Why, why) {
		t.Errorf("verdict %d, %q; want %d, %q", l.Verdict, l.Why, v, why)
	}
}

func TestPingOfTheKernel(t *testing.T) {
	s := newHost(t)
	c := Config{Kind: "ping", Timeout: patience, Targets: targets("192.0.2.2", "2001:db8::2"), All: true}
	await(t, "IPv6 is ready", func() bool { return look(t, c, nil).Verdict == Good })
	expect(t, look(t, c, nil), Good, "192.0.2.2 answers; 2001:db8::2 answers")

	c.Targets = targets("192.0.2.2", "192.0.2.3")
	expect(t, look(t, c, nil), Bad, "192.0.2.3 does not answer within 300ms")
	c.All = false
	expect(t, look(t, c, nil), Good, "192.0.2.2 answers")

	c.Targets, c.Interface = targets("2001:db8::2"), s.device
	expect(t, look(t, c, nil), Good, "answers")
	c.Interface = "nosuch0"
	expect(t, look(t, c, nil), Unknown, "no such device")

	c.Interface, c.Targets = "", targets("203.0.113.1")
	expect(t, look(t, c, nil), Bad, "network is unreachable")

	s.sysctl("ipv4/icmp_echo_ignore_all", "1")
	c.Targets = targets("192.0.2.2")
	expect(t, look(t, c, nil), Bad, "192.0.2.2 does not answer")
	s.sysctl("ipv4/icmp_echo_ignore_all", "0")
	expect(t, look(t, c, nil), Good, "")
	s.plug(false)
	expect(t, look(t, c, nil), Bad, "")
}

func TestPingOfALinkLocalAddress(t *testing.T) {
	s := newHost(t)
	ours, err := netlink.AddrList(s.ours(), netlink.FAMILY_V6)
	must(t, err)
	theirs, err := s.h.AddrList(s.theirs(), netlink.FAMILY_V6)
	must(t, err)
	var far netip.Addr
	for _, a := range theirs {
		if ip, _ := netip.AddrFromSlice(a.IP); ip.IsLinkLocalUnicast() {
			far = ip
		}
	}
	if len(ours) < 2 || !far.IsValid() {
		t.Skip("no link-local addresses here")
	}
	c := Config{Kind: "ping", Timeout: patience, Targets: []netip.Addr{far}, Interface: s.device}
	await(t, "it answers once duplicate address detection is over", func() bool { return look(t, c, nil).Verdict == Good })
}

// A liar answers echo requests in the host's place.
type liar struct {
	answer atomic.Pointer[answering]
	heard  atomic.Int32
}

// answering is what a liar does with a request.
type answering func(request []byte, send func(from string, reply []byte))

// lie has the host's kernel ignore pings, and a liar answer them.
func (s *host) lie(l *liar) {
	s.t.Helper()
	s.sysctl("ipv4/icmp_echo_ignore_all", "1")
	for i := 3; i < 6; i++ {
		must(s.t, s.h.AddrAdd(s.theirs(), address(s.t, fmt.Sprintf("192.0.2.%d/24", i))))
	}
	var in, out int
	var err error
	s.do(func() {
		if in, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP); err != nil {
			return
		}
		if out, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW); err != nil {
			return
		}
		err = unix.SetsockoptTimeval(in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000})
	})
	must(s.t, err)
	stop, done := make(chan struct{}), make(chan struct{})
	send := func(from string, reply []byte) {
		_ = unix.Sendto(out, ipv4(from, reply), 0, &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 1}})
	}
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, _, err := unix.Recvfrom(in, buf, 0)
			if errors.Is(err, unix.EAGAIN) || n < 28 || buf[20] != echoRequest {
				continue
			}
			l.heard.Add(1)
			(*l.answer.Load())(append([]byte(nil), buf[20:n]...), send)
		}
	}()
	s.t.Cleanup(func() { close(stop); <-done; unix.Close(in); unix.Close(out) })
}

// ipv4 puts a header before a message; the kernel fills in what is zero (raw(7)).
func ipv4(from string, message []byte) []byte {
	b := make([]byte, 20, 20+len(message))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_ICMP
	src := netip.MustParseAddr(from).As4()
	copy(b[12:], src[:])
	copy(b[16:], []byte{192, 0, 2, 1})
	return append(b, message...)
}

// reply turns a request into its answer, changed.
func reply(request []byte, change func(b []byte)) []byte {
	b := append([]byte(nil), request...)
	b[0] = echoReply
	if change != nil {
		change(b)
	}
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

func TestAnswersThatAreNone(t *testing.T) {
	s := newHost(t)
	var last []byte
	l := &liar{}
	s.lie(l)
	c := Config{Kind: "ping", Timeout: patience, Targets: targets("192.0.2.2")}
	for _, tt := range []struct {
		name   string
		want   Verdict
		answer answering
	}{
		{"a true one", Good, func(r []byte, send func(string, []byte)) { send("192.0.2.2", reply(r, nil)) }},
		{"from another host", Bad, func(r []byte, send func(string, []byte)) { send("192.0.2.3", reply(r, nil)) }},
		{"with another id", Bad, func(r []byte, send func(string, []byte)) {
			send("192.0.2.2", reply(r, func(b []byte) { b[4] ^= 1 }))
		}},
		{"with another number", Bad, func(r []byte, send func(string, []byte)) {
			send("192.0.2.2", reply(r, func(b []byte) { b[7] ^= 1 }))
		}},
		{"with another secret", Bad, func(r []byte, send func(string, []byte)) {
			send("192.0.2.2", reply(r, func(b []byte) { b[len(b)-1] ^= 1 }))
		}},
		{"cut short", Bad, func(r []byte, send func(string, []byte)) { send("192.0.2.2", reply(r[:12], nil)) }},
		{"the request itself", Bad, func(r []byte, send func(string, []byte)) {
			send("192.0.2.2", reply(r, func(b []byte) { b[0] = echoRequest }))
		}},
		{"an older one", Bad, func(r []byte, send func(string, []byte)) {
			if last != nil {
				send("192.0.2.2", reply(last, nil))
			}
			last = r
		}},
		{"too late", Bad, func(r []byte, send func(string, []byte)) {
			go func() { time.Sleep(2 * patience); send("192.0.2.2", reply(r, nil)) }()
		}},
		{"twice, after a wrong one", Good, func(r []byte, send func(string, []byte)) {
			send("192.0.2.3", reply(r, nil))
			send("192.0.2.2", reply(r, func(b []byte) { b[4] ^= 1 }))
			send("192.0.2.2", reply(r, nil))
			send("192.0.2.2", reply(r, nil))
		}},
		{"a flood", Bad, func(r []byte, send func(string, []byte)) {
			for range 3 * maxAnswers {
				send("192.0.2.2", reply(r, func(b []byte) { b[4] ^= 1 }))
			}
		}},
	} {
		l.answer.Store(&tt.answer)
		for range 2 { // what is left of the first must not answer the second
			heard := l.heard.Load()
			if got := look(t, c, nil); got.Verdict != tt.want {
				t.Errorf("%s: verdict %d, %s", tt.name, got.Verdict, got.Why)
			}
			await(t, tt.name+": the question is heard", func() bool { return l.heard.Load() != heard })
		}
	}
}

func TestPingEndsWithItsContext(t *testing.T) {
	newHost(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	ping(ctx, &Config{Timeout: time.Minute, Targets: targets("192.0.2.99")})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it went on for %v", took)
	}
}

func TestPingWithoutPermission(t *testing.T) {
	s := newHost(t)
	c := Config{Kind: "ping", Timeout: patience, Targets: targets("192.0.2.2")}
	m, err := New(c, nil)
	must(t, err)
	apart(func() { // capabilities are the thread's
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err = unix.Capset(&h, &none[0]); err == nil {
			expect(t, m.look(context.Background()), Unknown, "operation not permitted")
		}
	})
	must(t, err)
	_ = s
}

func TestNeighbours(t *testing.T) {
	s := newHost(t)
	a, err := announce.New()
	must(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	mac := s.theirs().Attrs().HardwareAddr.String()
	c := Config{Kind: "neighbour", Timeout: patience, Interface: s.device, Targets: targets("192.0.2.2", "2001:db8::2"), All: true}
	await(t, "IPv6 is ready there", func() bool { return look(t, c, a).Verdict == Good })
	expect(t, look(t, c, a), Good, "192.0.2.2 answers from "+mac+"; 2001:db8::2 answers from "+mac)

	c.Targets = targets("192.0.2.2", "192.0.2.9")
	expect(t, look(t, c, a), Bad, "192.0.2.9 does not answer within 300ms")
	c.All = false
	expect(t, look(t, c, a), Good, "192.0.2.2 answers")
	c.Targets = targets("192.0.2.1")
	expect(t, look(t, c, a), Bad, "192.0.2.1 does not answer") // our own: the wire has nothing to say of it

	c.Targets = targets("192.0.2.2")
	for _, addr := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		must(t, netlink.AddrDel(s.ours(), address(t, addr)))
	}
	expect(t, look(t, c, a), Good, "192.0.2.2 answers") // without an address of our own
	s.sysctl("ipv4/conf/eth0/arp_ignore", "8")
	expect(t, look(t, c, a), Bad, "192.0.2.2 does not answer")
	s.plug(false)
	expect(t, look(t, c, a), Bad, "no carrier")
	c.Interface = "nosuch0"
	expect(t, look(t, c, a), Unknown, "no such device")
}

func TestInterface(t *testing.T) {
	s := newHost(t)
	c := Config{Kind: "interface", Interface: s.device, Interval: time.Second}
	expect(t, look(t, c, nil), Good, "carries frames")
	c.MinSpeed, c.MaxErrors = 1000, 1
	expect(t, look(t, c, nil), Good, "carries frames") // a veth says 10000
	c.MinSpeed = 40000
	expect(t, look(t, c, nil), Bad, "runs at 10000 Mbit/s, less than 40000")
	s.plug(false)
	expect(t, look(t, c, nil), Bad, "has no carrier")
	must(t, netlink.LinkSetDown(s.ours()))
	expect(t, look(t, c, nil), Bad, "is switched off")
	must(t, netlink.LinkDel(s.ours()))
	expect(t, look(t, c, nil), Bad, "is not there")

	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	c.Interface = "lo"
	await(t, "lo has no speed to tell", func() bool { return look(t, c, nil).Verdict == Unknown })
	c.MinSpeed = 0
	expect(t, look(t, c, nil), Good, "carries frames")
}

// states collects what a monitor tells.
type states chan Change

func (s states) next(t *testing.T, want State) Change {
	t.Helper()
	select {
	case c := <-s:
		if c.State != want {
			t.Fatalf("%v (%s), want %v", c.State, c.Why, want)
		}
		return c
	case <-time.After(10 * time.Second):
		t.Fatalf("not %v within 10s", want)
		return Change{}
	}
}

// run runs a monitor until the test ends.
func run(t *testing.T, c Config, n Neighbours) (*Monitor, states) {
	t.Helper()
	m, err := New(c, n)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	told, done := make(states, 100), make(chan struct{})
	go func() { defer close(done); m.Run(ctx, func(c Change) bool { told <- c; return true }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("a monitor did not end")
		}
	})
	return m, told
}

// The kernel's news of a carrier, and its flag IFF_RUNNING, may come a second late:
// what is read is how it is.
func TestCarrierIsReadAsItIs(t *testing.T) {
	s := newHost(t)
	read := func(name string) (bool, string, error) {
		flags, err := linkFlags(name)
		return carrier(name, flags, err)
	}
	see := func(want bool) {
		t.Helper()
		if up, why, err := read(s.device); err != nil || up != want || up != (why == "") {
			t.Errorf("carrier %v, %q, %v; want %v", up, why, err, want)
		}
	}
	for range 20 {
		must(t, s.h.LinkSetDown(s.theirs()))
		see(false)
		must(t, s.h.LinkSetUp(s.theirs()))
		see(true)
	}
	must(t, netlink.LinkSetDown(s.ours()))
	if _, why, _ := read(s.device); why != s.device+" is switched off" {
		t.Errorf("switched off: %q", why)
	}
	if _, why, err := read("not-there"); why != "not-there is not there" || err != nil {
		t.Errorf("not there: %q, %v", why, err)
	}
}

// A driver that resets holds the kernel's lock for as long as it likes.
func TestInterfaceOfWhichTheKernelDoesNotTell(t *testing.T) {
	p := &port{cfg: &Config{Interface: "lo"}, began: time.Now()}
	hung := make(chan linkAnswer, 1)
	p.kernel.out = hung
	if l := p.look(t.Context()); l.Verdict != Unknown || !strings.Contains(l.Why, "no answer within") {
		t.Errorf("no answer: %+v", l)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if l := p.look(ended); l.Verdict != Unknown || p.kernel.out != hung {
		t.Errorf("at the end: %+v, asked again: %v", l, p.kernel.out != hung)
	}
	hung <- linkAnswer{flags: unix.IFF_UP | unix.IFF_LOWER_UP}
	if l := p.look(t.Context()); l.Verdict != Good || p.kernel.out != nil {
		t.Errorf("its late answer: %+v", l)
	}
}

func TestAnswersOfTheKernelThatAreNone(t *testing.T) {
	answer := func(kind byte, body ...byte) []byte {
		return append(append([]byte{32, 0, 0, 0, kind, 0}, make([]byte, 10)...), append(body, make([]byte, 16)...)...)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": make([]byte, 8), "a header alone": make([]byte, unix.SizeofNlMsghdr),
		"another kind": answer(unix.NLMSG_DONE),
	} {
		if _, err := answeredFlags(b); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	refused := answer(unix.NLMSG_ERROR)
	binary.NativeEndian.PutUint32(refused[unix.SizeofNlMsghdr:], ^uint32(unix.EPERM)+1)
	if _, err := answeredFlags(refused); err != unix.EPERM {
		t.Errorf("a refusal: %v", err)
	}
}

func TestCarrierThatGoesAndComesTakesHealthAndGivesItBack(t *testing.T) {
	s := newHost(t)
	m, told := run(t, Config{
		Name: "lan", Kind: "interface", Interface: s.device, Interval: time.Hour, Rise: 1, Fall: 1,
		UpFor: 50 * time.Millisecond, DownFor: 20 * time.Millisecond, Weight: 40, Critical: true,
	}, nil)
	if c := told.next(t, Up); c.From != Starting || c.Vote().Loss != 0 {
		t.Errorf("at the start: %+v, %+v", c, c.Vote())
	}
	s.plug(false)
	m.Carrier("another0", false) // is none of ours
	m.Carrier(s.device, false)   // the interval is an hour: only the kernel's word wakes it
	c := told.next(t, Down)
	if v := c.Vote(); v.Loss != 40 || !v.Critical || v.Source != "monitor lan" || !strings.Contains(v.Reason, "has no carrier") {
		t.Errorf("vote %+v", v)
	}
	if v := m.View(); v.State != Down || v.Loss != 40 {
		t.Errorf("view %+v", v)
	}
	s.plug(true)
	m.Carrier(s.device, true)
	if c := told.next(t, Up); c.Vote().Loss != 0 || c.Vote().Critical {
		t.Errorf("vote %+v", c.Vote())
	}
}

func TestAChangeBetweenTwoLooksBeginsTheTimeAnew(t *testing.T) {
	s := newHost(t)
	p := &port{cfg: &Config{Interface: s.device, UpFor: time.Minute, DownFor: time.Minute}, began: time.Now()}
	p.bounce.Up, p.bounce.Down = time.Minute, time.Minute
	s.plug(false)
	expect(t, p.look(t.Context()), Bad, "has no carrier")
	s.plug(true)
	expect(t, p.look(t.Context()), Bad, "has not carried frames for 1m0s yet")
	since := p.bounce.since
	p.fell.Store(true) // and came again before anybody looked
	p.rose.Store(true)
	expect(t, p.look(t.Context()), Bad, "yet")
	if p.bounce.since <= since || p.wait <= 59*time.Second {
		t.Errorf("the time up was not begun anew: since %v, wait %v", p.bounce.since, p.wait)
	}
	p.bounce.stable, p.bounce.raw = true, true
	s.plug(false)
	expect(t, p.look(t.Context()), Good, "has no carrier, for less than 1m0s")
	since = p.bounce.since
	p.rose.Store(true) // and went again
	expect(t, p.look(t.Context()), Good, "for less than")
	if p.bounce.since <= since {
		t.Error("the time down was not begun anew")
	}
}

func TestHostThatStopsAnsweringAndComesBack(t *testing.T) {
	s := newHost(t)
	_, told := run(t, Config{
		Name: "gw", Kind: "ping", Interval: 20 * time.Millisecond, Timeout: 200 * time.Millisecond, Rise: 2, Fall: 2,
		Targets: targets("192.0.2.2"), Weight: 30,
	}, nil)
	told.next(t, Up)
	s.sysctl("ipv4/icmp_echo_ignore_all", "1")
	if c := told.next(t, Down); c.Loss != 30 || c.Vote().Critical {
		t.Errorf("%+v", c)
	}
	s.sysctl("ipv4/icmp_echo_ignore_all", "0")
	if c := told.next(t, Up); c.Loss != 0 {
		t.Errorf("%+v", c)
	}
}

func TestWhatCannotBeLookedAtTakesHealthOnlyIfStrict(t *testing.T) {
	newHost(t)
	c := Config{
		Name: "gw", Kind: "ping", Interface: "nosuch0", Interval: 10 * time.Millisecond, Timeout: patience,
		Rise: 1, Fall: 2, Targets: targets("192.0.2.2"), Weight: 30,
	}
	_, told := run(t, c, nil)
	if c := told.next(t, Missing); c.Loss != 0 || !strings.Contains(c.Why, "ask 192.0.2.2: ") {
		t.Errorf("%+v", c)
	}
	c.Strict = true
	_, told = run(t, c, nil)
	if c := told.next(t, Missing); c.Loss != 30 {
		t.Errorf("strict: %+v", c)
	}
}

// script writes a program.
func script(t *testing.T, text string) string {
	t.Helper()
	path := t.TempDir() + "/check"
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700))
	return path
}

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Verdict
		why        string
	}{
		{"well", "echo fine", Good, "says well"},
		{"ill", "echo conntrack is full >&2; exit 7", Bad, "exit code 7: conntrack is full"},
		{"killed", "kill -9 $$", Bad, "exit code 137"},
		{"hangs", "trap '' TERM; while :; do :; done", Bad, "deadline exceeded"},
		{"floods", "while :; do echo lies lies lies lies lies; done", Bad, "deadline exceeded"},
		{"leaves a child behind", "sleep 600 & echo $! > \"$0.pid\"", Good, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := script(t, tt.text)
			began := time.Now()
			l := look(t, Config{Kind: "command", Command: []string{path}, Timeout: patience * 2}, nil)
			expect(t, l, tt.want, tt.why)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if why := clip(l.Why); len(why) > maxWhy+3 {
				t.Errorf("a reason of %d bytes", len(why))
			}
			if pid, err := os.ReadFile(path + ".pid"); err == nil {
				await(t, "the child is gone", func() bool {
					stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
					return err != nil || strings.Contains(string(stat), ") Z ")
				})
			}
		})
	}
	for _, path := range []string{"/nonexistent/check", "/etc/hostname"} {
		expect(t, look(t, Config{Kind: "command", Command: []string{path}, Timeout: patience}, nil), Unknown, path)
	}
}

func TestWhatWasNotTakenIsToldAgain(t *testing.T) {
	m, err := New(Config{Kind: "command", Command: []string{"/bin/true"}, Timeout: 5 * time.Second, Interval: time.Hour, Rise: 1, Fall: 1}, nil)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	told := 0
	m.Run(ctx, func(c Change) bool {
		if c.State != Up {
			t.Errorf("told of %v", c.State)
		}
		if told++; told == 3 {
			cancel()
		}
		return told == 3
	})
	if told != 3 {
		t.Errorf("told %d times", told)
	}
}

func TestAnAnswerOfAnotherHostIsNoneThoughTheKernelLetItIn(t *testing.T) {
	q := &question{target: netip.MustParseAddr("192.0.2.2")}
	q.sent[0] = echoRequest
	packet := ipv4("192.0.2.2", reply(q.sent[:], nil))
	for host, want := range map[byte]bool{2: true, 3: false} {
		if got := q.answers(packet, &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, host}}); got != want {
			t.Errorf("from 192.0.2.%d: %v", host, got)
		}
	}
	if q.answers(packet, &unix.SockaddrInet6{}) || q.answers(packet, nil) {
		t.Error("from nowhere")
	}
}

// FuzzAnswer holds that nothing is an answer but what has the question's id,
// number and secret.
func FuzzAnswer(f *testing.F) {
	q := &question{target: netip.MustParseAddr("192.0.2.2")}
	q.sent[0] = echoRequest
	copy(q.sent[4:], "id and a secret of this question")
	q6 := &question{target: netip.MustParseAddr("2001:db8::2"), sent: q.sent}
	f.Add(ipv4("192.0.2.2", reply(q.sent[:], nil)), false)
	f.Add(reply(q.sent[:], func(b []byte) { b[0] = echoReply6 }), true)
	f.Add([]byte{0x4f}, false)
	f.Fuzz(func(t *testing.T, packet []byte, six bool) {
		from, asked := unix.Sockaddr(&unix.SockaddrInet4{Addr: q.target.As4()}), q
		if six {
			from, asked = &unix.SockaddrInet6{Addr: q6.target.As16()}, q6
		}
		if asked.answers(packet, from) && !strings.Contains(string(packet), string(q.sent[4:])) {
			t.Errorf("%x is an answer", packet)
		}
	})
}

// BenchmarkLook tells what looks cost in CPU, children included.
func BenchmarkLook(b *testing.B) {
	s := newHost(b)
	a, err := announce.New()
	must(b, err)
	defer a.Close()
	for _, c := range []Config{
		{Kind: "interface", Interface: s.device, MinSpeed: 10, MaxErrors: 1, Interval: time.Second},
		{Kind: "ping", Timeout: 5 * time.Second, Targets: targets("192.0.2.2")},
		{Kind: "neighbour", Timeout: 5 * time.Second, Interface: s.device, Targets: targets("192.0.2.2")},
		{Kind: "command", Timeout: 5 * time.Second, Command: []string{"/bin/true"}},
	} {
		b.Run(c.Kind, func(b *testing.B) {
			m, err := New(c, a)
			must(b, err)
			before := cpu(b)
			for b.Loop() {
				if l := m.look(b.Context()); l.Verdict != Good {
					b.Fatal(l.Why)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// cpu is what this process and its dead children have used.
func cpu(b *testing.B) (used time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		must(b, unix.Getrusage(who, &r))
		used += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return used
}

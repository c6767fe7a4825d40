package kernel

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/tests/lab"
	"github.com/twinbeat/twinbeat/vip"
)

// TestMain runs the whole test binary again in a network namespace of its own,
// so that every goroutine and /proc/sys see that namespace and nothing of the
// machine can be touched.
func TestMain(m *testing.M) { lab.Main(m) }

var devices atomic.Int32

// veth makes a pair of connected devices, both up, and returns the first's name.
func veth(tb testing.TB) (name, peer string) {
	tb.Helper()
	n := devices.Add(1)
	name, peer = fmt.Sprintf("tb%d", n), fmt.Sprintf("tp%d", n)
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer}
	addLink(tb, link)
	up(tb, peer)
	return name, peer
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

func newKernel(tb testing.TB) (*Kernel, *[]Finding) {
	tb.Helper()
	var findings []Finding
	k, err := New(Options{Found: func(f Finding) { findings = append(findings, f) }})
	must(tb, err)
	tb.Cleanup(func() { k.Close() })
	return k, &findings
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

func setOf(tb testing.TB, texts ...string) vip.Set {
	tb.Helper()
	return vip.Set{Addresses: parse(tb, texts...)}
}

// An opinion is an address as iproute2 reads it from the kernel.
type opinion struct {
	Family, Local, Broadcast, Scope, Label string
	PrefixLen                              int
	Dynamic, Tentative, DADFailed, NoDAD   bool
	Valid                                  uint32 `json:"valid_life_time"`
	Preferred                              uint32 `json:"preferred_life_time"`
}

func (o opinion) usable() bool { return o.Local != "" && !o.Tentative && !o.DADFailed }

// shown is what iproute2 shows of a device's addresses of a family, or of both.
func shown(tb testing.TB, device, family string) map[string]opinion {
	tb.Helper()
	var devices []struct {
		Addresses []opinion `json:"addr_info"`
	}
	must(tb, json.Unmarshal([]byte(ip(tb, "-json address show dev "+device)), &devices))
	out := map[string]opinion{}
	for _, d := range devices {
		for _, a := range d.Addresses {
			if family == "" || a.Family == family {
				out[fmt.Sprintf("%s/%d", a.Local, a.PrefixLen)] = a
			}
		}
	}
	return out
}

func ip(tb testing.TB, args string) string {
	tb.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

func sysctl(tb testing.TB, path, value string) {
	tb.Helper()
	must(tb, os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644))
}

func sysctlOf(tb testing.TB, path string) string {
	tb.Helper()
	b, err := os.ReadFile("/proc/sys/net/" + path)
	must(tb, err)
	return strings.TrimSpace(string(b))
}

// many is n addresses of one device, half IPv4 and half IPv6 if mixed.
func many(n int, device string, six bool) []vip.Address {
	out := make([]vip.Address, n)
	for i := range out {
		a := netip.AddrFrom4([4]byte{10, 84, byte(i >> 8), byte(i)})
		bits := 16
		if six {
			a, bits = netip.MustParseAddr("2001:db8:84::"+strconv.FormatInt(int64(i+1), 16)), 64
		} else {
			a = a.Next()
		}
		out[i] = vip.Address{Prefix: netip.PrefixFrom(a, bits), Device: device}
	}
	return out
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

func mustPrefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }

// A question of the watchdog's and the work of a takeover come at the same time
// sooner or later: each gets its own answers.
func TestAnswersDisturbNoWork(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	stop := make(chan struct{})
	asked := make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				asked <- nil
				return
			default:
			}
			if err := k.Answers(); err != nil {
				asked <- err
				return
			}
		}
	}()
	for range 300 {
		must(t, k.Take(ctx, set, 0))
		must(t, k.Drop(ctx, set))
	}
	close(stop)
	must(t, <-asked)
}

func TestAnswers(t *testing.T) {
	k, _ := newKernel(t)
	must(t, k.Answers())
	k.Close()
	if err := k.Answers(); err == nil {
		t.Error("a closed socket answers")
	}
}

package announce

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

const spacing = 20 * time.Millisecond

func TestAProbeIsAnsweredByAForeignOwner(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.1/24")
	client.add("2001:db8::1/64")
	client.add("fe80::1/64")
	a := newAnnouncer(t)
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "fe80::1"} {
		start := time.Now()
		// Several, since the owner's kernel joins the solicited-node group of a
		// new address a moment after it has set it.
		r, err := a.Probe(ctx, parse(t, ip+"@"+dev), 10, 200*time.Millisecond)
		must(t, err)
		if !r.Sent || !r.Foreign || r.Address != ip || r.MAC != client.mac() || r.Device != dev || r.Reason != "" {
			t.Errorf("%s: %+v", ip, r)
		}
		took := time.Since(start)
		t.Logf("%s: answered within %v", ip, took)
		if took > 1900*time.Millisecond {
			t.Errorf("%s: the answer was not returned when it came", ip)
		}
		if got := client.neighbour("0.0.0.0"); got != "" {
			t.Errorf("the probe left a trace: %s", got)
		}
	}
}

func TestAProbeOfAFreeAddressIsSilentAndTakesAsLongAsSaid(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	stop := client.capture()
	start := time.Now()
	r, err := a.Probe(ctx, parse(t, "192.0.2.1@"+dev, "2001:db8::1@"+dev), 3, spacing)
	must(t, err)
	if took := time.Since(start); took < 3*spacing {
		t.Errorf("the probe listened for %v only", took)
	}
	if !r.Sent || r.Foreign {
		t.Errorf("%+v", r)
	}
	arps, solicitations := 0, 0
	for _, f := range stop() {
		switch {
		case f[12] == 8 && f[13] == 6 && string(f[28:32]) == "\x00\x00\x00\x00":
			arps++
		case len(f) == nsLength && f[54] == solicitation && f[6] == macOf(t, dev)[0]:
			solicitations++
		}
	}
	if arps != 3 || solicitations != 6 { // to the solicited-node group, and to all nodes
		t.Errorf("%d ARP probes and %d solicitations went out", arps, solicitations)
	}
}

// Both ends of the wire are on this node: the answer is our own.
func TestAnAnswerFromOurselvesIsNone(t *testing.T) {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "tbown0"}, PeerName: "tbown1"}
	addLink(t, link)
	up(t, "tbown1")
	carrier(t, "tbown0")
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	must(t, err)
	must(t, netlink.AddrAdd(byName(t, "tbown1"), addr))
	six, err := netlink.ParseAddr("2001:db8::1/64")
	must(t, err)
	six.Flags = unix.IFA_F_NODAD
	must(t, netlink.AddrAdd(byName(t, "tbown1"), six))
	heard := hearAnswers(t, "tbown0")
	a := newAnnouncer(t)
	r, err := a.Probe(ctx, parse(t, "192.0.2.1@tbown0", "2001:db8::1@tbown0"), 2, spacing)
	must(t, err)
	if !r.Sent || r.Foreign {
		t.Errorf("%+v", r)
	}
	if n := heard(); n < 2 {
		t.Errorf("only %d answers were on the wire: this test shows nothing", n)
	}
}

// hearAnswers counts the claims that come in on a device.
func hearAnswers(tb testing.TB, name string) func() int {
	tb.Helper()
	fd, err := listener(port{name: name, index: byName(tb, name).Attrs().Index}, unix.ETH_P_ALL, claims)
	must(tb, err)
	tb.Cleanup(func() { unix.Close(fd) })
	return func() int {
		n := 0
		var frame [frameBuffer]byte
		for range maxReads {
			if _, _, err := unix.Recvfrom(fd, frame[:], unix.MSG_DONTWAIT); err != nil {
				break
			}
			n++
		}
		return n
	}
}

func TestAProbeThatCouldNotGoOutSaysSo(t *testing.T) {
	noCarrier, client := newSpace(t)
	must(t, client.h.LinkSetDown(client.link("eth0")))
	within(t, 3*time.Second, "the carrier goes", func() bool {
		return byName(t, noCarrier).Attrs().RawFlags&unix.IFF_RUNNING == 0
	})
	down, _ := newSpace(t)
	must(t, netlink.LinkSetDown(byName(t, down)))
	a := newAnnouncer(t)
	for dev, reason := range map[string]string{
		noCarrier: "carrier", down: "down", "nosuch": "no such device", "lo": "no Ethernet address",
	} {
		r, err := a.Probe(ctx, parse(t, "192.0.2.1@"+dev), 3, spacing)
		must(t, err)
		if r.Sent || r.Foreign || !strings.Contains(r.Reason, reason) {
			t.Errorf("%s: %+v", dev, r)
		}
	}
}

func TestAnAnnouncementDuringTheProbeIsAnAnswer(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	var other *Announcer
	client.do(func() { other, _ = New() })
	if other == nil {
		t.Fatal("no announcer in the client's namespace")
	}
	defer other.Close()
	done := make(chan error, 1)
	go func() {
		time.Sleep(2 * spacing)
		done <- other.Announce(ctx, parse(t, "192.0.2.1@eth0"), Plan{Count: 1})
	}()
	r, err := a.Probe(ctx, parse(t, "192.0.2.1@"+dev), 16, 10*spacing)
	must(t, err)
	must(t, <-done)
	if !r.Foreign || r.MAC != client.mac() {
		t.Errorf("%+v", r)
	}
}

// The gate of a standby drops every frame for its addresses at the ingress of
// the device. A probe must hear the answer all the same.
func TestAProbeHearsThroughAClosedGate(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("no nft to close a gate with")
	}
	dev, client := newSpace(t)
	client.add("192.0.2.1/24")
	client.add("2001:db8::1/64")
	rules := "table netdev probetest { chain in { type filter hook ingress device " + dev + " priority 0; policy drop; }; }"
	if out, err := exec.Command("nft", rules).CombinedOutput(); err != nil {
		if strings.Contains(string(out), "syntax error") {
			t.Fatalf("close the gate: %s", out)
		}
		t.Skipf("this kernel has no netdev filter: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("nft", "delete table netdev probetest").Run() })
	a := newAnnouncer(t)
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		r, err := a.Probe(ctx, parse(t, ip+"@"+dev), 10, 200*time.Millisecond)
		must(t, err)
		if !r.Foreign || r.MAC != client.mac() {
			t.Errorf("%s: %+v", ip, r)
		}
	}
}

func TestSamplesAreSpreadOverTheDevices(t *testing.T) {
	addrs := parse(t, "192.0.2.1@a", "192.0.2.2@a", "2001:db8::1@a", "198.51.100.1@b", "198.51.100.2@b")
	for n, want := range map[int]string{
		1: "192.0.2.1/32@a",
		3: "192.0.2.1/32@a 2001:db8::1/128@a 192.0.2.2/32@a",
		5: "192.0.2.1/32@a 198.51.100.1/32@b 2001:db8::1/128@a",
	} {
		var got []string
		for _, s := range Samples(addrs[:n]) {
			got = append(got, s.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("of %d: %v, want %s", n, got, want)
		}
	}
}

func TestAForeignClaimIsReportedOnceASecond(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.50/24")
	a := newAnnouncer(t)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	reports := make(chan Foreign, 100)
	addrs := parse(t, "192.0.2.1@"+dev, "2001:db8::1@"+dev)
	ended := make(chan error, 1)
	go func() { ended <- a.Watch(watching, addrs, func(f Foreign) { reports <- f }) }()

	var other *Announcer
	client.do(func() { other, _ = New() })
	defer other.Close()
	theirs := append(parse(t, "192.0.2.1@eth0", "192.0.2.77@eth0"), parse(t, "2001:db8::1@eth0")...)
	seen := map[string]int{}
	within(t, 5*time.Second, "both addresses are reported", func() bool {
		must(t, other.Announce(ctx, theirs, Plan{Count: 1}))
		must(t, a.Announce(ctx, addrs, Plan{Count: 1})) // our own frames are no news
		time.Sleep(5 * time.Millisecond)
		for len(reports) > 0 {
			f := <-reports
			seen[f.Address]++
			if f.MAC != client.mac() || f.Device != dev {
				t.Errorf("%+v", f)
			}
		}
		return len(seen) == 2
	})
	for range 5 {
		must(t, other.Announce(ctx, theirs, Plan{Count: 4}))
	}
	if len(reports) > 0 || seen["192.0.2.1"] != 1 || seen["2001:db8::1"] != 1 {
		t.Errorf("reports: %v and %d more", seen, len(reports))
	}
	cancel()
	must(t, <-ended)
}

func TestWatchHearsAgainAfterTheDeviceCameBack(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	reports := make(chan Foreign, 100)
	addrs := parse(t, "192.0.2.1@"+dev)
	go func() { _ = a.Watch(watching, addrs, func(f Foreign) { reports <- f }) }()
	must(t, netlink.LinkDel(byName(t, dev)))
	client.wire(dev, "eth0")
	var other *Announcer
	client.do(func() { other, _ = New() })
	defer other.Close()
	theirs := []vip.Address{parse(t, "192.0.2.1@eth0")[0]}
	within(t, 5*time.Second, "a claim is heard on the new device", func() bool {
		must(t, other.Announce(ctx, theirs, Plan{Count: 1}))
		time.Sleep(10 * time.Millisecond)
		return len(reports) > 0
	})
}

func BenchmarkProbeAnswered(b *testing.B) {
	dev, client := newSpace(b)
	client.add("192.0.2.1/24")
	a := newAnnouncer(b)
	addrs := parse(b, "192.0.2.1@"+dev)
	for b.Loop() {
		r, err := a.Probe(ctx, addrs, 3, time.Second)
		if err != nil || !r.Foreign {
			b.Fatalf("%+v %v", r, err)
		}
	}
}

func BenchmarkAnnounceOne(b *testing.B) {
	dev, _ := newSpace(b)
	a := newAnnouncer(b)
	addrs := parse(b, "192.0.2.1@"+dev)
	b.ReportAllocs()
	for b.Loop() {
		must(b, a.Announce(ctx, addrs, Plan{Count: 1}))
	}
}

// BenchmarkFirstRoundOfAThousand is the time until each of 1,000 addresses has
// been announced once.
func BenchmarkFirstRoundOfAThousand(b *testing.B) {
	dev, _ := newSpace(b)
	a := newAnnouncer(b)
	jobs := passesOf(thousand(dev))[0]
	b.ReportAllocs()
	for b.Loop() {
		must(b, a.pass(ctx, jobs, newBucket(Plan{}), yes))
	}
}

// BenchmarkSendAThousand leaves the pace out: what a plain loop of writes costs.
func BenchmarkSendAThousand(b *testing.B) {
	dev, _ := newSpace(b)
	a := newAnnouncer(b)
	jobs := passesOf(thousand(dev))[0]
	for b.Loop() {
		for from := 0; from < len(jobs); from += maxBatch {
			must(b, a.batch(ctx, jobs[from:min(from+maxBatch, len(jobs))], yes))
		}
	}
}

// Each of many addresses may have an owner of its own: none is taken for the rest.
func TestEachAddressIsAskedFor(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	var texts []string
	for i := range maxEach + 6 {
		texts = append(texts, fmt.Sprintf("192.0.2.%d@%s", i+1, dev))
	}
	texts = append(texts, "2001:db8::1@"+dev, "2001:db8::2@"+dev, "2001:db8::3@"+dev, "2001:db8::4@"+dev)
	r, err := a.ProbeEach(ctx, parse(t, texts...), 3, spacing)
	if err != nil || !r.Sent || r.Foreign || r.Reason != "" {
		t.Errorf("nobody has them: %+v, %v", r, err)
	}
	for _, ip := range []string{"192.0.2.7", "192.0.2.68", "2001:db8::3"} { // neither first, last nor in the middle
		bits := "/24"
		if strings.Contains(ip, ":") {
			bits = "/64"
		}
		client.add(ip + bits)
		within(t, 5*time.Second, ip+" is answered for", func() bool {
			r, err := a.ProbeEach(ctx, parse(t, texts...), 3, 50*time.Millisecond)
			return err == nil && r.Foreign && r.Address == ip && r.MAC == client.mac()
		})
		client.del(ip + bits)
	}
}

func TestAnAddressThatCouldNotBeAskedForIsTold(t *testing.T) {
	dev, _ := newSpace(t)
	a := newAnnouncer(t)
	r, err := a.ProbeEach(ctx, parse(t, "192.0.2.1@"+dev, "192.0.2.2@tbnone"), 3, spacing)
	if err != nil || r.Sent || r.Foreign || !strings.Contains(r.Reason, "tbnone") {
		t.Errorf("one device is not there: %+v, %v", r, err)
	}
	if r, err := a.ProbeEach(ctx, nil, 3, spacing); err != nil || !r.Sent {
		t.Errorf("no address: %+v, %v", r, err)
	}
}

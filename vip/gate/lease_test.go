package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// loConfig guards an address of the loopback network: enough where no other
// host is needed.
func loConfig(lease, window time.Duration) Config {
	return Config{
		Table: "twinbeat", Window: window,
		Groups: []Group{{ID: 0, VIPs: []netip.Addr{netip.MustParseAddr("127.9.9.9")}, Devices: []string{"lo"}, Lease: lease}},
	}
}

// refusal accepts what a refused operation may return.
func refusal(t *testing.T, g *Gate, err error) {
	t.Helper()
	if g.features.control && !errors.Is(err, ErrRefused) || !g.features.control && err != nil {
		t.Errorf("a refused operation returned %v", err)
	}
}

func held(t *testing.T, g *Gate, group uint8, want bool) {
	t.Helper()
	if got, left, err := g.Held(group); got != want || err != nil {
		t.Errorf("group %d is held: %v for %v, %v; want %v", group, got, left, err, want)
	}
}

func eachHook(t *testing.T, f func(t *testing.T, old bool)) {
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "egress", true: "ingress"}[old], func(t *testing.T) { f(t, old) })
	}
}

func TestALeaseEndsByItselfAndAStaleRenewalCannotReviveIt(t *testing.T) {
	eachHook(t, func(t *testing.T, old bool) {
		alone(t)
		// Long against what a busy machine adds to a sleep.
		cfg := loConfig(100*Tick(), time.Minute)
		cfg.old = old
		g := open(t, cfg)
		held(t, g, 0, false)
		grant(t, g, 0)
		for range 4 { // past the end of the grant
			time.Sleep(30 * Tick())
			must(t, g.Renew(0))
		}
		held(t, g, 0, true)
		time.Sleep(102 * Tick())
		held(t, g, 0, false)
		must(t, g.Turn())
		refusal(t, g, g.Renew(0))
		held(t, g, 0, false)
		grant(t, g, 0)
	})
}

func TestNothingIsGrantedOrRenewedOutsideATurn(t *testing.T) {
	eachHook(t, func(t *testing.T, old bool) {
		alone(t)
		cfg := loConfig(200*Tick(), 4*Tick())
		cfg.old = old
		g := open(t, cfg)
		refusal(t, g, g.Grant(0))
		held(t, g, 0, false)
		must(t, g.Turn())
		time.Sleep(6 * Tick())
		refusal(t, g, g.Grant(0))
		held(t, g, 0, false)
		grant(t, g, 0)
		time.Sleep(100 * Tick())
		refusal(t, g, g.Renew(0))
		if _, left, err := g.Held(0); err != nil || left > 101*Tick() {
			t.Errorf("a renewal outside a turn left %v of 200 ticks, %v", left, err)
		}
	})
}

func TestCloseTakesEffectAtOnce(t *testing.T) {
	eachHook(t, func(t *testing.T, old bool) {
		alone(t)
		cfg := loConfig(time.Minute, time.Minute)
		cfg.old = old
		g := open(t, cfg)
		must(t, g.Close(0)) // a closed gate may be closed
		grant(t, g, 0)
		must(t, g.Close(0))
		held(t, g, 0, false)
		refusal(t, g, g.Renew(0))
		held(t, g, 0, false)
	})
}

func TestAWrongCookieOpensNothing(t *testing.T) {
	eachHook(t, func(t *testing.T, old bool) {
		alone(t)
		cfg := loConfig(time.Minute, time.Minute)
		cfg.old = old
		g := open(t, cfg)
		must(t, g.Turn())
		wrong := g.cookie
		wrong[cookieSize-1] ^= 1
		g.speaker.setCookie(wrong)
		_ = g.Grant(0)
		held(t, g, 0, false)
		g.speaker.setCookie(g.cookie)
		must(t, g.Grant(0))
		held(t, g, 0, true)
		g.speaker.setCookie(wrong)
		if g.features.control {
			if err := g.Turn(); !errors.Is(err, ErrMissing) {
				t.Errorf("a turn that no rule knows: %v", err)
			}
		}
		must(t, g.Close(0)) // by netlink then
		held(t, g, 0, false)
	})
}

func TestManyExpiredTurnsDoNotHinderTheNext(t *testing.T) {
	alone(t)
	g := open(t, loConfig(time.Minute, 2*Tick()))
	grant(t, g, 0)
	for i := range 200 {
		time.Sleep(3 * Tick()) // each token expires before the next turn
		if err := errors.Join(g.Turn(), g.Renew(0)); err != nil {
			t.Fatalf("turn %d: %v", i, err)
		}
	}
}

func TestReopeningKeepsLeasesAndReplacesTheCookie(t *testing.T) {
	alone(t)
	cfg := loConfig(time.Minute, time.Minute)
	g := open(t, cfg)
	grant(t, g, 0)
	stale, err := newSpeaker(g.cookie, true)
	must(t, err)
	defer stale.close()
	g.Detach()

	g = open(t, cfg)
	held(t, g, 0, true)
	if taken, err := stale.do(opTurn, 0, 0, true); taken || err != nil {
		t.Errorf("a frame with the old cookie was taken: %v", err)
	}
	must(t, g.Turn())
	must(t, g.Renew(0))
	g.Detach()

	cfg.Groups[0].VIPs = append(cfg.Groups[0].VIPs, vip4, vip6)
	g = open(t, cfg)
	held(t, g, 0, true) // an address more is no reason to close
	g.Detach()

	cfg.Groups = append(cfg.Groups, Group{ID: 1, VIPs: cfg.Groups[0].VIPs[1:], Devices: []string{"lo"}, Lease: time.Second})
	cfg.Groups[0].VIPs = cfg.Groups[0].VIPs[:1]
	g = open(t, cfg)
	held(t, g, 0, false) // addresses changed their group
	held(t, g, 1, false)
	must(t, g.Verify())
}

func TestAnOlderLayoutIsReplacedWhole(t *testing.T) {
	alone(t)
	mustNft(t, "add table netdev twinbeat; add set netdev twinbeat lease { type ipv4_addr; }; add set netdev twinbeat relic { type mark; };"+
		"add chain netdev twinbeat control { type filter hook ingress device lo priority 5; };"+
		"add rule netdev twinbeat control meta protocol ip drop; add chain netdev twinbeat strange")
	g := open(t, loConfig(time.Minute, time.Minute))
	grant(t, g, 0)
	if out := mustNft(t, "list", "table", "netdev", "twinbeat"); strings.Contains(out, "relic") || strings.Contains(out, "strange") {
		t.Error(out)
	}
	must(t, g.Verify())
	must(t, g.Remove())
	if out := mustNft(t, "list", "ruleset"); out != "" {
		t.Error("left behind: " + out)
	}
}

// watch reports changes from a goroutine in the same namespace.
func (l *lab) watch(g *Gate) chan Change { return watch(l.t, g, func(Change) {}) }

func watch(t *testing.T, g *Gate, also func(Change)) chan Change {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	changes, done, ready := make(chan Change, 64), make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends here
		defer here.Close()
		err := netns.Set(here)
		close(ready)
		if err == nil {
			err = g.Watch(ctx, func(c Change) { also(c); changes <- c })
		}
		done <- err
	}()
	<-ready
	time.Sleep(50 * time.Millisecond) // until it is subscribed
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	return changes
}

func (l *lab) awaitChange(changes chan Change, want Change) { awaitChange(l.t, changes, want) }

func awaitChange(t *testing.T, changes chan Change, want Change) {
	t.Helper()
	select {
	case got := <-changes:
		if got.Kind != want.Kind || got.Device != want.Device || !strings.HasPrefix(got.By, want.By) {
			t.Errorf("reported %+v, want %+v", got, want)
		}
	case <-time.After(2 * time.Second):
		t.Errorf("no report of %+v", want)
	}
}

func TestAFlushedRulesetIsNoticedAndRestoredClosed(t *testing.T) {
	l := newLab(t, false)
	cfg := l.config()
	cfg.plain = true // else the kernel would not let nft flush it
	g := open(t, cfg)
	var noticed, restored time.Time
	changes := watch(t, g, func(c Change) {
		noticed = time.Now()
		if err := g.Restore(); err != nil {
			t.Errorf("restore: %v", err)
		}
		restored = time.Now()
	})
	grant(t, g, 0)
	must(t, g.SetOwn(ownPairs[:4])) // our own changes are not reported
	mustNft(t, "flush", "ruleset")
	flushed := time.Now()
	awaitChange(t, changes, Change{Kind: Deleted, By: "nft["})
	t.Logf("noticed %v after nft ended, restored %v later", noticed.Sub(flushed), restored.Sub(noticed))
	held(t, g, 0, false)
	must(t, g.Verify())
	l.expect(false, l.vipProbes(), l.transitProbes())
	grant(t, g, 0)
	l.expect(true, l.vipProbes()[:3])
}

func TestAlterationsAreNoticed(t *testing.T) {
	alone(t)
	cfg := loConfig(time.Minute, time.Minute)
	cfg.plain = true
	g := open(t, cfg)
	changes := watch(t, g, func(Change) {})
	mustNft(t, "add", "table", "netdev", "other") // not ours
	must(t, g.Verify())
	for _, alteration := range []string{
		"delete element netdev twinbeat vip4 { 127.9.9.9 }",
		"flush chain netdev twinbeat in4_lo",
		"insert rule netdev twinbeat in_lo accept",
		"add chain netdev twinbeat x",
	} {
		must(t, g.Verify())
		mustNft(t, strings.Fields(alteration)...)
		awaitChange(t, changes, Change{Kind: Altered, By: "nft["})
		if err := g.Verify(); !errors.Is(err, ErrAltered) {
			t.Errorf("verify after %q: %v", alteration, err)
		}
		must(t, g.Restore())
	}
	mustNft(t, "delete", "table", "netdev", "twinbeat")
	awaitChange(t, changes, Change{Kind: Deleted, By: "nft["})
	if err := g.Verify(); !errors.Is(err, ErrMissing) {
		t.Errorf("verify of a deleted table: %v", err)
	}
	if err := g.Turn(); g.features.control && !errors.Is(err, ErrMissing) {
		t.Errorf("turn without a table: %v", err)
	}
	if _, _, err := g.Held(0); !errors.Is(err, ErrMissing) {
		t.Errorf("held without a table: %v", err)
	}
	if err := g.Close(0); !errors.Is(err, ErrMissing) {
		t.Errorf("close without a table: %v", err)
	}
}

func TestStrangersCannotTouchAnOwnedTable(t *testing.T) {
	alone(t)
	g := open(t, loConfig(time.Minute, time.Minute))
	if !g.Info().Owned {
		t.Skip("this kernel has no persistent table owners")
	}
	grant(t, g, 0)
	mustNft(t, "flush", "ruleset")
	must(t, g.Verify())
	held(t, g, 0, true)
	if out, err := nft("delete", "table", "netdev", "twinbeat"); err == nil {
		t.Errorf("nft deleted an owned table: %s", out)
	}
	if _, err := Open(loConfig(time.Minute, time.Minute)); !errors.Is(err, ErrOwned) {
		t.Errorf("second gate: %v", err)
	}
	must(t, g.Turn())
	must(t, g.Renew(0))
}

// childMode names the variable that makes the test binary play another process.
const childMode = "TWINBEAT_GATE_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(childMode) {
	case "holder":
		fmt.Println(holder())
	case "self-test":
		fmt.Println(selfTestChild())
	default:
		os.Exit(m.Run())
	}
}

// holder renews its lease until it is killed.
func holder() error {
	g, err := Open(loConfig(500*time.Millisecond, 100*time.Millisecond))
	if err != nil {
		return err
	}
	if err := errors.Join(g.Turn(), g.Grant(0)); err != nil {
		return err
	}
	fmt.Println("ready")
	for range 600 {
		if err := errors.Join(g.Turn(), g.Renew(0)); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("nobody killed me")
}

func child(t *testing.T, mode string, attr *syscall.SysProcAttr) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childMode+"="+mode)
	c.SysProcAttr = attr
	out, err := c.StdoutPipe()
	must(t, err)
	if err := c.Start(); err != nil {
		t.Skipf("cannot start child: %v", err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c, bufio.NewReader(out)
}

func TestAStoppedOrKilledProcessGoesDarkAndIsAdopted(t *testing.T) {
	alone(t)
	cfg := loConfig(500*time.Millisecond, 100*time.Millisecond)
	c, out := child(t, "holder", &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL})
	if line, _ := out.ReadString('\n'); line != "ready\n" {
		t.Fatal(line)
	}
	time.Sleep(100 * time.Millisecond)
	must(t, c.Process.Signal(unix.SIGKILL))
	_ = c.Wait()
	g := open(t, cfg)
	held(t, g, 0, true) // the dead one's lease, as Held promises
	time.Sleep(510 * time.Millisecond)
	held(t, g, 0, false)
	must(t, g.Remove())

	c, out = child(t, "holder", &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL})
	if line, _ := out.ReadString('\n'); line != "ready\n" {
		t.Fatal(line)
	}
	must(t, c.Process.Signal(unix.SIGSTOP))
	time.Sleep(510 * time.Millisecond)
	if out := mustNft(t, "list", "set", "netdev", "twinbeat", "lease"); strings.Contains(out, "elements") {
		t.Errorf("a stopped process still holds its lease: %s", out)
	}
	must(t, c.Process.Signal(unix.SIGCONT))
	if line, _ := out.ReadString('\n'); !strings.Contains(line, ErrRefused.Error()) {
		t.Errorf("the resumed process said %q", line)
	}
}

func TestSelfTestMeasuresThisKernel(t *testing.T) {
	alone(t)
	r, err := SelfTest(context.Background())
	must(t, err)
	t.Logf("%+v", r)
	if r.Took > time.Second {
		t.Errorf("took %v", r.Took)
	}
	if r.Shortest < r.Lease/2 || r.Longest > r.Lease+r.Tick {
		t.Errorf("a lease of %v lasted %v to %v", r.Lease, r.Shortest, r.Longest)
	}
	if out := mustNft(t, "list", "ruleset"); out != "" {
		t.Error("left behind: " + out)
	}
}

func TestSelfTestFindsALeaseThatDoesNotEnd(t *testing.T) {
	alone(t)
	s, err := newSelfTest(context.Background())
	must(t, err)
	defer s.end()
	must(t, errors.Join(s.gate.Turn(), s.gate.Grant(0)))
	b := newBatch(s.gate.cfg.Table) // as on a kernel that does not expire elements
	b.clearSet(setLease)
	b.addElements(setLease, []element{{key: key32(0)}})
	must(t, s.gate.nl.transact(b))
	if err := s.run(); err == nil || !strings.Contains(err.Error(), "closed at first") {
		t.Errorf("self-test with a gate that stays open: %v", err)
	}
	if err := s.expiry(time.Now()); err == nil {
		t.Error("an endless lease was not found")
	}
}

func selfTestChild() error {
	runtime.LockOSThread()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return err
	}
	r, err := SelfTest(context.Background())
	if err != nil {
		return err
	}
	cfg := loConfig(time.Minute, time.Minute)
	for id := range uint8(3) { // more than fits the default send buffer
		a := netip.AddrFrom16([16]byte{0xfd, 15: 1, 1: id})
		cfg.Groups = append(cfg.Groups, Group{ID: id + 1, VIPs: many(MaxVIPs, a), Devices: []string{"lo"}, Lease: time.Second})
	}
	g, err := Open(cfg)
	if err != nil {
		return err
	}
	if err := errors.Join(g.Turn(), g.Grant(3), g.Remove()); err != nil {
		return err
	}
	return fmt.Errorf("works: %+v", r)
}

func TestTheGateWorksInAUserNamespace(t *testing.T) {
	_, out := child(t, "self-test", &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	})
	line, err := out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "works: ") {
		t.Errorf("%q, %v", line, err)
	}
	t.Log(line)
}

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	alone(t)
	g := open(t, loConfig(time.Minute, time.Minute))
	grant(t, g, 0)
	for name, do := range map[string]func() error{
		"turn":  g.Turn,
		"grant": func() error { return g.Grant(0) },
		"renew": func() error { return g.Renew(0) },
	} {
		if n := testing.AllocsPerRun(100, func() { _ = do() }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func TestReplacingTheTableNeverOpensAGap(t *testing.T) {
	alone(t)
	cfg := loConfig(time.Minute, time.Minute)
	vip := cfg.Groups[0].VIPs[0]
	g := open(t, cfg)
	fd, err := openSelf(vip)
	must(t, err)
	defer unix.Close(fd)
	stop, passed := make(chan struct{}), make(chan int)
	go func() {
		sent, buf := 0, make([]byte, 8)
		for n := 0; ; n++ {
			select {
			case <-stop:
				t.Logf("%d datagrams sent", n)
				passed <- sent
				return
			default:
				_, _ = unix.Write(fd, buf)
				if _, err := unix.Read(fd, buf); err == nil {
					sent++
				}
			}
		}
	}()
	for i := range 20 {
		next := cfg
		next.Groups = []Group{cfg.Groups[0]}
		switch i % 4 {
		case 0: // more addresses
			next.Groups[0].VIPs = append(vips4(500), vip)
		case 1: // another lease and transit
			next.Groups[0].Lease, next.Groups[0].Transit = time.Second, true
		case 2: // another group has the address
			next.Groups[0].ID = 3
		case 3: // another device
			next.Groups[0].Devices = []string{"lo", "nodev0"}
		}
		g.Detach()
		g = open(t, next)
		must(t, g.Restore())
		must(t, g.Verify())
	}
	close(stop)
	if n := <-passed; n > 0 {
		t.Errorf("%d datagrams passed a gate that was closed all the time", n)
	}
	must(t, g.Turn())
	must(t, g.Grant(0))
	if _, err := unix.Write(fd, []byte("x")); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
	if _, err := unix.Read(fd, make([]byte, 8)); err != nil {
		t.Errorf("an open gate lets nothing pass: the test proves nothing (%v)", err)
	}
}

func TestAFullGateLoads(t *testing.T) {
	alone(t)
	cfg := loConfig(time.Minute, time.Minute)
	cfg.Groups[0].VIPs = vips4(MaxVIPs)
	for id := range uint8(MaxGroups - 1) {
		a := netip.AddrFrom16([16]byte{0xfd, id, 15: 1})
		cfg.Groups = append(cfg.Groups, Group{ID: id + 1, VIPs: many(MaxVIPs, a), Devices: []string{"lo"}, Lease: time.Second})
	}
	begin := time.Now()
	g := open(t, cfg)
	t.Logf("%d addresses loaded in %v", MaxGroups*MaxVIPs, time.Since(begin))
	begin = time.Now()
	must(t, g.Restore())
	t.Logf("restored over itself in %v", time.Since(begin))
	grant(t, g, 7)
	have, err := readElements(g.nl, "twinbeat", setVIP6)
	must(t, err)
	if len(have) != (MaxGroups-1)*MaxVIPs {
		t.Errorf("%d IPv6 addresses in the kernel", len(have))
	}
}

// A try that failed for lateness must not lend its turn to the next one.
func TestASelfTestThatIsTriedAgainWaitsForItsTurnToEnd(t *testing.T) {
	alone(t)
	s, err := newSelfTest(t.Context())
	must(t, err)
	defer s.end()
	tried := 0
	must(t, s.tries(func() error {
		if tried++; tried == 1 { // as one that was late for its own lease
			return errors.Join(s.gate.Turn(), s.gate.Grant(0), errLost)
		}
		return s.run()
	}))
	if tried < 2 {
		t.Error("it was not tried again")
	}
}

// A lease that runs outlives an update, and addresses that come are gated by it
// at once; a group, a lease or a lone address that does not fit is refused.
func TestAnUpdateKeepsLeases(t *testing.T) {
	eachHook(t, func(t *testing.T, old bool) {
		alone(t)
		cfg := loConfig(time.Minute, time.Minute)
		cfg.old = old
		cfg.Groups = append(cfg.Groups, Group{ID: 1, VIPs: []netip.Addr{netip.MustParseAddr("127.9.9.8")}, Devices: []string{"lo"}, Lease: time.Minute})
		g := open(t, cfg)
		grant(t, g, 0)
		change := func(edit func(groups []Group) []Group) error {
			groups := append([]Group(nil), cfg.Groups...)
			return g.Update(edit(groups))
		}
		fresh := netip.MustParseAddr("127.9.9.10")
		must(t, change(func(groups []Group) []Group {
			groups[0].VIPs = []netip.Addr{fresh}
			return groups
		}))
		held(t, g, 0, true)
		held(t, g, 1, false)
		must(t, g.Verify())
		must(t, g.Renew(0))
		have, err := readElements(g.nl, cfg.Table, setVIP4)
		if err != nil || len(have) != 2 || !have[element{string(fresh.AsSlice()), groupChain(0)}] {
			t.Errorf("the gate guards %v, %v", have, err)
		}
		for name, edit := range map[string]func([]Group) []Group{
			"a group less":      func(groups []Group) []Group { return groups[:1] },
			"another lease":     func(groups []Group) []Group { groups[0].Lease = time.Second; return groups },
			"a group of no use": func(groups []Group) []Group { groups[0].VIPs = nil; return groups },
			"an unknown group":  func(groups []Group) []Group { groups[1].ID = 5; return groups },
		} {
			if err := change(edit); err == nil {
				t.Errorf("%s: not refused", name)
			}
		}
		held(t, g, 0, true)
		must(t, change(func(groups []Group) []Group { // both addresses change places
			groups[0].VIPs, groups[1].VIPs = groups[1].VIPs, []netip.Addr{fresh}
			return groups
		}))
		held(t, g, 0, false)
	})
}

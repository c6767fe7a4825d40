package snmp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/snmp"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

// passArg marks a start of the test binary as the program of snmpd's
// pass_persist: its arguments are the shape and a folder for the relays' state.
const passArg = "snmptest-pass-persist"

// startTime bounds the start of a daemon: snmpsim, written in Python, takes
// five seconds alone on a core.
const startTime = 60 * time.Second

func passPersist(shape, dir string) int {
	pdu := snmptest.New(snmptest.ShapeOf(shape), 8)
	pdu.OnPower = func(n int, on bool) {
		_ = os.WriteFile(filepath.Join(dir, strconv.Itoa(n)), []byte(strconv.FormatBool(on)), 0o600)
	}
	if err := snmptest.PassPersist(pdu, os.Stdin, os.Stdout); err != nil {
		return 1
	}
	return 0
}

// program finds a program of a package, or skips the test.
func program(t testing.TB, name, of string) string {
	t.Helper()
	for _, dir := range append([]string{"/usr/sbin", "/sbin"}, filepath.SplitList(os.Getenv("PATH"))...) {
		if bin := filepath.Join(dir, name); executable(bin) {
			return bin
		}
	}
	t.Skipf("%s of Debian's package %s is not installed", name, of)
	return ""
}

func executable(name string) bool {
	i, err := os.Stat(name)
	return err == nil && i.Mode()&0o111 != 0 && !i.IsDir()
}

// freePort is a UDP port of loopback that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// daemon starts a program, which the end of the test ends, or a call of stop.
func daemon(t testing.TB, env []string, argv ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s:\n%s", argv[0], out.String())
		}
	})
	return stop
}

// awaitAnswer waits until a device answers.
func awaitAnswer(t testing.TB, c snmp.Config) {
	t.Helper()
	c.Timeout = 500 * time.Millisecond
	u := unitOf(t, c)
	var err error
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err = u.Identify(ctx)
		cancel()
		if err == nil || errors.Is(err, fence.ErrNotSwitchable) {
			return
		}
	}
	t.Fatalf("no answer in %v: %v", startTime, err)
}

// users are the users of version 3 that the snmpd of the tests knows.
var users = []snmp.Config{
	{User: "plain"},
	{User: "md5", AuthProtocol: "md5", AuthPassword: "auth-pass-1"},
	{User: "sha", AuthProtocol: "sha", AuthPassword: "auth-pass-2"},
	{User: "md5des", AuthProtocol: "md5", AuthPassword: "auth-pass-3", PrivProtocol: "des", PrivPassword: "priv-pass-3"},
	{User: "shaaes", AuthProtocol: "sha", AuthPassword: "auth-pass-4", PrivProtocol: "aes", PrivPassword: "priv-pass-4"},
	{User: "sha224", AuthProtocol: "sha224", AuthPassword: "auth-pass-5", PrivProtocol: "aes", PrivPassword: "priv-pass-5"},
	{User: "sha256", AuthProtocol: "sha-256", AuthPassword: "auth-pass-6", PrivProtocol: "aes", PrivPassword: "priv-pass-6"},
	{User: "sha384", AuthProtocol: "sha384", AuthPassword: "auth-pass-7", PrivProtocol: "aes192", PrivPassword: "priv-pass-7"},
	{User: "sha512", AuthProtocol: "sha512", AuthPassword: "auth-pass-8", PrivProtocol: "aes256", PrivPassword: "priv-pass-8"},
}

// A realStrip is a PDU behind Debian's snmpd.
type realStrip struct {
	address string
	power   func(n int) bool // the truth of an outlet
	restart func()           // the daemon; its relays stay
}

// snmpd starts Debian's snmpd before a PDU of a shape.
func snmpd(t testing.TB, shape string) *realStrip {
	t.Helper()
	bin := program(t, "snmpd", "snmpd")
	dir := t.TempDir()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s := snmptest.ShapeOf(shape)
	var conf strings.Builder
	fmt.Fprintf(&conf, "rwcommunity private 127.0.0.1\nrocommunity public 127.0.0.1\nsysObjectID .%s\n", s.ObjectID)
	for _, u := range users {
		conf.WriteString("createUser " + u.User)
		level := "noauth"
		if u.AuthProtocol != "" {
			fmt.Fprintf(&conf, " %s %q", debianAuth(u.AuthProtocol), u.AuthPassword)
			level = "auth"
		}
		if u.PrivProtocol != "" {
			fmt.Fprintf(&conf, " %s %q", debianPriv(u.PrivProtocol), u.PrivPassword)
			level = "priv"
		}
		fmt.Fprintf(&conf, "\nrwuser %s %s\n", u.User, level)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&conf, "pass_persist %s %s %s %s %s\n", ".1.3.6.1.4.1", self, passArg, shape, dir)
	keep := filepath.Join(dir, "persistent") // where snmpd writes an snmpd.conf of its own
	if err := os.Mkdir(keep, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "snmpd.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() func() {
		stop := daemon(t, []string{"SNMP_PERSISTENT_DIR=" + keep, "SNMPCONFPATH=" + dir, "MIBS="},
			bin, "-f", "-C", "-c", file, "-Lo", "-I", "-smux,agentx", "udp:"+address)
		awaitAnswer(t, snmp.Config{Address: address, Version: "1", Community: "private"})
		return stop
	}
	stop := start()
	power := func(n int) bool {
		b, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(n)))
		return err != nil || string(b) == "true"
	}
	return &realStrip{address, power, func() {
		stop()
		stop = start()
	}}
}

func debianAuth(s string) string {
	s = strings.ToUpper(strings.ReplaceAll(s, "-", ""))
	if len(s) == len("SHA256") {
		return "SHA-" + s[3:]
	}
	return s
}

func debianPriv(s string) string {
	if s = strings.ToUpper(s); len(s) == len("AES256") {
		return "AES-" + s[3:]
	}
	return s
}

func TestDebiansSnmpdIsDrivenByEveryVersionAndUser(t *testing.T) {
	real := snmpd(t, "apc-rpdu")
	address, power := real.address, real.power
	configs := []snmp.Config{
		{Version: "1", Community: "private"}, {Version: "2c", Community: "private"}, {Community: "private"},
	}
	for _, c := range append(configs, users...) {
		c.Address, c.Timeout = address, 5*time.Second
		t.Run("v"+c.Version+c.User, func(t *testing.T) {
			o := outlet(t, unitOf(t, c), "2")
			proof, err := off(t.Context(), o, 20*time.Second)
			if err != nil || !proof.Proven || power(2) {
				t.Fatalf("proof %+v, err %v, power %v", proof, err, power(2))
			}
			if err := o.SwitchOn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOn || !power(2) {
				t.Errorf("reading %+v, err %v, power %v", r, err, power(2))
			}
		})
	}
	t.Run("read-only community", func(t *testing.T) {
		for _, version := range []string{"1", "2c"} {
			o := outlet(t, unitOf(t, snmp.Config{Address: address, Version: version, Community: "public"}), "2")
			if err := o.SwitchOff(t.Context()); !errors.Is(err, fence.ErrNotSwitchable) || !power(2) {
				t.Errorf("v%s: err %v, power %v", version, err, power(2))
			}
		}
	})
	t.Run("wrong secrets", func(t *testing.T) {
		for _, c := range []snmp.Config{
			{User: "nobody", AuthProtocol: "sha", AuthPassword: "auth-pass-4"},
			{User: "shaaes", AuthProtocol: "sha", AuthPassword: "auth-pass-x"},
			{User: "shaaes", AuthProtocol: "sha", AuthPassword: "auth-pass-4", PrivProtocol: "aes", PrivPassword: "priv-pass-x"},
			{User: "shaaes", AuthProtocol: "md5", AuthPassword: "auth-pass-4"},
			{User: "shaaes"},
		} {
			c.Address, c.Timeout = address, 300*time.Millisecond
			o := outlet(t, unitOf(t, c), "2")
			if err := o.SwitchOff(t.Context()); err == nil || !power(2) {
				t.Errorf("%+v: err %v, power %v", c, err, power(2))
			}
		}
	})
}

func TestARestartOfDebiansSnmpdIsGotOver(t *testing.T) {
	real := snmpd(t, "apc-rpdu")
	for _, c := range append([]snmp.Config{{Version: "1", Community: "private"}}, users[0], users[2], users[4], users[8]) {
		c.Address = real.address
		o := outlet(t, unitOf(t, c), "2")
		if _, err := o.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		real.restart() // counts its boots, so that the old time is out of the window
		proof, err := off(t.Context(), o, 20*time.Second)
		if err != nil || real.power(2) {
			t.Errorf("v%s %s: proof %+v, err %v, power %v", c.Version, c.User, proof, err, real.power(2))
		}
		if err := o.SwitchOn(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDebiansSnmpdWithEveryShapeBehindIt(t *testing.T) {
	program(t, "snmpd", "snmpd")
	for _, shape := range snmptest.Shapes {
		t.Run(shape.Name, func(t *testing.T) {
			real := snmpd(t, shape.Name)
			address, power := real.address, real.power
			u := unitOf(t, snmp.Config{Address: address, Version: "1", Community: "private"})
			if list, err := u.List(t.Context()); err != nil || len(list) != 8 {
				t.Fatalf("%d outlets, err %v", len(list), err)
			}
			proof, err := off(t.Context(), outlet(t, u, shape.Selector(3)), 10*time.Second)
			if err != nil || power(3) || !power(2) {
				t.Errorf("proof %+v, err %v, power %v %v", proof, err, power(3), power(2))
			}
		})
	}
}

// recordings is the folder of recordings of real strips, or skips the test.
func recordings(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TWINBEAT_RECORDINGS")
	if dir == "" {
		t.Skip("TWINBEAT_RECORDINGS names no folder with recordings (*.snmprec) of real strips")
	}
	return dir
}

// snmpsim starts the simulator with copies of all recordings, whose names are
// their communities. Objects of the old outlet table can be set.
func snmpsim(t testing.TB) (address string) {
	t.Helper()
	from := recordings(t)
	bin := program(t, "snmpsimd", "snmpsim")
	dir := t.TempDir()
	for _, name := range []string{"data", "cache"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		open(t, filepath.Join(dir, name))
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(from, "*.snmprec"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", from, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "data", filepath.Base(f)), writable(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	address = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	daemon(t, nil, bin, "--data-dir", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache"),
		"--variation-modules-dir=/usr/share/snmpsim/variation", "--process-user=nobody", "--process-group=nogroup",
		"--agent-udpv4-endpoint="+address)
	awaitAnswer(t, snmp.Config{Address: address, Version: "1", Community: "apc_ap7900b"})
	return address
}

// open lets everybody write to a folder.
func open(t testing.TB, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o777); err != nil { // snmpsim gives its rights up
		t.Fatal(err)
	}
}

// writable makes the rows of sPDUOutletCtl of a recording ones that can be set.
func writable(b []byte) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "1.3.6.1.4.1.318.1.1.4.4.2.1.3."); ok {
			if n, value, ok := strings.Cut(strings.TrimSpace(rest), "|2|"); ok {
				line = fmt.Sprintf("1.3.6.1.4.1.318.1.1.4.4.2.1.3.%s|2:writecache|value=%s\n", n, value)
			}
		}
		out.WriteString(line)
	}
	return out.Bytes()
}

func TestRecordingsOfRealStripsAreToldApart(t *testing.T) {
	address := snmpsim(t)
	for _, c := range []struct {
		name string
		want fence.Identity // no family: refused
	}{
		{"apc_ap7900_nut", fence.Identity{Family: "apc-rpdu", Model: "AP7900", Serial: "5A1234E00874", Outlets: 8}},
		{"apc_ap7900b", fence.Identity{Family: "apc-spdu", Model: "AP7900B", Serial: "ZA1732000177"}},
		{"apc_ap8959eu3", fence.Identity{Family: "apc-spdu", Model: "AP8959EU3", Serial: "5A1638E01463"}},
		{"eatonpdu_2", fence.Identity{Family: "eaton-epdu", Model: "EMA114-10", Serial: "H619P44058"}},
		{"apc_ap8853", fence.Identity{}},         // metered
		{"apc_metered-rack", fence.Identity{}},   // metered
		{"apc-epdu_epdu1116s", fence.Identity{}}, // metered
		{"apc_ats", fence.Identity{}},            // a transfer switch
		{"apc-cpdu", fence.Identity{}},           // a table that no family here has
		{"cyberpower", fence.Identity{}},         // what was recorded has no outlets
		{"raritan-pdu", fence.Identity{}},
		{"raritan-pdu_px2", fence.Identity{}},
		{"sentry3_switched", fence.Identity{}},
		{"sentry4_switched8i", fence.Identity{}},
	} {
		for _, version := range []string{"1", "2c"} {
			u := unitOf(t, snmp.Config{Address: address, Version: version, Community: c.name})
			id, err := u.Identify(t.Context())
			if c.want.Family == "" {
				if !errors.Is(err, fence.ErrNotSwitchable) {
					t.Errorf("%s v%s: identity %v, err %v", c.name, version, id, err)
				}
				continue
			}
			id.ObjectID, id.Firmware = "", ""
			if err != nil || id != c.want {
				t.Errorf("%s v%s: identity %+v, err %v, want %+v", c.name, version, id, err, c.want)
			}
		}
	}
}

func TestARecordedStripIsSwitchedByTheNameOfItsOutlet(t *testing.T) {
	address := snmpsim(t)
	u := unitOf(t, snmp.Config{Address: address, Version: "1", Community: "apc_ap7900b"})
	o := outlet(t, u, "Firewall 2 PSU 1")
	if _, err := off(t.Context(), o, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if r, err := outlet(t, u, "5").Read(t.Context()); err != nil || r.Power != fence.PowerOff {
		t.Errorf("reading %+v, err %v", r, err)
	}
	if r, err := outlet(t, u, "opnSense PSU").Read(t.Context()); err != nil || r.Power != fence.PowerOn {
		t.Errorf("reading %+v, err %v", r, err)
	}
	if err := o.SwitchOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := o.Read(t.Context()); err != nil || r.Power != fence.PowerOn {
		t.Errorf("reading %+v, err %v", r, err)
	}
	// The recorded AP7900 takes no order: its table cannot be set.
	stiff := outlet(t, unitOf(t, snmp.Config{Address: address, Version: "1", Community: "apc_ap7900_nut"}), "2")
	if proof, err := off(t.Context(), stiff, 3*time.Second); err == nil || proof.Proven {
		t.Errorf("proof %+v, err %v", proof, err)
	}
	list, err := unitOf(t, snmp.Config{Address: address, Version: "1", Community: "eatonpdu_2"}).List(t.Context())
	if err != nil || len(list) != 24 || list[0].Load != (fence.Load{Scope: "outlet", Value: 0.79, Unit: "A"}) {
		t.Errorf("%d outlets, err %v, the first %+v", len(list), err, list[:min(1, len(list))])
	}
}

// fenceAPC runs Debian's fence_apc_snmp against an address.
func fenceAPC(t testing.TB, address string, args ...string) (string, error) {
	t.Helper()
	bin := program(t, "fence_apc_snmp", "fence-agents")
	program(t, "snmpget", "snmp")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin, append([]string{"-a", host, "-u", port, "-c", "private", "-d", "1"}, args...)...).CombinedOutput()
	return string(out), err
}

// TestFenceAPCSnmpAgreesOnAHealthyStrip has both switch one outlet each, and
// each see what the other did.
func TestFenceAPCSnmpAgreesOnAHealthyStrip(t *testing.T) {
	program(t, "fence_apc_snmp", "fence-agents")
	real := snmpd(t, "apc-rpdu")
	address, power := real.address, real.power
	u := unitOf(t, snmp.Config{Address: address, Version: "1", Community: "private"})
	if out, err := fenceAPC(t, address, "-n", "3", "-o", "off"); err != nil || power(3) {
		t.Fatalf("fence_apc_snmp: %v, power %v\n%s", err, power(3), out)
	}
	if r, err := outlet(t, u, "3").Read(t.Context()); err != nil || r.Power != fence.PowerOff {
		t.Errorf("reading %+v, err %v", r, err)
	}
	if _, err := off(t.Context(), outlet(t, u, "4"), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if out, _ := fenceAPC(t, address, "-n", "4", "-o", "status"); !strings.Contains(out, "Status: OFF") {
		t.Errorf("fence_apc_snmp sees %q", out)
	}
}

// BenchmarkOffBesideFenceAPCSnmp measures off and proof of a healthy AP79xx
// from nothing learnt, against fence_apc_snmp's off: both find out what the
// strip is, give the order, and read it back. "ratio" is ours to theirs.
func BenchmarkOffBesideFenceAPCSnmp(b *testing.B) {
	program(b, "fence_apc_snmp", "fence-agents")
	real := snmpd(b, "apc-rpdu")
	address, power := real.address, real.power
	var ours, theirs time.Duration
	n := 0
	for b.Loop() {
		began := time.Now()
		if out, err := fenceAPC(b, address, "-n", "3", "-o", "off"); err != nil || power(3) {
			b.Fatalf("fence_apc_snmp: %v, power %v\n%s", err, power(3), out)
		}
		theirs += time.Since(began)
		began = time.Now()
		u, err := snmp.New(snmp.Config{Address: address, Version: "1", Community: "private"})
		if err != nil {
			b.Fatal(err)
		}
		o := outlet(b, u, "4")
		d, err := fence.New(o, fence.Timing{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Off(b.Context()); err != nil || power(4) {
			b.Fatalf("err %v, power %v", err, power(4))
		}
		ours += time.Since(began)
		n++
		for _, i := range []string{"3", "4"} {
			if err := outlet(b, u, i).SwitchOn(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		_ = u.Close()
	}
	b.ReportMetric(ours.Seconds()/float64(n)*1000, "ms-ours")
	b.ReportMetric(theirs.Seconds()/float64(n)*1000, "ms-theirs")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
}

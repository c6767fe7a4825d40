package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
)

// unit returns the Unit of a BMC with the password that it knows.
func unit(t *testing.T, address string, edit func(*Config)) *Unit {
	t.Helper()
	c := Config{Name: "bmc", Address: address, User: "admin", Password: "secret", Timeout: 2 * time.Second}
	if edit != nil {
		edit(&c)
	}
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func outlet(t *testing.T, u *Unit) fence.Switch {
	t.Helper()
	s, err := u.Outlet(Box)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read wants a power, or PowerUnknown and an error that contains all of want.
func read(t *testing.T, s fence.Switch, power fence.Power, want ...string) {
	t.Helper()
	r, err := s.Read(t.Context())
	if r.Power != power || (err != nil) != (power == fence.PowerUnknown) {
		t.Fatalf("read %+v, %v; want %v", r, err, power)
	}
	for _, w := range want {
		if !strings.Contains(fmt.Sprint(r.Raw, err), w) {
			t.Errorf("read %+v, %v; want %q in it", r, err, w)
		}
	}
}

func TestABoxIsSwitchedAndReadWithEitherSuite(t *testing.T) {
	for _, suites := range [][]int{{3}, {17}, {3, 17}} {
		b := startBMC(t)
		b.set(func(b *bmc) { b.suites = suites })
		s := outlet(t, unit(t, b.address(), nil))
		read(t, s, fence.PowerOn, "chassis status 21 10 40: on")
		if err := s.SwitchOff(t.Context()); err != nil || b.hasPower() {
			t.Fatalf("off: %v, power %v", err, b.hasPower())
		}
		read(t, s, fence.PowerOff, "chassis status 20 00 40: off")
		if err := s.SwitchOn(t.Context()); err != nil || !b.hasPower() {
			t.Fatalf("on: %v, power %v", err, b.hasPower())
		}
		noneOpen(t, b)
	}
}

func TestIpmitoolBelievesOurBMC(t *testing.T) {
	tool, err := exec.LookPath("ipmitool")
	if err != nil {
		t.Skip("ipmitool is not installed")
	}
	for _, suite := range []string{"3", "17"} {
		b := startBMC(t)
		_, port, _ := net.SplitHostPort(b.address())
		run := func(password string, args ...string) (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			args = append([]string{"-I", "lanplus", "-C", suite, "-H", "127.0.0.1", "-p", port, "-U", "admin", "-P", password}, args...)
			out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
			return string(out), err
		}
		if out, err := run("secret", "chassis", "power", "off"); err != nil || b.hasPower() {
			t.Errorf("suite %s: off: %v, %s", suite, err, out)
		}
		if out, err := run("secret", "chassis", "power", "status"); err != nil || !strings.Contains(out, "Power is off") {
			t.Errorf("suite %s: status: %v, %s", suite, err, out)
		}
		if out, err := run("wrong", "chassis", "power", "status"); err == nil {
			t.Errorf("suite %s: a wrong password: %s", suite, out)
		}
	}
}

func TestOffIsProvenThroughTheProver(t *testing.T) {
	b := startBMC(t)
	d, err := fence.New(outlet(t, unit(t, b.address(), nil)), fence.Timing{})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := d.Off(t.Context())
	if err != nil || !proof.Proven || b.hasPower() {
		t.Fatalf("proof %+v, %v", proof, err)
	}
	if !strings.Contains(proof.Evidence, "of the BMC, which shares the box's power") {
		t.Errorf("evidence %q", proof.Evidence)
	}
}

func TestABoxThatIsOffAlreadyIsProvenThoughItsBMCRefusesTheOrder(t *testing.T) {
	for _, on := range []bool{false, true} {
		b := startBMC(t)
		b.set(func(b *bmc) { b.on, b.answer = on, says(chassisControl, 0xd5, nil) })
		d, err := fence.New(outlet(t, unit(t, b.address(), nil)), fence.Timing{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		proof, err := d.Off(ctx)
		cancel()
		if proof.Proven == on || !strings.Contains(proof.Detail, "not possible in the present state") {
			t.Errorf("it is on: %v: proof %+v, err %v", on, proof, err)
		}
	}
}

func TestEveryRefusalIsSaidInWords(t *testing.T) {
	cases := []struct {
		name   string
		bmc    func(*bmc)
		config func(*Config)
		want   string
	}{
		{"password", nil, func(c *Config) { c.Password = "wrong" }, "user or password is wrong"},
		{"user", nil, func(c *Config) { c.User = "nobody" }, "user or password is wrong"},
		{"no session free", func(b *bmc) { b.refuse = 0x01 }, nil, "no room for another session"},
		{"suite", func(b *bmc) { b.suites = []int{3} }, func(c *Config) { c.CipherSuite = 17 }, "algorithm refused"},
		{"no suite at all", func(b *bmc) { b.suites = nil }, nil, "cipher suite 3: open session: authentication algorithm refused"},
		{"unknown status", func(b *bmc) { b.refuse = 0x77 }, nil, "RMCP+ status 0x77"},
		{"downgrade to no authentication", func(b *bmc) { b.algorithms = []byte{0, 0, 0} }, nil, "algorithms other than those of suite 17"},
		{"no encryption", func(b *bmc) { b.algorithms = []byte{3, 4, 0} }, nil, "algorithms other than those of suite 17"},
		{"only a user", func(b *bmc) { b.limit = 2 }, nil, "may not have this role"},
		{"firmware update", func(b *bmc) { b.answer = says(getChassisStatus, 0xd2, nil) }, nil, "completion code 0xd2: the BMC's firmware is being updated"},
		{"unknown code", func(b *bmc) { b.answer = says(getChassisStatus, 0x99, nil) }, nil, "completion code 0x99"},
		{"short status", func(b *bmc) { b.answer = says(getChassisStatus, 0, []byte{0x20}) }, nil, "has 1 bytes (20)"},
		{"no status", func(b *bmc) { b.answer = says(getChassisStatus, 0, []byte{}) }, nil, "has 0 bytes"},
		{"long status", func(b *bmc) { b.answer = says(getChassisStatus, 0, make([]byte, 200)) }, nil, "has 200 bytes"},
		{"always busy", func(b *bmc) { b.busy = 100 }, nil, "completion code 0xc0: the BMC is busy"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := startBMC(t)
			if c.bmc != nil {
				b.set(c.bmc)
			}
			read(t, outlet(t, unit(t, b.address(), c.config)), fence.PowerUnknown, c.want)
			if b.algorithms == nil {
				noneOpen(t, b)
			}
		})
	}
}

// says makes one command answer so.
func says(which command, code byte, data []byte) func(command, []byte) (byte, []byte) {
	return func(cmd command, _ []byte) (byte, []byte) {
		if cmd == which {
			return code, data
		}
		return 0, nil
	}
}

func TestABMCThatCannotBeSpokenToIsToldApart(t *testing.T) {
	for want, said := range map[string][]byte{
		"speaks no IPMI 2.0":              {1, 0x04, 0x04, 0x00, 0, 0, 0, 0},
		"the BMC wants a second key":      {1, 0x84, 0x24, 0x03, 0, 0, 0, 0},
		"chassis status 21 10 40: on":     {1, 0x84, 0x04, 0x03, 0, 0, 0, 0},
		"chassis status 21 10 40: on\x00": {}, // it tells nothing, and speaks all the same
	} {
		b := startBMC(t)
		b.set(func(b *bmc) {
			b.tamper = func(cmd command, _ []byte) [][]byte {
				if cmd == getAuthentication {
					return [][]byte{legacy(bmcAnswer(request(getAuthentication, 0, nil), 0, said))}
				}
				return nil
			}
		})
		power := fence.PowerUnknown
		if strings.HasPrefix(want, "chassis") {
			power = fence.PowerOn
		}
		read(t, outlet(t, unit(t, b.address(), nil)), power, strings.TrimSuffix(want, "\x00"))
	}
}

func TestFaultsAreShownAndChangeNothing(t *testing.T) {
	b := startBMC(t)
	s := outlet(t, unit(t, b.address(), nil))
	b.set(func(b *bmc) { b.answer = says(getChassisStatus, 0, []byte{0x18, 0, 0, 0}) })
	read(t, s, fence.PowerOff, "off, power fault, power control fault")
	b.set(func(b *bmc) { b.answer = says(getChassisStatus, 0, []byte{0x07, 0, 0}) })
	read(t, s, fence.PowerOn, "on, overload, interlock")
}

func TestAnOperatorIsEnough(t *testing.T) {
	b := startBMC(t)
	b.set(func(b *bmc) { b.limit = operator })
	s := outlet(t, unit(t, b.address(), nil))
	if err := s.SwitchOff(t.Context()); err != nil || b.hasPower() {
		t.Fatalf("off: %v", err)
	}
	// Some let an operator log in as administrator, and refuse the privilege.
	b.set(func(b *bmc) {
		b.limit = administrator
		b.answer = func(cmd command, data []byte) (byte, []byte) {
			if cmd == setPrivilege && data[0] == administrator {
				return 0x81, nil
			}
			return 0, nil
		}
	})
	read(t, s, fence.PowerOff)
	noneOpen(t, b)
}

func TestABusyBMCIsAskedAgain(t *testing.T) {
	b := startBMC(t)
	s := outlet(t, unit(t, b.address(), nil))
	b.set(func(b *bmc) { b.busy = busyTries - 1 })
	if err := s.SwitchOff(t.Context()); err != nil || b.hasPower() {
		t.Fatalf("off: %v", err)
	}
}

// A forged answer must never be a reading: what is not sealed with the keys of
// the session is passed over, and the true answer is waited for.
func TestForgedAnswersAreNoReadings(t *testing.T) {
	off := []byte{0x20, 0, 0}
	forgeries := map[string]func(truth []byte) []byte{
		"IPMI 1.5, unauthenticated": func([]byte) []byte {
			return legacy(bmcAnswer(request(getChassisStatus, 2, nil), 0, off))
		},
		"RMCP+ outside of a session": func([]byte) []byte {
			return outside(payloadIPMI, bmcAnswer(request(getChassisStatus, 2, nil), 0, off))
		},
		"plain text in the session": func(truth []byte) []byte {
			p := outside(payloadIPMI, bmcAnswer(request(getChassisStatus, 2, nil), 0, off))
			copy(p[6:10], truth[6:10])
			return p
		},
		"one bit of the iv": func(truth []byte) []byte { // flips the same bit of the first block
			p := append([]byte(nil), truth...)
			p[rmcpSize+headerSize+7] ^= 1
			return p
		},
		"no authentication code": func(truth []byte) []byte { return truth[:len(truth)-16] },
		"encrypted and too short": func(truth []byte) []byte {
			p := append([]byte(nil), truth[:rmcpSize+headerSize+4]...)
			p[rmcpSize+10], p[rmcpSize+11] = 4, 0
			return p
		},
		"length beyond the end": func(truth []byte) []byte {
			p := append([]byte(nil), truth...)
			p[rmcpSize+10], p[rmcpSize+11] = 0xff, 0xff
			return p
		},
		"empty":     func([]byte) []byte { return nil },
		"one byte":  func([]byte) []byte { return []byte{6} },
		"ASF pong":  func([]byte) []byte { return []byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, 0, 0, 0} },
		"all zeros": func([]byte) []byte { return make([]byte, 60) },
	}
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			b := startBMC(t)
			s := outlet(t, unit(t, b.address(), nil))
			b.set(func(b *bmc) {
				b.tamper = func(cmd command, p []byte) [][]byte {
					if cmd == getChassisStatus {
						return [][]byte{forge(p), p}
					}
					return nil
				}
			})
			read(t, s, fence.PowerOn)
			b.set(func(b *bmc) {
				b.tamper = func(cmd command, p []byte) [][]byte {
					if cmd == getChassisStatus {
						return [][]byte{forge(p)}
					}
					return nil
				}
			})
			read(t, outlet(t, unit(t, b.address(), func(c *Config) { c.Timeout = 300 * time.Millisecond })), fence.PowerUnknown, "no answer within")
		})
	}
}

func TestARecordedAnswerIsNoReading(t *testing.T) {
	b := startBMC(t)
	s := outlet(t, unit(t, b.address(), func(c *Config) { c.Timeout = 400 * time.Millisecond }))
	var recorded []byte
	b.set(func(b *bmc) {
		b.on = false
		b.tamper = func(cmd command, p []byte) [][]byte {
			if cmd == getChassisStatus {
				recorded = append([]byte(nil), p...)
			}
			return nil
		}
	})
	read(t, s, fence.PowerOff)
	b.set(func(b *bmc) {
		b.on = true
		b.tamper = func(cmd command, p []byte) [][]byte {
			if cmd == getChassisStatus {
				return [][]byte{recorded}
			}
			return nil
		}
	})
	read(t, s, fence.PowerUnknown, "no answer within")
}

func TestLostAnswersAreAskedForAgain(t *testing.T) {
	for _, lost := range []command{getAuthentication, {0xff, payloadOpenRequest}, {0xff, payloadRAKP1}, getChassisStatus, setPrivilege} {
		b := startBMC(t)
		once := true
		b.set(func(b *bmc) {
			b.tamper = func(cmd command, _ []byte) [][]byte {
				if cmd == lost && once {
					once = false
					return [][]byte{}
				}
				return nil
			}
		})
		began := time.Now()
		read(t, outlet(t, unit(t, b.address(), nil)), fence.PowerOn)
		if took := time.Since(began); took < Resend || took > 2*Resend {
			t.Errorf("%v lost: took %v, want a little more than %v", lost, took, Resend)
		}
	}
}

func TestASilentBMCIsAnErrorInTime(t *testing.T) {
	silent, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	began := time.Now()
	s := outlet(t, unit(t, silent.LocalAddr().String(), func(c *Config) { c.Timeout = 300 * time.Millisecond }))
	read(t, s, fence.PowerUnknown, "look for the BMC: no answer within 300ms")
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
	// The context ends an operation at once, whatever the timeout.
	s = outlet(t, unit(t, silent.LocalAddr().String(), func(c *Config) { c.Timeout = time.Minute }))
	ctx, cancel := context.WithCancel(t.Context())
	began = time.Now()
	time.AfterFunc(100*time.Millisecond, cancel)
	if r, err := s.Read(ctx); r.Power != fence.PowerUnknown || !errors.Is(err, context.Canceled) {
		t.Errorf("read %+v, %v", r, err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v after the context ended", took)
	}
}

func TestAPortWhereNobodyListensIsAnError(t *testing.T) {
	gone, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	address := gone.LocalAddr().String()
	_ = gone.Close()
	s := outlet(t, unit(t, address, func(c *Config) { c.Timeout = 300 * time.Millisecond }))
	read(t, s, fence.PowerUnknown, "connection refused")
}

func TestABMCThatRestartsInMidSessionIsAnError(t *testing.T) {
	b := startBMC(t)
	b.set(func(b *bmc) {
		b.tamper = func(cmd command, _ []byte) [][]byte {
			if cmd == setPrivilege {
				clear(b.sessions) // it has forgotten us
			}
			return nil
		}
	})
	s := outlet(t, unit(t, b.address(), func(c *Config) { c.Timeout = 300 * time.Millisecond }))
	read(t, s, fence.PowerUnknown, "no answer within")
	b.set(func(b *bmc) { b.tamper = nil })
	read(t, s, fence.PowerOn)
}

func TestASessionIsClosedWhenTheContextEndsInIt(t *testing.T) {
	b := startBMC(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.set(func(b *bmc) {
		b.tamper = func(cmd command, _ []byte) [][]byte {
			if cmd == getChassisStatus {
				cancel()
				return [][]byte{}
			}
			return nil
		}
	})
	if r, err := outlet(t, unit(t, b.address(), nil)).Read(ctx); r.Power != fence.PowerUnknown || !errors.Is(err, context.Canceled) {
		t.Errorf("read %+v, %v", r, err)
	}
	noneOpen(t, b)
}

// noneOpen waits until the BMC has no session: some farewells are not answered.
func noneOpen(t *testing.T, b *bmc) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); b.open() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d sessions are left open", b.open())
		}
	}
}

func TestOneOperationAtATime(t *testing.T) {
	b := startBMC(t)
	b.set(func(b *bmc) {
		b.tamper = func(command, []byte) [][]byte {
			if len(b.sessions) > 1 {
				b.refuse = 0x01
			}
			return nil
		}
	})
	u := unit(t, b.address(), nil)
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := outlet(t, u).Read(t.Context())
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	// One that waits for another obeys its context.
	u.busy <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := outlet(t, u).Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read beside another: %v", err)
	}
}

func TestIdentityIsOfDeviceAndInventory(t *testing.T) {
	b := startBMC(t)
	u := unit(t, b.address(), nil)
	id, err := u.Identify(t.Context())
	if want := (fence.Identity{Family: "ipmi", Model: "maker 674 product 256", Firmware: "2.57", Outlets: 1}); err != nil || id != want {
		t.Errorf("without an inventory: %+v, %v", id, err)
	}
	b.set(func(b *bmc) { b.fru = fruOf("Dell Inc.", "PowerEdge R210", "7XK2Z4J") })
	id, err = outlet(t, u).(fence.Identifier).Identify(t.Context())
	want := fence.Identity{Family: "ipmi", Model: "Dell Inc. PowerEdge R210", Serial: "7XK2Z4J", Firmware: "2.57", Outlets: 1, Outlet: "1"}
	if err != nil || id != want {
		t.Errorf("with one: %+v, %v", id, err)
	}
	b.set(func(b *bmc) { b.fru = fruOf("", "", "") })
	id, err = u.Identify(t.Context())
	if err != nil || id.Serial != "B-" || id.Model != "Board Maker Board" {
		t.Errorf("with a board alone: %+v, %v", id, err)
	}
	// Silence in the middle is no identity: half of one looks like another box.
	b.set(func(b *bmc) {
		b.tamper = func(cmd command, _ []byte) [][]byte {
			if cmd == readFRU {
				return [][]byte{}
			}
			return nil
		}
	})
	u = unit(t, b.address(), func(c *Config) { c.Timeout = 300 * time.Millisecond })
	if id, err := u.Identify(t.Context()); err == nil || id != (fence.Identity{}) {
		t.Errorf("in silence: %+v, %v", id, err)
	}
}

func TestABMCHasOneOutlet(t *testing.T) {
	u := unit(t, "127.0.0.1", nil)
	for _, selector := range []string{"2", "fw1", "1,1"} {
		if s, err := u.Outlet(selector); err == nil {
			t.Errorf("outlet %q is %v", selector, s.Name())
		}
	}
	s, err := u.Outlet("")
	if err != nil || s.Name() != "bmc:1" {
		t.Errorf("%v, %v", s, err)
	}
	b := startBMC(t)
	all, err := unit(t, b.address(), nil).List(t.Context())
	if err != nil || len(all) != 1 || all[0].Power != fence.PowerOn || all[0].Index != "1" {
		t.Errorf("list %+v, %v", all, err)
	}
}

func TestNewRefusesWhatCouldNotWork(t *testing.T) {
	ok := Config{Address: "bmc.example", User: "u", Password: "p"}
	u, err := New(ok)
	if err != nil || u.config.Address != "bmc.example:623" || u.config.Name != "bmc.example" {
		t.Fatalf("%+v, %v", u, err)
	}
	for address, want := range map[string]string{"[::1]": "[::1]:623", "::1": "[::1]:623", "10.0.0.1:1623": "10.0.0.1:1623"} {
		if got, err := withPort(address); err != nil || got != want {
			t.Errorf("address %q is %q, %v; want %q", address, got, err, want)
		}
	}
	bad := map[string]func(*Config){
		"has no host":                      func(c *Config) { c.Address = "" },
		"no host":                          func(c *Config) { c.Address = ":623" },
		"it has no user":                   func(c *Config) { c.User = "" },
		"it has no password":               func(c *Config) { c.Password = "" },
		"user is longer than 16 bytes":     func(c *Config) { c.User = strings.Repeat("u", 17) },
		"password is longer than 20 bytes": func(c *Config) { c.Password = strings.Repeat("p", 21) },
		"zero byte":                        func(c *Config) { c.Password = "a\x00b" },
		"cipher suite 1 is neither":        func(c *Config) { c.CipherSuite = 1 },
		"is negative":                      func(c *Config) { c.Timeout = -1 },
	}
	for want, edit := range bad {
		c := ok
		edit(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

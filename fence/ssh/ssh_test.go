package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"golang.org/x/crypto/ssh"
)

func config(s *server) Config {
	return Config{Name: "box", Address: s.addr, User: "root", Password: "calvin", HostKey: pinOf(s.key), Timeout: 5 * time.Second}
}

func racadm(t *testing.T, s *server, edit func(*Config)) fence.Switch {
	t.Helper()
	return outlet(t, NewRacadm, s, "", edit)
}

func poweroff(t *testing.T, s *server, edit func(*Config)) fence.Switch {
	t.Helper()
	return outlet(t, New, s, "1", edit)
}

func outlet[U fence.Unit](t *testing.T, open func(Config) (U, error), s *server, selector string, edit func(*Config)) fence.Switch {
	t.Helper()
	c := config(s)
	if edit != nil {
		edit(&c)
	}
	u, err := open(c)
	if err != nil {
		t.Fatal(err)
	}
	sw, err := u.Outlet(selector)
	if err != nil {
		t.Fatal(err)
	}
	return sw
}

// read wants a power, or PowerUnknown and an error with want in it.
func read(t *testing.T, s fence.Switch, power fence.Power, want string) {
	t.Helper()
	r, err := s.Read(t.Context())
	if r.Power != power || (err != nil) != (power == fence.PowerUnknown) || !strings.Contains(fmt.Sprint(r.Raw, err), want) {
		t.Fatalf("read %+v, %v; want %v with %q", r, err, power, want)
	}
}

func TestADRACIsSwitchedAndReadWhateverItsShell(t *testing.T) {
	quirks := map[string]func(*server, *ssh.ServerConfig){
		"runs single commands":     nil,
		"exit codes mean nothing":  func(s *server, _ *ssh.ServerConfig) { s.code = 7 },
		"DRAC 5, in a shell":       func(s *server, _ *ssh.ServerConfig) { s.noExec = true },
		"DRAC/MC":                  func(s *server, _ *ssh.ServerConfig) { s.noExec, s.prompt = true, "DRAC/MC:" },
		"iDRAC 6":                  func(s *server, _ *ssh.ServerConfig) { s.noExec, s.prompt = true, "/admin1->" },
		"no terminal":              func(s *server, _ *ssh.ServerConfig) { s.noExec, s.noTTY = true, true },
		"no echo":                  func(s *server, _ *ssh.ServerConfig) { s.noExec, s.mute = true, true },
		"one Enter counts for two": func(s *server, _ *ssh.ServerConfig) { s.noExec, s.twice = true, true },
		"byte by byte":             func(s *server, _ *ssh.ServerConfig) { s.noExec, s.slow = true, true },
		"a prompt in its banner":   func(s *server, _ *ssh.ServerConfig) { s.noExec, s.banner = true, "cost: 5 $\r\nuse ->\r\n" },
		"no banner":                func(s *server, _ *ssh.ServerConfig) { s.noExec, s.banner = true, "" },
		"asks instead of a password": func(_ *server, c *ssh.ServerConfig) {
			c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				if got, err := ask("", "", []string{"Password: "}, []bool{false}); err != nil || got[0] != "calvin" {
					return nil, io.EOF
				}
				return nil, nil
			}
			c.PasswordCallback = nil
		},
	}
	for name, edit := range quirks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, edit)
			d := racadm(t, s, nil)
			read(t, d, fence.PowerOn, "Server power status: ON")
			if err := d.SwitchOff(t.Context()); err != nil || s.hasPower() {
				t.Fatalf("off: %v, power %v", err, s.hasPower())
			}
			read(t, d, fence.PowerOff, "Server power status: OFF")
			if err := d.SwitchOn(t.Context()); err != nil || !s.hasPower() {
				t.Fatalf("on: %v, power %v", err, s.hasPower())
			}
			if got, want := s.commands(), strings.Join([]string{racStatus, racPowerDown, racStatus, racPowerUp}, ";"); got != want {
				t.Errorf("given %s, want %s", got, want)
			}
		})
	}
}

func TestOnlyTheExactStatusIsAPower(t *testing.T) {
	for text, want := range map[string]fence.Power{
		"Server power status: OFF\r\n":        fence.PowerOff,
		"\r\nServer power status: ON\r\n\r\n": fence.PowerOn,
		"Server power status: Powering OFF":   fence.PowerOn,
		"Server power status: Powering ON":    fence.PowerOn,
		"":                                    fence.PowerUnknown,
		"OFF":                                 fence.PowerUnknown, // fence_drac5 takes these three for off
		"ERROR: something: OFF":               fence.PowerUnknown,
		"Chassis: OFF":                        fence.PowerUnknown,
		"Server power status: off":            fence.PowerUnknown,
		"Server power status: OFFLINE":        fence.PowerUnknown,
		"Server power status: OFF\r\nServer power status: ON":     fence.PowerUnknown,
		"ERROR: Unable to perform\r\nServer power status: OFF":    fence.PowerUnknown,
		strings.Repeat("x", 20000) + "\nServer power status: OFF": fence.PowerUnknown,
	} {
		s := startServer(t, func(s *server, _ *ssh.ServerConfig) { s.says = map[string]string{racStatus: text} })
		if r, err := racadm(t, s, nil).Read(t.Context()); r.Power != want || (err != nil) != (want == fence.PowerUnknown) {
			t.Errorf("%.60q is %+v, %v; want %v", text, r, err, want)
		}
	}
}

func TestARefusalOfADRACIsAnError(t *testing.T) {
	for text, good := range map[string]bool{
		"Server power operation successful\r\n":  true,
		"Server is already powered OFF.\r\n":     true,
		"ERROR: Insufficient user privilege\r\n": false,
		"ERROR: no operation successful\r\n":     false,
		"":                                       false,
	} {
		s := startServer(t, func(s *server, _ *ssh.ServerConfig) { s.says = map[string]string{racPowerDown: text} })
		if err := racadm(t, s, nil).SwitchOff(t.Context()); (err == nil) != good {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestADRACSaysWhichBoxItIsIn(t *testing.T) {
	s := startServer(t, nil)
	id, err := racadm(t, s, nil).(fence.Identifier).Identify(t.Context())
	want := fence.Identity{Family: "racadm", Model: "PowerEdge 2950", Serial: "7XK2Z4J", Firmware: "1.60", Outlets: 1, Outlet: "1"}
	if err != nil || id != want {
		t.Errorf("identity %+v, %v", id, err)
	}
	s.set(func(s *server) { s.says = map[string]string{racSysInfo: "ERROR: busy\r\n"} })
	if id, err := racadm(t, s, nil).(fence.Identifier).Identify(t.Context()); err == nil || id != (fence.Identity{}) {
		t.Errorf("identity %+v, %v", id, err)
	}
}

func TestOnlyTheGivenHostKeyIsBelieved(t *testing.T) {
	s := startServer(t, nil)
	other := ed25519Key(t)
	fingerprint := ssh.FingerprintSHA256(s.key.PublicKey())
	for _, pin := range []string{
		pinOf(s.key), fingerprint, "# a comment\n\n" + fingerprint, pinOf(other) + pinOf(s.key),
		"192.0.2.1,box " + pinOf(s.key), "|1|hash=|salt= " + pinOf(s.key),
	} {
		read(t, racadm(t, s, func(c *Config) { c.HostKey = pin }), fence.PowerOn, "")
	}
	for _, pin := range []string{pinOf(other), ssh.FingerprintSHA256(other.PublicKey())} {
		d := racadm(t, s, func(c *Config) { c.HostKey = pin })
		before := s.commands()
		read(t, d, fence.PowerUnknown, "and not the one that was given")
		if err := d.SwitchOff(t.Context()); err == nil || s.commands() != before {
			t.Errorf("off at a foreign host: %v", err)
		}
	}
	for _, pin := range []string{"", "\n# none\n", "SHA256:abc", "MD5:00:11", "ssh-ed25519 AAAA", "@revoked * " + pinOf(s.key), "@cert-authority * " + pinOf(s.key)} {
		c := config(s)
		c.HostKey = pin
		if _, err := NewRacadm(c); err == nil {
			t.Errorf("host key %q is taken", pin)
		}
	}
}

func TestOldAlgorithmsAreUsedOnlyWhenAskedFor(t *testing.T) {
	bad := ssh.InsecureAlgorithms()
	for name, edit := range map[string]func(*ssh.ServerConfig){
		"group 1": func(c *ssh.ServerConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1} },
		"3des":    func(c *ssh.ServerConfig) { c.Ciphers = []string{ssh.InsecureCipherTripleDESCBC} },
		"all": func(c *ssh.ServerConfig) {
			c.KeyExchanges, c.Ciphers, c.MACs = []string{ssh.InsecureKeyExchangeDH1SHA1}, []string{ssh.InsecureCipherAES128CBC}, bad.MACs
		},
	} {
		s := startServer(t, func(_ *server, c *ssh.ServerConfig) { edit(c) })
		read(t, racadm(t, s, func(c *Config) { c.Legacy = true }), fence.PowerOn, "")
		read(t, racadm(t, s, nil), fence.PowerUnknown, "no common algorithm")
		if name == "all" && s.accepted != 1 {
			t.Errorf("%d logins", s.accepted)
		}
	}
	// A key that signs with SHA-1 alone.
	s := startServer(t, func(s *server, _ *ssh.ServerConfig) {
		old, err := ssh.NewSignerWithAlgorithms(serverKey(t, rsaKey(t)).(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
		if err != nil {
			t.Fatal(err)
		}
		s.key = old
	})
	read(t, racadm(t, s, func(c *Config) { c.Legacy = true }), fence.PowerOn, "")
	read(t, racadm(t, s, nil), fence.PowerUnknown, "no common algorithm")
}

func TestOffBySSHIsNeverProven(t *testing.T) {
	for name, edit := range map[string]func(*server, *ssh.ServerConfig){
		"obeys": nil, "obeys and is gone": func(s *server, _ *ssh.ServerConfig) { s.cut = true },
	} {
		s := startServer(t, edit)
		sw := poweroff(t, s, nil)
		if g := sw.(fence.Grader).BestGrade(); g != fence.GradeWeak {
			t.Fatalf("best grade %v", g)
		}
		device, err := fence.New(sw, fence.Timing{})
		if err != nil {
			t.Fatal(err)
		}
		proof, err := device.Off(t.Context())
		if proof.Proven || !errors.Is(err, fence.ErrUnproven) || proof.Grade > fence.GradeWeak || s.hasPower() {
			t.Errorf("%s: proof %+v, %v, power %v", name, proof, err, s.hasPower())
		}
	}
}

func TestABoxThatAnswersIsOnAndNoneReadsOff(t *testing.T) {
	s := startServer(t, nil)
	sw := poweroff(t, s, nil)
	read(t, sw, fence.PowerOn, "it answers by ssh")
	s.set(func(s *server) { s.on = false }) // the relay does not matter: it answers
	read(t, sw, fence.PowerOn, "it answers by ssh")
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := gone.Addr().String()
	_ = gone.Close()
	read(t, poweroff(t, s, func(c *Config) { c.Address = address }), fence.PowerUnknown, "connection refused")
	read(t, poweroff(t, s, func(c *Config) { c.Password = "wrong" }), fence.PowerUnknown, "unable to authenticate")
	if err := sw.SwitchOn(t.Context()); err == nil {
		t.Error("it can be switched on")
	}
	if err := poweroff(t, s, func(c *Config) { c.Command = "false" }).SwitchOff(t.Context()); err != nil {
		t.Error(err)
	}
	s.set(func(s *server) { s.code = 1 })
	if err := sw.SwitchOff(t.Context()); err == nil || !strings.Contains(err.Error(), "poweroff -f: Process exited with status 1") {
		t.Errorf("a command that fails: %v", err)
	}
	id, err := sw.(fence.Identifier).Identify(t.Context())
	if err != nil || id.Family != "ssh" || id.Firmware != "SSH-2.0-Go" {
		t.Errorf("identity %+v, %v", id, err)
	}
}

func TestSilenceEndsInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	s := startServer(t, func(s *server, _ *ssh.ServerConfig) { s.hang = true })
	shell := startServer(t, func(s *server, _ *ssh.ServerConfig) { s.noExec, s.prompt = true, "no prompt" })
	for name, address := range map[string]string{"no handshake": silent.Addr().String(), "no end": s.addr, "no prompt": shell.addr} {
		d := racadm(t, s, func(c *Config) {
			c.Address, c.Timeout = address, time.Second
			c.HostKey += pinOf(shell.key)
		})
		began := time.Now()
		read(t, d, fence.PowerUnknown, context.DeadlineExceeded.Error())
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	d := racadm(t, s, func(c *Config) { c.Timeout = time.Minute })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	began := time.Now()
	if r, err := d.Read(ctx); r.Power != fence.PowerUnknown || !errors.Is(err, context.Canceled) || time.Since(began) > 3*time.Second {
		t.Errorf("read %+v, %v after %v", r, err, time.Since(began))
	}
}

func TestNewRefusesWhatCouldNotWork(t *testing.T) {
	s := startServer(t, nil)
	for want, edit := range map[string]func(*Config){
		"no address":                    func(c *Config) { c.Address = "" },
		"no user":                       func(c *Config) { c.User = "" },
		"neither password nor identity": func(c *Config) { c.Password = "" },
		"negative":                      func(c *Config) { c.Timeout = -1 },
		"identity":                      func(c *Config) { c.Identity = []byte("no key") },
		"none is learned":               func(c *Config) { c.HostKey = "" },
	} {
		c := config(s)
		edit(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	c := config(s)
	c.Command = "reboot"
	if _, err := NewRacadm(c); err == nil {
		t.Error("a DRAC takes a command")
	}
	c = config(s)
	c.Address = "fd00::1"
	n, err := New(c)
	if err != nil || n.host.config.Address != "[fd00::1]:22" {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := n.Outlet("2"); err == nil {
		t.Error("it has a second outlet")
	}
}

// startSSHD runs OpenSSH's server on loopback for this user, and returns a
// Config for it.
func startSSHD(t *testing.T) Config {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Skip("sshd (package openssh-server) is not installed")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Mkdir("/run/sshd", 0o755) // where sshd of Debian shuts itself in; it is made at boot
	dir := t.TempDir()
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, hostKey, _ := ed25519.GenerateKey(rand.Reader)
	_, mine, _ := ed25519.GenerateKey(rand.Reader)
	write("host", pemOf(t, hostKey))
	write("authorized", []byte(pinOf(serverKey(t, mine))))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(address)
	write("config", []byte(fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\n"+
		"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n", port, dir, dir)))
	cmd := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "config"))
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", out.String())
		}
	})
	for range 100 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return Config{
		Name: "box", Address: address, User: me.Username, Identity: pemOf(t, mine),
		HostKey: pinOf(serverKey(t, hostKey)), Timeout: 10 * time.Second,
	}
}

func TestARealOpenSSHIsToldToSwitchOff(t *testing.T) {
	c := startSSHD(t)
	mark := filepath.Join(t.TempDir(), "off")
	c.Command = "touch " + mark // in place of poweroff
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	sw, err := n.Outlet("1")
	if err != nil {
		t.Fatal(err)
	}
	read(t, sw, fence.PowerOn, "it answers by ssh")
	if err := sw.SwitchOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("the command did not run: %v", err)
	}
	id, err := n.Identify(t.Context())
	if err != nil || !strings.HasPrefix(id.Firmware, "SSH-2.0-OpenSSH") {
		t.Errorf("identity %+v, %v", id, err)
	}
	// A command that takes the connection with it, as a poweroff does.
	c.Command = "kill -9 $PPID"
	if n, err = New(c); err != nil {
		t.Fatal(err)
	}
	if sw, err = n.Outlet("1"); err != nil {
		t.Fatal(err)
	}
	if err := sw.SwitchOff(t.Context()); err != nil {
		t.Errorf("a connection that ends with the command: %v", err)
	}
}

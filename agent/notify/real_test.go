package notify_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify"
	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/fence/http"
	"github.com/twinbeat/twinbeat/fence/snmp"
	"github.com/twinbeat/twinbeat/tests/lab"
)

var office = alert.Pair{Cluster: "office", Node: "fw1", Groups: []string{"gateway"}}

// takeover is an alert with everything in it.
func takeover() *alert.Alert {
	a := alert.Of(report.Event{
		Seq: 4711, At: time.Now(), Kind: "role", Group: "gateway", From: "ARMED", To: "ACTIVE", Term: 7, Evidence: "silence",
		Seen: "fw2 silent for 400 ms", Decided: "take the group", Done: "3 addresses, Lüfter",
	}, office)
	return &a
}

// program finds a program of a Debian package, or skips the test.
func program(t *testing.T, name, of string) string {
	t.Helper()
	for _, dir := range append([]string{"/usr/sbin", "/sbin"}, filepath.SplitList(os.Getenv("PATH"))...) {
		bin := filepath.Join(dir, name)
		if i, err := os.Stat(bin); err == nil && i.Mode()&0o111 != 0 && !i.IsDir() {
			return bin
		}
	}
	t.Skipf("%s of Debian's package %s is not installed", name, of)
	return ""
}

// freePort is a port of loopback that nobody listens on, neither by UDP nor by TCP.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		u, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// A daemon is a real program that runs during a test.
type daemon struct {
	t    *testing.T
	said string // file of its output
}

// run starts a program; it is killed at the end of the test.
func run(t *testing.T, env []string, argv ...string) *daemon {
	t.Helper()
	d := &daemon{t, filepath.Join(t.TempDir(), "said")}
	out, err := os.Create(d.said)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(argv[0], argv[1:]...)
	c.Env = append(os.Environ(), env...)
	c.Stdout, c.Stderr = out, out
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
		out.Close()
	})
	return d
}

// startTime bounds the start of a daemon, and the way of an alert, on a busy machine.
const startTime = 60 * time.Second

// await waits until a file holds all texts, and returns it.
func await(t *testing.T, path string, texts ...string) string {
	t.Helper()
	var b []byte
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		b, _ = os.ReadFile(path)
		all := true
		for _, s := range texts {
			all = all && bytes.Contains(b, []byte(s))
		}
		if all {
			return string(b)
		}
	}
	t.Fatalf("%q never came; there is:\n%s", texts, b)
	return ""
}

func TestSyslogWithRsyslogd(t *testing.T) {
	bin := program(t, "rsyslogd", "rsyslog")
	dir, port := t.TempDir(), freePort(t)
	log, socket := filepath.Join(dir, "log"), filepath.Join(dir, "dev-log")
	conf := fmt.Sprintf(`module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imtcp")
input(type="imuxsock" Socket=%q)
input(type="imudp" address="127.0.0.1" port=%q)
input(type="imtcp" address="127.0.0.1" port=%q)
template(name="all" type="string" string="%%inputname%%|%%pri%%|%%protocol-version%%|%%hostname%%|%%app-name%%|%%msgid%%|%%msg%%\n")
action(type="omfile" file=%q template="all" flushOnTXEnd="on" asyncWriting="off")
`, socket, port, port, log)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, bin, "-n", "-f", filepath.Join(dir, "conf"), "-i", filepath.Join(dir, "pid"))
	awaitDial(t, "tcp", "127.0.0.1:"+port)
	awaitDial(t, "unixgram", socket)
	for _, tt := range []struct {
		sender       notify.Syslog
		answer, want string
	}{
		{notify.Syslog{Address: "127.0.0.1:" + port, Transport: "udp", Facility: "local3"}, "by UDP nobody says", "imudp|154|1|fw1|twinbeat|role|\ufeffoffice fw1: group gateway: ARMED -> ACTIVE; seen: fw2 silent for 400 ms; decided: take the group; done: 3 addresses, Lüfter; evidence: silence; term: 7\n"},
		{notify.Syslog{Address: "127.0.0.1:" + port, Transport: "tcp", Facility: "daemon"}, "took it and closed", "imtcp|26|1|fw1|twinbeat|role|\ufeffoffice fw1: group gateway: ARMED -> ACTIVE;"},
		{notify.Syslog{Address: socket, Facility: "daemon"}, "the local daemon took it", "|twinbeat|-| office fw1: group gateway: ARMED -> ACTIVE; seen: fw2 silent"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		answer, err := tt.sender.Send(ctx, takeover())
		cancel()
		if err != nil || !strings.Contains(answer, tt.answer) {
			t.Errorf("%s %s: %q, %v", tt.sender.Transport, tt.sender.Address, answer, err)
		}
		await(t, log, tt.want)
	}
}

// awaitDial waits until somebody listens.
func awaitDial(t *testing.T, network, address string) {
	t.Helper()
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial(network, address); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nobody listens on %s", address)
}

func TestSyslogOverTLSIsCheckedAndCounted(t *testing.T) {
	cert, key, ca := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			c.Close()
			got <- string(b)
		}
	}()
	s := notify.Syslog{Address: l.Addr().String(), Transport: "tls", Facility: "daemon", Secure: notify.Secure(http.Trust{CA: ca})}
	answer, err := s.Send(t.Context(), takeover())
	if err != nil || answer != "the server took it and closed" {
		t.Errorf("%q, %v", answer, err)
	}
	count, message, _ := strings.Cut(<-got, " ")
	if n, err := strconv.Atoi(count); err != nil || n != len(message) || !strings.HasPrefix(message, "<26>1 ") {
		t.Errorf("%s bytes: %q", count, message)
	}
	s.Secure = notify.Secure(http.Trust{})
	if answer, err := s.Send(t.Context(), takeover()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %q, %v", answer, err)
	}
	if said := <-got; said != "" {
		t.Errorf("said to a stranger: %q", said)
	}
}

// A server that dies between two messages, or goes away while it reads, is a
// failure and not a message lost.
func TestASyslogServerThatBreaksOffIsAFailure(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close() // a reset: what was sent was never read
		}
	}()
	s := notify.Syslog{Address: l.Addr().String(), Transport: "tcp"}
	if answer, err := s.Send(t.Context(), takeover()); err == nil {
		t.Errorf("a reset: %q", answer)
	}
	l.Close()
	if answer, err := s.Send(t.Context(), takeover()); err == nil {
		t.Errorf("nobody listens: %q", answer)
	}
}

func TestTheMIBIsClean(t *testing.T) {
	bin := program(t, "smilint", "smitools")
	c := exec.Command(bin, "-l", "6", "-s", "../../packaging/TWINBEAT-MIB.txt")
	c.Env = append(os.Environ(), "SMIPATH=testdata/mibs")
	out, err := c.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	broken := filepath.Join(t.TempDir(), "TWINBEAT-MIB.txt")
	mib, err := os.ReadFile("../../packaging/TWINBEAT-MIB.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, bytes.Replace(mib, []byte("twinbeatObjects 5 }"), []byte("twinbeatObjects 4 }"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	c = exec.Command(bin, "-l", "6", "-s", broken)
	c.Env = append(os.Environ(), "SMIPATH=testdata/mibs")
	if out, _ := c.CombinedOutput(); len(out) == 0 {
		t.Error("a MIB with an error passes, too")
	}
}

func TestTrapsWithSnmptrapd(t *testing.T) {
	bin := program(t, "snmptrapd", "snmptrapd")
	dir, port := t.TempDir(), freePort(t)
	engine := notify.EngineID("office", "fw1")
	conf := fmt.Sprintf(`authCommunity log s3cret
createUser informer SHA-256 "auth of informer" AES "priv of informer"
authUser log informer priv
createUser -e 0x%x trapper SHA "auth of trapper" AES "priv of trapper"
authUser log trapper priv
createUser -e 0x%x signer SHA-512 "auth of signer"
authUser log signer
`, engine, engine)
	if err := os.WriteFile(filepath.Join(dir, "snmptrapd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	mibs, err := filepath.Abs("testdata/mibs")
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := filepath.Abs("../../packaging")
	d := run(t, []string{"SNMPCONFPATH=" + dir, "SNMP_PERSISTENT_DIR=" + dir}, bin, "-f", "-Lo", "-n", "-OQ",
		"-M", mibs+":"+ours, "-m", "TWINBEAT-MIB", "-C", "-c", filepath.Join(dir, "snmptrapd.conf"), "-p", filepath.Join(dir, "pid"), "udp:127.0.0.1:"+port)
	await(t, d.said, "NET-SNMP version")
	boots := uint32(3)
	up := func() time.Duration { return 90 * time.Second }
	for _, tt := range []struct {
		name   string
		c      snmp.Config
		inform bool
		fails  string
	}{
		{"inform 2c", snmp.Config{Version: "2c", Community: "s3cret"}, true, ""},
		{"trap 2c", snmp.Config{Version: "2c", Community: "s3cret"}, false, ""},
		{"inform 3", snmp.Config{Version: "3", User: "informer", AuthProtocol: "sha256", AuthPassword: "auth of informer", PrivProtocol: "aes", PrivPassword: "priv of informer"}, true, ""},
		{"trap 3", snmp.Config{Version: "3", User: "trapper", AuthProtocol: "sha", AuthPassword: "auth of trapper", PrivProtocol: "aes", PrivPassword: "priv of trapper"}, false, ""},
		{"trap 3, signed", snmp.Config{Version: "3", User: "signer", AuthProtocol: "sha512", AuthPassword: "auth of signer"}, false, ""},
		{"inform 3, wrong password", snmp.Config{Version: "3", User: "informer", AuthProtocol: "sha256", AuthPassword: "another one", PrivProtocol: "aes", PrivPassword: "priv of informer"}, true, "are user, passwords"},
		{"inform 3, unknown user", snmp.Config{Version: "3", User: "nobody", AuthProtocol: "sha256", AuthPassword: "another one"}, true, "are user, passwords"},
	} {
		tt.c.Address, tt.c.Timeout = "127.0.0.1:"+port, 10*time.Second
		s, err := notify.NewTrap(snmp.TrapConfig{Config: tt.c, Inform: tt.inform, Engine: engine, Boots: boots, Up: up})
		if err != nil {
			t.Fatal(err)
		}
		a := takeover()
		a.Seen = tt.name
		answer, err := s.Send(t.Context(), a)
		t.Logf("%s: %q, %v", tt.name, answer, err)
		if tt.fails != "" {
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), tt.fails) {
				t.Errorf("%s: %q, %v", tt.name, answer, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		await(t, d.said, "TWINBEAT-MIB::twinbeatSeen.0 = "+tt.name)
	}
	said := await(t, d.said, "trap 3, signed")
	for _, want := range []string{
		"= TWINBEAT-MIB::twinbeatRoleChanged", "TWINBEAT-MIB::twinbeatCluster.0 = office", "TWINBEAT-MIB::twinbeatSeverity.0 = critical",
		"TWINBEAT-MIB::twinbeatTerm.0 = 7", "TWINBEAT-MIB::twinbeatEvidence.0 = silence", "TWINBEAT-MIB::twinbeatSequence.0 = 4711",
		"TWINBEAT-MIB::twinbeatTitle.0 = group gateway: ARMED -> ACTIVE",
	} {
		if n := strings.Count(said, want); n != 5 {
			t.Errorf("%d times %q, want 5:\n%s", n, want, said)
		}
	}
	for _, never := range []string{"wrong password", "unknown user"} {
		if strings.Contains(said, never) {
			t.Errorf("taken: %s", never)
		}
	}
}

// certificate makes a self-signed certificate for 127.0.0.1 and returns the files
// and its text.
func certificate(t *testing.T) (cert, key, text string) {
	t.Helper()
	text, private, err := lab.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for name, b := range map[string]string{cert: text, key: private} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, text
}

func TestMailWithAiosmtpd(t *testing.T) {
	program(t, "aiosmtpd", "python3-aiosmtpd")
	cert, key, ca := certificate(t)
	const password = "s3cret of mail"
	for _, tt := range []struct{ mode, user, login string }{
		{"starttls", "twinbeat", ""},
		{"tls", "twinbeat", ""},
		{"starttls", "twinbeat", "login"},
		{"none", "", ""},
	} {
		t.Run(tt.mode+tt.login, func(t *testing.T) {
			box, port := filepath.Join(t.TempDir(), "box"), freePort(t)
			d := run(t, nil, "/usr/bin/python3", "testdata/mailserver.py", port, cert, key, tt.mode, box, tt.login)
			await(t, d.said, "ready")
			m := notify.Mail{
				Address: "127.0.0.1:" + port, TLS: tt.mode, Trust: http.Trust{CA: ca}, User: tt.user, Password: password,
				Node: "fw1", From: "tb@example.org", To: []string{"a@example.org", "b@example.org"},
			}
			send := func(m notify.Mail, a *alert.Alert) error {
				ctx, cancel := context.WithTimeout(t.Context(), startTime)
				defer cancel()
				_, err := m.Send(ctx, a)
				return err
			}
			if err := send(m, takeover()); err != nil {
				t.Fatal(err)
			}
			raw := await(t, box, "=====")
			head, letter, _ := strings.Cut(raw, "\r\n")
			if head != "tb@example.org a@example.org,b@example.org fw1" {
				t.Errorf("envelope %q", head)
			}
			read, err := mail.ReadMessage(strings.NewReader(letter))
			if err != nil || read.Header.Get("Subject") != "[twinbeat office] CRITICAL fw1: group gateway: ARMED -> ACTIVE" {
				t.Errorf("%v\n%s", err, letter)
			}
			if !strings.Contains(letter, "seen      fw2 silent for 400 ms\r\n") || !strings.Contains(letter, "L=C3=BCfter") {
				t.Errorf("letter\n%s", letter)
			}
			poison := takeover()
			poison.Seen = "poison"
			if err := send(m, poison); !errors.Is(err, notify.ErrRefused) {
				t.Errorf("poison: %v", err)
			}
			if tt.mode == "none" {
				if err := send(withTLS(m, "starttls"), takeover()); err == nil || !strings.Contains(err.Error(), "offers no STARTTLS") {
					t.Errorf("without STARTTLS: %v", err)
				}
				return
			}
			other := m
			other.Trust = http.Trust{}
			if err := send(other, takeover()); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("a certificate of nobody: %v", err)
			}
			other = m
			other.Password = "wrong"
			if err := send(other, takeover()); err == nil || errors.Is(err, notify.ErrRefused) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("a wrong password: %v", err)
			}
			if b, _ := os.ReadFile(box); strings.Count(string(b), "=====") != 1 {
				t.Errorf("mails:\n%s", b)
			}
		})
	}
}

func withTLS(m notify.Mail, how string) notify.Mail {
	m.TLS = how
	return m
}

// A server that never stops talking, and one that never begins.
func TestAMailServerIsBoundedInWordsAndTime(t *testing.T) {
	for name, say := range map[string]func(net.Conn){
		"endless greeting": func(c net.Conn) {
			for {
				if _, err := c.Write(bytes.Repeat([]byte("220-hello\r\n"), 1000)); err != nil {
					return
				}
			}
		},
		"endless line": func(c net.Conn) {
			for {
				if _, err := c.Write(bytes.Repeat([]byte("2"), 10000)); err != nil {
					return
				}
			}
		},
		"silence": func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				say(c)
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			_, err = notify.Mail{Address: l.Addr().String(), TLS: "none", From: "a@b", To: []string{"c@d"}}.Send(ctx, takeover())
			if took := time.Since(began); err == nil || took > 10*time.Second {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

func TestEnginesDiffer(t *testing.T) {
	a, b := notify.EngineID("office", "fw1"), notify.EngineID("office", "fw2")
	if a == b || len(a) != 17 || hex.EncodeToString([]byte(a[:5])) != "80001f8805" {
		t.Errorf("%x %x", a, b)
	}
}

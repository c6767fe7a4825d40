package ssh

import (
	"bufio"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// A server is an ssh server with a relay, and with the quirks of DRACs.
type server struct {
	addr string
	key  ssh.Signer

	mu       sync.Mutex
	on       bool
	given    []string // commands, by whatever way
	noExec   bool     // commands only in a shell
	prompt   string
	banner   string
	mute     bool // no echo in the shell
	twice    bool // one Enter counts for two
	slow     bool // output comes byte by byte
	cut      bool // the connection ends with the command
	hang     bool // a command never ends
	code     byte // exit code of commands
	says     map[string]string
	noTTY    bool
	accepted int
}

// serverKey makes a host key.
func serverKey(t *testing.T, key crypto.Signer) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ed25519Key(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return serverKey(t, key)
}

func startServer(t *testing.T, edit func(*server, *ssh.ServerConfig)) *server {
	t.Helper()
	s := &server{key: ed25519Key(t), on: true, prompt: "$", banner: "Dell Remote Access Controller 5 (DRAC 5)\r\nFirmware Version 1.60\r\n"}
	c := &ssh.ServerConfig{PasswordCallback: func(m ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
		if m.User() == "root" && string(p) == "calvin" {
			return nil, nil
		}
		return nil, io.EOF
	}}
	if edit != nil {
		edit(s, c)
	}
	c.AddHostKey(s.key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			all.Go(func() { s.serve(conn, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return s
}

func (s *server) set(edit func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(s)
}

func (s *server) hasPower() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.on }

func (s *server) commands() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.given, ";")
}

func (s *server) serve(conn net.Conn, c *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	sc, channels, requests, err := ssh.NewServerConn(conn, c)
	if err != nil {
		return
	}
	s.set(func(s *server) { s.accepted++ })
	go ssh.DiscardRequests(requests)
	for nc := range channels {
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		go s.session(ch, reqs, sc)
	}
}

func (s *server) session(ch ssh.Channel, reqs <-chan *ssh.Request, sc *ssh.ServerConn) {
	for r := range reqs {
		s.mu.Lock()
		noExec, noTTY := s.noExec, s.noTTY
		s.mu.Unlock()
		switch {
		case r.Type == "exec" && !noExec:
			_ = r.Reply(true, nil)
			go s.exec(ch, string(r.Payload[4:]), sc)
		case r.Type == "pty-req" && !noTTY:
			_ = r.Reply(true, nil)
		case r.Type == "shell":
			_ = r.Reply(true, nil)
			go s.shell(ch)
		default:
			_ = r.Reply(false, nil)
		}
	}
}

func (s *server) exec(ch ssh.Channel, command string, sc *ssh.ServerConn) {
	out := s.obey(command)
	s.mu.Lock()
	cut, hang, code := s.cut, s.hang, s.code
	s.mu.Unlock()
	if hang {
		return
	}
	if cut {
		_ = sc.Close()
		return
	}
	_, _ = io.WriteString(ch, out)
	_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, code})
	_ = ch.Close()
}

// obey carries a command out.
func (s *server) obey(command string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = append(s.given, command)
	if text, ok := s.says[command]; ok {
		return text
	}
	switch command {
	case racPowerDown, DefaultCommand:
		s.on = false
		return "Server power operation successful\r\n"
	case racPowerUp:
		s.on = true
		return "Server power operation successful\r\n"
	case racStatus:
		if s.on {
			return "Server power status: ON\r\n"
		}
		return "Server power status: OFF\r\n"
	case racSysInfo:
		return drac5SysInfo
	}
	return "ERROR: unknown command\r\n"
}

// drac5SysInfo is of the form of the DRAC 5 user's guide.
const drac5SysInfo = "RAC Information:\r\nRAC Date/Time         = Sun Nov 22 05:00:00 2026\r\nFirmware Version      = 1.60\r\n" +
	"Firmware Build        = 12.03.26\r\n\r\nSystem Information:\r\nSystem Model          = PowerEdge 2950\r\n" +
	"System BIOS Version   = 2.7.0\r\nBMC Firmware Version  = 2.50\r\nService Tag           = 7XK2Z4J\r\nPower Status          = ON\r\n"

func (s *server) shell(ch ssh.Channel) {
	write := func(text string) {
		s.mu.Lock()
		slow := s.slow
		s.mu.Unlock()
		if !slow {
			_, _ = io.WriteString(ch, text)
			return
		}
		for i := range len(text) {
			_, _ = ch.Write([]byte{text[i]})
			time.Sleep(2 * time.Millisecond)
		}
	}
	s.mu.Lock()
	prompt, mute, twice := s.prompt+" ", s.mute, s.twice
	s.mu.Unlock()
	write(s.banner + "\r\n" + prompt)
	in := bufio.NewReader(ch)
	for {
		l, err := in.ReadString('\r')
		if err != nil {
			return
		}
		l = strings.TrimSpace(l)
		if l == "exit" {
			_ = ch.Close()
			return
		}
		if !mute {
			write(l + "\r\n")
		}
		if twice {
			write(prompt + "\r\n")
		}
		time.Sleep(10 * time.Millisecond)
		write(s.obey(l) + prompt)
	}
}

// pemOf is a private key as a file has it.
func pemOf(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pinOf is a host key as a line of a public key file.
func pinOf(s ssh.Signer) string { return string(ssh.MarshalAuthorizedKey(s.PublicKey())) }

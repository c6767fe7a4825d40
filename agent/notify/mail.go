//go:build !no_http

package notify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/fence/http"
)

// A Mail is a mail server that takes alerts.
type Mail struct {
	Address        string // host, or host:port
	TLS            string // starttls, tls or none
	Trust          http.Trust
	User, Password string
	Node           string // who says hello
	From           string
	To             []string
}

// maxSession bounds what a server may say in one session, in bytes.
const maxSession = 64 << 10

// mailPorts by TLS: RFC 6409, RFC 8314, RFC 5321.
var mailPorts = map[string]string{"starttls": "587", "tls": "465", "none": "25"}

// Send hands the alert to the server in one session. Unless TLS is none, nothing
// is said in plain but the wish for TLS.
func (m Mail) Send(ctx context.Context, a *alert.Alert) (string, error) {
	address := withPort(m.Address, mailPorts[m.TLS])
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("read address: %w", err)
	}
	plain, err := dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	stop := context.AfterFunc(ctx, func() { plain.Close() })
	defer stop()
	conf, err := m.Trust.TLS(host)
	if err != nil {
		return "", err
	}
	conn := net.Conn(&bounded{plain, maxSession})
	if m.TLS == "tls" {
		conn = tls.Client(conn, conf)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return "", fmt.Errorf("greeting: %w", err)
	}
	if err := m.begin(c, host, conf); err != nil {
		return "", err
	}
	return m.letter(c, a)
}

// begin says hello, starts TLS and logs in.
func (m Mail) begin(c *smtp.Client, host string, conf *tls.Config) error {
	if err := c.Hello(hello(m.Node)); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	if m.TLS == "starttls" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server offers no STARTTLS, and nothing is said without: tls = \"tls\", or \"none\"")
		}
		if err := c.StartTLS(conf); err != nil {
			return fmt.Errorf("start TLS: %w", err)
		}
	}
	if m.User == "" {
		return nil
	}
	_, methods := c.Extension("AUTH")
	var auth smtp.Auth = login{m.User, m.Password}
	for method := range strings.FieldsSeq(methods) {
		if strings.EqualFold(method, "PLAIN") {
			auth = smtp.PlainAuth("", m.User, m.Password, host)
		}
	}
	if err := c.Auth(auth); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// letter sends the mail. A server that refuses it after its text refuses what it
// says (RFC 5321 section 4.2.1: 5yz after DATA).
func (m Mail) letter(c *smtp.Client, a *alert.Alert) (string, error) {
	if err := c.Mail(m.From); err != nil {
		return "", fmt.Errorf("sender: %w", err)
	}
	for _, to := range m.To {
		if err := c.Rcpt(to); err != nil {
			return "", fmt.Errorf("recipient %s: %w", to, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return "", fmt.Errorf("data: %w", err)
	}
	_, domain, _ := strings.Cut(m.From, "@")
	letter := alert.Letter{From: m.From, To: m.To, ID: messageID(a) + "@" + domain}
	if _, err := w.Write(a.Mail(letter)); err != nil {
		return "", fmt.Errorf("data: %w", err)
	}
	if err := w.Close(); err != nil {
		if said, ok := errors.AsType[*textproto.Error](err); ok && said.Code >= 500 {
			return "", fmt.Errorf("%w: %w", err, ErrRefused)
		}
		return "", fmt.Errorf("end of data: %w", err)
	}
	_ = c.Quit() // it has the mail
	return "the server took the mail", nil
}

// messageID differs between alerts, and between tests.
func messageID(a *alert.Alert) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%d.%d.%s", a.Seq, a.At.Unix(), hex.EncodeToString(b[:]))
}

// hello is what a node calls itself: a domain, of which some servers ask no more
// than that it looks like one.
func hello(node string) string {
	if node == "" || strings.ContainsAny(node, "\r\n ") {
		return "localhost"
	}
	return node
}

// login is AUTH LOGIN, which old servers offer alone.
type login struct{ user, password string }

// Start refuses to say a password without TLS.
func (l login) Start(s *smtp.ServerInfo) (string, []byte, error) {
	for _, method := range s.Auth {
		if s.TLS && strings.EqualFold(method, "LOGIN") {
			return "LOGIN", nil, nil
		}
	}
	return "", nil, fmt.Errorf("the server offers neither PLAIN nor LOGIN over TLS, only %q", s.Auth)
}

// Next answers the two questions.
func (l login) Next(from []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case strings.HasPrefix(strings.ToLower(string(from)), "user"):
		return []byte(l.user), nil
	case strings.HasPrefix(strings.ToLower(string(from)), "pass"):
		return []byte(l.password), nil
	}
	return nil, fmt.Errorf("the server asks %q", from)
}

// bounded is a connection of which only so much is read.
type bounded struct {
	net.Conn
	left int
}

// Read reads as long as the bound allows.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the server says more than %d bytes: %w", maxSession, io.ErrShortBuffer)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Secure begins TLS, for a Syslog or an MQTT.
func Secure(trust http.Trust) func(context.Context, net.Conn, string) (net.Conn, error) {
	return func(ctx context.Context, c net.Conn, host string) (net.Conn, error) {
		conf, err := trust.TLS(host)
		if err != nil {
			return nil, err
		}
		s := tls.Client(c, conf)
		if err := s.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("start TLS: %w", err)
		}
		return s, nil
	}
}

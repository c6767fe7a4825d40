// Package ssh gives two orders over ssh. One goes to the node itself: to switch
// itself off; nobody can read that back, so it proves nothing and is graded so.
// The other goes to an old Dell DRAC (5 and before, or any later one): racadm's
// serveraction, whose powerstatus is read exactly. It refuses every host whose
// key was not given beforehand, and old algorithms unless they are asked for.
// Start reading at Config, then New and NewRacadm.
package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Defaults and limits.
const (
	Port           = "22"             // RFC 4251 section 4
	DefaultTimeout = 20 * time.Second // a DRAC 5 takes 10 s to let one in
	// DefaultCommand switches a Linux box off without asking its services.
	DefaultCommand = "poweroff -f"
	Box            = "1" // the one outlet
	maxOutput      = 16 << 10
	maxShown       = 120 // bytes of an answer that an error shows
)

// A Config describes one node, or one DRAC.
type Config struct {
	Name    string // for logs; empty: the address
	Address string // host or host:port; the port is 22 if it is left out
	User    string

	Password string // one of the two, or both
	Identity []byte // private key in PEM or OpenSSH's format, without a passphrase

	// HostKey is the key that the host must have, and is never learned: lines
	// of known_hosts or ssh-keyscan, or of a public key file, or fingerprints
	// ("SHA256:...").
	HostKey string

	// Legacy allows what DRACs of before 2010 need and nobody should use:
	// Diffie-Hellman group 1, SHA-1, CBC and DSA.
	Legacy bool

	Command string        // New only: what the node is told; empty: DefaultCommand
	Timeout time.Duration // of one operation; 0: DefaultTimeout
}

// A host is where an order goes.
type host struct {
	config Config
	keys   pins
	auth   []ssh.AuthMethod
	busy   chan struct{} // held by the one operation under way
}

func newHost(c Config) (*host, error) {
	if c.Name == "" {
		c.Name = c.Address
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	h := &host{busy: make(chan struct{}, 1)}
	err := h.complete(&c)
	if err != nil {
		return nil, fmt.Errorf("make ssh host %q: %w", c.Name, err)
	}
	h.config = c
	return h, nil
}

func (h *host) complete(c *Config) error {
	name, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		name, port = strings.Trim(c.Address, "[]"), Port
	}
	c.Address = net.JoinHostPort(name, port)
	switch {
	case name == "" || port == "":
		return errors.New("it has no address")
	case c.User == "":
		return errors.New("it has no user")
	case c.Password == "" && len(c.Identity) == 0:
		return errors.New("it has neither password nor identity")
	case c.Timeout < 0:
		return fmt.Errorf("timeout %v is negative", c.Timeout)
	}
	if h.keys, err = readPins(c.HostKey); err != nil {
		return err
	}
	if len(c.Identity) > 0 {
		signer, err := ssh.ParsePrivateKey(c.Identity)
		if err != nil {
			return fmt.Errorf("identity: %w", err)
		}
		h.auth = append(h.auth, ssh.PublicKeys(signer))
	}
	if c.Password != "" {
		h.auth = append(h.auth, ssh.Password(c.Password), ssh.KeyboardInteractive(h.answers(c.Password)))
	}
	return nil
}

// answers gives the password to every hidden question of a host that asks
// instead of taking a password, as OpenSSH with PAM does.
func (h *host) answers(password string) ssh.KeyboardInteractiveChallenge {
	return func(_, _ string, questions []string, echos []bool) ([]string, error) {
		out := make([]string, len(questions))
		for i := range questions {
			if !echos[i] {
				out[i] = password
			}
		}
		return out, nil
	}
}

// with runs an operation on a connection of its own. Everything in it ends
// with ctx, or with the timeout, because the connection does.
func (h *host) with(ctx context.Context, what string, do func(*ssh.Client) error) error {
	fail := func(err error) error { return fmt.Errorf("%s at %s: %w", what, h.config.Address, err) }
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	case <-ctx.Done():
		return fail(fmt.Errorf("wait for another operation: %w", ctx.Err()))
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.Timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", h.config.Address)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	client, err := h.login(conn)
	if err == nil {
		defer func() { _ = client.Close() }()
		err = do(client)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%v)", context.Cause(ctx), err)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

func (h *host) login(conn net.Conn) (*ssh.Client, error) {
	c := &ssh.ClientConfig{User: h.config.User, Auth: h.auth, HostKeyCallback: h.keys.check}
	good, bad := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	c.KeyExchanges, c.Ciphers, c.MACs, c.HostKeyAlgorithms = good.KeyExchanges, good.Ciphers, good.MACs, good.HostKeys
	if h.config.Legacy {
		c.KeyExchanges = append(c.KeyExchanges, bad.KeyExchanges...)
		c.Ciphers = append(c.Ciphers, bad.Ciphers...)
		c.MACs = append(c.MACs, bad.MACs...)
		c.HostKeyAlgorithms = append(c.HostKeyAlgorithms, bad.HostKeys...)
	}
	c.HostKeyAlgorithms = h.keys.only(c.HostKeyAlgorithms)
	sc, channels, requests, err := ssh.NewClientConn(conn, h.config.Address, c)
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(sc, channels, requests), nil
}

// pins are the host keys that are accepted.
type pins struct {
	fingerprints []string
	types        []string // of the keys; empty if one is known by fingerprint alone
}

// readPins reads fingerprints, public keys and lines of known_hosts. Hashed or
// listed host names do not matter: one device has its keys alone.
func readPins(text string) (pins, error) {
	var p pins
	blind := false
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		if strings.HasPrefix(l, "@") {
			return pins{}, fmt.Errorf("host key: %.20q: markers of known_hosts are not understood", l)
		}
		if sum, ok := strings.CutPrefix(l, "SHA256:"); ok && len(sum) == 43 {
			p.fingerprints = append(p.fingerprints, l)
			blind = true
			continue
		}
		key, err := publicKey(l)
		if err != nil {
			return pins{}, fmt.Errorf("host key: %.20q is neither a public key nor a fingerprint SHA256:...: %w", l, err)
		}
		p.fingerprints = append(p.fingerprints, ssh.FingerprintSHA256(key))
		p.types = append(p.types, key.Type())
	}
	if len(p.fingerprints) == 0 {
		return pins{}, errors.New("it has no host key, and none is learned: anybody could say what it is")
	}
	if blind {
		p.types = nil
	}
	return p, nil
}

// publicKey reads "type base64 ..." or "host type base64 ...".
func publicKey(l string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l))
	if err == nil {
		return key, nil
	}
	_, rest, ok := strings.Cut(l, " ")
	if !ok {
		return nil, err
	}
	key, _, _, _, err = ssh.ParseAuthorizedKey([]byte(rest))
	return key, err
}

// check is the HostKeyCallback.
func (p pins) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	is := ssh.FingerprintSHA256(key)
	if slices.Contains(p.fingerprints, is) {
		return nil
	}
	return fmt.Errorf("host key is %s %s, and not the one that was given", key.Type(), is)
}

// only keeps the signatures that fit the pinned types, so that a host of
// several keys shows the pinned one.
func (p pins) only(algorithms []string) []string {
	if len(p.types) == 0 {
		return algorithms
	}
	var out []string
	for _, a := range algorithms {
		family := a
		if a == ssh.KeyAlgoRSASHA256 || a == ssh.KeyAlgoRSASHA512 {
			family = ssh.KeyAlgoRSA // RFC 8332: other signatures of the same keys
		}
		if slices.Contains(p.types, family) {
			out = append(out, a)
		}
	}
	return out
}

// execute runs a command and returns what it printed, on both outputs.
func execute(client *ssh.Client, command string) (string, error) {
	s, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer func() { _ = s.Close() }()
	out := &limited{}
	s.Stdout, s.Stderr = out, out
	err = s.Run(command)
	if out.over() {
		err = errors.Join(errors.New("it prints without end"), err)
	}
	return out.String(), err
}

// limited keeps the start of an output, and drops the rest.
type limited struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more bool
}

// Write never fails: a host that prints too much shall end all the same.
func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := max(0, maxOutput-l.buf.Len())
	l.buf.Write(p[:min(room, len(p))])
	l.more = l.more || len(p) > room
	return len(p), nil
}

func (l *limited) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.buf.String() }
func (l *limited) over() bool     { l.mu.Lock(); defer l.mu.Unlock(); return l.more }

var _ io.Writer = (*limited)(nil)

// shown is the start of a text for an error, without control characters.
func shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return fmt.Sprintf("%q", strings.TrimSpace(text))
}

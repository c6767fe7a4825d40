package http

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Bounds of one request.
const (
	DefaultTimeout = 5 * time.Second // an ESP8266 that is busy with Wi-Fi takes up to 2 s
	MaxBody        = 64 << 10        // of an answer; what is longer is refused, not cut
	maxHeader      = 16 << 10        // of an answer
	maxShown       = 120             // bytes of an answer that an error or Reading.Raw shows
)

// ErrLonger says that an answer was longer than MaxBody. Only its status is known.
var ErrLonger = errors.New("longer")

// Trust says by what a device's certificate is believed. The zero Trust is the
// system's certificate authorities and the name in the address.
type Trust struct {
	CA          string // PEM certificates that may have signed it, instead of the system's
	Fingerprint string // SHA-256 of the certificate itself, in hex, colons allowed; then only this counts, and no date
	Insecure    bool   // believe any certificate: whoever owns the address can say "off"
}

// ClientConfig describes the one device that a Client talks to.
type ClientConfig struct {
	Address  string // "host[:port]", with "http://" or "https://" before it if it is not Scheme
	Scheme   string // "http" or "https", unless the address says
	Timeout  time.Duration
	Trust    Trust
	User     string // empty: no credentials are ever sent
	Password string
	Basic    bool // send the password in plain if the device asks so
	Eager    bool // do not wait to be asked: send Basic at once
}

// A Client sends requests to one device, one at a time, each on a connection
// of its own: one that the device forgot must not cost the command. It follows
// no redirect and no proxy, and keeps no cookie.
type Client struct {
	c         ClientConfig
	base      *url.URL
	transport *nethttp.Transport
	busy      chan struct{} // held by the one operation
	digest    *digest       // of the newest challenge; held by the one operation, too
}

// A Request is what is sent. Errors quote Method and Path, never the rest.
type Request struct {
	Method string
	Path   string // with the query; starts with "/"
	Secret string // more of the query, not to be shown
	Hidden string // asked for instead of Path, and not shown
	Body   string
	Header map[string]string
}

// An Answer is what a device said, whole.
type Answer struct {
	Status int
	Header nethttp.Header
	Body   []byte
}

// NewClient checks the configuration. It does no I/O.
func NewClient(c ClientConfig) (*Client, error) {
	base, err := baseURL(c)
	if err != nil {
		return nil, err
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("timeout %v is negative", c.Timeout)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	conf, err := c.Trust.TLS(base.Hostname())
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: c.Timeout, KeepAlive: -1}
	return &Client{c: c, base: base, busy: make(chan struct{}, 1), transport: &nethttp.Transport{
		Proxy:                  nil, // the environment must not put somebody between us and the switch
		DialContext:            dialer.DialContext,
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    c.Timeout,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
	}}, nil
}

func baseURL(c ClientConfig) (*url.URL, error) {
	if c.Address == "" {
		return nil, errors.New("it has no address")
	}
	text := c.Address
	if ip, err := netip.ParseAddr(text); err == nil && ip.Is6() {
		text = "[" + strings.ReplaceAll(text, "%", "%25") + "]" // RFC 6874: the zone of fe80::1%eth0
	}
	if !strings.Contains(text, "://") {
		text = c.Scheme + "://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("address %q is no host[:port]", c.Address)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("address %q: %q is neither http nor https", c.Address, u.Scheme)
	case u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("address %q is no host[:port]", c.Address)
	case u.Scheme == "http" && c.Trust != (Trust{}):
		return nil, fmt.Errorf("address %q: a certificate is configured, but http has none", c.Address)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// TLS makes the one check of a host's certificate. crypto/tls is told to skip
// its own, as it does not name the certificate that it refuses.
func (t Trust) TLS(host string) (*tls.Config, error) {
	var roots *x509.CertPool
	if t.CA != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("the CA file holds no certificate in PEM")
		}
	}
	pin, err := fingerprint(t.Fingerprint)
	if err != nil {
		return nil, err
	}
	if t.Insecure && (pin != nil || roots != nil) {
		return nil, errors.New("insecure, and a certificate to check: one or the other")
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, CipherSuites: suites, InsecureSkipVerify: true}
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		switch {
		case t.Insecure:
			return nil
		case len(s.PeerCertificates) == 0:
			return errors.New("the device shows no certificate")
		}
		leaf := s.PeerCertificates[0]
		sum := sha256.Sum256(leaf.Raw)
		if pin != nil {
			if subtle.ConstantTimeCompare(pin, sum[:]) != 1 {
				return fmt.Errorf("certificate has SHA-256 %x, not the pinned one", sum)
			}
			return nil
		}
		middle := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			middle.AddCert(c)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, Intermediates: middle}); err != nil {
			return fmt.Errorf("%w; its SHA-256 is %x", err, sum)
		}
		return nil
	}
	return conf, nil
}

// suites are those of TLS 1.2 that Go prefers, and the RSA key exchange that
// BMCs of before 2016 speak alone; no RC4, no 3DES. TLS 1.3 has its own.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
}

func fingerprint(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(text), "sha256:"), ":", ""))
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("fingerprint %q is not the %d bytes of a SHA-256 in hex", text, sha256.Size)
	}
	return sum, nil
}

// Host returns "host[:port]" of the device.
func (c *Client) Host() string { return c.base.Host }

// Local returns the path of a link that a device gave, and refuses one that
// leads to another host, port or scheme.
func (c *Client) Local(link string) (string, error) {
	to, err := url.Parse(link)
	if err != nil || link == "" {
		return "", fmt.Errorf("link %q is none", link)
	}
	foreign := to.Host != "" && (!strings.EqualFold(to.Hostname(), c.base.Hostname()) || to.Port() != "" && to.Port() != c.base.Port())
	switch {
	case foreign, to.Scheme != "" && to.Scheme != c.base.Scheme:
		return "", fmt.Errorf("link %q leads elsewhere", link)
	case !strings.HasPrefix(to.Path, "/"):
		return "", fmt.Errorf("link %q is no path", link)
	}
	return to.RequestURI(), nil
}

// Begin waits for its turn at the device, and End gives it back. Every Do must
// lie between the two.
func (c *Client) Begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another request to %s: %w", c.Host(), ctx.Err())
	}
}

// End lets the next operation begin.
func (c *Client) End() { <-c.busy }

// Do sends the request and reads the whole answer, whatever its status; of one
// that is too long the status comes with the error. A
// device that asks for credentials is asked twice, or thrice if the challenge
// that it gave before is stale by now: a request that was refused did nothing.
func (c *Client) Do(ctx context.Context, r Request) (Answer, error) {
	for try := 0; ; try++ {
		a, asked, err := c.once(ctx, r)
		if err != nil {
			return Answer{Status: a.Status}, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
		}
		if asked == nil || try == 2 || try == 1 && !asked.stale {
			return a, nil // also a second 401: another try would only lock the account
		}
		c.digest = asked
	}
}

// once sends the request with what credentials there are. If they do not
// suffice and others would, it returns the challenge to answer.
func (c *Client) once(ctx context.Context, r Request) (Answer, *digest, error) {
	ctx, cancel := context.WithTimeout(ctx, c.c.Timeout)
	defer cancel()
	req, err := c.request(ctx, r)
	if err != nil {
		return Answer{}, nil, err
	}
	used := c.digest
	if err := c.authorize(req); err != nil {
		return Answer{}, nil, err
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return Answer{}, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	switch {
	case err != nil:
		return Answer{}, nil, fmt.Errorf("read answer: %w", err)
	case len(body) > MaxBody:
		return Answer{Status: resp.StatusCode}, nil, fmt.Errorf("read answer: %w than %d bytes", ErrLonger, MaxBody)
	}
	a := Answer{resp.StatusCode, resp.Header, body}
	if a.Status != nethttp.StatusUnauthorized || c.c.User == "" || c.c.Eager {
		return a, nil, nil
	}
	asked := choose(challenges(a.Header.Values("WWW-Authenticate")), c.c.Basic)
	if asked == nil || used != nil && used.same(asked) {
		return a, nil, nil // nothing that we can answer, or refused although answered
	}
	return a, asked, nil
}

func (c *Client) request(ctx context.Context, r Request) (*nethttp.Request, error) {
	path := r.Path
	if r.Hidden != "" {
		path = r.Hidden
	}
	if r.Secret != "" {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		path += sep + r.Secret
	}
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("path does not start with a slash")
	}
	req, err := nethttp.NewRequestWithContext(ctx, r.Method, c.base.String()+path, strings.NewReader(r.Body))
	if err != nil {
		return nil, errors.New("no valid URL") // its own text would show the secret
	}
	req.Header.Set("User-Agent", "twinbeat")
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	return req, nil
}

func (c *Client) authorize(req *nethttp.Request) error {
	switch {
	case c.c.User == "" || req.Header.Get("Authorization") != "":
		return nil
	case c.c.Eager || c.digest != nil && c.digest.basic:
		req.SetBasicAuth(c.c.User, c.c.Password)
		return nil
	case c.digest == nil:
		return nil
	}
	value, err := c.digest.answer(c.c.User, c.c.Password, req.Method, req.URL.RequestURI())
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", value)
	return nil
}

// Expect turns an answer of another status into an error that shows it.
func (a Answer) Expect(status ...int) error {
	for _, s := range status {
		if a.Status == s {
			return nil
		}
	}
	if a.Status == nethttp.StatusUnauthorized {
		return errors.New("HTTP 401: the device refuses user or password")
	}
	return fmt.Errorf("HTTP %d: %s", a.Status, Shown(a.Body))
}

// Shown quotes the beginning of an answer.
func Shown(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) > maxShown {
		return fmt.Sprintf("%q...", body[:maxShown])
	}
	return fmt.Sprintf("%q", body)
}

package http

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
)

// RFC 7616 section 3.9.1, and RFC 2617 section 3.5 without qop.
func TestDigestAnswersAreThoseOfTheStandard(t *testing.T) {
	const realm, nonce, opaque = "http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
	const cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
	for algorithm, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		line := fmt.Sprintf(`Digest realm="%s", qop="auth, auth-int", algorithm=%s, nonce="%s", opaque="%s"`, realm, algorithm, nonce, opaque)
		d := choose(challenges([]string{line}), false)
		if d == nil {
			t.Fatalf("%s: no challenge to answer", algorithm)
		}
		d.count = 1
		got := d.authorization("Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce)
		p := challenges([]string{got})[0].params
		if p["response"] != want || p["nc"] != "00000001" || p["opaque"] != opaque || p["uri"] != "/dir/index.html" || p["qop"] != "auth" {
			t.Errorf("%s: answered %s, want response %s", algorithm, got, want)
		}
	}
	d := choose(challenges([]string{`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`}), false)
	if got := d.authorization("Mufasa", "Circle Of Life", "GET", "/dir/index.html", "x"); !strings.Contains(got, `response="670fd8c2df070c60b045671b8b24ff02"`) || strings.Contains(got, "nc=") {
		t.Errorf("without qop: %s", got)
	}
}

func TestTheStrongestChallengeIsAnswered(t *testing.T) {
	const md5, sha = `Digest realm="r", nonce="m", algorithm=MD5, qop="auth"`, `Digest realm="r", nonce="s", algorithm=SHA-256, qop=auth`
	for _, c := range []struct {
		lines []string
		basic bool
		want  string // nonce, or "basic"
	}{
		{[]string{md5, sha}, true, "s"},
		{[]string{sha, md5}, true, "s"},
		{[]string{`Basic realm="r", ` + md5}, true, "m"},
		{[]string{md5 + `, Basic realm="r"`}, true, "m"},
		{[]string{`Basic realm="r"`}, true, "basic"},
		{[]string{`Basic realm="r"`}, false, ""},
		{[]string{`Negotiate`, md5}, false, "m"},
		{[]string{`Digest realm="r", nonce="x", algorithm=MD5-sess`}, false, ""},
		{[]string{`Digest realm="r", nonce="x", qop="auth-int"`}, false, ""},
		{[]string{`Digest realm="r", nonce=""`}, false, ""},
		{[]string{`Digest realm="r", nonce="a", nonce="b"`}, false, ""},
		{[]string{`Digest realm="unclosed, nonce=x`}, false, ""},
		{[]string{`Basic realm="` + strings.Repeat("a", 5000) + `"`, md5}, false, ""},
		{[]string{"Digest"}, false, ""},
		{nil, true, ""},
	} {
		got := ""
		if d := choose(challenges(c.lines), c.basic); d != nil {
			if got = d.nonce; d.basic {
				got = "basic"
			}
		}
		if got != c.want {
			t.Errorf("%q: chose %q, want %q", c.lines, got, c.want)
		}
	}
}

// client makes a client of a server.
func client(t *testing.T, h nethttp.HandlerFunc, c ClientConfig) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c.Address = server.URL
	made, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestAPasswordGoesInPlainOnlyWhereAllowed(t *testing.T) {
	var sent atomic.Int32
	ask := func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.Header.Get("Authorization") != "" {
			sent.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(401)
	}
	for basic, want := range map[bool]int32{false: 0, true: 1} {
		sent.Store(0)
		c := client(t, ask, ClientConfig{User: "u", Password: "p", Basic: basic})
		a, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"})
		if err != nil || a.Status != 401 || sent.Load() != want {
			t.Errorf("basic %v: %d credentials were sent, want %d (%d, %v)", basic, sent.Load(), want, a.Status, err)
		}
	}
}

func TestTheEnvironmentPutsNobodyBetween(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	t.Setenv("http_proxy", "http://192.0.2.1:1")
	t.Setenv("ALL_PROXY", "http://192.0.2.1:1")
	c := client(t, func(w nethttp.ResponseWriter, r *nethttp.Request) { _, _ = io.WriteString(w, "here") }, ClientConfig{Timeout: time.Second})
	if a, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); err != nil || string(a.Body) != "here" {
		t.Errorf("%q, %v", a.Body, err)
	}
}

// A device that restarted has forgotten the connection. The next request must
// not be the one to find out.
func TestEachRequestHasItsOwnConnection(t *testing.T) {
	ports := map[string]bool{}
	c := client(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		ports[r.RemoteAddr] = true
		if r.Header.Get("Connection") != "close" {
			t.Error("the connection is to be kept")
		}
	}, ClientConfig{})
	for range 3 {
		if _, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(ports) != 3 {
		t.Errorf("3 requests by %d connections", len(ports))
	}
}

func TestARequestEndsInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c, err := NewClient(ClientConfig{Address: silent.Addr().String(), Scheme: "http", Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence is %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	drip := client(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		for range 100 {
			_, _ = io.WriteString(w, " ")
			w.(nethttp.Flusher).Flush()
			select {
			case <-time.After(50 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	}, ClientConfig{Timeout: 300 * time.Millisecond})
	if _, err := drip.Do(t.Context(), Request{Method: "GET", Path: "/"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an answer that drips is %v", err)
	}
}

func TestAnswersBeyondTheBoundsAreRefused(t *testing.T) {
	for name, h := range map[string]nethttp.HandlerFunc{
		"body": func(w nethttp.ResponseWriter, _ *nethttp.Request) { _, _ = w.Write(make([]byte, MaxBody+1)) },
		"header": func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
		},
		"cut off": func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "OFF")
		},
		"not HTTP":     hijacked("OFF\r\n\r\n"),
		"two lengths":  hijacked("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nOFF  "),
		"endless 1xx":  hijacked(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 2000) + "HTTP/1.1 200 OK\r\n\r\nOFF"),
		"open chunked": hijacked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nOFF\r\n"),
	} {
		c := client(t, h, ClientConfig{})
		if a, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); err == nil {
			t.Errorf("%s: answered %d %.20q", name, a.Status, a.Body)
		}
	}
	whole := client(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) { _, _ = w.Write(make([]byte, MaxBody)) }, ClientConfig{})
	if a, err := whole.Do(t.Context(), Request{Method: "GET", Path: "/"}); err != nil || len(a.Body) != MaxBody {
		t.Errorf("the longest body: %d bytes, %v", len(a.Body), err)
	}
}

// hijacked answers the text, whatever it is.
func hijacked(text string) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		conn, _, err := w.(nethttp.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
}

func TestLinksLeadNowhereElse(t *testing.T) {
	c, err := NewClient(ClientConfig{Address: "https://bmc:8443"})
	if err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]string{
		"/redfish/v1/": "/redfish/v1/", "https://bmc:8443/a?b=c": "/a?b=c", "https://BMC/a": "/a", "//bmc/a": "/a",
		"": "", "a": "", "https://other:8443/a": "", "https://bmc:9/a": "", "http://bmc:8443/a": "", "//other/a": "", "mailto:x": "", "https://bmc:8443": "",
		"/%zz": "",
	} {
		got, err := c.Local(link)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q leads to %q (%v), want %q", link, got, err, want)
		}
	}
}

func TestAnAddressMayBeOfIPv6(t *testing.T) {
	for address, want := range map[string]string{
		"fe80::1%eth0": "[fe80::1%eth0]", "2001:db8::1": "[2001:db8::1]", "[2001:db8::1]:8080": "[2001:db8::1]:8080",
		"192.0.2.1": "192.0.2.1", "pdu:8080": "pdu:8080", "https://[::1]": "[::1]",
	} {
		c, err := NewClient(ClientConfig{Address: address, Scheme: "http"})
		if err != nil || c.Host() != want {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
	server := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { _, _ = io.WriteString(w, "six") }))
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on loopback: ", err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	c, err := NewClient(ClientConfig{Address: listener.Addr().String(), Scheme: "http"})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); err != nil || string(a.Body) != "six" {
		t.Errorf("%q, %v", a.Body, err)
	}
}

func TestHTTPSIsCheckedAgainstTheRightCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { _, _ = io.WriteString(w, "outlet is on") }))
	server.Config.ErrorLog = quiet
	server.StartTLS()
	defer server.Close()
	sum := sha256.Sum256(server.Certificate().Raw)
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, c := range []struct {
		name    string
		address string
		trust   Trust
		ok      bool
	}{
		{"nobody vouches", server.URL, Trust{}, false},
		{"pinned", server.URL, Trust{Fingerprint: hex.EncodeToString(sum[:])}, true},
		{"pinned, as openssl prints it", server.URL, Trust{Fingerprint: "SHA256:" + colons(sum[:])}, true},
		{"pinned, another", server.URL, Trust{Fingerprint: strings.Repeat("11", 32)}, false},
		{"its authority", server.URL, Trust{CA: own}, true},
		{"its authority, another name", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), Trust{CA: own}, false},
		{"insecure", server.URL, Trust{Insecure: true}, true},
	} {
		u, err := New(Config{
			Family: Generic, Address: c.address, Trust: c.trust,
			OffURL: "/off", OnURL: "/on", StatusURL: "/", OffMatch: "outlet is off", OnMatch: "outlet is on",
		})
		if err != nil {
			t.Fatal(err)
		}
		sw, err := u.Outlet("1")
		if err != nil {
			t.Fatal(err)
		}
		r, err := sw.Read(t.Context())
		if (err == nil) != c.ok || (r.Power == fence.PowerOn) != c.ok {
			t.Errorf("%s: reads %v (%v)", c.name, r.Power, err)
		}
		if !c.ok && !strings.Contains(err.Error(), hex.EncodeToString(sum[:])) {
			t.Errorf("%s: the fingerprint is not shown: %v", c.name, err)
		}
	}
}

// colons writes bytes as openssl does.
func colons(b []byte) string {
	var out []string
	for _, c := range b {
		out = append(out, fmt.Sprintf("%02X", c))
	}
	return strings.Join(out, ":")
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
)

// A Syslog is a syslog server, or the local daemon.
type Syslog struct {
	Address   string // host, host:port, or the path of a local socket
	Transport string // udp, tcp or tls; not with a path
	Facility  string
	// Secure begins TLS on a connection; with transport tls alone.
	Secure func(ctx context.Context, c net.Conn, host string) (net.Conn, error)
}

// facilities are the numbers of RFC 5424 section 6.2.1.
var facilities = map[string]int{
	"user": 1, "daemon": 3, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}

// farewell is how long a TCP server has for closing after us. What it closed in
// order it has read.
const farewell = 2 * time.Second

// Send sends one message. Over TCP each has a connection of its own: on one that
// stays, what the kernel has taken may be lost with the server, and nobody tells.
func (s Syslog) Send(ctx context.Context, a *alert.Alert) (string, error) {
	facility, pid := facilities[s.Facility], strconv.Itoa(os.Getpid())
	if strings.HasPrefix(s.Address, "/") {
		return s.local(ctx, a.Local(facility, pid))
	}
	message := a.Syslog(facility, pid)
	network, port, secure := "tcp", "514", s.Secure
	switch s.Transport {
	case "udp":
		network, secure = "udp", nil
	case "tls":
		port = "6514" // RFC 5425
	default:
		secure = nil
	}
	c, err := connect(ctx, network, withPort(s.Address, port), secure)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if network == "udp" {
		if _, err := c.Write(message); err != nil {
			return "", fmt.Errorf("send: %w", err)
		}
		return "sent; by UDP nobody says whether it arrived", nil
	}
	// RFC 6587 section 3.4.1: octet counting.
	if _, err := c.Write(append([]byte(strconv.Itoa(len(message))+" "), message...)); err != nil {
		return "", fmt.Errorf("send: %w", err)
	}
	return leave(c)
}

// leave ends a connection and waits for the other end to do so, too.
func leave(c net.Conn) (string, error) {
	closer, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return "sent", nil
	}
	if err := closer.CloseWrite(); err != nil {
		return "", fmt.Errorf("send: %w", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(farewell))
	_, err := io.CopyN(io.Discard, c, 64)
	switch {
	case errors.Is(err, io.EOF):
		return "the server took it and closed", nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "sent; the server did not say whether it took it", nil
	case err == nil:
		return "sent; the server talks instead of closing", nil
	}
	return "", fmt.Errorf("the server broke off: %w", err)
}

// local writes to the socket of the local daemon, which is of one kind or the other.
func (s Syslog) local(ctx context.Context, message []byte) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixgram", s.Address)
	if err != nil {
		if c, err = d.DialContext(ctx, "unix", s.Address); err != nil {
			return "", err
		}
		message = append(message, 0) // as syslog(3) parts messages on a stream
	}
	defer c.Close()
	if until, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(until)
	}
	if _, err := c.Write(message); err != nil {
		return "", fmt.Errorf("send: %w", err)
	}
	return "the local daemon took it", nil
}

// dial connects to a host, by the usual port if none is given. Reads and writes
// end with ctx.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if until, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(until)
	}
	return c, nil
}

// connect dials, and begins TLS where secure does so; nil: there is none.
func connect(ctx context.Context, network, address string, secure func(context.Context, net.Conn, string) (net.Conn, error)) (net.Conn, error) {
	plain, err := dial(ctx, network, address)
	if err != nil || secure == nil {
		return plain, err
	}
	host, _, _ := net.SplitHostPort(address)
	c, err := secure(ctx, plain, host)
	if err != nil {
		plain.Close()
	}
	return c, err
}

func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}

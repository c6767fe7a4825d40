//go:build mqtt

package notify_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify"
)

// A heard is what a fake broker read of a client.
type heard struct {
	id, user, password string
	head               byte // of PUBLISH
	topic              string
	packet             [2]byte
	body               []byte
	goodbye            bool
}

// fakeBroker serves one connection.
func fakeBroker(t *testing.T, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		serve(c)
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// read reads one packet by the letter of MQTT 3.1.1 section 2.2: at most four
// bytes of length, seven bits each, the least first.
func read(r *bufio.Reader) (head byte, rest []byte, err error) {
	if head, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		if shift == 21 {
			return 0, nil, errors.New("a length of more than four bytes")
		}
	}
	rest = make([]byte, length)
	_, err = io.ReadFull(r, rest)
	return head, rest, err
}

// field takes a text off.
func field(b *[]byte) string {
	if len(*b) < 2 || len(*b) < 2+int(binary.BigEndian.Uint16(*b)) {
		return "(cut off)"
	}
	n := 2 + int(binary.BigEndian.Uint16(*b))
	s := string((*b)[2:n])
	*b = (*b)[n:]
	return s
}

// hearConnect reads CONNECT and sees that it is one of section 3.1.
func hearConnect(r *bufio.Reader, h *heard) error {
	head, b, err := read(r)
	if err != nil || head != 0x10 {
		return fmt.Errorf("CONNECT: %#x, %w", head, err)
	}
	if name := field(&b); name != "MQTT" || len(b) < 4 || b[0] != 4 {
		return fmt.Errorf("protocol %q, % x", name, b)
	}
	flags, keepAlive := b[1], binary.BigEndian.Uint16(b[2:])
	b = b[4:]
	if flags != 0x02 && flags != 0xc2 || keepAlive == 0 {
		return fmt.Errorf("flags %#x, keep alive %d", flags, keepAlive)
	}
	h.id = field(&b)
	if flags == 0xc2 {
		h.user, h.password = field(&b), field(&b)
	}
	if len(b) > 0 {
		return fmt.Errorf("too much: % x", b)
	}
	return nil
}

// hearPublish reads PUBLISH of section 3.3.
func hearPublish(r *bufio.Reader, h *heard) error {
	head, b, err := read(r)
	if err != nil {
		return fmt.Errorf("PUBLISH: %w", err)
	}
	h.head, h.topic = head, field(&b)
	if len(b) < 2 {
		return errors.New("PUBLISH without an identifier")
	}
	h.packet, h.body = [2]byte(b), b[2:]
	return nil
}

// honest serves a client as the standard has it.
func honest(c net.Conn) (h heard, err error) {
	r := bufio.NewReader(c)
	if err := hearConnect(r, &h); err != nil {
		return h, err
	}
	_, _ = c.Write([]byte{0x20, 2, 0, 0})
	if err := hearPublish(r, &h); err != nil {
		return h, err
	}
	_, _ = c.Write([]byte{0x40, 2, h.packet[0], h.packet[1]})
	head, rest, err := read(r)
	h.goodbye = err == nil && head == 0xe0 && len(rest) == 0
	return h, nil
}

func TestMQTTPublishesByTheStandard(t *testing.T) {
	ids := map[string]bool{}
	for _, tt := range []struct {
		m    notify.MQTT
		head byte
	}{
		{notify.MQTT{Topic: "twinbeat/office"}, 0x32},
		{notify.MQTT{Topic: "Büro/" + strings.Repeat("x", 200), Retain: true, User: "u", Password: "s3cret"}, 0x33},
		{notify.MQTT{Topic: "t", User: "u"}, 0x32},
	} {
		got := make(chan heard, 1)
		tt.m.Address = fakeBroker(t, func(c net.Conn) {
			h, err := honest(c)
			if err != nil {
				t.Error(err)
			}
			got <- h
		})
		a := takeover()
		want, err := a.JSON()
		if err != nil {
			t.Fatal(err)
		}
		answer, err := tt.m.Send(t.Context(), a)
		if err != nil || answer != "the broker acknowledged it" {
			t.Errorf("%q, %v", answer, err)
		}
		h := <-got
		if h.head != tt.head || h.topic != tt.m.Topic || h.user != tt.m.User || h.password != tt.m.Password || !h.goodbye || string(h.body) != string(want) {
			t.Errorf("%+v\n%s\n%s", h, h.body, want)
		}
		if h.packet == [2]byte{} || len(h.id) > 23 || !strings.HasPrefix(h.id, "twinbeat") || ids[h.id] {
			t.Errorf("packet %x of client %q", h.packet, h.id)
		}
		ids[h.id] = true
	}
}

// A broker may refuse, break off, lie or say nothing. Only the right PUBACK counts.
func TestMQTTBelievesOnlyItsOwnPUBACK(t *testing.T) {
	// greet says something to a new client, and leaves, or listens.
	greet := func(leave bool, b ...byte) func(net.Conn) {
		return func(c net.Conn) {
			r, h := bufio.NewReader(c), heard{}
			if hearConnect(r, &h) != nil {
				return
			}
			_, _ = c.Write(b)
			if !leave {
				_, _ = io.Copy(io.Discard, r)
			}
		}
	}
	// answer takes the alert and then says what it is told by the packet's identifier.
	answer := func(say func(c net.Conn, id [2]byte)) func(net.Conn) {
		return func(c net.Conn) {
			r, h := bufio.NewReader(c), heard{}
			if hearConnect(r, &h) != nil {
				return
			}
			_, _ = c.Write([]byte{0x20, 2, 0, 0})
			if hearPublish(r, &h) == nil {
				say(c, h.packet)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		fails string
	}{
		{"wrong protocol", greet(false, 0x20, 2, 0, 1), "does not speak MQTT 3.1.1"},
		{"client id", greet(false, 0x20, 2, 0, 2), "refuses the client identifier"},
		{"down", greet(false, 0x20, 2, 0, 3), "is not available"},
		{"password", greet(false, 0x20, 2, 0, 4), "malformed"},
		{"not authorized", greet(false, 0x20, 2, 0, 5), "not authorized"},
		{"unknown code", greet(false, 0x20, 2, 0, 200), "code 200"},
		{"a session of somebody", greet(false, 0x20, 2, 1, 0), "a session that is not ours"},
		{"MQTT 5", greet(false, 0x20, 3, 0, 0, 0), "says 20 03 00 00 instead of CONNACK"},
		{"another protocol", greet(false, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")...), "is it one of MQTT?"},
		{"PUBACK for CONNACK", greet(false, 0x40, 2, 0, 0), "instead of CONNACK"},
		{"PUBACK of nothing", greet(false, 0x20, 2, 0, 0, 0x40, 2, 0, 0), "acknowledged packet 0x0000, which is not ours"},
		{"half a CONNACK", greet(true, 0x20, 2), "closed the connection instead of CONNACK"},
		{"closed without a word", greet(true), "closed the connection instead of CONNACK"},
		{"closed unread", func(net.Conn) {}, ""}, // the write fails, or the read: the kernel's choice
		{"reset", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, ""},
		{"silent", greet(false), "wait for CONNACK"},
		{"silent after the alert", answer(func(c net.Conn, _ [2]byte) { _, _ = io.Copy(io.Discard, c) }), "wait for PUBACK"},
		{"gone after the alert", answer(func(net.Conn, [2]byte) {}), "closed the connection instead of PUBACK"},
		{"gone before the alert", greet(true, 0x20, 2, 0, 0), ""},
		{"half a PUBACK", answer(func(c net.Conn, id [2]byte) { _, _ = c.Write([]byte{0x40, 2, id[0]}) }), "closed the connection instead of PUBACK"},
		{"another packet", answer(func(c net.Conn, id [2]byte) { _, _ = c.Write([]byte{0x40, 2, id[0], id[1] ^ 2}) }), "which is not ours"},
		{"PUBREC", answer(func(c net.Conn, id [2]byte) { _, _ = c.Write([]byte{0x50, 2, id[0], id[1]}) }), "instead of PUBACK"},
		{"PUBACK of MQTT 5", answer(func(c net.Conn, id [2]byte) { _, _ = c.Write([]byte{0x40, 3, id[0], id[1], 0x87}) }), "instead of PUBACK"},
		{"a message to us", answer(func(c net.Conn, id [2]byte) { _, _ = c.Write([]byte{0x30, 3, 0, 1, 't', 0x40, 2, id[0], id[1]}) }), "instead of PUBACK"},
		{"endless", answer(func(c net.Conn, _ [2]byte) {
			for {
				if _, err := c.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}), "instead of PUBACK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := notify.MQTT{Address: fakeBroker(t, tt.serve), Topic: "t", User: "u", Password: "s3cret"}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			answer, err := m.Send(ctx, takeover())
			if err == nil || !strings.Contains(err.Error(), tt.fails) || errors.Is(err, notify.ErrRefused) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q, %v", answer, err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("after %v", took)
			}
		})
	}
}

// Whoever stops the agent does not wait for a broker.
func TestMQTTEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := notify.MQTT{Topic: "t", Address: fakeBroker(t, func(c net.Conn) {
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})}
	if answer, err := m.Send(ctx, takeover()); err == nil {
		t.Errorf("%q", answer)
	}
	m.Address = "127.0.0.1:" + freePort(t)
	if answer, err := m.Send(t.Context(), takeover()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %q, %v", answer, err)
	}
	m.Topic = strings.Repeat("x", 1<<16)
	if answer, err := m.Send(t.Context(), takeover()); err == nil || !strings.Contains(err.Error(), "longer than MQTT can say") {
		t.Errorf("%q, %v", answer, err)
	}
}

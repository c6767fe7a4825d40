//go:build mqtt

package notify

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
)

// An MQTT is a topic of a broker, by MQTT 3.1.1 (OASIS standard, 29 October 2014);
// the sections below are of it.
type MQTT struct {
	Address        string // host, or host:port
	Topic          string
	Retain         bool // the broker keeps the newest alert for who subscribes later
	User, Password string
	// Secure begins TLS on a connection; nil: there is none.
	Secure func(ctx context.Context, c net.Conn, host string) (net.Conn, error)
}

// The packets that are used, by their first byte (section 2.2), with the flags
// that each has to have. PUBLISH: quality of service 1.
const (
	mqttConnect    = 0x10
	mqttConnack    = 0x20
	mqttPublish    = 0x32
	mqttRetain     = 0x01 // of mqttPublish
	mqttPuback     = 0x40
	mqttDisconnect = 0xe0
)

// mqttKeepAlive in seconds is told to the broker, which drops a client that says
// nothing for half as long again (section 3.1.2.10). No try is that long (see
// the key timeout), so that none has to say PINGREQ.
const mqttKeepAlive = 60

// mqttRefusals are the answers to CONNECT (section 3.2.2.3).
var mqttRefusals = [...]string{
	1: "it does not speak MQTT 3.1.1", 2: "it refuses the client identifier", 3: "it is not available",
	4: "user or password is malformed", 5: "not authorized: are user and password right?",
}

// Send publishes the alert as JSON in a session of its own, as in syslog: on a
// connection that stays, a broker that is gone would be noticed by the next alert.
// It is told once the broker acknowledges this very packet.
func (m MQTT) Send(ctx context.Context, a *alert.Alert) (string, error) {
	body, err := a.JSON()
	if err != nil {
		return "", err
	}
	var random [9]byte
	_, _ = rand.Read(random[:]) // never fails
	id := [2]byte(random[:2])   // nobody acknowledges by chance what was not read
	id[1] |= 1                  // section 2.3.1: not 0
	hello, err := m.connect(hex.EncodeToString(random[2:]))
	if err != nil {
		return "", err
	}
	port := "1883"
	if m.Secure != nil {
		port = "8883"
	}
	c, err := connect(ctx, "tcp", withPort(m.Address, port), m.Secure)
	if err != nil {
		return "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	said, err := ask(c, hello, mqttConnack, "CONNACK")
	if err != nil {
		return "", err
	}
	if said != [2]byte{} {
		return "", refusal(said)
	}
	if said, err = ask(c, m.publish(id, body), mqttPuback, "PUBACK"); err != nil {
		return "", err
	}
	if said != id {
		return "", fmt.Errorf("the broker acknowledged packet %#x, which is not ours (%#x)", said, id)
	}
	_, _ = c.Write([]byte{mqttDisconnect, 0}) // it has the alert
	return "the broker acknowledged it", nil
}

// connect is the first packet (section 3.1). The client identifier is another one
// each time: a broker ends the session of whoever has the same, as the other node
// or a test would. It has the 23 letters and digits at most that each broker takes.
func (m MQTT) connect(unique string) ([]byte, error) {
	const cleanSession, withUser = 0x02, 0xc0
	flags, fields := byte(cleanSession), []string{"twinbeat" + unique}
	if m.User != "" {
		flags |= withUser
		fields = append(fields, m.User, m.Password)
	}
	for _, s := range append(fields, m.Topic) {
		if len(s) > math.MaxUint16 {
			return nil, errors.New("user, password or topic is longer than MQTT can say")
		}
	}
	b := append(mqttText(nil, "MQTT"), 4, flags, 0, mqttKeepAlive)
	for _, s := range fields {
		b = mqttText(b, s)
	}
	return mqttPacket(mqttConnect, b), nil
}

// publish is the alert (section 3.3).
func (m MQTT) publish(id [2]byte, body []byte) []byte {
	head := byte(mqttPublish)
	if m.Retain {
		head |= mqttRetain
	}
	return mqttPacket(head, append(append(mqttText(nil, m.Topic), id[:]...), body...))
}

// mqttPacket puts a head in front: the length is written as a varint (section 2.2.3).
func mqttPacket(head byte, rest []byte) []byte {
	return append(binary.AppendUvarint([]byte{head}, uint64(len(rest))), rest...)
}

// mqttText appends a text behind its length (section 1.5.3).
func mqttText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// ask sends a packet and reads the two bytes of its answer. To a client that has
// subscribed to nothing a broker says nothing else.
func ask(c net.Conn, packet []byte, want byte, name string) (said [2]byte, err error) {
	if _, err := c.Write(packet); err != nil {
		return said, fmt.Errorf("send: %w", err)
	}
	var b [4]byte
	switch _, err := io.ReadFull(c, b[:]); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return said, fmt.Errorf("the broker closed the connection instead of %s", name)
	case err != nil:
		return said, fmt.Errorf("wait for %s: %w", name, err)
	case b[0] != want || b[1] != 2:
		return said, fmt.Errorf("the broker says % x instead of %s: is it one of MQTT?", b, name)
	}
	return [2]byte(b[2:]), nil
}

// refusal says why a CONNACK is none. A session that the broker claims to have
// kept would be of somebody else.
func refusal(said [2]byte) error {
	code := int(said[1])
	switch {
	case code == 0:
		return errors.New("the broker continues a session that is not ours")
	case code < len(mqttRefusals):
		return fmt.Errorf("the broker refuses us: %s", mqttRefusals[code])
	}
	return fmt.Errorf("the broker refuses us with code %d, which MQTT 3.1.1 does not have", code)
}

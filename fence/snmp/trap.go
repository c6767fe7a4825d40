package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

// Objects that every notification begins with, RFC 3418.
const (
	sysUpTime   = "1.3.6.1.2.1.1.3.0"
	snmpTrapOID = "1.3.6.1.6.3.1.1.4.1.0"
	trapPort    = "162"
)

// trapTries is how often an inform is sent within one timeout.
const trapTries = 3

// A TrapConfig describes who gets notifications, and from whom.
type TrapConfig struct {
	Config        // Version 2c or 3; Timeout bounds the whole of one notification
	Inform bool   // the receiver acknowledges
	Engine string // version 3, traps: this node's snmpEngineID, RFC 3411 section 5
	// Boots and Up are snmpEngineBoots and snmpEngineTime of a trap, RFC 3414
	// section 2.2: together they must never go back. Up is sysUpTime, too.
	Boots uint32
	Up    func() time.Duration
}

// A Trapper sends notifications to one receiver. It may be used by one
// goroutine at a time.
type Trapper struct{ c TrapConfig }

// A TrapObject is one object of a notification: a text, or a number.
type TrapObject struct {
	OID    string
	Text   string
	Number uint32
	Is     bool // a number
	Signed bool // an INTEGER
}

// NewTrapper checks the configuration. It does no I/O.
func NewTrapper(c TrapConfig) (*Trapper, error) {
	if _, _, err := net.SplitHostPort(c.Address); err != nil && c.Address != "" {
		c.Address = net.JoinHostPort(strings.Trim(c.Address, "[]"), trapPort)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	switch {
	case c.Version == "1":
		return nil, errors.New("SNMP version 1 has other notifications: use 2c or 3")
	case c.Version == "3" && !c.Inform && (len(c.Engine) < 5 || len(c.Engine) > 32):
		return nil, errors.New("a trap of version 3 needs an engine id of 5 to 32 bytes")
	}
	return &Trapper{c}, nil
}

// Send sends one notification, and with Inform returns only once the receiver
// acknowledged it. Errors say what it answered instead.
func (t *Trapper) Send(ctx context.Context, oid string, objects []TrapObject) error {
	ctx, cancel := context.WithTimeout(ctx, t.c.Timeout)
	defer cancel()
	g, err := t.open(ctx)
	if err != nil {
		return err
	}
	conn := g.Conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer conn.Close()
	defer stop()
	reply, err := g.SendTrap(gosnmp.SnmpTrap{Variables: t.variables(oid, objects), IsInform: t.c.Inform})
	if err != nil {
		if ctx.Err() != nil {
			return errNoAnswer
		}
		if t.c.Version == "3" && t.c.Inform { // it reports what it dislikes unsigned, which gosnmp does not read
			err = fmt.Errorf("%w; are user, passwords and protocols those of the receiver?", err)
		}
		return oneLine(socketError(err))
	}
	if !t.c.Inform {
		return nil
	}
	if err := valid(g, reply); err != nil {
		return err
	}
	if reply.Error != gosnmp.NoError {
		return &statusError{reply.Error, int(reply.ErrorIndex)}
	}
	return nil
}

// open makes the socket. An inform of version 3 learns the receiver's engine
// first; a trap tells this node's.
func (t *Trapper) open(ctx context.Context) (*gosnmp.GoSNMP, error) {
	v := gosnmp.Version2c
	if t.c.Version == "3" {
		v = gosnmp.Version3
	}
	g, err := t.c.client(ctx, v)
	if err != nil {
		return nil, err
	}
	g.Timeout, g.Retries, g.MaxOids = t.c.Timeout/trapTries, trapTries-1, gosnmp.MaxOids
	if v == gosnmp.Version3 {
		if user, ok := g.SecurityParameters.(*gosnmp.UsmSecurityParameters); ok && !t.c.Inform {
			g.ContextEngineID = t.c.Engine
			user.AuthoritativeEngineID, user.AuthoritativeEngineBoots = t.c.Engine, t.c.Boots
			user.AuthoritativeEngineTime = uint32(t.c.Up() / time.Second)
		}
	}
	if err := g.Connect(); err != nil {
		return nil, fmt.Errorf("open socket: %w", socketError(err))
	}
	return g, nil
}

func (t *Trapper) variables(oid string, objects []TrapObject) []gosnmp.SnmpPDU {
	out := []gosnmp.SnmpPDU{
		{Name: sysUpTime, Type: gosnmp.TimeTicks, Value: uint32(t.c.Up() / (10 * time.Millisecond))},
		{Name: snmpTrapOID, Type: gosnmp.ObjectIdentifier, Value: oid},
	}
	for _, o := range objects {
		v := gosnmp.SnmpPDU{Name: o.OID, Type: gosnmp.OctetString, Value: o.Text}
		switch {
		case o.Is && o.Signed:
			v.Type, v.Value = gosnmp.Integer, int(o.Number)
		case o.Is:
			v.Type, v.Value = gosnmp.Gauge32, o.Number
		}
		out = append(out, v)
	}
	return out
}

// Package ipmi switches a box by its BMC, over the network, in the way of IPMI
// 2.0 (RMCP+, "lanplus"). It decides nothing: it gives Chassis Control down or
// up and says what Get Chassis Status answered, but only if that answer is
// encrypted and authenticated with the session's keys. It refuses cycle, reset
// and soft shutdown, and suites that authenticate nothing. A BMC lives on the
// box's own power supplies: one that is silent may be of a box that is dead or
// of a cable that is cut, so a power switch belongs behind it. Start reading at
// Unit.with, then connect.
package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/fence"
)

// Defaults and limits of a Config.
const (
	Port           = "623"           // asf-rmcp, IANA
	DefaultTimeout = 4 * time.Second // four tries of each datagram
	MaxUser        = 16              // bytes, IPMI 2.0 section 22.28
	MaxPassword    = 20              // bytes, IPMI 2.0 section 22.30
	Box            = "1"             // the one outlet of a BMC
	maxRaw         = 64              // bytes of an answer that are shown
)

// A Config describes one BMC.
type Config struct {
	Name           string // for logs; empty: the address
	Address        string // host or host:port; the port is 623 if it is left out
	User, Password string

	// CipherSuite is 17 (SHA-256) or 3 (SHA-1); 0 tries 17, then 3. Both
	// encrypt by AES-128. There are no others: suite 0 asks for no password.
	CipherSuite int

	Timeout time.Duration // of each request, with its repetitions; 0: DefaultTimeout
}

// A Unit is one BMC with its one box.
type Unit struct {
	config Config
	busy   chan struct{} // held by the one operation under way
}

var (
	_ fence.Unit       = (*Unit)(nil)
	_ fence.Switch     = box{}
	_ fence.Identifier = box{}
)

// New returns the Unit, or says what is wrong with the Config. It does no I/O.
func New(c Config) (*Unit, error) {
	if c.Name == "" {
		c.Name = c.Address
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	address, err := withPort(c.Address)
	c.Address = address
	switch {
	case err != nil:
	case c.User == "":
		err = errors.New("it has no user") // an empty one is a BMC's anonymous user
	case len(c.User) > MaxUser:
		err = fmt.Errorf("user is longer than %d bytes", MaxUser)
	case c.Password == "":
		err = errors.New("it has no password")
	case len(c.Password) > MaxPassword:
		err = fmt.Errorf("password is longer than %d bytes", MaxPassword)
	case strings.ContainsRune(c.User+c.Password, 0):
		err = errors.New("user or password has a zero byte")
	case c.CipherSuite != 0 && c.CipherSuite != 3 && c.CipherSuite != 17:
		err = fmt.Errorf("cipher suite %d is neither 17 nor 3", c.CipherSuite)
	case c.Timeout < 0:
		err = fmt.Errorf("timeout %v is negative", c.Timeout)
	}
	if err != nil {
		return nil, fmt.Errorf("make BMC %q: %w", c.Name, err)
	}
	return &Unit{config: c, busy: make(chan struct{}, 1)}, nil
}

// withPort adds the port to an address that has none.
func withPort(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), Port
	}
	if host == "" || port == "" {
		return "", fmt.Errorf("address %q has no host", address)
	}
	return net.JoinHostPort(host, port), nil
}

// Outlet returns the box. A BMC has no other outlets: the selector is "1" or
// empty.
func (u *Unit) Outlet(selector string) (fence.Switch, error) {
	if selector != "" && selector != Box {
		return nil, fmt.Errorf("outlet %q of %s: a BMC has one box, outlet %q", selector, u.config.Name, Box)
	}
	return box{u}, nil
}

// List reads the one box.
func (u *Unit) List(ctx context.Context) ([]fence.Outlet, error) {
	r, err := box{u}.Read(ctx)
	if err != nil {
		return nil, err
	}
	return []fence.Outlet{{Index: Box, Reading: r}}, nil
}

// Close does nothing: every operation closes its own session.
func (u *Unit) Close() error { return nil }

// with runs an operation in a session of its own.
func (u *Unit) with(ctx context.Context, what string, do func(*session) error) error {
	fail := func(err error) error { return fmt.Errorf("%s at %s: %w", what, u.config.Address, err) }
	select {
	case u.busy <- struct{}{}:
		defer func() { <-u.busy }()
	case <-ctx.Done():
		return fail(fmt.Errorf("wait for another operation: %w", ctx.Err()))
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", u.config.Address)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = conn.Close() }()
	s, err := connect(ctx, conn, u.config)
	if err != nil {
		return fail(err)
	}
	defer s.close(ctx)
	if err := do(s); err != nil {
		return fail(err)
	}
	return nil
}

// A box is the fence.Switch of a Unit.
type box struct{ unit *Unit }

// Name returns the unit's name and outlet.
func (b box) Name() string { return b.unit.config.Name + ":" + Box }

// Word says that nothing independent of the box speaks.
func (b box) Word() string { return "of the BMC, which shares the box's power" }

// Chassis Control, IPMI 2.0 table 28-4. The others (cycle 2, reset 3,
// diagnostic 4, soft 5) leave the box on or ask its software.
const (
	powerDown = 0
	powerUp   = 1
)

// SwitchOff gives Chassis Control, power down.
func (b box) SwitchOff(ctx context.Context) error { return b.control(ctx, "power down", powerDown) }

// SwitchOn gives Chassis Control, power up.
func (b box) SwitchOn(ctx context.Context) error { return b.control(ctx, "power up", powerUp) }

func (b box) control(ctx context.Context, what string, action byte) error {
	return b.unit.with(ctx, what, func(s *session) error {
		_, err := s.do(ctx, chassisControl, []byte{action})
		if action == powerDown && errors.Is(err, stateForbids) {
			err = fmt.Errorf("%w: %w", fence.ErrAlreadyOff, err)
		}
		return err
	})
}

// Read gives Get Chassis Status.
func (b box) Read(ctx context.Context) (fence.Reading, error) {
	var r fence.Reading
	err := b.unit.with(ctx, "get chassis status", func(s *session) error {
		data, err := s.do(ctx, getChassisStatus, nil)
		if err == nil {
			r, err = chassis(data)
		}
		return err
	})
	return r, err
}

// chassis makes a reading of the answer to Get Chassis Status, IPMI 2.0 table
// 28-3: bit 0 of the first byte is power; faults are shown, and change nothing,
// as a supply that failed is no less on or off for it.
func chassis(data []byte) (fence.Reading, error) {
	if len(data) < 3 || len(data) > 4 {
		return fence.Reading{}, fmt.Errorf("chassis status has %d bytes (% x), not 3 or 4", len(data), data[:min(len(data), maxRaw)])
	}
	r := fence.Reading{Power: fence.PowerOff}
	if data[0]&0x01 != 0 {
		r.Power = fence.PowerOn
	}
	r.Raw = fmt.Sprintf("chassis status % x: %v", data, r.Power)
	for _, flag := range []struct {
		bit  byte
		text string
	}{{0x02, "overload"}, {0x04, "interlock"}, {0x08, "power fault"}, {0x10, "power control fault"}} {
		if data[0]&flag.bit != 0 {
			r.Raw += ", " + flag.text
		}
	}
	return r, nil
}

// Identify says what the BMC is; see Unit.Identify.
func (b box) Identify(ctx context.Context) (fence.Identity, error) {
	id, err := b.unit.Identify(ctx)
	if err == nil {
		id.Outlet = Box
	}
	return id, err
}

// Identify gives Get Device ID, and reads the box's maker, product and serial
// number where the BMC keeps them (FRU device 0). A BMC without a readable FRU
// is known by the numbers of maker and product alone.
func (u *Unit) Identify(ctx context.Context) (fence.Identity, error) {
	var id fence.Identity
	err := u.with(ctx, "identify", func(s *session) error {
		data, err := s.do(ctx, getDeviceID, nil)
		if err != nil {
			return err
		}
		if id, err = device(data); err != nil {
			return err
		}
		f, err := s.inventory(ctx)
		var refusal completion
		if err != nil && !errors.As(err, &refusal) && !errors.Is(err, errInventory) {
			return fmt.Errorf("read inventory: %w", err) // half an identity would look like another box
		}
		if model := strings.TrimSpace(f.maker + " " + f.product); model != "" {
			id.Model = model
		}
		id.Serial = f.serial
		return nil
	})
	if err != nil {
		return fence.Identity{}, err
	}
	return id, nil
}

// device makes an identity of the answer to Get Device ID, IPMI 2.0 table 20-2.
func device(data []byte) (fence.Identity, error) {
	if len(data) < 11 {
		return fence.Identity{}, fmt.Errorf("device ID has %d bytes (% x), not 11 or more", len(data), data)
	}
	maker := int(data[6]) | int(data[7])<<8 | int(data[8]&0x0f)<<16
	return fence.Identity{
		Family:   "ipmi",
		Model:    fmt.Sprintf("maker %d product %d", maker, int(data[9])|int(data[10])<<8),
		Firmware: fmt.Sprintf("%d.%02x", data[2]&0x7f, data[3]), // the minor number is BCD
		Outlets:  1,
	}, nil
}

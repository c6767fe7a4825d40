// Package snmp drives power strips by SNMP, with one table of device families:
// it decides which family a device is of, proves that by reading the outlet
// table, and says what that table says. It refuses whatever the table does not
// spell out: another value, type or object is "unknown", never off. Start
// reading at families, then Unit and outlet.
package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
)

// Bounds of the driver.
const (
	// DefaultTimeout of one attempt. Agents on management cards of power strips
	// take 1.5 s for an answer, and queue what comes meanwhile.
	DefaultTimeout = 5 * time.Second
	// Attempts of one request that is not answered. A command is repeated, too:
	// its value is a state, never a toggle, so a second copy changes nothing.
	Attempts = 3
	// maxOutlets bounds a walk of an outlet table: four strips of 48 in a chain,
	// and room. What lies beyond is an error.
	maxOutlets = 256
	// maxBinds is how many objects one request asks for. Old cards answer
	// tooBig beyond 484 bytes; then the request is halved.
	maxBinds = 12
	// minSecret is the shortest pass phrase that RFC 3414 section 11.2 allows.
	minSecret = 8
	port      = "161"
)

// A Config describes one device. Secrets are given as text; who reads them
// from a file checks its mode.
type Config struct {
	Name    string        // for logs; empty: Address
	Address string        // host, or host:port
	Timeout time.Duration // of each attempt; 0: DefaultTimeout

	// Vendor is the first word of the families that are allowed: "apc",
	// "raritan", "eaton", "sentry", "cyberpower", "tripplite" or "ibm". Empty
	// or "snmp" allows every family.
	Vendor string

	// Version is "1", "2c" or "3". Empty means 3 if there is a User, and else
	// whichever of 1 and 2c answers first, asked in that order: cards with AOS
	// 3.x know no 2c, and everything that is needed here 1 can do.
	Version   string
	Community string // versions 1 and 2c

	// Version 3, RFC 3414. Without AuthProtocol nothing is signed, and without
	// PrivProtocol nothing is encrypted.
	User         string
	AuthProtocol string // md5, sha, sha224, sha256, sha384, sha512
	AuthPassword string
	PrivProtocol string // des, aes, aes192, aes256, aes192c, aes256c (c: keys extended as Cisco does)
	PrivPassword string
	Context      string // context name; usually empty
}

// authProtocols and privProtocols are the words of a Config.
var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{
	"md5": gosnmp.MD5, "sha": gosnmp.SHA, "sha1": gosnmp.SHA, "sha224": gosnmp.SHA224,
	"sha256": gosnmp.SHA256, "sha384": gosnmp.SHA384, "sha512": gosnmp.SHA512,
}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{
	"des": gosnmp.DES, "aes": gosnmp.AES, "aes128": gosnmp.AES, "aes192": gosnmp.AES192, "aes256": gosnmp.AES256,
	"aes192c": gosnmp.AES192C, "aes256c": gosnmp.AES256C,
}

// Vendors returns the words that Config.Vendor may be, in order.
func Vendors() []string {
	all := []string{"snmp"}
	for _, f := range families {
		if v := f.vendor(); !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all
}

// check says what is wrong with a Config, after its defaults are filled in.
func (c *Config) check() error {
	if c.Address == "" {
		return errors.New("it has no address")
	}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		c.Address = net.JoinHostPort(strings.Trim(c.Address, "[]"), port)
	}
	_, p, err := net.SplitHostPort(c.Address)
	if n, bad := strconv.Atoi(p); err != nil || bad != nil || n < 1 || n > 65535 {
		return fmt.Errorf("address %q has no port from 1 to 65535", c.Address)
	}
	if c.Name == "" {
		c.Name = c.Address
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Version == "" && c.User != "" {
		c.Version = "3"
	}
	switch {
	case c.Timeout < 0:
		return fmt.Errorf("timeout %v is negative", c.Timeout)
	case c.Vendor != "" && !slices.Contains(Vendors(), c.Vendor):
		return fmt.Errorf("vendor %q is none of %s", c.Vendor, strings.Join(Vendors(), ", "))
	case c.Version == "3":
		return c.checkUser()
	case c.Version != "" && c.Version != "1" && c.Version != "2c":
		return fmt.Errorf("SNMP version %q is none of 1, 2c, 3", c.Version)
	case c.User != "":
		return fmt.Errorf("SNMP version %s has no user", c.Version)
	case c.Community == "":
		return errors.New("it has no community")
	case len(c.Community) > 255: // gosnmp writes its length in one byte
		return errors.New("its community is longer than 255 bytes")
	}
	return nil
}

func (c *Config) checkUser() error {
	c.AuthProtocol = strings.ToLower(strings.ReplaceAll(c.AuthProtocol, "-", ""))
	c.PrivProtocol = strings.ToLower(strings.ReplaceAll(c.PrivProtocol, "-", ""))
	_, auth := authProtocols[c.AuthProtocol]
	_, priv := privProtocols[c.PrivProtocol]
	switch {
	case c.User == "":
		return errors.New("SNMP version 3 needs a user")
	case c.AuthProtocol != "" && !auth:
		return fmt.Errorf("auth protocol %q is none of md5, sha, sha224, sha256, sha384, sha512", c.AuthProtocol)
	case c.PrivProtocol != "" && !priv:
		return fmt.Errorf("priv protocol %q is none of des, aes, aes192, aes256, aes192c, aes256c", c.PrivProtocol)
	case priv && !auth:
		return errors.New("a priv protocol needs an auth protocol (RFC 3414 section 1.4.2)")
	case auth && len(c.AuthPassword) < minSecret:
		return fmt.Errorf("the auth pass phrase is shorter than %d bytes", minSecret)
	case priv && len(c.PrivPassword) < minSecret:
		return fmt.Errorf("the priv pass phrase is shorter than %d bytes", minSecret)
	}
	return nil
}

// A Unit is one device. Only one of its operations is under way at a time:
// management cards drop what comes while they think.
type Unit struct {
	config  Config
	session session
	busy    chan struct{}

	// What was learnt of the device, or nil. It is given up at the first sign
	// that it may no longer be so; see forget.
	facts *facts
	era   int // counts the times that facts were given up
}

var _ fence.Unit = (*Unit)(nil)

// New returns the unit, or says what is wrong with the Config. It sends nothing.
func New(c Config) (*Unit, error) {
	if err := c.check(); err != nil {
		name := c.Name
		if name == "" {
			name = c.Address
		}
		return nil, fmt.Errorf("make SNMP device %q: %w", name, err)
	}
	return &Unit{config: c, session: session{config: c}, busy: make(chan struct{}, 1)}, nil
}

// Close closes the socket. Operations after it open a new one.
func (u *Unit) Close() error {
	u.busy <- struct{}{}
	defer func() { <-u.busy }()
	u.session.close()
	return nil
}

// begin waits until no other operation is under way.
func (u *Unit) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case u.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another request to %s: %w", u.config.Name, ctx.Err())
	}
}

func (u *Unit) end() { <-u.busy }

// forget gives up what was learnt, so that the next operation asks anew: the
// device was replaced, renumbered by new firmware, or is restarting.
func (u *Unit) forget() {
	u.facts = nil
	u.era++
}

// Outlet returns the switch of an outlet: by its index in the table ("3", or
// "1.3" where the table has two indexes), in a chain of strips by "unit.outlet",
// or by its name.
func (u *Unit) Outlet(selector string) (fence.Switch, error) {
	selector = strings.TrimSpace(selector)
	if selector == "" {
		return nil, fmt.Errorf("make outlet of %s: it has no index and no name", u.config.Name)
	}
	return &outlet{unit: u, selector: selector}, nil
}

// Identify says what the device is.
func (u *Unit) Identify(ctx context.Context) (fence.Identity, error) {
	if err := u.begin(ctx); err != nil {
		return fence.Identity{}, err
	}
	defer u.end()
	id, err := u.identify(ctx)
	if err != nil {
		return id, fmt.Errorf("identify %s: %w", u.config.Name, err)
	}
	return id, nil
}

// List reads all outlets.
func (u *Unit) List(ctx context.Context) ([]fence.Outlet, error) {
	if err := u.begin(ctx); err != nil {
		return nil, err
	}
	defer u.end()
	list, err := u.list(ctx)
	if err != nil {
		return list, fmt.Errorf("list outlets of %s: %w", u.config.Name, err)
	}
	return list, nil
}

func (u *Unit) list(ctx context.Context) ([]fence.Outlet, error) {
	if err := u.learn(ctx); err != nil {
		return nil, err
	}
	rows, err := u.rows(ctx, u.facts.family.status)
	if err != nil {
		return nil, err
	}
	var list []fence.Outlet
	absent := map[string]bool{} // rows of one table have the same columns
	for _, row := range rows {
		p, said, err := u.plan(ctx, row.index, absent)
		if err != nil {
			return list, err
		}
		r, err := p.judge(p.pick(said))
		if err != nil && !errors.As(err, new(*stateError)) {
			return list, err
		}
		list = append(list, fence.Outlet{Index: p.label(), Name: p.name, Reading: r})
	}
	return list, nil
}

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
)

// An opener makes the unit of a device, without I/O. The driver's package says
// what is wrong with the Config.
type opener func(d config.FenceDevice, s secrets) (fence.Unit, error)

// openers are the drivers in this build. Each drivers_*.go enters its own.
var openers = map[string]opener{}

// snmpDrivers are those of them that speak SNMP, whose secrets have names of
// their own.
var snmpDrivers []string

// FenceDrivers names the drivers in this build, in order.
func FenceDrivers() []string { return slices.Sorted(maps.Keys(openers)) }

// A MissingDriverError says that a build lacks a driver.
type MissingDriverError struct{ Driver string }

// Error names the driver and those that there are.
func (e *MissingDriverError) Error() string {
	return fmt.Sprintf("fence driver %q is not in this build (%s: %s)", e.Driver, buildName, strings.Join(FenceDrivers(), ", "))
}

// Hint says what to do about it.
func (e *MissingDriverError) Hint() string {
	return "use the full build (make build without TAGS), or driver exec with a program that asks the device"
}

// HasFenceDriver returns a MissingDriverError if the build lacks a driver.
func HasFenceDriver(name string) error {
	if _, ok := openers[name]; !ok {
		return &MissingDriverError{name}
	}
	return nil
}

// A FenceUnit is one fence device of a configuration, ready to be asked.
type FenceUnit struct {
	fence.Unit
	Config config.FenceDevice
}

// OpenFenceUnit reads the secrets of a device and makes its unit. It does no
// other I/O: the device may be away.
func OpenFenceUnit(d config.FenceDevice) (FenceUnit, error) {
	fail := func(err error) (FenceUnit, error) {
		return FenceUnit{}, fmt.Errorf("open fence device %s: %w", d.Name, err)
	}
	if err := HasFenceDriver(d.Driver); err != nil {
		return fail(err)
	}
	s, err := readSecrets(d)
	if err != nil {
		return fail(err)
	}
	u, err := openers[d.Driver](d, s)
	if err != nil {
		_, err = fail(err)
		return FenceUnit{}, hinted{err, s.advice(d)}
	}
	return FenceUnit{u, d}, nil
}

// hinted is an error with advice.
type hinted struct {
	error
	advice string
}

func (h hinted) Unwrap() error { return h.error }

// Hint returns the advice, empty if there is none.
func (h hinted) Hint() string { return h.advice }

// Close gives back what the driver holds, if anything.
func (u FenceUnit) Close() error {
	if c, ok := u.Unit.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// Feeds returns the peer's feeds: one for each outlet, or one for its box.
func (u FenceUnit) Feeds() ([]fence.Feed, error) {
	d := u.Config
	outlets := d.Outlets
	if len(outlets) == 0 && !d.Idle && !config.HasOutlets(d.Driver) {
		outlets = []string{""} // a box behind its BMC, or a program, has but one
	}
	var out []fence.Feed
	for i, selector := range outlets {
		sw, err := u.Outlet(selector)
		if err != nil {
			return nil, fmt.Errorf("open fence device %s: %w", d.Name, err)
		}
		pin := fence.Pin{ObjectID: d.Pin.ObjectID, Model: d.Pin.Model, Serial: d.Pin.Serial, Outlets: d.Pin.Outlets}
		if i < len(d.Pin.OutletNames) {
			pin.Name = d.Pin.OutletNames[i]
		}
		out = append(out, fence.Feed{Switch: sw, Pin: pin, Unit: cmp.Or(d.Address, d.Name)})
	}
	return out, nil
}

// FenceLevels makes the device that switches off whatever the given ones feed,
// level by level. Devices that feed nothing are left out; nil comes for none at
// all. wrap, if there is one, stands before each switch.
func FenceLevels(devices []config.FenceDevice, wrap func(fence.Switch) fence.Switch) (fence.Device, error) {
	byLevel := map[int][]fence.Device{}
	for _, d := range devices {
		unit, err := OpenFenceUnit(d)
		if err != nil {
			return nil, err
		}
		feeds, err := unit.Feeds()
		if err != nil {
			return nil, err
		}
		for _, f := range feeds {
			if wrap != nil {
				f.Switch = wrap(f.Switch)
			}
			prover, err := fence.NewFeed(f, fence.Timing{Holdup: d.Holdup})
			if err != nil {
				return nil, err
			}
			byLevel[d.Level] = append(byLevel[d.Level], prover)
		}
	}
	var levels fence.Levels
	order := slices.Collect(maps.Keys(byLevel)) // slices.Sorted is a copy for each type, 6 KB
	sort.Slice(order, func(i, k int) bool { return order[i] < order[k] })
	for _, level := range order {
		levels.Chains = append(levels.Chains, fence.Chain{Devices: byLevel[level]})
	}
	switch len(levels.Chains) {
	case 0:
		return nil, nil
	case 1:
		return levels.Chains[0], nil
	}
	return levels, nil
}

// FenceHistoryDir is where the history of fencings is kept below state_dir.
func FenceHistoryDir(stateDir string) string { return filepath.Join(stateDir, "fence") }

// fencer makes the device that switches the peer off.
func fencer(c config.Config) (fence.Device, error) {
	if c.Fence == nil {
		return nil, nil
	}
	return FenceLevels(c.Fence.Devices, nil)
}

// Where secrets come from that no file holds.
const (
	envCommunity = "TWINBEAT_FENCE_COMMUNITY"
	envPassword  = "TWINBEAT_FENCE_PASSWORD"
	envAuth      = "TWINBEAT_FENCE_AUTH"
	envPriv      = "TWINBEAT_FENCE_PRIV"
)

// advice says where a secret goes that a device may lack.
func (s secrets) advice(d config.FenceDevice) string {
	switch {
	case d.SNMPVersion == "3" || d.User != "" && slices.Contains(snmpDrivers, d.Driver):
		if s.auth == "" {
			return "a file of mode 0600 named by auth_file (--auth-file), or " + envAuth
		}
	case slices.Contains(snmpDrivers, d.Driver):
		if s.community == "" {
			return "a file of mode 0600 named by community_file (--community-file), or " + envCommunity
		}
	case s.password == "" && len(s.identity) == 0 && d.Driver != "exec":
		return "a file of mode 0600 named by password_file (--password-file), or " + envPassword
	}
	return ""
}

// maxCA bounds a file of certificates.
const maxCA = 1 << 20

// readSecrets reads the files of a device, or the environment.
func readSecrets(d config.FenceDevice) (s secrets, err error) {
	s.community = d.Community
	for _, one := range []struct {
		to              *string
		what, file, env string
	}{
		{&s.community, "community_file", d.CommunityFile, envCommunity},
		{&s.password, "password_file", d.PasswordFile, envPassword},
		{&s.auth, "auth_file", d.AuthFile, envAuth},
		{&s.priv, "priv_file", d.PrivFile, envPriv},
	} {
		if *one.to != "" {
			continue
		}
		if *one.to, err = secret(one.what, one.file, one.env); err != nil {
			return secrets{}, err
		}
	}
	if d.IdentityFile != "" {
		if s.identity, err = readPrivate("identity_file", d.IdentityFile, maxSecret); err != nil {
			return secrets{}, err
		}
	}
	if s.ca, err = readCA(d.CAFile); err != nil {
		return secrets{}, err
	}
	return s, nil
}

// readCA reads certificates, if a file is named.
func readCA(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxCA) {
		err = fmt.Errorf("%s is not a file of certificates", file)
	}
	var ca []byte
	if err == nil {
		ca, err = os.ReadFile(file)
	}
	if err != nil {
		return "", fmt.Errorf("read ca_file: %w", err)
	}
	return string(ca), nil
}

// A single is the unit of a driver that has one switch and no list.
type single struct{ fence.Switch }

// Outlet returns the switch; there is no other to select.
func (u single) Outlet(selector string) (fence.Switch, error) {
	if selector != "" {
		return nil, fmt.Errorf("outlet %q of %s: a program has no outlets", selector, u.Name())
	}
	return u.Switch, nil
}

// List reads the one switch.
func (u single) List(ctx context.Context) ([]fence.Outlet, error) {
	r, err := u.Read(ctx)
	return []fence.Outlet{{Index: "1", Reading: r}}, err
}

// Identify says that nothing is known.
func (u single) Identify(context.Context) (fence.Identity, error) {
	return fence.Identity{}, fmt.Errorf("identify %s: %w", u.Name(), errNoIdentity)
}

// errNoIdentity is of drivers that cannot say what they switch.
var errNoIdentity = errors.New("a program cannot say what it switches")

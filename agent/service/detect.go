//go:build !lite

package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

func init() {
	extras["auto"] = extra{
		check: func(s Spec) error { return checkServiceName(s.Driver, s.Unit) },
		unit:  func(s Spec) Unit { return &auto{spec: s} },
		examine: func(ctx context.Context, s Spec) []Finding {
			driver, err := Detect(s.Unit)
			if err != nil {
				return []Finding{{Key: "driver", Text: err.Error(), Hint: "write the driver's name", Warning: true}}
			}
			s.Driver = driver
			return Examine(ctx, s)
		},
	}
}

// Facts are what Choose goes by: for each init system, whether it runs here
// and knows the service.
type Facts struct {
	Systemd, OpenRC, Procd, Runit bool // it runs
	Unit                          bool // a systemd unit of the name
	Script                        bool // a script in /etc/init.d
	OpenRCScript, ProcdScript     bool // and it is one of these
	Folder                        bool // a folder among runit's services
}

// Choose names the driver of a service that says auto, or says why there is
// none. Of the init systems that run, those count that know the service; a
// plain script is taken only if none does. Two that know it are one too many:
// both would start it.
func Choose(f Facts) (driver string, err error) {
	var fit []string
	for _, c := range []struct {
		driver string
		fits   bool
	}{
		{"systemd", f.Systemd && f.Unit},
		{"openrc", f.OpenRC && f.OpenRCScript},
		{"procd", f.Procd && f.ProcdScript},
		{"runit", f.Runit && f.Folder},
	} {
		if c.fits {
			fit = append(fit, c.driver)
		}
	}
	switch {
	case len(fit) > 1:
		return "", fmt.Errorf("%s know it", strings.Join(fit, " and "))
	case len(fit) == 1:
		return fit[0], nil
	case f.Script && !f.OpenRCScript && !f.ProcdScript:
		return "sysv", nil
	}
	return "", fmt.Errorf("no init system that runs here knows it")
}

// Detect chooses the driver of a service by its name, on this machine.
func Detect(name string) (driver string, err error) { return DetectBelow("/", name) }

// InitSystem names the init system whose marks are below root, by the same facts;
// sysv if there are only its scripts, empty if not even those.
func InitSystem(root string) string {
	f := gather(root, "")
	first, _ := os.ReadFile(filepath.Join(root, "proc/1/comm"))
	_, noScripts := os.Stat(filepath.Join(root, initDir))
	switch {
	case f.Systemd:
		return "systemd"
	case f.OpenRC:
		return "openrc"
	case f.Procd:
		return "procd"
	case strings.TrimSpace(string(first)) == "runit":
		return "runit"
	case noScripts == nil:
		return "sysv"
	}
	return ""
}

// DetectBelow is Detect on the machine whose root folder that is.
func DetectBelow(root, name string) (driver string, err error) {
	if err := checkServiceName("auto", name); err != nil {
		return "", err
	}
	if driver, err = Choose(gather(root, name)); err != nil {
		return "", fmt.Errorf("driver auto, unit %s: %w", name, err)
	}
	return driver, nil
}

// unitFolders are where systemd finds units (systemd.unit(5)), those that it
// makes of init scripts among them.
var unitFolders = []string{
	"etc/systemd/system", "run/systemd/system", "run/systemd/generator", "run/systemd/generator.early", "run/systemd/generator.late",
	"usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system",
}

// runitFolders are sv's own folders of services: Debian's, Void's, and the
// author's.
var runitFolders = []string{"etc/service", "var/service", "service", "run/runit/service"}

// gather looks for facts below root.
func gather(root, name string) Facts {
	exists := func(path string) bool { _, err := os.Stat(filepath.Join(root, path)); return err == nil }
	f := Facts{
		Systemd: exists("run/systemd/system"), // sd_booted(3)
		OpenRC:  exists("run/openrc/softlevel"),
		Procd:   exists("sbin/procd") && (exists("var/run/ubus/ubus.sock") || exists("var/run/ubus.sock")),
	}
	unit := name
	if !strings.Contains(unit, ".") {
		unit += ".service"
	}
	file := unit
	if template, _, isInstance := strings.Cut(unit, "@"); isInstance {
		file = template + "@" + filepath.Ext(unit)
	}
	for _, dir := range unitFolders {
		f.Unit = f.Unit || exists(filepath.Join(dir, file)) || exists(filepath.Join(dir, unit))
	}
	if text, err := head(filepath.Join(root, initDir, name)); err == nil {
		first, _, _ := strings.Cut(text, "\n")
		f.Script = true
		f.OpenRCScript = strings.HasPrefix(first, "#!") && strings.Contains(first, "openrc-run")
		f.ProcdScript = usesProcd(filepath.Join(root, initDir, name)) == nil
	}
	folder, ok := runitFolder(root, name)
	f.Folder = ok
	_, err := os.Stat(filepath.Join(folder, "supervise", "ok"))
	f.Runit = ok && err == nil // runsv made it
	return f
}

func runitFolder(root, name string) (path string, ok bool) {
	for _, dir := range runitFolders {
		path = filepath.Join(root, dir, name)
		if _, err := os.Stat(filepath.Join(path, "run")); err == nil {
			return path, true
		}
	}
	return "", false
}

// An auto is a service whose driver is chosen at its first use, and kept.
type auto struct {
	spec Spec

	mu   sync.Mutex
	unit Unit
}

func (a *auto) chosen() (Unit, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unit == nil {
		driver, err := Detect(a.spec.Unit)
		if err != nil {
			return nil, err
		}
		s := a.spec
		s.Driver = driver
		if err := s.checkDriver(); err != nil {
			return nil, err
		}
		a.unit = s.unit()
	}
	return a.unit, nil
}

func (a *auto) Start(ctx context.Context) error { return a.do(ctx, Unit.Start) }
func (a *auto) Stop(ctx context.Context) error  { return a.do(ctx, Unit.Stop) }

func (a *auto) Restart(ctx context.Context) error { return a.do(ctx, Unit.Restart) }

// Reload reloads; every driver that auto chooses can.
func (a *auto) Reload(ctx context.Context) error {
	return a.do(ctx, func(u Unit, ctx context.Context) error { return u.(reloader).Reload(ctx) })
}

func (a *auto) do(ctx context.Context, what func(Unit, context.Context) error) error {
	u, err := a.chosen()
	if err != nil {
		return err
	}
	return what(u, ctx)
}

func (a *auto) Status(ctx context.Context) (State, error) {
	u, err := a.chosen()
	if err != nil {
		return Unknown, err
	}
	return u.Status(ctx)
}

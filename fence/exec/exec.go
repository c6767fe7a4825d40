// Package exec drives a fence device through three commands: off, on and
// status. It refuses to interpret: status must exit with 0 and print exactly
// the configured text, and everything else is unknown. Start reading at New.
package exec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/fence"
)

// Defaults of a Config.
const (
	DefaultTimeout = 10 * time.Second
	DefaultOffText = "off"
	DefaultOnText  = "on"
	maxShown       = 80 // bytes of an unknown text that an error shows
)

// A Config describes one device. The commands are argument vectors and are run
// without a shell, with TWINBEAT_FENCE set to the device's name.
type Config struct {
	Name            string
	Off, On, Status []string // On may be empty: the device then never switches on

	// OffText and OnText are what Status prints on standard output for each
	// power, compared byte by byte after surrounding white space is cut off.
	OffText, OnText string

	Timeout time.Duration // of each command
	Holdup  time.Duration // from proof until the power supply has run dry
}

// New returns the device, or says what is wrong with the Config.
func New(c Config) (fence.Device, error) {
	sw, err := NewSwitch(c)
	if err != nil {
		return nil, err
	}
	return fence.New(sw, fence.Timing{Holdup: c.Holdup})
}

// NewSwitch returns what New proves on top of.
func NewSwitch(c Config) (fence.Switch, error) {
	c.OffText, c.OnText = strings.TrimSpace(c.OffText), strings.TrimSpace(c.OnText)
	if c.OffText == "" {
		c.OffText = DefaultOffText
	}
	if c.OnText == "" {
		c.OnText = DefaultOnText
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	var err error
	switch {
	case c.Name == "":
		err = errors.New("it has no name")
	case len(c.Off) == 0:
		err = errors.New("it has no off command")
	case len(c.Status) == 0:
		err = errors.New("it has no status command, and off is proven by nothing else")
	case c.OffText == c.OnText:
		err = fmt.Errorf("on and off both read %q", c.OffText)
	case c.Timeout < 0:
		err = fmt.Errorf("timeout %v is negative", c.Timeout)
	}
	if err != nil {
		return nil, fmt.Errorf("make fence device %q: %w", c.Name, err)
	}
	return &device{c}, nil
}

// A device is the raw switch; package fence proves on top of it.
type device struct{ Config }

func (d *device) Name() string { return d.Config.Name }

func (d *device) Word() string { return "of the command" }

func (d *device) SwitchOff(ctx context.Context) error { return d.do(ctx, "off", d.Config.Off) }

func (d *device) SwitchOn(ctx context.Context) error {
	if len(d.On) == 0 {
		return fmt.Errorf("no on command is configured: %w", fence.ErrNotSwitchable)
	}
	return d.do(ctx, "on", d.On)
}

// Read runs the status command.
func (d *device) Read(ctx context.Context) (fence.Reading, error) {
	res, err := d.run(ctx, d.Status)
	if err != nil {
		return fence.Reading{}, fmt.Errorf("status: %w", err)
	}
	power, err := d.judge(res)
	return fence.Reading{Power: power}, err
}

// judge makes a power of what the status command said.
func (d *device) judge(res service.Result) (fence.Power, error) {
	text := strings.TrimSpace(res.Stdout)
	switch {
	case res.Code != 0:
		return fence.PowerUnknown, fmt.Errorf("status: exit code %d: %s", res.Code, res.Output())
	case res.Whole && text == d.OffText:
		return fence.PowerOff, nil
	case res.Whole && text == d.OnText:
		return fence.PowerOn, nil
	}
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return fence.PowerUnknown, fmt.Errorf("status: prints %q, neither %q nor %q", text, d.OffText, d.OnText)
}

func (d *device) do(ctx context.Context, what string, argv []string) error {
	res, err := d.run(ctx, argv)
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("exit code %d: %s", res.Code, res.Output())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (d *device) run(ctx context.Context, argv []string) (service.Result, error) {
	return service.Command{
		Argv: argv, Env: []string{"TWINBEAT_FENCE=" + d.Config.Name}, Timeout: d.Timeout, Sweep: true,
	}.Run(ctx)
}

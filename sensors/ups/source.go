package ups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/paced"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// A Config says which daemon is asked for which UPS.
type Config struct {
	Name    string // as the operator calls it
	Daemon  string // nut or apcupsd
	Address string // host or host:port; empty: this box
	UPS     string // nut: its name in upsd; empty: the only one
	Every   time.Duration
	Timeout time.Duration // of one dialogue
}

// Defaults.
const (
	DefaultEvery   = 5 * time.Second // upsd's drivers ask their UPS each 2 s
	DefaultTimeout = 3 * time.Second
)

// Ports that IANA gave to the daemons.
var ports = map[string]string{"nut": "3493", "apcupsd": "3551"}

// holds is how long the last word of a UPS on battery stands when its daemon
// falls silent: the switch between may have been the first to lose its power.
const holds = 10 * time.Minute

// A client asks for one UPS.
type client struct {
	Config
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	known Status // last
	at    time.Time
	heard bool
	grave int // looks at a UPS that is about to end
	saved int // looks since it is so no more
}

// agreed is how many looks must find a UPS about to end before the node is, and
// how many must find it well before that is forgotten. One UPS may feed both
// nodes, and the other one looks as often: by then it knows, too, and neither is
// the better place meanwhile.
const agreed = 3

// New returns the source of a UPS. It does no I/O.
func New(c Config) (sensors.Source, error) {
	k, err := newClient(c)
	if err != nil {
		return nil, err
	}
	return paced.New(paced.Config{Name: "UPS " + c.Name, Every: k.Every, Patience: 2 * k.Timeout, Ask: k.ask}), nil
}

func newClient(c Config) (*client, error) {
	port, ok := ports[c.Daemon]
	if !ok {
		return nil, fmt.Errorf("daemon %q is neither nut nor apcupsd", c.Daemon)
	}
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		c.Address = net.JoinHostPort(c.Address, port)
	}
	if c.Every <= 0 {
		c.Every = DefaultEvery
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	return &client{Config: c, dial: new(net.Dialer).DialContext}, nil
}

// status asks the daemon, within the timeout.
func (c *client) status() (Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", c.Address)
	if err != nil {
		return Status{}, err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return Status{}, err
	}
	if c.Daemon == "nut" {
		return askNUT(conn, c.UPS)
	}
	return askAPC(conn)
}

// ask is a paced.Ask.
func (c *client) ask(at time.Time) ([]sensors.Reading, time.Duration) {
	s, err := c.status()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the daemon ended the connection")
	}
	if err == nil && s.Lost {
		err = errStale
	}
	if err == nil {
		c.known, c.at, c.heard = s, at, true
	}
	c.count()
	if err == nil {
		return c.readings(s, at), 0
	}
	if !c.heard || !c.known.OnBattery {
		return c.lost(at, err), 0
	}
	return c.stale(at, err), 0
}

// count counts one more look.
func (c *client) count() {
	switch {
	case c.known.verdict().ends:
		c.grave, c.saved = min(c.grave+1, agreed), 0
	case c.grave > 0:
		c.saved++
	}
	if c.saved >= agreed {
		c.grave, c.saved = 0, 0
	}
}

func (c *client) reading(input string, kind sensors.Kind, value float64, unit string, at time.Time) sensors.Reading {
	r := sensors.New("ups/"+c.Name+"/"+input, c.Name+" "+input, kind, value, at)
	r.Unit = unit
	return r
}

// inputs are the measurements beside the state.
func (c *client) inputs(s Status, at time.Time) []sensors.Reading {
	return []sensors.Reading{
		c.reading("charge", sensors.Context, s.Charge, "%", at),
		c.reading("runtime", sensors.Context, s.Runtime, "s", at),
		c.reading("load", sensors.Context, s.Load, "%", at),
		c.reading("battery", sensors.Context, s.Battery, "V", at),
		c.reading("input", sensors.Context, s.Input, "V", at),
		c.reading("temperature", sensors.Context, s.Temperature, "C", at),
	}
}

// state is the reading that says how the UPS is.
func (c *client) state(s Status, at time.Time) sensors.Reading {
	v := s.verdict()
	if c.grave > 0 && !v.ends {
		v = verdict{predict.Finding{Level: predict.Alert, Text: cmp.Or(v.Text, "UPS is on the mains") + ", and was about to end a moment ago"}, lossEnding, false}
	}
	r := c.reading("state", sensors.Alarm, 0, "", at)
	if v.Level > predict.Well {
		r.Value = 1
	}
	r.Finding, r.Loss, r.Fatal, r.Sure, r.Named = v.Finding, v.loss, v.ends && c.grave >= agreed, true, true
	return r
}

func (c *client) readings(s Status, at time.Time) []sensors.Reading {
	out := append([]sensors.Reading{c.state(s, at)}, c.inputs(s, at)...)
	for i, r := range out {
		if math.IsNaN(r.Value) {
			out[i] = sensors.Lost(r.ID, r.Label, r.Kind, at, sensors.Absent, "the UPS tells none")
		}
	}
	return out
}

// stale keeps the state of a UPS that was last seen on battery, and ends it
// when that word is too old.
func (c *client) stale(at time.Time, err error) []sensors.Reading {
	out, since := c.lost(at, err), at.Sub(c.at).Round(time.Second)
	if at.Sub(c.at) >= holds {
		out[0].State, out[0].Why = sensors.Absent, fmt.Sprintf("fell silent on battery %s ago: %v", since, err)
		return out
	}
	state := c.state(c.known, at)
	state.Finding.Text += fmt.Sprintf(", and %s ago it fell silent", since)
	out[0] = state
	return out
}

func (c *client) lost(at time.Time, err error) []sensors.Reading {
	out := append([]sensors.Reading{c.state(unknown(), at)}, c.inputs(unknown(), at)...)
	for i, r := range out {
		out[i] = sensors.Lost(r.ID, r.Label, r.Kind, at, sensors.Unreadable, err.Error())
		out[i].Named = r.Named
	}
	return out
}

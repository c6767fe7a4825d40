//go:build !lite && !no_chips

package agent

import (
	"fmt"
	"math"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/i2c"
	"github.com/twinbeat/twinbeat/sensors/rounds"
	"github.com/twinbeat/twinbeat/sensors/smart"
	"github.com/twinbeat/twinbeat/sensors/ups"
)

func init() { sensorFinders = append(sensorFinders, chipFinder) }

// chipFinder returns what the configuration names beside what the kernel knows.
// These sources are the same for ever: each says by itself what is missing.
func chipFinder(c config.Sensors, _ string) rounds.Finder {
	var all []sensors.Source
	for _, d := range c.Smart {
		all = append(all, smart.New(d.Device, d.Every))
	}
	for _, d := range c.I2C {
		s, err := i2c.New(i2c.Config{
			Name: d.Name, Chip: d.Chip, Bus: d.Bus, Address: d.Address, Mux: d.Mux, Channel: d.Channel,
			Shunt: orZero(d.Shunt), Vref: orZero(d.Vref), Every: d.Every,
		})
		all = append(all, orBroken(s, err, "i2c/"+d.Name))
	}
	for _, d := range c.UPS {
		s, err := ups.New(ups.Config{Name: d.Name, Daemon: d.Daemon, Address: d.Address, UPS: d.UPS, Every: d.Every, Timeout: d.Timeout})
		all = append(all, orBroken(s, err, "ups/"+d.Name))
	}
	return func() []sensors.Source { return all }
}

// orZero gives a driver its own default.
func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// A broken source says why a driver did not take what the configuration did.
type broken struct {
	name string
	err  error
}

func orBroken(s sensors.Source, err error, name string) sensors.Source {
	if err != nil {
		return broken{name, err}
	}
	return s
}

// Name implements sensors.Source.
func (b broken) Name() string { return b.name }

// Read implements sensors.Source.
func (b broken) Read(to []sensors.Reading, at time.Time, _ time.Duration) []sensors.Reading {
	return append(to, sensors.Lost(b.name, b.name, sensors.Context, at, sensors.Unreadable, fmt.Sprintf("cannot be read: %v", b.err)))
}

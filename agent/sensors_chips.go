//go:build !lite && !no_chips

package agent

import (
	"fmt"
	"math"
	"path/filepath"
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
func chipFinder(c config.Sensors, _ string, s *shelf) rounds.Finder {
	var all []sensors.Source
	keep := func(id string, device, how any, open func() (sensors.Source, error)) {
		all = append(all, s.get(id+"/", device, how, func() any {
			made, err := open()
			return orBroken(made, err, id)
		}).(sensors.Source))
	}
	for _, d := range c.Smart {
		keep("smart/"+filepath.Base(d.Device), d.Device, d.Every, func() (sensors.Source, error) { return smart.New(d.Device, d.Every), nil })
	}
	for _, d := range c.I2C {
		it := i2c.Config{
			Name: d.Name, Chip: d.Chip, Bus: d.Bus, Address: d.Address, Mux: d.Mux, Channel: d.Channel,
			Shunt: orZero(d.Shunt), Vref: orZero(d.Vref),
		}
		keep("i2c/"+d.Name, it, d.Every, func() (sensors.Source, error) { it.Every = d.Every; return i2c.New(it) })
	}
	for _, d := range c.UPS {
		it := ups.Config{Name: d.Name, Daemon: d.Daemon, Address: d.Address, UPS: d.UPS}
		keep("ups/"+d.Name, it, [...]time.Duration{d.Every, d.Timeout}, func() (sensors.Source, error) {
			it.Every, it.Timeout = d.Every, d.Timeout
			return ups.New(it)
		})
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

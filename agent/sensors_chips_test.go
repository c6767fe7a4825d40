//go:build !lite && !no_chips

package agent

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/i2c"
)

func TestTheConfigurationKnowsTheChipsOfTheDriver(t *testing.T) {
	if names := i2c.Names(); !slices.Equal(names, config.ChipNames) {
		t.Errorf("the driver has %v, the configuration %v", names, config.ChipNames)
	}
	for _, name := range i2c.Names() {
		for a := range uint8(0x80) {
			_, err := i2c.New(i2c.Config{Name: "x", Chip: name, Bus: "1", Address: a})
			if config.ChipAt(name, a) != (err == nil) {
				t.Errorf("%s at %#02x: %v by the driver, %v by the configuration", name, a, err, config.ChipAt(name, a))
			}
		}
	}
}

func TestWhatTheConfigurationNamesIsFoundAndStaysTheSame(t *testing.T) {
	find := chipFinder(config.Sensors{
		Smart: []config.SmartDrive{{Device: "/nonexistent/sda", Every: time.Minute}},
		I2C: []config.I2CChip{
			{Name: "board", Chip: "lm75", Bus: "4095", Address: 0x48, Shunt: math.NaN(), Vref: math.NaN()},
			{Name: "wrong", Chip: "lm75", Bus: "1", Address: 0x10}, // no configuration that was read says so
		},
		UPS: []config.UPS{{Name: "rack", Daemon: "nut", Address: "127.0.0.1:1", Timeout: time.Second}},
	}, "")
	first, second := find(), find()
	if len(first) != 4 || !slices.Equal(first, second) {
		t.Fatalf("%v, then %v", first, second)
	}
	for _, s := range first {
		r := s.Read(nil, time.Now(), 4*time.Second)
		if len(r) == 0 {
			t.Errorf("%s says nothing", s.Name())
		}
		for _, x := range r {
			if x.State == sensors.OK || x.Why == "" {
				t.Errorf("%s: %+v", s.Name(), x)
			}
		}
	}
}

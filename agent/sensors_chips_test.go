//go:build !lite && !no_chips

package agent

import (
	"math"
	"slices"
	"strings"
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
	}, "", &shelf{is: map[string]onShelf{}})
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

func TestWhatTheConfigurationNamesAndIsNotThereIsWarnedOf(t *testing.T) {
	c := config.Config{Sensors: &config.Sensors{
		Line: 7, Deadline: time.Second, Root: t.TempDir(),
		Smart: []config.SmartDrive{{Device: "/nonexistent/sda"}},
		I2C:   []config.I2CChip{{Name: "board", Chip: "lm75", Bus: "4095", Address: 0x48, Shunt: math.NaN(), Vref: math.NaN()}},
		UPS:   []config.UPS{{Name: "rack", Daemon: "nut", Address: "127.0.0.1:1", Timeout: time.Second}},
	}}
	var all []string
	for _, p := range ExamineSensors(c) {
		if id, _, ok := strings.Cut(p.Text, " is unreadable: "); ok && p.Warning && p.Line == 7 {
			all = append(all, id)
		}
	}
	if want := []string{"smart/sda/media", "i2c/board/temperature", "ups/rack/state"}; !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
}

// An edit of one source leaves the others what they are.
func TestOnlyTheSourceThatChangesIsMadeAnew(t *testing.T) {
	was := config.Sensors{
		Root: "/", Smart: []config.SmartDrive{{Device: "/nonexistent/sda", Every: time.Minute}},
		I2C: []config.I2CChip{
			{Name: "a", Chip: "lm75", Bus: "4095", Address: 0x48, Shunt: math.NaN(), Vref: math.NaN()},
			{Name: "b", Chip: "lm75", Bus: "4095", Address: 0x49, Shunt: math.NaN(), Vref: math.NaN()},
		},
		UPS: []config.UPS{{Name: "rack", Daemon: "nut", Address: "127.0.0.1:1", Timeout: time.Second}},
	}
	for name, c := range map[string]struct {
		change func(*config.Sensors)
		kept   []bool // drive, a, b, rack
		left   []string
	}{
		"nothing":         {func(*config.Sensors) {}, []bool{true, true, true, true}, nil},
		"how often":       {func(c *config.Sensors) { c.I2C[0].Every = time.Hour }, []bool{true, false, true, true}, nil},
		"another address": {func(c *config.Sensors) { c.I2C[1].Address = 0x4a }, []bool{true, true, false, true}, []string{"i2c/b/"}},
		"another UPS":     {func(c *config.Sensors) { c.UPS[0].UPS = "other" }, []bool{true, true, true, false}, []string{"ups/rack/"}},
		"another timeout": {func(c *config.Sensors) { c.UPS[0].Timeout = time.Minute }, []bool{true, true, true, false}, nil},
		"one goes":        {func(c *config.Sensors) { c.Smart = nil }, []bool{false, true, true, true}, []string{"smart/sda/"}},
		"another root":    {func(c *config.Sensors) { c.Root = "/none" }, []bool{true, true, true, true}, []string{""}},
	} {
		s, is := &shelf{}, was
		is.Smart, is.I2C, is.UPS = slices.Clone(was.Smart), slices.Clone(was.I2C), slices.Clone(was.UPS)
		sensorSources(was, "", s)
		before := s.is
		c.change(&is)
		sensorSources(is, "", s)
		for i, id := range []string{"smart/sda/", "i2c/a/", "i2c/b/", "ups/rack/"} {
			if kept := s.is[id].it == before[id].it; kept != c.kept[i] {
				t.Errorf("%s: %s is the same: %v", name, id, kept)
			}
		}
		if tree := s.is[""].it == before[""].it; tree != (is.Root == was.Root) || !slices.Equal(s.left, c.left) {
			t.Errorf("%s: the kernel's is the same: %v, left %q", name, tree, s.left)
		}
	}
}

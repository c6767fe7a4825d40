//go:build !lite && !no_chips

package config

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const chipsText = `[sensors]
[[sensors.smart]]
device = { fw1 = "/dev/sda", fw2 = "" }
[[sensors.smart]]
device = { fw1 = "", fw2 = "/dev/nvme0" }
every = "30m"
[[sensors.i2c]]
name = "board"
chip = "tmp105"
bus = { fw1 = "i2c-1", fw2 = "SMBus I801 adapter at efa0" }
address = 0x49
[[sensors.i2c]]
name = "psu"
chip = "ina226"
bus = "3"
address = 0x40
mux = 0x70
channel = 5
shunt = 0.002
every = "1s"
[[sensors.ups]]
name = "rack"
daemon = "nut"
address = "192.0.2.30"
ups = { fw1 = "a", fw2 = "b" }
`

func TestDrivesChipsAndUPSsAreThoseOfTheNode(t *testing.T) {
	nan := math.NaN()
	for i, want := range []Sensors{{
		Smart: []SmartDrive{{"/dev/sda", 10 * time.Minute}},
		I2C: []I2CChip{
			{Name: "board", Chip: "tmp105", Bus: "i2c-1", Address: 0x49, Shunt: nan, Vref: nan, Every: 2 * time.Second},
			{Name: "psu", Chip: "ina226", Bus: "3", Address: 0x40, Mux: 0x70, Channel: 5, Shunt: 0.002, Vref: nan, Every: time.Second},
		},
		UPS: []UPS{{Name: "rack", Daemon: "nut", Address: "192.0.2.30", UPS: "a", Every: 5 * time.Second, Timeout: 3 * time.Second}},
	}, {
		Smart: []SmartDrive{{"/dev/nvme0", 30 * time.Minute}},
		I2C: []I2CChip{
			{Name: "board", Chip: "tmp105", Bus: "SMBus I801 adapter at efa0", Address: 0x49, Shunt: nan, Vref: nan, Every: 2 * time.Second},
			{Name: "psu", Chip: "ina226", Bus: "3", Address: 0x40, Mux: 0x70, Channel: 5, Shunt: 0.002, Vref: nan, Every: time.Second},
		},
		UPS: []UPS{{Name: "rack", Daemon: "nut", Address: "192.0.2.30", UPS: "b", Every: 5 * time.Second, Timeout: 3 * time.Second}},
	}} {
		c, problems := Parse("x.toml", []byte(base+chipsText), fmt.Sprintf("fw%d", i+1))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		got := Sensors{Smart: c.Sensors.Smart, I2C: c.Sensors.I2C, UPS: c.Sensors.UPS}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("fw%d (-want +got)\n%s", i+1, diff)
		}
	}
}

func TestDrivesChipsAndUPSsThatCannotBeAreRefused(t *testing.T) {
	i2c := func(rest string) string {
		return "[[sensors.i2c]]\nname = \"a\"\nbus = \"1\"\n" + rest
	}
	for text, says := range map[string]string{
		"[[sensors.smart]]\ndevice = \"sda\"":                                             "not possible",
		"[[sensors.smart]]\nevery = \"1h\"":                                               "lacks device",
		"[[sensors.smart]]\ndevice = \"/dev/sda\"\nevery = \"1s\"":                        "out of range",
		strings.Repeat("[[sensors.smart]]\ndevice = \"/dev/sda\"\n", 33):                  "32 at most",
		i2c("chip = \"lm76\"\naddress = 0x48"):                                            "did you mean lm75",
		i2c("chip = \"lm75\"\naddress = 0x50"):                                            "its pins allow 0x48 to 0x4f",
		i2c("chip = \"emc1413\"\naddress = 0x50"):                                         "its pins allow 0x1c, 0x3c",
		i2c("chip = \"lm75\"\naddress = 0x48\nmux = 0x50"):                                "its pins allow 0x70 to 0x77",
		i2c("chip = \"lm75\"\naddress = 0x48\nchannel = 1"):                               "there is no mux",
		i2c("chip = \"ina219\"\naddress = 0x40\nshunt = 0.0"):                             "more than 0",
		i2c("chip = \"ina219\"\naddress = 0x40\nshunt = nan"):                             "no limit",
		i2c("chip = \"lm75\"\naddress = 0x48\nevery = \"1m\""):                            "out of range",
		i2c("chip = \"lm75\"\naddress = 0x48\n") + i2c("chip = \"lm75\"\naddress = 0x49"): "stands twice",
		"[[sensors.ups]]\nname = \"a\"\ndaemon = \"upsd\"":                                "not possible",
		"[[sensors.ups]]\nname = \"a\"\ndaemon = \"apcupsd\"\nups = \"x\"":                "does not go with daemon apcupsd",
		"[[sensors.ups]]\nname = \"a\"\ndaemon = \"nut\"\nups = \"x y\"":                  "no space",
		"[[sensors.ups]]\nname = \"a\"\ndaemon = \"nut\"\naddress = \"a b\"":              "not possible",
	} {
		_, problems := Parse("x.toml", []byte(base+"[sensors]\n"+text+"\n"), "fw1")
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.Text+p.Hint, says) && p.Line > 0
		}
		if !found {
			t.Errorf("%s: %v, not %q", text, problems, says)
		}
	}
}

func TestEveryChipHasItsPlaces(t *testing.T) {
	if len(ChipNames) != len(chipsAt) {
		t.Errorf("%d names, %d places", len(ChipNames), len(chipsAt))
	}
	for _, name := range ChipNames {
		if _, ok := chipsAt[name]; !ok {
			t.Errorf("%s may be nowhere", name)
		}
	}
}

func TestAMarginThatAUPSOnBatteryCannotReachIsWarnedOf(t *testing.T) {
	const one = "[[sensors.ups]]\nname = \"rack\"\ndaemon = \"nut\"\n"
	for text, want := range map[string]string{
		"[sensors]\n" + one + "[health]\nmargin = 25\n":                  "",
		"[sensors]\n" + one + "[health]\nmargin = 26\n":                  "before its battery is low",
		"[sensors]\n" + one + "[health]\nmargin = 71\n":                  "before the limit is reached",
		"[sensors]\nact = \"alert\"\n" + one + "[health]\nmargin = 26\n": "",
	} {
		_, problems := Parse("x.toml", []byte(base+text), "fw1")
		if Refused(problems) || len(problems) > 1 || (len(problems) == 1) != (want != "") || want != "" && !strings.Contains(problems[0].Text, want) {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

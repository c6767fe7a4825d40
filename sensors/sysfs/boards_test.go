package sysfs

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

// A board is what a real one reports, as its owner wrote it down, and what has
// to become of it: the state of some sensors, or why a limit is not used.
var boards = []struct {
	name, from string
	chips      [][3]string // hwmon, device, files
	more       string
	want       map[string]string
}{
	{
		name: "nct6779", from: "node_exporter's dump: in1 with no limit set, and its alarm",
		chips: [][3]string{{"hwmon3", "platform/nct6775.656", `
			name = nct6779
			in0_input = 792
			in0_min = 0
			in0_max = 1744
			in1_input = 1024
			in1_min = 0
			in1_max = 0
			in1_alarm = 1
			in1_beep = 0
			fan2_input = 1098
			fan2_min = 0
			fan2_alarm = 0
			pwm1 = 98`}},
		want: map[string]string{"hwmon/nct6779@nct6775.656/in1": "ok: limits not used: all zero"},
	},
	{
		name: "nct6791", from: "groeck: every input alarms since max is 0",
		chips: [][3]string{{"hwmon1", "platform/nct6775.2592", `
			name = nct6791
			in0_input = 880
			in0_min = 0
			in0_max = 0
			in0_alarm = 1
			in2_input = 3360
			in2_min = 0
			in2_max = 0
			in2_alarm = 1
			temp7_input = 20000
			temp7_max = 0
			temp7_max_hyst = 0
			temp7_alarm = 1`}},
		want: map[string]string{"hwmon/nct6791@nct6775.2592/in2": "ok: limits not used: all zero", "hwmon/nct6791@nct6775.2592/temp7": "ok: limits not used: all zero"},
	},
	{
		name: "it8665", from: "groeck/it87#98 and frankcrawford/it87#59: min above max, negative limits, +127 C",
		chips: [][3]string{{"hwmon2", "platform/it87.656", `
			name = it8665
			in0_input = 1308
			in0_min = 2540
			in0_max = 1570
			in0_alarm = 1
			temp1_input = 34000
			temp1_min = -65000
			temp1_max = -112000
			temp1_alarm = 1
			temp2_input = 127000
			temp2_max = 127000
			fan3_input = 0
			fan3_min = 28
			fan3_alarm = 1
			intrusion0_alarm = 1`}},
		want: map[string]string{
			"hwmon/it8665@it87.656/in0":   "ok: limits not used: min not below max",
			"hwmon/it8665@it87.656/temp1": "ok: limits not used: implausible",
			"hwmon/it8665@it87.656/temp2": "implausible: 127 C is how chips say that no sensor is there",
			"hwmon/it8665@it87.656/fan3":  "absent: has never been anything but 0",
		},
	},
	{
		name: "nct6793", from: "netdata#23673: 3.9 million degrees raised a CRITICAL",
		chips: [][3]string{{"hwmon4", "platform/nct6775.657", `
			name = nct6793
			temp15_input = 3892313987
			temp1_input = 31000
			temp1_max = 80000`}},
		want: map[string]string{"hwmon/nct6793@nct6775.657/temp15": "implausible: 3892314 C is physically impossible"},
	},
	{
		name: "a drive's limits", from: "psutil#2960: a threshold of absolute zero",
		chips: [][3]string{{"hwmon0", "pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0", `
			name = nvme
			temp1_input = 36850
			temp1_label = Composite
			temp1_min = -273150
			temp1_max = 65261850
			temp1_crit = 84850
			temp1_alarm = 0
			temp2_input = 36850
			temp2_label = Sensor 1
			temp2_max = 65261850
			temp2_min = -273150`}},
		want: map[string]string{"hwmon/nvme@0000:02:00.0/Composite": "ok: ", "hwmon/nvme@0000:02:00.0/Sensor_1": "ok: limits not used: implausible"},
	},
	{
		name: "apu4", from: "sensors(1) on one: the power's crit is below what it draws at rest, the high of 70 C is near its 66.8",
		chips: [][3]string{
			{"hwmon0", "pci0000:00/0000:00:18.4", "name = fam15h_power\npower1_average = 11480000\npower1_average_interval = 10\npower1_crit = 6000000"},
			{"hwmon1", "pci0000:00/0000:00:18.3", "name = k10temp\ntemp1_input = 66800\ntemp1_max = 70000\ntemp1_crit = 105000\ntemp1_crit_hyst = 104000"},
		},
		want: map[string]string{"hwmon/fam15h_power@0000:00:18.4/power1": "ok: limits not used: beyond it since the first reading", "hwmon/k10temp@0000:00:18.3/temp1": "ok: "},
	},
	{
		name: "Helios64", from: "sensors(1) on one: a USB supply of 0 V between 0 and 0",
		chips: [][3]string{{"hwmon5", "platform/ff3d0000.i2c/i2c-4/4-0022/power_supply/tcpm-source-psy-4-0022", `
			name = tcpm_source_psy_4_0022
			in0_input = 0
			in0_min = 0
			in0_max = 0
			curr1_input = 0
			curr1_max = 0`}},
		want: map[string]string{"hwmon/tcpm_source_psy_4_0022@tcpm-source-psy-4-0022/in0": "absent: has never been anything but 0"},
	},
	{
		name: "Raspberry Pi", from: "its driver: in0 is never there, only its alarm",
		chips: [][3]string{{"hwmon1", "platform/soc/soc:firmware/raspberrypi-hwmon", "name = rpi_volt\nin0_lcrit_alarm = 0"}},
		want:  map[string]string{"hwmon/rpi_volt@raspberrypi-hwmon/in0_lcrit_alarm": "ok: "},
	},
	{
		name: "zones that are none", from: "boards whose ACPI gives constants, and zones without a sensor",
		more: `
			sys/class/thermal/thermal_zone0/type = acpitz
			sys/class/thermal/thermal_zone0/temp = -274000
			sys/class/thermal/thermal_zone0/trip_point_0_type = critical
			sys/class/thermal/thermal_zone0/trip_point_0_temp = 0
			sys/class/thermal/thermal_zone1/type = pch_skylake
			sys/class/thermal/thermal_zone1/temp = 40500
			sys/class/thermal/thermal_zone1/trip_point_0_type = critical
			sys/class/thermal/thermal_zone1/trip_point_0_temp = -1`,
		want: map[string]string{"thermal/acpitz": "implausible: -274 C is how chips say that no sensor is there", "thermal/pch_skylake": "ok: limits not used: implausible"},
	},
	{
		name: "MT7986A", from: "an OpenWrt router: 51 C at rest, an eMMC of the first tenth",
		more: `
			sys/class/thermal/thermal_zone0/type = cpu-thermal
			sys/class/thermal/thermal_zone0/temp = 51000
			sys/block/mmcblk0/device/life_time = 0x01 0x00
			sys/block/mmcblk0/device/pre_eol_info = 0x01
			sys/block/mmcblk0/device/name = SLD128`,
		want: map[string]string{"thermal/cpu-thermal": "ok: "},
	},
}

// A board's garbage is named, raises nothing and moves nothing, in two days.
func TestGarbageOfRealBoardsIsNamedAndDoesNothing(t *testing.T) {
	for _, b := range boards {
		t.Run(b.name, func(t *testing.T) {
			root := t.TempDir()
			for _, c := range b.chips {
				chipAt(t, root, c[0], c[1], c[2])
			}
			plant(t, root, b.more)
			found := judged(t, root)
			for id, want := range b.want {
				v, ok := found[id]
				if got := v.State + ": " + v.Why; !ok || got != want {
					t.Errorf("%s is %q, want %q (%s)", id, got, want, b.from)
				}
			}
		})
	}
}

// judged reads a tree, lets a judge follow it for two days, in which the values
// that move do, and fails the test if anything comes of it.
func judged(t *testing.T, root string) map[string]sensors.View {
	t.Helper()
	j := sensors.NewJudge(sensors.Config{})
	at := time.Unix(1e9, 0)
	var readings []sensors.Reading
	for _, s := range New(root, "").Find() {
		readings = s.Read(readings, at, time.Second)
	}
	base := append([]sensors.Reading(nil), readings...)
	for i := range 2 * 24 * 3600 / 20 {
		at = at.Add(20 * time.Second)
		for k := range readings {
			readings[k].At = at
			if v := base[k].Value; readings[k].Kind == sensors.Temperature && v > 0 && v < 100 {
				readings[k].Value = v + math.Sin(float64(i)/700) + 0.25*float64(i*7%5-2)
			}
		}
		for _, c := range j.Take(at, readings) {
			if c.Alarm {
				t.Fatalf("alarm after %d readings: %s", i+1, c.Text)
			}
		}
		for _, v := range j.Votes() {
			if v.Loss > 6 {
				t.Fatalf("vote after %d readings: %+v", i+1, v)
			}
		}
	}
	views := map[string]sensors.View{}
	for _, v := range j.View() {
		views[v.ID] = v
	}
	return views
}

// The whole /sys of node_exporter's tests, which is made of many machines.
func TestARecordedTree(t *testing.T) {
	recordings := os.Getenv("TWINBEAT_RECORDINGS")
	if recordings == "" {
		t.Skip("TWINBEAT_RECORDINGS does not name the folder of recordings that may not be part of this repository")
	}
	root := t.TempDir()
	untar(t, filepath.Join(recordings, "sysfs/node_exporter-sys.ttar"), root)
	for id, v := range judged(t, root) {
		if !strings.HasPrefix(id, "net/") {
			t.Logf("%-60s %-11s %s", id, v.State, v.Why)
		}
	}
}

// untar unpacks a "ttar" of prometheus/procfs: lines "Path: x", then
// "SymlinkTo: y" or "Lines: n" and these.
func untar(t *testing.T, file, root string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines, name := strings.Split(string(b), "\n"), ""
	for i := 0; i < len(lines); i++ {
		word, rest, _ := strings.Cut(lines[i], ": ")
		switch word {
		case "Path":
			name = filepath.Join(root, rest)
			err = os.MkdirAll(filepath.Dir(name), 0o755)
		case "SymlinkTo":
			err = os.Symlink(rest, name)
		case "Lines":
			n, _ := strconv.Atoi(rest)
			err = os.WriteFile(name, []byte(strings.Join(lines[i+1:i+1+n], "\n")+"\n"), 0o644)
			i += n
		}
		if err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

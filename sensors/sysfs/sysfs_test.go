package sysfs

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// short is what a reading says in one line.
func short(r sensors.Reading) string {
	out := fmt.Sprintf("%s %.6g%s", r.Kind, r.Value, r.UnitName())
	for _, l := range [...]struct {
		name string
		v    float64
	}{{"low", r.Low}, {"high", r.High}, {"crit", r.Crit}, {"drive", r.Drive}} {
		if !math.IsNaN(l.v) {
			out += fmt.Sprintf(" %s=%g", l.name, l.v)
		}
	}
	if r.State != sensors.OK {
		out += " " + r.State.String() + ": " + r.Why
	}
	if r.Finding.Level > predict.Well {
		out += " ! " + r.Finding.Text
	}
	if r.Fatal {
		out += " fatal"
	}
	return out
}

// compare reads a tree and compares all readings but context.
func compare(t *testing.T, root string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for id, r := range read(t, root) {
		if !strings.HasPrefix(id, "context/") || want[id] != "" {
			got[id] = short(r)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("readings (-want +got):\n%s", diff)
	}
}

func TestChipsAreReadInTheirUnits(t *testing.T) {
	root := t.TempDir()
	chipAt(t, root, "hwmon3", "pci0000:00/0000:00:18.3", `
		name = k10temp
		temp1_input = 66875
		temp1_label = Tctl
		temp1_max = 70000
		temp1_crit = 105000
		temp1_crit_alarm = 0`)
	chipAt(t, root, "hwmon0", "platform/it87.2608", `
		name = it8728
		in0_input = 1104
		in0_min = 1000
		in0_max = 1200
		in0_alarm = 1
		fan1_input = 1380
		fan1_min = 600
		pwm1 = 128
		pwm1_enable = 2
		fan2_input = 0
		fan10_input = 2000
		curr1_input = 1500
		power1_input = 12500000
		power1_crit = 25000000
		humidity1_input = 41500
		energy1_input = 99
		temp1_input = 41000
		temp1_fault = 1
		temp2_input = 42000
		temp2_enable = 0
		intrusion0_alarm = 1`)
	compare(t, root, map[string]string{
		"hwmon/k10temp@0000:00:18.3/Tctl":         "temperature 66.875C high=70 crit=105",
		"hwmon/it8728@it87.2608/in0":              "voltage 1.104V low=1 high=1.2 ! the chip raises in0_alarm",
		"hwmon/it8728@it87.2608/fan1":             "fan 1380RPM low=600 drive=128",
		"hwmon/it8728@it87.2608/fan2":             "fan 0RPM",
		"hwmon/it8728@it87.2608/fan10":            "fan 2000RPM",
		"hwmon/it8728@it87.2608/pwm1":             "context 50.1961%",
		"hwmon/it8728@it87.2608/curr1":            "current 1.5A",
		"hwmon/it8728@it87.2608/power1":           "power 12.5W crit=25",
		"hwmon/it8728@it87.2608/humidity1":        "humidity 41.5%",
		"hwmon/it8728@it87.2608/temp1":            "temperature NaNC fault: the chip says that the sensor is broken or missing",
		"hwmon/it8728@it87.2608/temp2":            "temperature NaNC absent: is switched off",
		"hwmon/it8728@it87.2608/intrusion0_alarm": "alarm 1 ! the chip raises intrusion0_alarm",
	})
}

func TestARenumberedChipKeepsItsIDs(t *testing.T) {
	ids := func(first, second string) []string {
		root := t.TempDir()
		chipAt(t, root, first, "pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme"+first[5:], "name = nvme\ntemp1_input = 40850\ntemp1_label = Composite")
		chipAt(t, root, second, "pci0000:00/0000:00:1d.4/0000:04:00.0/nvme/nvme"+second[5:], "name = nvme\ntemp1_input = 51850\ntemp1_label = Composite")
		all := read(t, root)
		if got := all["hwmon/nvme@0000:02:00.0/Composite"].Value; got != 40.85 {
			t.Errorf("the first drive has %v", got)
		}
		return slices.Sorted(maps.Keys(all))
	}
	if diff := cmp.Diff(ids("hwmon0", "hwmon1"), ids("hwmon7", "hwmon2")); diff != "" {
		t.Error(diff)
	}
}

func TestARenumberedChipIsFoundAgainWhileRunning(t *testing.T) {
	root := t.TempDir()
	chipAt(t, root, "hwmon0", "platform/soc.1", "name = soc\ntemp1_input = 50000")
	tree := New(root, "")
	before := tree.Find()
	if again := tree.Find(); again[0] != before[0] {
		t.Error("a device that is the same is another one")
	}
	if err := os.RemoveAll(filepath.Join(root, "sys")); err != nil {
		t.Fatal(err)
	}
	if got := before[0].Read(nil, time.Now(), time.Second); got[0].State != sensors.Unreadable || got[0].Why != "ENOENT: no such file or directory" {
		t.Errorf("%+v", got[0])
	}
	chipAt(t, root, "hwmon5", "platform/soc.1", "name = soc\ntemp1_input = 51000")
	after := tree.Find()
	if after[0] == before[0] {
		t.Fatal("the old files are asked")
	}
	got := after[0].Read(nil, time.Now(), time.Second)[0]
	if got.ID != before[0].Read(nil, time.Now(), time.Second)[0].ID || got.Value != 51 {
		t.Errorf("%+v", got)
	}
}

func TestLabelsThatAreAlikeAreToldApart(t *testing.T) {
	root := t.TempDir()
	chipAt(t, root, "hwmon0", "platform/a.1", "name = x\ntemp1_input = 1000\ntemp1_label = T M\ntemp2_input = 2000\ntemp2_label = T M")
	plant(t, root, `
		sys/class/thermal/thermal_zone0/type = acpitz
		sys/class/thermal/thermal_zone0/temp = 27800
		sys/class/thermal/thermal_zone10/type = acpitz
		sys/class/thermal/thermal_zone10/temp = 10000
		sys/class/thermal/thermal_zone2/type = acpitz
		sys/class/thermal/thermal_zone2/temp = 2000`)
	compare(t, root, map[string]string{
		"hwmon/x@a.1/T_M": "temperature 1C", "hwmon/x@a.1/T_M#2": "temperature 2C",
		"thermal/acpitz": "temperature 27.8C", "thermal/acpitz#2": "temperature 2C", "thermal/acpitz#3": "temperature 10C",
	})
}

func TestAThermalZonesTripsAreItsLimitsAndItsChipIsNotReadTwice(t *testing.T) {
	root := t.TempDir()
	plant(t, root, `
		sys/devices/virtual/thermal/thermal_zone0/type = cpu-thermal
		sys/devices/virtual/thermal/thermal_zone0/temp = 51000
		sys/devices/virtual/thermal/thermal_zone0/trip_point_0_type = passive
		sys/devices/virtual/thermal/thermal_zone0/trip_point_0_temp = 60000
		sys/devices/virtual/thermal/thermal_zone0/trip_point_1_type = hot
		sys/devices/virtual/thermal/thermal_zone0/trip_point_1_temp = 90000
		sys/devices/virtual/thermal/thermal_zone0/trip_point_2_type = critical
		sys/devices/virtual/thermal/thermal_zone0/trip_point_2_temp = 105000
		sys/devices/virtual/thermal/thermal_zone0/hwmon1/name = cpu_thermal
		sys/devices/virtual/thermal/thermal_zone0/hwmon1/temp1_input = 51000
		sys/class/thermal/thermal_zone0 -> ../../devices/virtual/thermal/thermal_zone0
		sys/class/thermal/cooling_device0/type = fan
		sys/class/hwmon/hwmon1 -> ../../devices/virtual/thermal/thermal_zone0/hwmon1`)
	compare(t, root, map[string]string{"thermal/cpu-thermal": "temperature 51C high=90 crit=105"})
}

func TestErrorsAreCounted(t *testing.T) {
	root := t.TempDir()
	plant(t, root, `
		sys/devices/system/edac/mc/mc0/ce_count = 3
		sys/devices/system/edac/mc/mc0/ue_count = 1
		sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count = 5
		sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count = 30
		sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count = 2
		sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count = 31
		sys/devices/system/cpu/cpufreq/boost = 1
		sys/class/net/eth0/device/vendor = 0x8086
		sys/class/net/eth0/carrier_changes = 4
		sys/class/net/eth0/statistics/rx_crc_errors = 12
		sys/class/net/eth0/statistics/rx_errors = 13
		sys/class/net/eth0/statistics/tx_errors = 0
		sys/class/net/lo/carrier_changes = 0
		sys/bus/pci/devices/0000:02:00.0/aer_dev_correctable = RxErr 2\nBadTLP 5\nTOTAL_ERR_COR 7
		sys/bus/pci/devices/0000:02:00.0/aer_dev_nonfatal = Undefined 0\nTOTAL_ERR_NONFATAL 0
		sys/bus/pci/devices/0000:02:00.0/aer_dev_fatal = garbage`)
	compare(t, root, map[string]string{
		"edac/mc0/corrected": "count 3", "edac/mc0/uncorrected": "count 1 fatal",
		"cpu/throttle/core": "count 7", "cpu/throttle/package": "count 31",
		"net/eth0/carrier": "count 4", "net/eth0/crc": "count 12", "net/eth0/rx": "count 13", "net/eth0/tx": "count 0",
		"pcie/0000:02:00.0/correctable": "count 7", "pcie/0000:02:00.0/nonfatal": "count 0",
		"pcie/0000:02:00.0/fatal": "count NaN unreadable: holds no total of this kind",
	})
}

// An optical module (the kernel's sfp driver): its light is told in dBm, and the
// module's own limits of it, which are microwatts, are not used.
func TestAnOpticalModuleTellsItsLight(t *testing.T) {
	root := t.TempDir()
	chipAt(t, root, "hwmon2", "platform/sfp-0", `
		name = sfp_0
		temp1_input = 41300
		temp1_crit = 90000
		in0_input = 3290
		in0_label = VCC
		curr1_input = 6
		curr1_label = bias
		power1_input = 500
		power1_label = TX_power
		power1_crit = 1585
		power2_input = 1
		power2_label = RX_power
		power3_input = 0
		power3_label = dark`)
	const id = "hwmon/sfp_0@sfp-0/"
	compare(t, root, map[string]string{
		id + "temp1": "temperature 41.3C crit=90", id + "VCC": "voltage 3.29V", id + "bias": "current 0.006A",
		id + "TX_power": "other -3.0103dBm", id + "RX_power": "other -30dBm", id + "dark": "other -40dBm",
	})
}

func TestFlashTellsHowWornItIs(t *testing.T) {
	root := t.TempDir()
	plant(t, root, `
		sys/devices/platform/11230000.mmc/mmc_host/mmc0/mmc0:0001/life_time = 0x01 0x00
		sys/devices/platform/11230000.mmc/mmc_host/mmc0/mmc0:0001/pre_eol_info = 0x01
		sys/devices/platform/11230000.mmc/mmc_host/mmc0/mmc0:0001/name = AJTD4R
		sys/block/mmcblk0/device -> ../../devices/platform/11230000.mmc/mmc_host/mmc0/mmc0:0001
		sys/block/mmcblk0boot0/device -> ../../devices/platform/11230000.mmc/mmc_host/mmc0/mmc0:0001
		sys/devices/mmc1:0001/life_time = 0x0b 0x02
		sys/devices/mmc1:0001/pre_eol_info = 0x03
		sys/devices/mmc1:0001/name = OLD
		sys/devices/mmc2:0001/life_time = 0x00 0x00
		sys/devices/mmc2:0001/name = MUTE
		sys/devices/mmc3:0001/life_time = what
		sys/devices/mmc3:0001/name = ODD
		sys/block/mmcblk1/device -> ../../devices/mmc1:0001
		sys/block/mmcblk2/device -> ../../devices/mmc2:0001
		sys/block/mmcblk3/device -> ../../devices/mmc3:0001
		sys/block/mmcblk4/device/type = SD
		sys/bus/platform/devices/1d84000.ufshc/health_descriptor/life_time_estimation_a = 0x0a
		sys/bus/platform/devices/1d84000.ufshc/health_descriptor/life_time_estimation_b = 0x01
		sys/bus/platform/devices/1d84000.ufshc/health_descriptor/eol_info = 0x01
		sys/class/ubi/ubi0/max_ec = 1200
		sys/class/ubi/ubi0/bad_peb_count = 2
		sys/class/ubi/ubi0/reserved_for_bad = 18
		sys/class/ubi/ubi0/ro_mode = 1
		sys/class/mtd/mtd0/name = firmware
		sys/class/mtd/mtd0/ecc_strength = 4
		sys/class/mtd/mtd0/corrected_bits = 9
		sys/class/mtd/mtd0/ecc_failures = 1
		sys/class/mtd/mtd1/name = nor
		sys/class/mtd/mtd1/ecc_strength = 0
		sys/class/mtd/mtd1/corrected_bits = 0
		sys/class/mtd/mtd1/ecc_failures = 0`)
	compare(t, root, map[string]string{
		"emmc/AJTD4R@mmc0:0001/life": "wear 10%",
		"emmc/OLD@mmc1:0001/life":    "wear 110% ! flash is used beyond its rated life",
		"emmc/MUTE@mmc2:0001/life":   "wear NaN% absent: the device does not tell",
		"emmc/ODD@mmc3:0001/life":    `wear NaN% unreadable: "what": two numbers are wanted`,
		"ufs/1d84000.ufshc/life":     "wear 100% ! flash has used 90-100 % of its life",
		"ubi/ubi0/wear":              "wear 1200erase cycles ! flash went read-only after an error",
		"mtd/firmware/corrected":     "count 9",
		"mtd/firmware/failures":      "count 1",
	})
}

func TestPowerIsRead(t *testing.T) {
	root := t.TempDir()
	plant(t, root, `
		sys/class/power_supply/AC0/type = Mains
		sys/class/power_supply/AC0/online = 0
		sys/class/power_supply/BAT0/type = Battery
		sys/class/power_supply/BAT0/status = Discharging
		sys/class/power_supply/BAT0/health = Overheat
		sys/class/power_supply/BAT0/voltage_now = 12345678
		sys/class/power_supply/BAT0/temp = 314
		sys/class/power_supply/BAT0/capacity = 81
		sys/class/power_supply/hidpp_battery_0/scope = Device
		sys/class/power_supply/hidpp_battery_0/status = Discharging
		sys/class/regulator/regulator.4/name = vdd core
		sys/class/regulator/regulator.4/under_voltage = 1
		sys/class/regulator/regulator.4/over_temp = 0
		sys/class/regulator/regulator.5/name = dummy`)
	compare(t, root, map[string]string{
		"power/AC0/online":               "alarm 1 ! gives no power",
		"power/BAT0/status":              "alarm 1 ! the box runs on its battery",
		"power/BAT0/health":              "alarm 1 ! says of itself: Overheat",
		"power/BAT0/voltage_now":         "voltage 12.3457V",
		"power/BAT0/temp":                "temperature 31.4C",
		"power/BAT0/capacity":            "context 81%",
		"regulator/vdd_core@regulator.4": "alarm 1 ! the chip raises under_voltage",
	})
}

func TestContext(t *testing.T) {
	root := t.TempDir()
	plant(t, root, `
		proc/stat = cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3
		proc/meminfo = MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB
		sys/fs/pstore/dmesg-efi-1 = x
		sys/fs/pstore/console-1 = x
		sys/class/watchdog/watchdog0/bootstatus = 32`)
	tree := New(root, root)
	sources := tree.Find()
	value := func() map[string]float64 {
		out := map[string]float64{}
		for _, s := range sources {
			for _, r := range s.Read(nil, time.Now(), time.Second) {
				out[r.ID] = r.Value
			}
		}
		return out
	}
	if first := value(); !math.IsNaN(first["context/load"]) || first["context/memory"] != 25 || first["context/pstore"] != 1 || first["context/watchdog0/bootstatus"] != 32 {
		t.Errorf("%v", first)
	}
	plant(t, root, "proc/stat = cpu  125 0 125 740 110 0 0 0 0 0")
	if second := value(); second["context/load"] != 50 || !(second["context/disk"] > 0 && second["context/disk"] <= 100) {
		t.Errorf("%v", second)
	}
}

// A file that hangs is a FIFO that nobody writes into.
func TestAFileThatHangsIsNamed(t *testing.T) {
	root := t.TempDir()
	chipAt(t, root, "hwmon0", "platform/soc.1", "name = soc\ntemp1_label = CPU")
	pipe := filepath.Join(root, "sys/class/hwmon/hwmon0/temp1_input")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	d := New(root, "").Find()[0].(*device)
	back := make(chan []sensors.Reading)
	go func() { back <- d.Read(nil, time.Now(), time.Second) }()
	for range 1000 {
		if d.Where() == "temp1_input" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if d.Where() != "temp1_input" {
		t.Errorf("where: %q", d.Where())
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("47000\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-back; got[0].Value != 47 {
		t.Errorf("%+v", got)
	}
}

func TestLongListsAreCut(t *testing.T) {
	root := t.TempDir()
	var b strings.Builder
	b.WriteString("name = many\n")
	for i := range 500 {
		fmt.Fprintf(&b, "temp%d_input = 1000\n", i+1)
	}
	chipAt(t, root, "hwmon0", "platform/soc.1", b.String())
	if n := len(read(t, root)); n != maxInputs {
		t.Errorf("%d inputs", n)
	}
}

func TestThisMachine(t *testing.T) {
	for _, s := range New("/", "/").Find() {
		for _, r := range s.Read(nil, time.Now(), time.Second) {
			if r.ID != sensors.Clean(r.ID) || r.Label == "" || r.State == 0 || r.Kind == 0 {
				t.Errorf("%+v", r)
			}
			t.Logf("%-40s %s", r.ID, short(r))
		}
	}
	if all := read(t, "/"); all["context/memory"].State != sensors.OK {
		t.Errorf("this machine has memory: %+v", all["context/memory"])
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-273150", "3892313987", "1e400", "0x1f", "nan", "", "12 13", "999999999999999999999"} {
		f.Add([]byte(s))
	}
	file := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := number(file); err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
			t.Errorf("%q is %v", b, v)
		}
	})
}

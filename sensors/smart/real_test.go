package smart

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// theDrive returns a drive of this machine, if it is one of tests/vm.
func theDrive(t *testing.T, path string) *drive {
	t.Helper()
	if _, err := os.Stat("/lib/chips/order"); err != nil {
		t.Skip("not the machine of tests/vm, whose drives may be asked")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return newDrive(path)
}

func TestRealNVMe(t *testing.T) {
	for _, path := range []string{"/dev/nvme0", "/dev/nvme0n1"} {
		d := theDrive(t, path)
		r, err := d.read(at)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, x := range r {
			t.Logf("%s %v %s", x.ID, x.Value, x.UnitName())
			if x.State != sensors.OK || x.Finding.Level != predict.Well {
				t.Errorf("%+v", x)
			}
			if strings.HasSuffix(x.ID, "/temperature") {
				t.Errorf("%s: the kernel has a hwmon of this drive", path)
			}
		}
		if d.serial != "QEMU NVMe Ctrl N1" || !strings.HasSuffix(r[0].ID, "/wear") {
			t.Errorf("%q, %+v", d.serial, r[0])
		}
	}
	d := theDrive(t, "/dev/nvme0")
	d.sys = t.TempDir() // a kernel without CONFIG_NVME_HWMON
	r, err := d.read(at)
	if last := r[len(r)-1]; err != nil || last.Value != 50 || math.IsNaN(last.Crit) { // QEMU's 323 K
		t.Errorf("%+v, %v", last, err)
	}
}

func TestRealATA(t *testing.T) {
	d := theDrive(t, "/dev/sda")
	f, err := openDevice("/dev/sda")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	long := &disk{bus: f}
	page, _, err := long.do(smartData)
	if err != nil {
		t.Fatal(err)
	}
	limits, _, err := long.do(thresholds)
	if err != nil {
		t.Fatal(err)
	}
	table, err := ParseATA(page, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v\ndata % x\nthresholds % x", table, page[:96], limits[:96])
	if row, ok := table.Find(Reallocated); !ok || row.Value != 100 || row.Threshold != 36 {
		t.Errorf("reallocated: %+v", row)
	}
	if table.Celsius() != 31 { // QEMU's
		t.Errorf("%v C", table.Celsius())
	}
	short := &disk{bus: f, twelve: true}
	if again, _, err := short.do(smartData); err != nil || string(again) != string(page) {
		t.Errorf("by 12 bytes: %v", err)
	}
	if _, regs, err := long.do(status); err != nil || regs.mid != 0x4f || regs.high != 0xc2 {
		t.Errorf("status: %+v, %v", regs, err)
	}
	r, err := d.read(at)
	if err != nil || d.serial != "QEMU HARDDISK A1" {
		t.Fatalf("%q, %v", d.serial, err)
	}
	for _, x := range r {
		t.Logf("%s %v %s", x.ID, x.Value, x.UnitName())
		if x.State != sensors.OK || x.Finding.Level != predict.Well {
			t.Errorf("%+v", x)
		}
	}
}

func TestRealBridgeWithoutPassThrough(t *testing.T) {
	r, _ := theDrive(t, "/dev/sdb").ask(at)
	if len(r) != 1 || r[0].State != sensors.Absent || !strings.Contains(r[0].Why, "no pass-through") {
		t.Errorf("%+v", r)
	}
	r, _ = theDrive(t, "/dev/vda").ask(at) // a virtio disk takes no SCSI commands at all
	if len(r) != 1 || r[0].State != sensors.Absent || !strings.Contains(r[0].Why, "no pass-through") {
		t.Errorf("%+v", r)
	}
}

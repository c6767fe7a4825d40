package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// chipDevices are what a machine has of drives and buses: an NVMe drive, an ATA
// disk, one behind a USB bridge that passes no ATA commands, and a graphics chip
// whose monitor is on an I2C bus of plain transfers.
var chipDevices = []string{
	"-drive", "file=nvme.img,format=raw,if=none,id=nvme", "-device", "nvme,drive=nvme,serial=N1",
	"-drive", "file=ata.img,format=raw,if=none,id=ata", "-device", "ide-hd,drive=ata,bus=ide.0,serial=A1",
	"-device", "qemu-xhci", "-drive", "file=usb.img,format=raw,if=none,id=usb", "-device", "usb-storage,drive=usb",
	"-device", "ati-vga,model=rv100",
}

// stubChips are the addresses at which i2c-stub has registers.
const stubChips = "0x18,0x2c,0x3c,0x48,0x49,0x4a,0x4b,0x4c,0x4d,0x4e"

// chipRC loads what the tests in the machine need.
const chipRC = `cd /lib/chips
for m in $(cat order); do
  case $m in i2c_stub.ko) insmod $m chip_addr=` + stubChips + ` ;; *) insmod $m ;; esac
done
`

// within is for the tests in the machine, on a busy host.
const chipsWithin = 2 * time.Minute

// TestChipsAndDrives runs the tests of sensors/smart and sensors/i2c that need a
// kernel with the buses, in a machine that has them.
func TestChipsAndDrives(t *testing.T) {
	machines(t)
	m := chipMachine(t)
	patience := Timing{scaleMost} // nothing here is judged by time
	if err := errors.Join(m.PowerOn(), m.Booted(1, patience.scaled(bootTime))); err != nil {
		t.Fatalf("%v\n%s", err, m.Console())
	}
	for _, name := range []string{"i2c", "smart"} {
		r, err := m.ask(talk.Request{
			Do: talk.Run, Args: []string{"/bin/" + name + ".test", "-test.v", "-test.run", "TestReal"}, Within: chipsWithin,
		}, chipsWithin+askWait)
		out := string(r.Out)
		t.Logf("%s\n%s", name, out)
		if err != nil || r.Code != 0 || strings.Contains(out, "--- SKIP") || !strings.Contains(out, "--- PASS") {
			t.Errorf("%s: exit code %d, %v", name, r.Code, err)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", m.Log(), m.Console())
	}
}

// chipMachine builds a machine without power.
func chipMachine(t *testing.T) *Machine {
	t.Helper()
	lan, client, err := lab.NewLAN()
	if err != nil {
		t.Fatal(err)
	}
	k := kernel{dir: os.Getenv(kernelEnv)}
	m := &Machine{Name: "chips", dir: t.TempDir(), home: lan, box: box{
		kernel: k, initrd: os.Getenv(initrdEnv), watchdog: "none", memory: 256,
		own: tree{"etc/rc": []byte(chipRC)},
	}}
	t.Cleanup(func() {
		if err := m.PowerOff(); err != nil {
			t.Error(err)
		}
		client.Close()
		lan.Close()
	})
	for _, arg := range chipDevices {
		if image, rest, ok := strings.Cut(strings.TrimPrefix(arg, "file="), ","); ok && strings.HasSuffix(image, ".img") {
			arg = "file=" + m.path(image) + "," + rest
			if err := os.WriteFile(m.path(image), make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m.box.devices = append(m.box.devices, arg)
	}
	if err := commandIn(m.dir, time.Minute, "mke2fs", "-q", "-t", "ext4", m.path("disk"), diskSize); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(k.dir + "/chips/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no modules of chips: %v", err)
	}
	for _, f := range files {
		m.addFile(t, "lib/chips/"+filepath.Base(f), f)
	}
	for _, name := range []string{"i2c", "smart"} {
		m.addFile(t, "bin/"+name+".test", testBinary(t, name))
	}
	return m
}

func (m *Machine) addFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	m.box.own[to] = b
}

// testBinary builds the tests of a package of sensors.
func testBinary(t *testing.T, name string) string {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), name+".test")
	cmd := exec.Command("go", "test", "-c", "-ldflags", "-s -w", "-o", out, "./sensors/"+name)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("build tests of %s: %w: %s", name, err, said))
	}
	return out
}

package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
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

// TestChipsAndDrives runs the tests of sensors/smart and sensors/i2c that need a
// kernel with the buses, in a machine that has them.
func TestChipsAndDrives(t *testing.T) {
	machines(t)
	m := loneMachine(t, "chips", chipRC)
	for _, arg := range chipDevices {
		if image, rest, ok := strings.Cut(strings.TrimPrefix(arg, "file="), ","); ok && strings.HasSuffix(image, ".img") {
			arg = "file=" + m.path(image) + "," + rest
			if err := os.WriteFile(m.path(image), make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m.box.devices = append(m.box.devices, arg)
	}
	files, err := filepath.Glob(m.box.kernel.dir + "/chips/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no modules of chips: %v", err)
	}
	for _, f := range files {
		m.addFile(t, "lib/chips/"+filepath.Base(f), f)
	}
	m.boot(t, "sensors/i2c", "sensors/smart")
	m.passes(t, "sensors/i2c", "TestReal")
	m.passes(t, "sensors/smart", "TestReal")
}

// loneMachine builds a machine without a peer and without power.
func loneMachine(t *testing.T, name, rc string) *Machine {
	t.Helper()
	lan, client, err := lab.NewLAN()
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{Name: name, dir: t.TempDir(), home: lan, box: box{
		arch: amd64, kernel: kernel{dir: os.Getenv(kernelEnv)}, initrd: os.Getenv(initrdEnv), watchdog: "none", memory: 256,
		own: tree{"etc/rc": []byte(rc)},
	}}
	t.Cleanup(func() {
		if err := m.PowerOff(); err != nil {
			t.Error(err)
		}
		client.Close()
		lan.Close()
	})
	if err := commandIn(m.dir, time.Minute, "mke2fs", "-q", "-t", "ext4", m.path("disk"), diskSize); err != nil {
		t.Fatal(err)
	}
	return m
}

// boot gives the machine the tests of packages and boots it.
func (m *Machine) boot(t *testing.T, packages ...string) {
	t.Helper()
	for _, name := range packages {
		m.addFile(t, "bin/"+path.Base(name)+".test", testBinary(t, name))
	}
	patience := Timing{scaleMost} // nothing here is judged by time
	if err := errors.Join(m.PowerOn(), m.Booted(1, patience.scaled(bootTime))); err != nil {
		t.Fatalf("%v\n%s", err, m.Console())
	}
}

// testsWithin is for the tests in a machine, on a busy host.
const testsWithin = 2 * time.Minute

// passes runs some tests of a package in the machine. None may be skipped.
func (m *Machine) passes(t *testing.T, name, tests string, env ...string) {
	t.Helper()
	args := append(append([]string{"/bin/env"}, env...), "/bin/"+path.Base(name)+".test", "-test.v", "-test.run", tests)
	r, err := m.ask(talk.Request{Do: talk.Run, Args: args, Within: testsWithin}, testsWithin+askWait)
	out := string(r.Out)
	t.Logf("%s\n%s", name, out)
	if err != nil || r.Code != 0 || strings.Contains(out, "--- SKIP") || !strings.Contains(out, "--- PASS") {
		t.Errorf("%s: exit code %d, %v\n%s\n%s", name, r.Code, err, m.Log(), m.Console())
	}
}

func (m *Machine) addFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	m.box.own[to] = b
}

// testBinary builds the tests of a package of the module.
func testBinary(t *testing.T, name string) string {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "test")
	cmd := exec.Command("go", "test", "-c", "-ldflags", "-s -w", "-o", out, "./"+name)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("build tests of %s: %w: %s", name, err, said))
	}
	return out
}

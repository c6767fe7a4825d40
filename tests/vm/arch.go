package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An arch is a machine's architecture, and what of the machine follows from it.
type arch struct {
	name      string   // as Go and Debian call it
	tail      string   // of its own variables of Prepare
	foreign   bool     // its packages are not this host's
	qemu      string   // program
	board     string   // and that of a machine with ib700
	cpu       string   // model
	port      []string // arguments for a serial port; the name of its chardev comes after
	boot      string   // words of the kernel's command line
	watchdogs []string // those that its kernel has drivers for
	chips     bool     // so with chipModules
	take      func(image, to string) error
}

// amd64 is that of the host. Its clock is the HPET, which QEMU keeps: on a busy
// host the kernel measures its TSC so wrongly that minutes pass in seconds, and
// no promise of the pair holds then.
var amd64 = arch{
	name: "amd64", qemu: "qemu-system-x86_64", board: "q35", cpu: "qemu64,+rdrand", port: []string{"-serial", "chardev:"},
	boot:      "tsc=unstable clocksource=hpet no_timer_check mitigations=off nmi_watchdog=0",
	watchdogs: []string{"none", "softdog", "i6300esb", "itco", "ib700"}, chips: true, take: cutOut,
}

// arm64 has its serial ports on PCI: they are called as those of amd64, and are
// 16550s, too. QEMU enters its kernel as the package has it.
var arm64 = arch{
	name: "arm64", tail: "_ARM64", foreign: true, qemu: "qemu-system-aarch64", board: "virt", cpu: "cortex-a57",
	port: []string{"-device", "pci-serial,chardev="}, boot: "mitigations=off",
	watchdogs: []string{"none", "softdog", "i6300esb"}, take: os.Rename,
}

var archs = map[string]arch{"": amd64, "amd64": amd64, "arm64": arm64}

// serialPort are QEMU's arguments for the next serial port: ttyS0, then ttyS1.
func (a arch) serialPort(chardev string) []string {
	return []string{a.port[0], a.port[1] + chardev}
}

// missing says why there can be no machines of the architecture.
func (a arch) missing() error {
	if os.Getenv(initrdEnv+a.tail) == "" {
		return fmt.Errorf("%w of %s: %s", errUnable, a.name, strings.TrimPrefix(os.Getenv(skipEnv+a.tail), errUnable.Error()+": "))
	}
	return nil
}

// cacheDir is where kernels are kept.
func cacheDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "twinbeat-vm")
}

// state is where apt keeps what it knows of a foreign architecture's packages.
func (a arch) state() string { return filepath.Join(cacheDir(), "apt-"+a.name) }

// apt adds to a command of apt what makes it one for packages of the
// architecture. The host's lists are left alone.
func (a arch) apt(args ...string) []string {
	if !a.foreign {
		return args
	}
	for _, option := range []string{
		"APT::Architecture=" + a.name, "APT::Architectures=" + a.name, "APT::Sandbox::User=root", "Acquire::Languages=none",
		"Dir::State=" + a.state(), "Dir::State::status=" + a.state() + "/status", "Dir::Cache=" + a.state() + "/cache",
	} {
		args = append(args, "-o", option)
	}
	return args
}

// update fetches the lists of a foreign architecture's packages.
func (a arch) update() error {
	for _, dir := range []string{"/lists/partial", "/cache/archives/partial"} {
		if err := os.MkdirAll(a.state()+dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(a.state()+"/status", nil, 0o644); err != nil { // nothing is installed
		return err
	}
	return commandIn("", fetchTime, "apt-get", a.apt("update", "-qq")...)
}

package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A kernel is Debian's, unpacked and not installed.
type kernel struct {
	dir string // where it lies: vmlinux, modules
}

func (k kernel) vmlinux() string { return filepath.Join(k.dir, "vmlinux") }

// busybox is the kernel's own, where the host's would not run.
func (k kernel) busybox(a arch) string {
	if a.foreign {
		return filepath.Join(k.dir, "busybox")
	}
	return "/bin/busybox"
}

// wanted are the modules of a test machine; what they need comes with them. It
// is one list for all machines: a driver without its device does nothing.
var wanted = []string{
	"crc32c_generic", // libcrc32c asks for it by another name
	"virtio_pci", "virtio_console", "virtio_net", "virtio_blk", "ext4",
	"nf_tables", "nft_fwd_netdev",
}

// watchdogModules are loaded by /etc/rc where a machine is to have them: two
// drivers at once would share the name /dev/watchdog by chance.
var watchdogModules = map[string][]string{
	"none": nil, "softdog": {"softdog"}, "i6300esb": {"i6300esb"}, "itco": {"lpc_ich", "iTCO_wdt"}, "ib700": {"ib700wdt"},
}

// chipModules are those of the machine with chips and drives, which alone has
// them: buses, disks, and the drivers that our decoders are compared with.
var chipModules = []string{
	"i2c-dev", "i2c-stub", "lm75", "tmp102", "emc1403", "max6639", "jc42", "tmp421", "radeonfb",
	"nvme", "ahci", "sd_mod", "xhci_pci", "usb-storage",
}

// fetchTime bounds what apt does.
const fetchTime = 5 * time.Minute

// errUnable says that there can be no test machines here.
var errUnable = errors.New("no test machines")

// fetchKernel returns the kernel that Debian's linux-image-amd64 stands for, or
// that of another architecture. It is fetched once for each version, into the
// user's cache; the lists of another architecture are fetched just before it.
func (a arch) fetchKernel() (kernel, error) {
	k, name, err := a.newestKernel()
	if err == nil {
		if _, err := os.Stat(k.vmlinux()); err == nil {
			return k, nil
		}
	}
	if a.foreign {
		if err := a.update(); err != nil {
			return kernel{}, fmt.Errorf("%w: %w", errUnable, err)
		}
		k, name, err = a.newestKernel()
	}
	if err != nil {
		return kernel{}, err
	}
	return k, k.fetch(a, name)
}

// newestKernel is what apt's lists know: where the kernel is to lie, and its
// package.
func (a arch) newestKernel() (k kernel, name string, err error) {
	meta := "linux-image-" + a.name
	out, err := exec.Command("apt-cache", a.apt("depends", meta)...).CombinedOutput()
	if err != nil {
		return k, "", fmt.Errorf("%w: apt-cache: %w: %s", errUnable, err, bytes.TrimSpace(out))
	}
	_, rest, ok := strings.Cut(string(out), "Depends: ")
	if !ok {
		return k, "", fmt.Errorf("%w: apt knows no %s; apt-get update", errUnable, meta)
	}
	name, _, _ = strings.Cut(rest, "\n")
	return kernel{dir: filepath.Join(cacheDir(), a.kernelVersion(name))}, name, nil
}

// kernelVersion is the package with its version and the modules that are kept.
func (a arch) kernelVersion(name string) string {
	out, _ := exec.Command("apt-cache", a.apt("show", "--no-all-versions", name)...).Output()
	_, rest, _ := strings.Cut(string(out), "Version: ")
	version, _, _ := strings.Cut(rest, "\n")
	sum := uint32(0)
	for _, c := range fmt.Sprint(wanted, watchdogModules, chipModules) {
		sum = sum*31 + uint32(c)
	}
	return fmt.Sprintf("%s_%s_%08x", name, version, sum)
}

// fetch fills the kernel's folder, whole or not at all.
func (k kernel) fetch(a arch, name string) error {
	if err := os.MkdirAll(filepath.Dir(k.dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(k.dir), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	packages := []string{name}
	if a.foreign {
		packages = append(packages, "busybox-static")
	}
	download := append([]string{"download", "-qq"}, packages...)
	if err := commandIn(tmp, fetchTime, "apt-get", a.apt(download...)...); err != nil {
		return fmt.Errorf("%w: %w", errUnable, err)
	}
	debs, _ := filepath.Glob(tmp + "/*.deb")
	if len(debs) != len(packages) {
		return fmt.Errorf("%w: apt-get download left %d packages", errUnable, len(debs))
	}
	for _, deb := range debs {
		if err := commandIn(tmp, fetchTime, "dpkg-deb", "-x", deb, "all"); err != nil {
			return err
		}
	}
	if err := a.keep(tmp+"/all", tmp+"/keep"); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return os.Rename(tmp+"/keep", k.dir)
}

// keep takes what the machines need out of unpacked packages.
func (a arch) keep(all, to string) error {
	for _, folder := range []string{"/modules", "/chips"} {
		if err := os.MkdirAll(to+folder, 0o755); err != nil {
			return err
		}
	}
	images, _ := filepath.Glob(all + "/boot/vmlinuz-*")
	if len(images) != 1 {
		return fmt.Errorf("%d kernels in it", len(images))
	}
	if err := a.take(images[0], to+"/vmlinux"); err != nil {
		return err
	}
	if a.foreign {
		if err := os.Rename(all+"/bin/busybox", to+"/busybox"); err != nil {
			return err
		}
	}
	return a.keepModules(all+"/lib/modules", to)
}

func commandIn(dir string, within time.Duration, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	end := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Offsets in the setup header of a bzImage, Documentation/x86/boot.rst.
const (
	setupSects    = 0x1f1
	magicAt       = 0x202
	payloadOffset = 0x248
	payloadLength = 0x24c
	sector        = 512
)

// cutOut writes the ELF kernel that a bzImage carries packed with XZ. QEMU
// enters it by its PVH note, which saves the seconds that an emulated machine
// takes to unpack it.
func cutOut(image, to string) error {
	b, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	if len(b) < payloadLength+4 || string(b[magicAt:magicAt+4]) != "HdrS" {
		return fmt.Errorf("cut kernel out of %s: no bzImage", image)
	}
	from := (int(b[setupSects])+1)*sector + int(binary.LittleEndian.Uint32(b[payloadOffset:]))
	end := from + int(binary.LittleEndian.Uint32(b[payloadLength:]))
	if end > len(b) || !bytes.HasPrefix(b[from:], []byte("\xfd7zXZ\x00")) {
		return fmt.Errorf("cut kernel out of %s: its payload is not XZ", image)
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command("xz", "-dc", "--single-stream")
	cmd.Stdin, cmd.Stdout = bytes.NewReader(b[from:end]), f
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("unpack kernel: %w", err)
	}
	return f.Close()
}

// keepModules copies what is wanted, with what that needs, and writes the order.
func (a arch) keepModules(from, to string) error {
	files := map[string]string{}
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".ko") {
			files[moduleName(name)] = name
		}
		return err
	})
	if err != nil {
		return err
	}
	needs := func(name string) ([]string, error) {
		b, err := os.ReadFile(files[moduleName(name)])
		if err != nil {
			return nil, fmt.Errorf("read module %s: %w", name, err)
		}
		return moduleNeeds(b), nil
	}
	keep := func(folder, list string, names []string) error {
		all, err := inOrder(names, needs)
		var order strings.Builder
		for _, m := range all {
			b, readErr := os.ReadFile(files[m])
			err = errors.Join(err, readErr, os.WriteFile(filepath.Join(to, folder, m+".ko"), b, 0o644))
			order.WriteString(m + ".ko\n")
		}
		return errors.Join(err, os.WriteFile(filepath.Join(to, folder, list), []byte(order.String()), 0o644))
	}
	for _, dog := range a.watchdogs {
		if err := keep("modules", dog+".order", watchdogModules[dog]); err != nil {
			return err
		}
	}
	err = keep("modules", "order", wanted)
	if a.chips {
		err = errors.Join(err, keep("chips", "order", chipModules))
	}
	return err
}

// moduleName is how the kernel calls a module: a file may have dashes.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

// moduleNeeds reads the module's own list of others, in its section .modinfo.
func moduleNeeds(ko []byte) []string {
	_, rest, ok := bytes.Cut(ko, []byte("\x00depends="))
	if !ok {
		return nil
	}
	list, _, _ := bytes.Cut(rest, []byte("\x00"))
	var all []string
	for _, m := range strings.Split(string(list), ",") {
		if m != "" {
			all = append(all, moduleName(m))
		}
	}
	return all
}

// inOrder returns names with all that they need, each after what it needs.
func inOrder(names []string, needs func(string) ([]string, error)) ([]string, error) {
	var all []string
	seen := map[string]bool{}
	var visit func(string) error
	visit = func(name string) error {
		name = moduleName(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		below, err := needs(name)
		for _, b := range below {
			err = errors.Join(err, visit(b))
		}
		all = append(all, name)
		return err
	}
	for _, n := range names {
		if err := visit(n); err != nil {
			return nil, err
		}
	}
	return all, nil
}

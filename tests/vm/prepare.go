package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// What Prepare tells the tests inside the namespaces, where there is no network.
const (
	initrdEnv = "TWINBEAT_VM_INITRD"
	kernelEnv = "TWINBEAT_VM_KERNEL"
	binaryEnv = "TWINBEAT_VM_BINARY"
	commitEnv = "TWINBEAT_VM_COMMIT"
)

// needed are the programs without which there is no test machine.
var needed = []string{qemu, "busybox", "apt-get", "dpkg-deb", "xz", "mke2fs"}

// Prepare fetches the kernel, builds what runs in the machines, and packs it
// into dir. It needs the network once for each version of the kernel.
func Prepare(dir string) error {
	for _, name := range needed {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %w", errUnable, err)
		}
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnable, err)
	}
	tun.Close()
	k, err := fetchKernel("linux-image-amd64")
	if err != nil {
		return err
	}
	binary, err := lab.Build(dir)
	if err != nil {
		return err
	}
	guest, err := buildGuest(dir)
	if err != nil {
		return err
	}
	t, err := k.tree()
	if err != nil {
		return err
	}
	for to, from := range map[string]string{"init": guest, "bin/twinbeat": binary, "bin/busybox": "/bin/busybox"} {
		if t[to], err = os.ReadFile(from); err != nil {
			return err
		}
	}
	initrd := filepath.Join(dir, "initrd")
	os.Setenv(initrdEnv, initrd)
	os.Setenv(kernelEnv, k.dir)
	os.Setenv(binaryEnv, binary)
	os.Setenv(commitEnv, commit())
	return os.WriteFile(initrd, t.cpio(), 0o600)
}

// commit names the sources; empty outside a repository.
func commit() string {
	out, _ := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	return strings.TrimSpace(string(out))
}

func buildGuest(dir string) (string, error) {
	root, err := lab.ModuleRoot()
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "guest")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, "./tests/vm/guest")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build guest: %w: %s", err, out)
	}
	return name, nil
}

// tree is the kernel's part of an initramfs.
func (k kernel) tree() (tree, error) {
	t := tree{}
	files, err := filepath.Glob(k.dir + "/modules/*")
	for _, f := range files {
		b, readErr := os.ReadFile(f)
		if readErr != nil {
			return nil, readErr
		}
		t["lib/modules/"+filepath.Base(f)] = b
	}
	return t, err
}

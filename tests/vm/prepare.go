package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// What Prepare tells the tests inside the namespaces, where there is no network.
const (
	initrdEnv = "TWINBEAT_VM_INITRD"
	kernelEnv = "TWINBEAT_VM_KERNEL"
	binaryEnv = "TWINBEAT_VM_BINARY"
	commitEnv = "TWINBEAT_VM_COMMIT"
	skipEnv   = "TWINBEAT_VM_SKIP" // why there are no machines
)

// buildTime bounds what go build does.
const buildTime = 10 * time.Minute

// needed are the programs without which there is no test machine.
var needed = []string{amd64.qemu, "busybox", "apt-get", "dpkg-deb", "xz", "mke2fs"}

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
	os.Setenv(commitEnv, commit())
	return amd64.prepare(dir)
}

// commit names the sources; empty outside a repository.
func commit() string {
	out, _ := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	return strings.TrimSpace(string(out))
}

// PrepareAll is Prepare for all architectures. One that there can be no machines
// of is no error; its scenarios are skipped.
func PrepareAll(dir string) error {
	if err := Prepare(dir); err != nil {
		return err
	}
	_, err := exec.LookPath(arm64.qemu)
	if err == nil {
		if err = arm64.prepare(dir); err != nil && !errors.Is(err, errUnable) {
			return err
		}
	}
	if err != nil {
		os.Setenv(skipEnv+arm64.tail, err.Error())
	}
	return nil
}

// prepare is the architecture's part.
func (a arch) prepare(dir string) error {
	k, err := a.fetchKernel()
	if err != nil {
		return err
	}
	t, err := k.tree()
	if err != nil {
		return err
	}
	files := map[string]string{"bin/busybox": k.busybox(a)}
	for to, name := range map[string]string{"init": "./tests/vm/guest", "bin/twinbeat": "."} {
		files[to] = filepath.Join(dir, filepath.Base(to)+a.tail)
		if err := a.build(name, files[to]); err != nil {
			return err
		}
	}
	for to, from := range files {
		if t[to], err = os.ReadFile(from); err != nil {
			return err
		}
	}
	initrd := filepath.Join(dir, "initrd"+a.tail)
	os.Setenv(initrdEnv+a.tail, initrd)
	os.Setenv(kernelEnv+a.tail, k.dir)
	os.Setenv(binaryEnv+a.tail, files["bin/twinbeat"])
	return os.WriteFile(initrd, t.cpio(), 0o600)
}

// build builds a program of the module for the architecture.
func (a arch) build(name, to string) error {
	root, err := lab.ModuleRoot()
	if err != nil {
		return err
	}
	return commandIn(root, buildTime, "env", "CGO_ENABLED=0", "GOARCH="+a.name, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, name)
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

package vm

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// A tree is what an initramfs holds: contents by path, without the first slash.
type tree map[string][]byte

// Kinds and rights of what an initramfs holds, see inode(7).
const (
	modeDir     = 0o040755
	modeProgram = 0o100755
	modeSecret  = 0o100600
	modeConsole = 0o020600
)

// cpio writes the tree in the format newc of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst. Folders are made
// up from the paths; what lies in etc is for root's eyes alone; the console,
// which the kernel gives to the first process, is always there.
func (t tree) cpio() []byte {
	var b bytes.Buffer
	entry := func(name string, mode, major, minor int, data []byte) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			0, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
		b.WriteString(name + "\x00")
		pad(&b)
		b.Write(data)
		pad(&b)
	}
	made := map[string]bool{".": true}
	folders := func(dir string) {
		var missing []string
		for ; !made[dir]; dir = path.Dir(dir) {
			missing = append(missing, dir)
			made[dir] = true
		}
		for _, d := range slices.Backward(missing) {
			entry(d, modeDir, 0, 0, nil)
		}
	}
	folders("dev")
	entry("dev/console", modeConsole, 5, 1, nil)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		folders(path.Dir(name))
		mode := modeProgram
		if strings.HasPrefix(name, "etc/") {
			mode = modeSecret
		}
		entry(name, mode, 0, 0, t[name])
	}
	entry("TRAILER!!!", 0, 0, 0, nil)
	return b.Bytes()
}

// pad fills up to a multiple of four bytes.
func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}

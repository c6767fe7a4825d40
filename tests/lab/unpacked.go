package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// unpackedDir is where .ci/deps unpacks packages that want to run the machine,
// or that cannot stand beside each other.
const unpackedDir = "/var/cache/twinbeat-tests"

// A Skipper is a test as far as it can be skipped.
type Skipper interface {
	Helper()
	Skip(args ...any)
}

// Unpacked returns a program, and the environment in which it finds a library; it
// skips the test where they are not.
func Unpacked(t Skipper, program, library string) (path string, env []string) {
	t.Helper()
	path = filepath.Join(unpackedDir, program)
	libs, _ := filepath.Glob(filepath.Join(unpackedDir, library, "lib/*"))
	if _, err := os.Stat(path); err != nil || len(libs) == 0 {
		t.Skip(fmt.Sprintf("%s or %s is not there: run .ci/deps", program, library))
	}
	return path, append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
}

// Package e2e runs the real twinbeat as a pair on real kernels and judges what
// a client and the LAN see of it. Start reading at rig.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// binaryEnv names the program under test to the inner process. Who sets it has a
// program tested that was built before.
const binaryEnv = "TWINBEAT_E2E_BINARY"

// binary is the program under test.
var binary = os.Getenv(binaryEnv)

func run(m *testing.M) int {
	inner, code, err := enclose()
	switch {
	case inner:
		return m.Run()
	case os.Geteuid() != 0 && errors.Is(err, syscall.EPERM):
		fmt.Fprintln(os.Stderr, "e2e: skipped, neither root nor user namespaces:", err)
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

// enclose goes on in namespaces, with a program that was built outside of them.
func enclose() (inner bool, code int, err error) {
	if binary != "" {
		return lab.Enclose("")
	}
	code, err = lab.Launch("e2e", func(dir string) error {
		if err := os.Chmod(dir, 0o755); err != nil { // the test as a plain user starts it from there
			return err
		}
		return lab.BuildAs(binaryEnv)(dir)
	})
	return false, code, err
}

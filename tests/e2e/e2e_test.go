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

// binary is the program under test. The environment may name one that was
// built before.
var binary = os.Getenv("TWINBEAT_E2E_BINARY")

func run(m *testing.M) int {
	inner, code, err := lab.Enter()
	if os.Geteuid() != 0 && errors.Is(err, syscall.EPERM) {
		fmt.Fprintln(os.Stderr, "e2e: skipped, neither root nor user namespaces:", err)
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if !inner {
		return code
	}
	if binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "twinbeat-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the test as a plain user starts it from there
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if binary, err = lab.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

package vm

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/twinbeat/twinbeat/tests/lab"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// skipEnv says to the tests inside why there are no machines.
const skipEnv = "TWINBEAT_VM_SKIP"

func run(m *testing.M) int {
	if os.Getenv(initrdEnv) != "" {
		inner, code, err := lab.Enclose("")
		switch {
		case inner:
			return m.Run()
		case err == nil:
			return code
		}
		os.Setenv(skipEnv, err.Error())
		return m.Run()
	}
	code, err := lab.Launch("vm", Prepare)
	if errors.Is(err, errNoKernel) || err != nil && os.Geteuid() != 0 {
		os.Setenv(skipEnv, err.Error())
		return m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		return 1
	}
	return code
}

// machines skips a test where there can be no machines.
func machines(t *testing.T) {
	t.Helper()
	if why := os.Getenv(skipEnv); why != "" {
		t.Skip("no test machines here:", why)
	}
}

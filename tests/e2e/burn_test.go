package e2e

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// burnFor in the environment makes the test program a busy loop.
const burnFor = "TWINBEAT_E2E_BURN"

// burn keeps every core busy by programs of their own: goroutines of this one
// would slow the prober more than the pair.
func burn(d time.Duration) {
	for _, cmd := range ignite(d) {
		_ = cmd.Wait()
	}
}

// burnMost bounds burnWhile.
const burnMost = 5 * time.Minute

// burnWhile keeps every core busy until what returns.
func burnWhile(what func()) {
	all := ignite(burnMost)
	defer func() {
		for _, cmd := range all {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	what()
}

func ignite(d time.Duration) (all []*exec.Cmd) {
	for range runtime.NumCPU() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), burnFor+"="+d.String())
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if cmd.Start() == nil {
			all = append(all, cmd)
		}
	}
	return all
}

// burnIfAsked is what the programs of burn do.
func burnIfAsked() bool {
	d, err := time.ParseDuration(os.Getenv(burnFor))
	if err != nil {
		return false
	}
	sum := 0
	for end := time.Now().Add(d); time.Now().Before(end); {
		for i := range 1_000_000 {
			sum += i
		}
	}
	return sum != 1
}

func TestMain(m *testing.M) {
	if burnIfAsked() || lab.FloodIfAsked() {
		return
	}
	os.Exit(run(m))
}

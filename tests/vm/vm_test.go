package vm

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

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

var full = flag.Bool("full", false, "play every scenario, not only the quick ones")

// timing is measured once: a machine that boots slowly is slow in all else.
var timing = sync.OnceValues(func() (Timing, error) {
	p, err := New(Options{Boot: "none"}, Timing{1})
	if err != nil {
		return Timing{}, err
	}
	began := time.Now()
	err = p.PowerOn()
	took := time.Since(began)
	return Timing{min(max(1, took.Seconds()/usualBoot.Seconds()), scaleMost)}, errors.Join(err, p.Close())
})

func TestScenarios(t *testing.T) {
	machines(t)
	scale, err := timing()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("intervals are %.1f times those of a good host", scale.Scale)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			if !s.quick && !*full {
				t.Skip("only with -full, as make test-vm")
			}
			began := time.Now()
			p, err := New(s.pair, scale)
			if err != nil {
				t.Fatal(err)
			}
			x := &play{Pair: p, say: t.Logf}
			if err := s.run(x); err != nil {
				t.Errorf("%v", err)
				x.logs()
			}
			if err := p.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			t.Logf("took %.0f s", time.Since(began).Seconds())
		})
	}
}

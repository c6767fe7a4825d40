package agent

import (
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

func TestTheAgentIsFrugalAndKilledLast(t *testing.T) {
	const adj = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(adj)
	if err != nil {
		t.Skip("no such file here: ", err)
	}
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		_ = os.WriteFile(adj, before, 0)
	})
	t.Setenv("GOMEMLIMIT", "1GiB")
	beFrugal()
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("the environment's limit was replaced by %d", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	beFrugal()
	if got := debug.SetMemoryLimit(-1); got != memoryMost {
		t.Errorf("limit %d", got)
	}
	got, err := os.ReadFile(adj)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 && strings.TrimSpace(string(got)) != oomScore {
		if os.WriteFile(adj, []byte(oomScore), 0) != nil {
			t.Skip("this process may not lower its score")
		}
		t.Errorf("score %s", got)
	}
}

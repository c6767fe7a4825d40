package loop

import (
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// yield ends a node for a restart, and says whether its journal knows.
func yield(n *node) (clean bool) {
	done := make(chan struct{})
	n.loop.Tell(Yield{Done: done})
	<-done
	n.kill()
	return n.memory.last().Clean
}

// In every mode the owner serves on, and fences nobody: lease asks for echoes of the
// other node, fence for it to be switched off.
func TestARestartOfTheStandbyIsNotMissed(t *testing.T) {
	for name, s := range map[string]setup{
		"silence": {}, "lease": {mode: pair.ModeLease}, "fence": {mode: pair.ModeFence, fence: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, s, func(_ *rig, a, b *node) {
				if !yield(b) {
					t.Error("the journal does not say that the agent ended in order")
				}
				time.Sleep(10 * testLease)
				if v := a.view().Groups[0]; v.State != "SOLO" || !a.ownsAll() {
					t.Errorf("the owner is %s, its gates are open: %v", v.State, a.ownsAll())
				}
			})
		})
	}
}

func TestARestartOfTheOwnerGivesNothingUp(t *testing.T) {
	bubble(t, setup{}, func(_ *rig, a, b *node) {
		if clean := yield(a); !clean || !a.ownsAll() || b.view().Groups[0].State != "ARMED" {
			t.Errorf("clean %v, gates open %v, the other one is %s", clean, a.ownsAll(), b.view().Groups[0].State)
		}
	})
}

package serial

import (
	"path/filepath"
	"sync/atomic"
	"testing"
)

// counted counts what came back.
func counted(cfg Config) (Config, *atomic.Int64, *atomic.Int64) {
	var reads, writes atomic.Int64
	cfg.DidRead, cfg.DidWrite = func() { reads.Add(1) }, func() { writes.Add(1) }
	return cfg, &reads, &writes
}

// further waits until a count has risen.
func further(t *testing.T, what string, n *atomic.Int64, do func()) {
	t.Helper()
	before := n.Load()
	eventually(t, what, func() bool {
		do()
		return n.Load() > before
	})
}

func TestWorkThatComesBackIsToldWhateverItBrings(t *testing.T) {
	n := cableOf(t)
	cfg, reads, writes := counted(config(n.Device(0)))
	a := start(t, cfg)
	a.waitUp(t)
	further(t, "a look at a silent line", reads, a.Drain)
	further(t, "a write that nobody reads", writes, func() { _ = a.Send(payload(1)) })
	for range 2000 { // the line is full now
		_ = a.Send(payload(2))
	}
	further(t, "a write that finds no room", writes, func() { _ = a.Send(payload(3)) })
}

func TestADeviceThatIsAbsentIsNoWorkUndone(t *testing.T) {
	cfg, reads, writes := counted(config(filepath.Join(t.TempDir(), "none")))
	start(t, cfg)
	further(t, "an attempt to open, as a read", reads, func() {})
	further(t, "an attempt to open, as a write", writes, func() {})
}

package mcast

import (
	"sync/atomic"
	"testing"
)

func TestReadsThatComeBackAreToldWhateverTheyBring(t *testing.T) {
	w := newWorld(t)
	var reads atomic.Int64
	var cfg Config
	for _, c := range kinds(device) {
		cfg = c[0]
	}
	cfg.DidRead = func() { reads.Add(1) }
	w.start(0, cfg)
	more := func(what string) {
		t.Helper()
		before := reads.Load()
		eventually(t, what, func() bool { return reads.Load() > before+1 })
	}
	more("attempts to open without an interface")
	w.plug(device)
	w.addresses(device)
	more("reads of a silent link")
}

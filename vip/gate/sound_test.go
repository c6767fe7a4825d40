package gate

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables/expr"
)

// Each kernel obeys one frame too many, by a rule behind ours.
func TestSelfTestFindsAKernelThatObeysTooMuch(t *testing.T) {
	renewed := func(d time.Duration) []expr.Any { return one(refresh(setLease, d)) }
	for _, c := range []struct {
		name string
		op   int
		when []expr.Any
	}{
		{"grant without a turn", opGrant, nil},
		{"stale renewal", opRenew, slices.Concat(load(offTurn, 4), one(contains(setTurn)))},
		{"renewal with an expired turn", opRenew, slices.Concat(load(offGroup, 4), one(contains(setLease)))},
	} {
		t.Run(c.name, func(t *testing.T) {
			alone(t)
			s, err := newSelfTest(context.Background())
			must(t, err)
			defer s.end()
			b := newBatch(s.gate.cfg.Table)
			b.newRule(chainOps, slices.Concat(operation(c.op, 0), c.when, load(offGroup, 4), renewed(s.result.Lease), drop()))
			must(t, s.gate.nl.transact(b))
			for range selfTestTries { // a busy machine may be too late for its own leases
				if err = s.run(); err != nil && strings.Contains(err.Error(), c.name) {
					return
				}
			}
			t.Errorf("self-test: %v", err)
		})
	}
}

// Whoever rewrites or redirects packets must not see them before the gate has:
// to it they would not be for the address any more.
func TestTheGateComesBeforeAllOthers(t *testing.T) {
	alone(t)
	mustNft(t, "add table netdev other; add chain netdev other c { type filter hook ingress device lo priority -500; }; "+
		"add rule netdev other c ip daddr 127.9.9.9 counter")
	g := open(t, loConfig(time.Minute, time.Minute))
	conn, err := net.Dial("udp", "127.9.9.9:9")
	must(t, err)
	defer conn.Close()
	send := func() string {
		for range 3 {
			_, _ = conn.Write([]byte("x")) // ENOBUFS or ECONNREFUSED are both well
		}
		time.Sleep(settle)
		return mustNft(t, "list", "chain", "netdev", "other", "c")
	}
	if out := send(); !strings.Contains(out, "packets 0 ") {
		t.Errorf("another table saw packets to a closed address: %s", out)
	}
	grant(t, g, 0)
	if out := send(); strings.Contains(out, "packets 0 ") {
		t.Errorf("the test's own table sees nothing: %s", out)
	}
}

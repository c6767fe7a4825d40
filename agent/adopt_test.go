package agent

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/announce"
	"github.com/twinbeat/twinbeat/vip/gate"
)

// fakeTable is a gate in a kernel that loses its table and hides its answers.
type fakeTable struct {
	kernelGate
	missing, lapsed bool
	lapsing         bool // the lease is over when it is looked at again
	restored        int
}

func (f *fakeTable) Turn() error {
	if f.missing {
		return gate.ErrMissing
	}
	return nil
}
func (f *fakeTable) Restore() error    { f.restored++; f.missing = false; return nil }
func (f *fakeTable) Grant(uint8) error { return nil }
func (f *fakeTable) Held(uint8) (bool, time.Duration, error) {
	held := !f.lapsed
	f.lapsed = f.lapsed || f.lapsing
	return held, time.Second, nil
}

func TestGateThatVanishedIsPutBackInTheTurnThatFindsIt(t *testing.T) {
	f := &fakeTable{missing: true}
	p := &provenLease{kernelGate: f}
	if err := p.Turn(); err != nil || f.restored != 1 {
		t.Errorf("%v, restored %d times", err, f.restored)
	}
	if err := p.Turn(); err != nil || f.restored != 1 {
		t.Errorf("a table that is there: %v, restored %d times", err, f.restored)
	}
}

func TestGateThatHidesTheOutcomeIsReadBack(t *testing.T) {
	f := &fakeTable{lapsed: true}
	if err := (&provenLease{kernelGate: f, readBack: true}).Grant(0); !errors.Is(err, gate.ErrRefused) {
		t.Errorf("a grant that the kernel did not carry out: %v", err)
	}
	f.lapsed = false
	if err := (&provenLease{kernelGate: f, readBack: true}).Grant(0); err != nil {
		t.Error(err)
	}
}

func TestAGroupIsAdoptedOnlyWithItsLeaseAndItsAddresses(t *testing.T) {
	l, set := weakLease(t)
	f := &fakeTable{}
	a := &agent{cfg: config.Config{Groups: []config.Group{{VIP: set}}}, hands: &hands{kernel: l.kernel}, lease: &provenLease{kernelGate: f}}
	if !a.adopts(0) {
		t.Error("lease and addresses are there")
	}
	air, err := announce.New()
	if err != nil {
		t.Fatal(err)
	}
	a.hands.air, a.cfg.Timing.Probe = air, 5*time.Millisecond
	more := vip.Set{Addresses: append(slices.Clone(set.Addresses), vip.Address{Prefix: netip.MustParsePrefix("192.0.2.77/24"), Device: "tbweak"})}
	a.cfg.Groups[0].VIP = more
	far, err := netlink.LinkByName("tbfar")
	if err == nil {
		err = netlink.LinkSetUp(far)
	}
	if err != nil {
		t.Fatal(err)
	}
	adopted := false
	for range 100 { // until the kernel sees the carrier
		if adopted = a.adopts(0); adopted {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !adopted {
		t.Error("the file has got an address that nobody else has")
	}
	f.lapsing = true
	if a.adopts(0) {
		t.Error("the lease ended while the new address was asked for")
	}
	f.lapsing, f.lapsed = false, false
	more.Addresses[1].Device = "tbnone"
	if a.adopts(0) {
		t.Error("nobody can have been asked for the new address")
	}
	a.cfg.Groups[0].VIP = set
	f.lapsed = true
	if a.adopts(0) {
		t.Error("adopted without a lease")
	}
	f.lapsed = false
	if err := l.kernel.Drop(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if a.adopts(0) {
		t.Error("adopted without its addresses")
	}
}

func TestLifetimeLeaseIsRenewedWithinItsTurnAndForItsOldestAddress(t *testing.T) {
	l, _ := weakLease(t)
	_ = l.Turn()
	if err := l.Grant(0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(l.window + 10*time.Millisecond)
	if err := l.Renew(0); !errors.Is(err, gate.ErrRefused) {
		t.Errorf("renewed in an old turn: %v", err)
	}
	l.until[0] = time.Now().Add(-time.Millisecond) // as if it had lapsed while the address is still there
	_ = l.Turn()
	if err := l.Renew(0); !errors.Is(err, gate.ErrRefused) {
		t.Errorf("renewed a lapsed lease: %v", err)
	}
	_ = l.Turn()
	if err := l.Grant(0); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		time.Sleep(l.life / 40)
		_ = l.Turn()
		_ = l.Renew(0)
	}
	if left := time.Until(l.until[0]); left > l.life*3/4 {
		t.Errorf("the lease lasts %v more; an address may have been renewed a quarter of %v ago", left, l.life)
	}
}

func TestAllAddressesAreRenewedWhenAGroupIsOwnedAnew(t *testing.T) {
	l, set := weakLease(t)
	h := &hands{kernel: l.kernel, groups: []*handful{newHandful(config.Group{VIP: set})}}
	h.cfg.Timing.Lifetime = time.Minute
	if err := l.kernel.Drop(t.Context(), set); err != nil { // so that each renewal finds it missing
		t.Fatal(err)
	}
	for range 2 {
		h.SetOwner(0, true)
		for i, want := range []int{len(set.Addresses), 0} {
			missing, err := h.RenewAddresses(t.Context(), 0)
			if err != nil || len(missing) != want {
				t.Errorf("renewal %d: %v, %v; want %d", i, missing, err, want)
			}
		}
		h.SetOwner(0, false)
	}
}

func TestLifetimesThatAreTheLeaseAreRenewedByTheLoopAlone(t *testing.T) {
	l, set := weakLease(t)
	h := &hands{kernel: l.kernel, groups: []*handful{newHandful(config.Group{VIP: set})}}
	h.cfg.Timing.Lifetime = lifetimeShort
	if err := l.kernel.Drop(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	for _, h.weak = range []bool{true, false} {
		h.groups[0].renewals = vip.Renewals{}
		found := 0
		for range 20 {
			time.Sleep(lifetimeShort / 20)
			missing, err := h.RenewAddresses(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			found += len(missing)
		}
		if (found == 0) != h.weak {
			t.Errorf("weak %v: the lane found %d addresses missing", h.weak, found)
		}
	}
}

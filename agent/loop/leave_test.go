package loop

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// needsVerified is a pair whose fence must be verified.
func needsVerified(_ int, o *Options) { o.NeedVerified, o.FenceWiring = true, "wiring" }

// lone starts two nodes that may never fence, and waits until the first one owns.
func lone(t *testing.T, s setup, fn func(r *rig, a, b *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, s)
		a, b := r.nodes[0], r.nodes[1]
		a.start()
		b.start()
		r.await("the preferred node owns", 3*time.Second, a.ownsAll)
		fn(r, a, b)
		a.end2()
		b.end2()
	})
}

func TestAnUnverifiedFenceIsNotUsedAndTheNodeNotArmed(t *testing.T) {
	lone(t, setup{mode: pair.ModeFence, fence: true, change: needsVerified}, func(r *rig, a, b *node) {
		time.Sleep(time.Second)
		v := b.view()
		if s := v.Groups[0].State; s != "STANDBY" || v.Groups[0].CanTakeOver {
			t.Errorf("the standby is %s, can take over %v", s, v.Groups[0].CanTakeOver)
		}
		if !b.alarmed("fence-unverified") || !strings.Contains(v.Guarantee.Price, "NO TAKEOVER") || !strings.Contains(v.Peer.Fence.Barred, "verif") {
			t.Errorf("status does not say so: %+v %+v", v.Guarantee, v.Peer.Fence)
		}
		a.kill()
		time.Sleep(testBoot + 10*time.Second)
		if n := b.hands.count("fence"); n > 0 || b.owns(0) {
			t.Errorf("%d fences, owns %v", n, b.owns(0))
		}
		if !b.alarmed("g0/fence-failed") {
			t.Error("no alarm tells that nobody takes over")
		}
	})
}

func TestAVerificationOfOtherWiringDoesNotCount(t *testing.T) {
	old := func(i int, o *Options) {
		needsVerified(i, o)
		o.Saved.Verified = &report.Verified{Wiring: "other"}
	}
	lone(t, setup{mode: pair.ModeFence, fence: true, change: old}, func(r *rig, a, b *node) {
		time.Sleep(time.Second)
		if !b.alarmed("fence-unverified") {
			t.Error("a verification of other wiring counts")
		}
	})
	same := func(i int, o *Options) {
		needsVerified(i, o)
		o.Saved.Verified = &report.Verified{Wiring: "wiring"}
	}
	bubble(t, setup{mode: pair.ModeFence, fence: true, change: same}, func(r *rig, a, b *node) {
		a.kill()
		r.await("takeover", 5*time.Second, b.ownsAll)
	})
}

// serviced takes the peer of n into maintenance.
func serviced(t *testing.T, r *rig, a, b *node) {
	t.Helper()
	if _, err := order1(t, b, Order{Command: OrderMaintenanceOn, Reason: "verify"}); err != nil {
		t.Fatal(err)
	}
	r.await("the owner knows", 2*time.Second, func() bool { return a.view().Groups[0].PeerState == "MAINTENANCE" })
}

// wired makes a's device cut b's power, and give it back.
func wired(a, b *node) {
	a.hands.set(func() {
		a.hands.cut = func() { b.cutAll(true); a.paths[0].setLines(pair.LinesDown) }
		a.hands.power = func() { b.cutAll(false); a.paths[0].setLines(pair.LinesUp) }
	})
}

func TestAVerificationArmsTheNodeAndIsKept(t *testing.T) {
	lone(t, setup{mode: pair.ModeFence, fence: true, change: needsVerified}, func(r *rig, a, b *node) {
		a.paths[0].setLines(pair.LinesUp)
		serviced(t, r, a, b)
		wired(a, b)
		a.hands.set(func() { a.hands.slow["fence"] = 300 * time.Millisecond })
		text, err := order1(t, a, Order{Command: OrderFenceVerify})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(testBeat)
		v := a.memory.last().Verified
		if v == nil || v.Wiring != "wiring" || v.By != "root" || v.LinesMS == nil || v.SilentMS > 400 {
			t.Fatalf("kept %+v; said %s", v, text)
		}
		if !a.owns(0) || a.hands.count("power-on") != 1 || a.alarmed("fence-unverified") {
			t.Errorf("owns %v, switched on %d times", a.owns(0), a.hands.count("power-on"))
		}
		h := a.memory.history()
		if len(h) != 1 || h[0].Action != "verify" || !h[0].Proven || h[0].By != "root" || h[0].Node != "fw2" {
			t.Errorf("history %+v", h)
		}
	})
}

func TestAVerificationIsRefusedUnlessThePeerIsOfNoUse(t *testing.T) {
	lone(t, setup{mode: pair.ModeFence, fence: true, change: needsVerified}, func(r *rig, a, b *node) {
		for _, n := range []*node{a, b} {
			if _, err := order1(t, n, Order{Command: OrderFenceVerify}); err == nil || !strings.Contains(err.Error(), "maintenance") {
				t.Errorf("fw%d: %v", n.i+1, err)
			}
		}
		serviced(t, r, a, b)
		b.cutAll(true)
		time.Sleep(time.Second)
		if _, err := order1(t, a, Order{Command: OrderFenceVerify}); err == nil || !strings.Contains(err.Error(), "contact") {
			t.Errorf("a silent peer: %v", err)
		}
		if n := a.hands.count("fence") + b.hands.count("fence"); n > 0 {
			t.Errorf("%d orders to the device", n)
		}
	})
}

func TestAPeerThatBeatsAfterItsOutletReadsOffIsNotVerified(t *testing.T) {
	lone(t, setup{mode: pair.ModeFence, fence: true, change: needsVerified}, func(r *rig, a, b *node) {
		serviced(t, r, a, b) // not wired: the proof is of another outlet
		_, err := order1(t, a, Order{Command: OrderFenceVerify})
		if err == nil || !strings.Contains(err.Error(), "still beats") {
			t.Errorf("answer %v", err)
		}
		if v := a.memory.last().Verified; v != nil {
			t.Errorf("kept %+v", v)
		}
		if a.hands.count("power-on") != 1 {
			t.Error("it was not switched on again")
		}
	})
}

func TestAnUnprovenVerificationSwitchesOnAgain(t *testing.T) {
	lone(t, setup{mode: pair.ModeFence, fence: true, change: needsVerified}, func(r *rig, a, b *node) {
		serviced(t, r, a, b)
		a.hands.set(func() { a.hands.unproven = true })
		if _, err := order1(t, a, Order{Command: OrderFenceVerify}); err == nil {
			t.Error("verified without proof")
		}
		if a.hands.count("power-on") != 1 || a.memory.last().Verified != nil {
			t.Error("not switched on, or kept")
		}
	})
}

func budgetOf(n int) func(int, *Options) {
	return func(_ int, o *Options) { o.FenceBudget = n }
}

func TestBeyondItsBudgetANodeFencesNoMoreUntilAnOperatorAllowsIt(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true, change: budgetOf(1)}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.unproven = true }) // or the session would count as dead
		silence := func() { b.cutAll(true); time.Sleep(4 * time.Second); b.cutAll(false); time.Sleep(4 * time.Second) }
		silence()
		if n := a.hands.count("fence"); n == 0 {
			t.Fatal("the owner did not fence a silent standby")
		}
		before := a.hands.count("fence")
		if !a.alarmed("fence-budget") || a.view().Groups[0].State == "ISOLATED" || len(a.memory.last().Fences) != 1 {
			t.Errorf("no alarm, or not kept: %v", a.memory.last().Fences)
		}
		silence()
		if n := a.hands.count("fence"); n != before {
			t.Errorf("%d fences beyond the budget", n-before)
		}
		if _, err := order1(t, a, Order{Command: OrderResume}); err != nil {
			t.Fatal(err)
		}
		silence()
		if n := a.hands.count("fence"); n == before {
			t.Error("no fence after an operator allowed it")
		}
	})
}

func TestTriesOfOneFenceAreOneOfTheBudget(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true, change: budgetOf(2)}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.unproven = true })
		a.kill()
		r.await("many tries", 2*time.Minute, func() bool { return b.hands.count("fence") >= 5 })
		if n := len(b.memory.last().Fences); n != 1 {
			t.Errorf("%d fences are counted", n)
		}
		b.hands.set(func() { b.hands.unproven = false })
		r.await("takeover", time.Minute, b.ownsAll)
	})
}

func TestABudgetIsKeptOverARestart(t *testing.T) {
	kept := func(_ int, o *Options) {
		o.FenceBudget, o.Saved.Fences = 2, []time.Duration{30 * time.Second, 50 * time.Minute}
	}
	lone(t, setup{mode: pair.ModeFence, fence: true, change: kept}, func(r *rig, a, b *node) {
		time.Sleep(time.Second)
		if !b.alarmed("fence-budget") || b.view().Groups[0].State != "STANDBY" {
			t.Errorf("budget used up, but %s", b.view().Groups[0].State)
		}
		time.Sleep(30 * time.Second)
		if b.alarmed("fence-budget") || b.view().Groups[0].State != "ARMED" || len(b.memory.last().Fences) != 1 {
			t.Errorf("one is forgotten, but %s", b.view().Groups[0].State)
		}
	})
}

func TestADeviceThatIsAnotherOneIsAnAlarmAndIsNotUsed(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.check.Identity = "pdu:2: other device: serial is \"B\", pinned \"A\"" })
		r.await("the alarm", fenceAsk+time.Second, func() bool { return b.alarmed("fence-identity") })
		if s := b.view().Groups[0].State; s != "STANDBY" {
			t.Errorf("it is %s", s)
		}
		b.hands.set(func() { b.hands.errs["status"] = errors.New("no answer") })
		time.Sleep(5 * time.Second)
		b.hands.set(func() { delete(b.hands.errs, "status"); b.hands.check.Identity = "" })
		r.await("its end", 5*time.Second, func() bool { return !b.alarmed("fence-identity") && b.view().Groups[0].State == "ARMED" })
		a.hands.set(func() { a.hands.check.Wiring = "pdu:1: load while off" })
		r.await("the alarm of the load", fenceAsk+time.Second, func() bool { return a.alarmed("fence-wiring") })
		a.hands.set(func() { a.hands.check.Wiring = "" })
		r.await("its end", fenceAsk+time.Second, func() bool { return !a.alarmed("fence-wiring") })
	})
}

func TestAFenceIsKeptInTheHistory(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.memory.set(func() { b.memory.fenceErr = errTest })
		a.kill()
		r.await("takeover", 5*time.Second, b.ownsAll)
		h := b.memory.history()
		if len(h) != 1 || !h[0].Proven || h[0].Node != "fw1" || h[0].Action != "off" || h[0].Grade == "" || !strings.Contains(h[0].Why, "silent") {
			t.Errorf("history %+v", h)
		}
		if last := b.view().Peer.Fence.LastFence; last == nil || last.Evidence != h[0].Evidence {
			t.Errorf("status shows %+v", last)
		}
		if last := b.memory.last().LastFence; last == nil {
			t.Error("the journal does not keep it")
		}
		if !b.alarmed("fence-history") {
			t.Error("a history that cannot be written is no alarm")
		}
	})
}

func TestTheWordOfAnOperatorIsKeptInTheHistory(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.unproven = true })
		a.kill()
		time.Sleep(3 * time.Second)
		if _, err := order1(t, b, Order{Command: OrderConfirmDead, Reason: "cable in my hand"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testBeat)
		h := b.memory.history()
		if last := h[len(h)-1]; last.Action != "confirm-dead" || last.By != "root" || !strings.HasPrefix(last.Evidence, "operator") {
			t.Errorf("history ends with %+v", last)
		}
	})
}

// The device proves the peer off, but the lines that a verification saw fall
// with its power stay up: the relay is welded.
func TestModemLinesThatStayUpContradictAProof(t *testing.T) {
	ms := int64(12)
	verified := func(i int, o *Options) {
		needsVerified(i, o)
		o.Saved.Verified = &report.Verified{Wiring: "wiring", LinesMS: &ms}
	}
	bubble(t, setup{mode: pair.ModeFence, fence: true, change: verified}, func(r *rig, a, b *node) {
		b.paths[0].setLines(pair.LinesUp)
		a.cutAll(true)
		b.cutAll(true)
		a.hands.set(func() { a.hands.unproven = true })
		time.Sleep(8 * time.Second)
		if b.owns(0) || !b.alarmed("fence-witness") {
			t.Errorf("took over %v, alarm %v", b.owns(0), b.alarmed("fence-witness"))
		}
		a.kill()
		time.Sleep(time.Second)
		b.paths[0].setLines(pair.LinesDown)
		r.await("takeover when they fall", time.Minute, b.ownsAll)
		if b.alarmed("fence-witness") || !strings.Contains(b.view().Peer.Fence.LastFence.Evidence, "modem lines") {
			t.Errorf("alarm %v, evidence %s", b.alarmed("fence-witness"), b.view().Peer.Fence.LastFence.Evidence)
		}
	})
}

func TestModemLinesThatNobodyVerifiedOnlyLowerTheGrade(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.paths[0].setLines(pair.LinesUp)
		a.kill()
		r.await("takeover", 8*time.Second, b.ownsAll)
		if last := b.view().Peer.Fence.LastFence; !b.alarmed("fence-witness") || !strings.Contains(last.Grade, "doubt") {
			t.Errorf("alarm %v, grade %q", b.alarmed("fence-witness"), last.Grade)
		}
	})
}

package predict

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// learnt returns a box of four series and two counters after five days.
func learnt(t testing.TB, lived time.Duration) *Box {
	b := New()
	for _, s := range []Spec{
		{Name: "CPU", Kind: Temperature, Limits: crit(95)},
		{Name: "fan1", Kind: Fan, Limits: NoLimits()},
		{Name: "12V", Kind: Voltage, Limits: NoLimits()},
		{Name: "power", Kind: Power, Limits: crit(6)},
	} {
		if _, err := b.Watch(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ce", "crc"} {
		if _, err := b.Count(name, false); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 5))
	for d := time.Duration(0); d < lived; d += 30 * time.Second {
		at := begin.Add(d)
		load := 0.5 + 0.4*math.Sin(d.Hours()/4)
		b.Around(load, 22)
		b.Drive(1, 100+50*load)
		b.Observe(0, at, 45+20*load+r.NormFloat64()*0.3)
		b.Observe(1, at, 20*(100+50*load))
		b.Observe(2, at, 12+r.NormFloat64()*0.01)
		b.Observe(3, at, 7)
		b.Counted(0, at, math.Floor(d.Hours()/5))
		b.Health(at)
	}
	return b
}

func TestARestartForgetsNothingThatMatters(t *testing.T) {
	old := learnt(t, 5*24*time.Hour)
	state := old.Save()
	if perSeries := len(state) / 6; perSeries > 1024 {
		t.Errorf("%d bytes a series", perSeries)
	}
	b := learnt(t, 0)
	if err := b.Restore(state); err != nil {
		t.Fatal(err)
	}
	for i, s := range b.series {
		was := old.series[i]
		if s.base.n != was.base.n || s.base.days != was.base.days || math.Abs(s.base.middle-was.base.middle) > 0.01*math.Abs(was.base.middle)+0.01 ||
			s.base.peak != was.base.peak || s.model.n != was.model.n || (s.fan == nil) != (was.fan == nil) || s.fan != nil && s.fan.n != was.fan.n || s.limit != was.limit {
			t.Errorf("%s: %+v, was %+v", s.spec.Name, s.base.middle, was.base.middle)
		}
	}
	if b.counts[0].last != old.counts[0].last || b.counts[0].past != old.counts[0].past {
		t.Errorf("counter: %+v, was %+v", b.counts[0], old.counts[0])
	}
	if again := b.Save(); len(again) != len(state) {
		t.Errorf("saved again: %d bytes, were %d", len(again), len(state))
	}
	// It knows its fan from the first minutes on.
	at := begin.Add(6 * 24 * time.Hour)
	for range 7200 {
		at = at.Add(time.Second)
		b.Drive(1, 120)
		b.Observe(1, at, 0.6*20*120)
	}
	if h := b.Health(at); h.Level != Alert || h.Reason != "fan1 at 60 % of its usual speed" {
		t.Errorf("%+v", h)
	}
}

func TestADamagedStateIsRefusedWhole(t *testing.T) {
	state := learnt(t, 2*24*time.Hour).Save()
	b := learnt(t, 0)
	fresh := string(b.Save())
	for i := range len(state) {
		bad := append([]byte{}, state...)
		bad[i] ^= 0x10
		if err := b.Restore(bad); !errors.Is(err, ErrState) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if err := b.Restore(state[:i]); !errors.Is(err, ErrState) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if string(b.Save()) != fresh {
		t.Error("a refused state left traces")
	}
}

func TestAStateOfOtherSeriesIsLeftAlone(t *testing.T) {
	b, _ := watch(t, Spec{Name: "other", Kind: Temperature})
	if err := b.Restore(learnt(t, 24*time.Hour).Save()); err != nil {
		t.Fatal(err)
	}
	if b.series[0].base.n != 0 {
		t.Error("it learned from another")
	}
}

func TestWhatWasLearnedWaitsForASeriesThatAppearsLater(t *testing.T) {
	old := learnt(t, 2*24*time.Hour)
	b, _ := watch(t, Spec{Name: "other", Kind: Temperature})
	if err := b.Restore(old.Save()); err != nil {
		t.Fatal(err)
	}
	// It outlives a start in which nobody asked for it.
	state := b.Save()
	b, _ = watch(t, Spec{Name: "another", Kind: Temperature})
	if err := b.Restore(state); err != nil {
		t.Fatal(err)
	}
	for _, was := range old.series {
		id, err := b.Watch(was.spec)
		if err != nil {
			t.Fatal(err)
		}
		if s := b.Series(id); s.base.n == 0 || s.base.n != was.base.n || s.base.days != was.base.days {
			t.Errorf("%s: %d hours, was %d", s.spec.Name, s.base.n, was.base.n)
		}
	}
	id, err := b.Count(old.counts[0].name, false)
	if err != nil || b.counts[id].past != old.counts[0].past || b.counts[id].seen {
		t.Errorf("%v, counter %+v, was %+v", err, b.counts[id], old.counts[0])
	}
	if n := len(b.unclaimed); n != 2 { // "other" and "crc"
		t.Errorf("%d records still wait", n)
	}
}

func TestWhatNobodyAsksForLeavesRoomForTheOthers(t *testing.T) {
	old := New()
	for i := range MaxSeries {
		if _, err := old.Watch(Spec{Name: fmt.Sprint("old", i), Kind: Temperature}); err != nil {
			t.Fatal(err)
		}
	}
	b := New()
	if err := b.Restore(old.Save()); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := b.Watch(Spec{Name: fmt.Sprint("new", i), Kind: Temperature}); err != nil {
			t.Fatal(err)
		}
	}
	state := b.Save()
	if len(state) > MaxState {
		t.Errorf("%d bytes", len(state))
	}
	again := New()
	if err := again.Restore(state); err != nil || len(again.unclaimed) != MaxSeries {
		t.Fatalf("%v, %d records", err, len(again.unclaimed))
	}
	for i := range 10 {
		if _, ok := again.unclaimed[key(fmt.Sprint("new", i), Temperature)]; !ok {
			t.Errorf("new%d had no room", i)
		}
	}
}

// FuzzRestore: whatever bytes come, with a right checksum or not, nothing breaks
// and a box goes on.
func FuzzRestore(f *testing.F) {
	f.Add(learnt(f, 25*time.Hour).Save())
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, state []byte) {
		b := learnt(t, 0)
		if err := b.Restore(resign(state)); err != nil && !errors.Is(err, ErrState) {
			t.Fatal(err)
		}
		for i := range 200 {
			b.Observe(0, begin.Add(time.Duration(i)*time.Minute), 50)
		}
		b.Health(begin.Add(200 * time.Minute))
		if len(b.Save()) > MaxState {
			t.Fatal("too long")
		}
	})
}

// resign puts the checksum right, so that the fuzzer gets past it.
func resign(state []byte) []byte {
	if len(state) < len(stateMagic)+6 {
		return state
	}
	body := append([]byte{}, state[:len(state)-4]...)
	return binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

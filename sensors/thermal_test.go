package sensors

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/sensors/predict/boxtest"
)

var (
	boxes     = flag.Int("boxes", 12, "how many boxes of the thermal model live 30 days")
	firstSeed = flag.Uint64("seed", 3001, "the first of them; 1 to 2600 were seen by the rules in predict")
)

// A boxLife is what became of one box whose peer is well.
type boxLife struct {
	box      *boxtest.Box
	trip     float64  // seconds, 0: never
	moved    float64  // first move after the onset, 0: never; nothing moves back by itself
	standing float64  // since when the peer is the better place, as it stands at the trip; 0: it is not
	needless []string // moves without a fault, with their reasons
	healthy  float64
}

// liveOn lets a box live for 30 days: its readings go through the gate and the
// judge of sensors, the votes to the board, and both nodes are compared as the
// agent compares them, with its defaults.
func liveOn(seed uint64) boxLife {
	l := boxLife{box: boxtest.New(seed)}
	b, j, board := l.box, NewJudge(Config{Ambient: "inlet"}), &health.Board{}
	compare := health.NewJudge(health.Config{Margin: 20, Hold: 10 * time.Second})
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	moved := false
	for b.At() < 30*86400 {
		r := b.Next()
		if r.Tripped {
			l.trip = b.At()
			break
		}
		sick := b.Fault != boxtest.None && b.At() >= b.Onset
		if !sick {
			l.healthy += boxtest.Step.Seconds()
		}
		if r.Lost {
			continue
		}
		now := time.Duration(b.At() * float64(time.Second))
		j.Take(start.Add(now), modelled(b, r, start.Add(now)))
		for _, v := range j.Votes() {
			board.Set(health.Vote{Source: v.Kind.String(), Loss: v.Loss, Reason: v.Reason, Critical: v.Critical})
		}
		d, _ := compare.Step(now, board.State(), health.Full, true)
		better := d.Verdict == health.PeerHealthier
		switch {
		case better && !moved && sick:
			l.standing = b.At()
			if l.moved == 0 {
				l.moved = b.At()
			}
		case better && !moved:
			l.needless = append(l.needless, fmt.Sprintf("day %.2f: %s", b.At()/86400, d.Why))
		case !better:
			l.standing = 0
		}
		moved = better
	}
	return l
}

// modelled are the readings of the model's sensors, and of its inlet.
func modelled(b *boxtest.Box, r boxtest.Readings, at time.Time) []Reading {
	cpu := New("cpu", "CPU", Temperature, r.CPU, at)
	cpu.Crit = b.Crit
	fan := New("fan", "fan1", Fan, r.RPM, at)
	fan.Drive = r.PWM
	return []Reading{
		cpu, fan, New("psu", "12 V", Voltage, r.Volts, at),
		New(LoadID, "load", Context, 100*r.Load, at), New("inlet", "inlet", Temperature, r.Ambient, at),
	}
}

// TestBoxesWithFaultsAreLeftBeforeTheyTrip is the whole way from a reading to the
// verdict that the peer is the better place.
func TestBoxesWithFaultsAreLeftBeforeTheyTrip(t *testing.T) {
	trips, inTime, standing, needless, healthy := 0, 0, 0, 0, 0.0
	for seed := *firstSeed; seed < *firstSeed+uint64(*boxes); seed++ {
		l := liveOn(seed)
		needless, healthy = needless+len(l.needless), healthy+l.healthy
		if len(l.needless) > 0 {
			t.Logf("seed %d, %v from day %.2f: needless %q", seed, l.box.Fault, l.box.Onset/86400, l.needless)
		}
		if l.trip == 0 {
			continue
		}
		trips++
		if l.moved > 0 && l.trip-l.moved >= 60 {
			inTime++
		} else {
			t.Logf("seed %d, %v: left %.0f s before its trip", seed, l.box.Fault, l.trip-l.moved)
		}
		if l.standing > 0 && l.trip-l.standing >= 60 {
			standing++
		}
	}
	years := healthy / 86400 / 365
	t.Logf("%d boxes, %d tripped, %d left at least 60 s before, %d with the verdict still standing; %d needless moves in %.1f box-years", *boxes, trips, inTime, standing, needless, years)
	if trips == 0 || float64(inTime) < 0.95*float64(trips) {
		t.Errorf("%d of %d in time, at least 95 %% are wanted", inTime, trips)
	}
	if float64(needless) > max(1, years) {
		t.Errorf("%d needless moves in %.1f box-years, one a year is the most", needless, years)
	}
}

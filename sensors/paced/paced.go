// Package paced makes a source of sensors out of a device that is slow or far: it
// is asked once in a while, by a goroutine of its own, and what it said last
// holds until it answers again. It refuses to ask one that has not come back,
// and to let an old answer stand for one that does.
package paced

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

// An Ask asks the device, however long that takes, and returns its readings.
// again is when it should be asked the next time, 0: as usual. It is never
// called twice at the same time.
type Ask func(at time.Time) (readings []sensors.Reading, again time.Duration)

// A Config says how a device is asked.
type Config struct {
	Name     string        // of the source, in a sentence
	Every    time.Duration // between the beginnings of two asks
	Patience time.Duration // an answer that takes longer is none
	Ask      Ask
}

// A Source is one such device.
type Source struct {
	Config
	next   time.Time // when it is asked again
	since  time.Time // of the ask under way
	answer chan answer
	busy   bool
	asked  bool              // once at least
	said   []sensors.Reading // last
}

type answer struct {
	readings []sensors.Reading
	again    time.Duration
}

var _ sensors.Source = (*Source)(nil)

// New returns the source. It does not ask yet.
func New(c Config) *Source { return &Source{Config: c, answer: make(chan answer, 1)} }

// Name implements sensors.Source.
func (s *Source) Name() string { return s.Config.Name }

// MaxBusy is how many devices may be asked at a time, those included that hang and
// whose source is asked no more because a reload took it out.
const MaxBusy = 128

var busy atomic.Int32

// share is the part of a deadline that Read waits for the very first ask: what
// is quick is there from the first round on. Later a round finds the answer to
// an ask that an earlier one began, and a dead device delays nobody.
const share = 0.75

// Read implements sensors.Source.
func (s *Source) Read(to []sensors.Reading, at time.Time, within time.Duration) []sensors.Reading {
	s.take(0)
	if early := s.next.Sub(at); !s.busy && (early <= 0 || early > s.Every) { // or the clock went back
		if busy.Add(1) > MaxBusy {
			busy.Add(-1)
			return s.blocked(to, at, fmt.Sprintf("not asked: %d devices do not answer", MaxBusy))
		}
		first := !s.asked
		s.busy, s.asked, s.since = true, true, at
		go func() {
			readings, again := s.Ask(at)
			busy.Add(-1)
			s.answer <- answer{readings, again} // there is room: one ask at a time
		}()
		if first {
			s.take(time.Duration(share * float64(within)))
		}
	}
	if taken := at.Sub(s.since); s.busy && (taken > s.Patience || taken < 0) {
		return s.blocked(to, at, fmt.Sprintf("has not answered for %s", taken.Round(time.Second)))
	}
	return append(to, s.said...) // with the At that they had: said again is not read again
}

// take takes the answer, and waits for it for a while.
func (s *Source) take(wait time.Duration) {
	if !s.busy {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case a := <-s.answer:
		s.accept(a)
	case <-timer.C:
		select { // with a wait of 0 both are ready at once
		case a := <-s.answer:
			s.accept(a)
		default:
		}
	}
}

func (s *Source) accept(a answer) {
	s.busy, s.said = false, a.readings
	if a.again <= 0 || a.again > s.Every {
		a.again = s.Every
	}
	s.next = s.since.Add(a.again)
}

// blocked says why there is no answer.
func (s *Source) blocked(to []sensors.Reading, at time.Time, why string) []sensors.Reading {
	if len(s.said) == 0 {
		return append(to, sensors.Lost(s.Name(), s.Name(), sensors.Context, at, sensors.Blocked, why))
	}
	for _, r := range s.said {
		lost := sensors.Lost(r.ID, r.Label, r.Kind, at, sensors.Blocked, why)
		lost.Named = r.Named
		to = append(to, lost)
	}
	return to
}

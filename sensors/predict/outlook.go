package predict

// Limits returns the limits in use, NaN for those that are not.
func (s *Series) Limits() Limits { return s.limits }

// Verdict returns what the series asks for, and why; ok is false if it is well.
func (s *Series) Verdict() (v Vote, ok bool) {
	level := s.Level()
	if level == Well {
		return Vote{}, false
	}
	return s.vote(level), true
}

// Ahead returns when the series reaches a critical limit by the verdict that it
// does; ok is false while there is none.
func (s *Series) Ahead() (Interval, bool) {
	return s.eta, s.state == Good && (s.flags.on[Approaching] || s.flags.on[Heading])
}

// Trend returns the slope a second of the last five minutes, half hour or five
// hours, whichever is the shortest that has one beyond its noise.
func (s *Series) Trend() (perSecond float64, ok bool) {
	if s.state != Good {
		return 0, false
	}
	for stage := range stages {
		var buf [trackLen]point
		if l, fits := fit(smooth(s.trend(stage, &buf))); fits && (l.rising(1) || l.rising(-1)) {
			return l.slope, true
		}
	}
	return 0, false
}

// Recent appends the medians of the last minutes, thirty at most, oldest first.
func (s *Series) Recent(to []float32) []float32 {
	for i := s.minTrack.n - 1; i >= 0; i-- {
		to = append(to, float32(s.minTrack.last(i).v))
	}
	return to
}

// Counter returns what a counter of errors asks for, and one clause why.
func (b *Box) Counter(id int) (Level, string) {
	c := b.counts[id]
	if c.level == Well {
		return Well, ""
	}
	return c.level, c.text()
}

// LapseCounter makes the next reading of a counter its first one, and forgets
// what was found in this hour.
func (b *Box) LapseCounter(id int) {
	c := b.counts[id]
	c.seen, c.hour, c.level, c.held = false, 0, Well, 0
}

// Rebooted makes the next reading of every counter its first one: the kernel
// counts from zero again, and what happened while it started is no burst.
func (b *Box) Rebooted() {
	for _, c := range b.counts {
		c.seen = false
	}
}

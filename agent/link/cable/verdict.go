//go:build !lite

package cable

import "fmt"

// Recommend returns the line speed to configure, and why. Where a higher rate was
// not clean, the highest clean one has no margin, and the one below it is taken.
func Recommend(rates []Rate) (baud int, why string) {
	clean, before, dirty := 0, 0, 0
	for _, r := range rates {
		switch {
		case r.Error != "":
		case dirty > 0: // what is clean above a rate that is not is luck
		case !r.Clean():
			dirty = r.Baud
		default:
			before, clean = clean, r.Baud
		}
	}
	switch {
	case clean == 0 && dirty > 0:
		return 0, fmt.Sprintf("already %d baud is not clean: look at cable, plugs and earth first", dirty)
	case clean == 0:
		return 0, "nothing was measured"
	case dirty == 0:
		return clean, "the highest that both ports do, without an error"
	case before == 0:
		return clean, fmt.Sprintf("the only clean one: %d is not, so there is no margin", dirty)
	}
	return before, fmt.Sprintf("%d is clean, too, but %d is not: one step of margin", clean, dirty)
}

// String is a rate on one line.
func (r Rate) String() string {
	if r.Error != "" {
		return fmt.Sprintf("%7d  %s", r.Baud, r.Error)
	}
	loss, trip := "-", "-"
	if r.Sent > 0 {
		loss = fmt.Sprintf("%.2f%%", 100*float64(r.Sent-r.Back)/float64(r.Sent))
	}
	if r.Back > 0 {
		trip = fmt.Sprintf("%.1f/%.1f ms", r.TripMS, r.MostMS)
	}
	return fmt.Sprintf("%7d  %-7s %-16s %-16s %s", r.Baud, loss, trip, r.Here.text(), r.There.text())
}

// RateHeader stands above lines of rates.
const RateHeader = "   BAUD  LOSS    TRIP mid/most    BIT ERRORS here  there"

// text tells the bit error rate, or its bound: with no error in n bits it is
// below 3/n with a confidence of 95 % (the rule of three).
func (c Counted) text() string {
	bits := 8 * c.Bytes
	switch {
	case bits == 0 && c.Lost == 0:
		return "-"
	case bits == 0:
		return "nothing came"
	case c.Slips > 0 || c.Lost > 0:
		return fmt.Sprintf("%.0e, %d B lost", float64(c.Errors)/float64(bits), c.Lost)
	case c.Errors > 0:
		return fmt.Sprintf("%.1e", float64(c.Errors)/float64(bits))
	}
	return fmt.Sprintf("<%.0e", 3/float64(bits))
}

// Proves says what a cable of the class can tell a running agent, and what it
// cannot, as sentences.
func Proves(class string) (can, cannot []string) {
	data := "frames of the peer: it lives, its kernel runs, its agent is heard, with a key that nobody else has"
	cannot = []string{"that a silent peer is off: a cut cable, a hung or a dead box are silent alike; only a fence proves it"}
	lines := "anything by modem lines: set lines = \"ignore\""
	switch class {
	case Full:
		return []string{data, "by DSR and CTS that the peer has power and holds its port open; when both fall: it lost power, was reset, closed its port, or the cable is out"},
			append(cannot, "by fallen lines that it is off: one hand can pull all cables; but lines that stay up refute a fence's proof once verified",
				"by lines that are up that it is well: a hung box keeps them up")
	case HalfLoop:
		return []string{data}, append(cannot, lines+", since they mirror this box and stay up whatever the peer does")
	case Plug:
		return []string{"that this port sends and receives"}, []string{"anything about a cable or a peer"}
	}
	return []string{data}, append(cannot, lines)
}

package predict

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var units = [...]string{Temperature: " C", Fan: " RPM", Voltage: " V", Current: " A", Power: " W", Humidity: " %", Other: ""}

// number prints v with three or four digits that matter, and its unit.
func (k Kind) number(v float64) string {
	digits := 0
	switch a := math.Abs(v); {
	case k == Temperature, k == Fan, a >= 1000:
	case a >= 100:
		digits = 1
	case a >= 1:
		digits = 2
	default:
		digits = 4
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + units[k]
}

// vote says what is wrong with the series, by its gravest cause.
func (s *Series) vote(level Level) Vote {
	v := Vote{Series: s.spec.Name, Level: level}
	for c := range causes {
		if s.flags.on[c] {
			v.Cause, v.Text = c, s.clause(c)
			break
		}
	}
	return v
}

// clause tells one cause with its evidence.
func (s *Series) clause(c Cause) string {
	k, b := s.spec.Kind, &s.base
	head := s.spec.Label + " " + k.number(s.value)
	switch c {
	case BeyondCrit:
		return head + ", " + s.beyond()
	case NearCrit:
		return head + ", close to its limit of " + k.number(s.limits.Crit)
	case FanStalled:
		return s.spec.Label + " stands still although it is driven"
	case VoltageOff, VoltageDrift:
		return fmt.Sprintf("%s, %+.1f %% from its usual %s", head, 100*(s.value/s.supply.usual-1), k.number(s.supply.usual))
	case Approaching, Heading:
		return fmt.Sprintf("%s, %s, reaches %s in %s", head, k.pace(s.rate), k.number(s.aim), s.eta)
	case BeyondLimit:
		return head + ", " + s.beyond()
	case FanSlow:
		return fmt.Sprintf("%s at %.0f %% of its usual speed", s.spec.Label, 100*s.fan.ratio)
	case OddHours:
		return head + ", unlike the same hours of other days"
	}
	direction := "above"
	if b.down > b.up || b.down == b.up && s.value < b.middle {
		direction = "below"
	}
	if s.model.n > 0 {
		return fmt.Sprintf("%s, for hours %s what load and surroundings explain", head, direction)
	}
	return fmt.Sprintf("%s, for hours %s its usual %s", head, direction, k.number(b.middle))
}

// beyond names the limit that the value is beyond.
func (s *Series) beyond() string {
	k, l := s.spec.Kind, s.limits
	switch {
	case s.value <= l.Low || s.value-l.Low < l.Crit-s.value || math.IsNaN(l.Crit) && math.IsNaN(l.High):
		return "at its lower limit of " + k.number(l.Low)
	case !math.IsNaN(l.Crit):
		return "at its limit of " + k.number(l.Crit)
	}
	return "at its limit of " + k.number(l.High)
}

// pace prints a slope by the minute or by the hour.
func (k Kind) pace(perSecond float64) string {
	if a := math.Abs(perSecond * 60); a >= 0.05 {
		return fmt.Sprintf("%+.1f%s/min", perSecond*60, units[k])
	}
	return fmt.Sprintf("%+.3g%s/h", perSecond*3600, units[k])
}

// String prints the interval as people say it: "58-64 min".
func (i Interval) String() string {
	unit, name := time.Second, "s"
	switch {
	case i.Likely >= 48*time.Hour:
		unit, name = 24*time.Hour, "d"
	case i.Likely >= 2*time.Hour:
		unit, name = time.Hour, "h"
	case i.Likely >= 2*time.Minute:
		unit, name = time.Minute, "min"
	}
	early := int64(i.Early / unit)
	switch late := int64((i.Late + unit - 1) / unit); {
	case i.Late == Forever:
		return fmt.Sprintf("%d %s or more", early, name)
	case late == early:
		return fmt.Sprintf("%d %s", early, name)
	default:
		return fmt.Sprintf("%d-%d %s", early, late, name)
	}
}

// sentence joins the clauses, "all is well" if there are none.
func sentence(votes []Vote) string {
	if len(votes) == 0 {
		return "all is well"
	}
	texts := make([]string, 0, maxClauses)
	for _, v := range votes {
		texts = append(texts, v.Text)
	}
	return strings.Join(texts, "; ")
}

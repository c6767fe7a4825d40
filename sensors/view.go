package sensors

import (
	"math"
	"time"
)

// A View is one sensor as the outside may see it. Numbers that are not known are
// left out.
type View struct {
	ID    string   `json:"id"`
	Label string   `json:"label"`
	Kind  string   `json:"kind"`
	Value *float64 `json:"value,omitempty"`
	Unit  string   `json:"unit,omitempty"`
	State string   `json:"state"`
	Why   string   `json:"why,omitempty"`
	Named bool     `json:"named,omitempty"` // the configuration names it: it should be readable

	Low  *float64 `json:"low,omitempty"` // limits in use
	High *float64 `json:"high,omitempty"`
	Crit *float64 `json:"crit,omitempty"`

	PerHour  *float64  `json:"per_hour,omitempty"` // trend
	Forecast string    `json:"forecast,omitempty"` // time to the limit that it approaches
	LeftMS   int64     `json:"left_ms,omitempty"`  // the same, as it looks
	Level    string    `json:"level"`              // well, weak, alert or move
	Verdict  string    `json:"verdict,omitempty"`
	Minutes  []float32 `json:"minutes,omitempty"` // medians of the last ones, oldest first
	At       time.Time `json:"at"`
}

// View shows all sensors, in the order in which they were met.
func (j *Judge) View() []View {
	out := make([]View, 0, len(j.rows))
	for _, w := range j.rows {
		v := View{
			ID: w.ID, Label: w.Label, Kind: w.Kind.String(), Unit: w.UnitName(), State: w.State.String(), Why: w.Why, Named: w.Named,
			Low: known(w.Low), High: known(w.High), Crit: known(w.Crit), Level: w.level.String(), Verdict: w.text, At: w.At,
		}
		if w.State == OK || w.State == Unjudged {
			v.Value = known(w.Value)
		}
		j.outlook(w, &v)
		out = append(out, v)
	}
	return out
}

// outlook adds what the past says.
func (j *Judge) outlook(w *row, v *View) {
	if w.series < 0 {
		return
	}
	s := j.box.Series(w.series)
	if slope, ok := s.Trend(); ok {
		perHour := slope * 3600
		v.PerHour = known(perHour)
	}
	if ahead, ok := s.Ahead(); ok && w.State == OK {
		v.Forecast, v.LeftMS = ahead.String(), ahead.Likely.Milliseconds()
	}
	v.Minutes = s.Recent(nil)
}

// Beyond is how many readings came of sensors for which there is no room.
func (j *Judge) Beyond() int { return j.beyond }

// known returns a number that JSON can say, nil for others.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

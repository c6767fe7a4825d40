package ups

import (
	"fmt"
	"math"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// A Status is what a UPS says of itself, in either daemon's words.
type Status struct {
	OnBattery   bool // and no calibration
	Low         bool // its battery
	Replace     bool // its battery
	Overload    bool
	ShutDown    bool // its daemon has told its hosts to go down
	Off         bool // it feeds nothing
	Bypass      bool // it feeds, and would not when the mains go
	Calibrating bool
	Lost        bool   // the daemon has no contact with the UPS
	Alarm       string // what else it complains of, in its own words; empty: nothing
	Words       string // as the daemon said it

	// Further measurements, NaN where it tells none.
	Charge      float64 // of the battery, %
	Runtime     float64 // left, s
	Load        float64 // %
	Battery     float64 // V
	Input       float64 // V
	Temperature float64 // C
	Model       string
}

// unknown is a status of which nothing is known yet.
func unknown() Status {
	nan := math.NaN()
	return Status{Charge: nan, Runtime: nan, Load: nan, Battery: nan, Input: nan, Temperature: nan}
}

// Losses of health, in points. On battery is modest, and more than the usual
// margin between two nodes: a peer on the mains takes over, one on the same UPS
// does not.
const (
	lossOnBattery = 25
	lossReplace   = 5
	lossEnding    = 90 // as much as a critical limit
)

// A verdict is what a status means for the box.
type verdict struct {
	predict.Finding
	loss int
	ends bool // it feeds the box for some minutes at most
}

// Verdict judges a status. The words of NUT's own documentation hold: critical
// is on battery and battery low, or a shutdown that was ordered; a low battery
// on the mains is one that recharges.
func (s Status) verdict() verdict {
	left := ""
	if s.Runtime >= 0 && s.OnBattery {
		left = fmt.Sprintf(", %s left", (time.Duration(s.Runtime) * time.Second).String())
	}
	alert := func(loss int, text string) verdict {
		return verdict{predict.Finding{Level: predict.Alert, Text: text}, loss, false}
	}
	move := func(text string) verdict {
		return verdict{predict.Finding{Level: predict.Move, Text: text}, lossEnding, true}
	}
	switch {
	case s.ShutDown:
		return move("UPS orders its hosts to shut down")
	case s.OnBattery && s.Low:
		return move("UPS is on battery, and the battery is low" + left)
	case s.OnBattery:
		return alert(lossOnBattery, "UPS is on battery"+left)
	case s.Overload:
		return alert(lossReplace, "UPS is overloaded")
	case s.Off:
		return alert(lossReplace, "UPS output is off")
	case s.Replace:
		return alert(lossReplace, "UPS battery needs replacement")
	case s.Bypass:
		return alert(lossReplace, "UPS is in bypass: nothing holds when the mains go")
	case s.Alarm != "":
		return alert(lossReplace, "UPS says "+s.Alarm)
	}
	return verdict{}
}

// plausible takes back what is not so: a battery that is only being tried, and
// measurements that cannot be.
func (s *Status) plausible() {
	s.OnBattery = s.OnBattery && !s.Calibrating
	for _, c := range []struct {
		v           *float64
		least, most float64
	}{
		{&s.Charge, 0, 100},
		{&s.Runtime, 0, 30 * 24 * 3600},
		{&s.Load, 0, 1000},
		{&s.Battery, 0, 1000},
		{&s.Input, 0, 1000},
		{&s.Temperature, -40, 100},
	} {
		if !(*c.v >= c.least && *c.v <= c.most) {
			*c.v = math.NaN()
		}
	}
}

// clean makes a daemon's text fit for a sentence.
func clean(s string) string { return sensors.Plain(s[:min(len(s), maxText)]) }

// maxText bounds a text of a daemon that is shown.
const maxText = 80

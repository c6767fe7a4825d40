package predict

import "math"

// A Kind says what a series measures, and with it which values are possible
// and in which direction trouble lies.
type Kind uint8

// The kinds of series, with their units.
const (
	Temperature Kind = 1 + iota // degrees Celsius
	Fan                         // revolutions a minute
	Voltage                     // volts
	Current                     // amperes
	Power                       // watts
	Humidity                    // per cent
	Other                       // unit unknown: nothing is impossible, both directions count
)

var kindNames = [...]string{
	Temperature: "temperature", Fan: "fan", Voltage: "voltage", Current: "current",
	Power: "power", Humidity: "humidity", Other: "other",
}

// String returns the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// possible is what can be measured in a box that runs. Chips specify -55 to
// +150 C (LM75, k10temp); a fan of 30,000 RPM exists in 1U servers.
var possible = [...]struct{ least, most float64 }{
	Temperature: {-55, 150}, Fan: {0, 30000}, Voltage: {-60, 60}, Current: {-200, 200},
	Power: {0, 5000}, Humidity: {0, 100}, Other: {math.Inf(-1), math.Inf(1)},
}

// A State says what became of a reading, or of a series. Only Good ones are
// numbers; all others are names that no rule takes for one.
type State uint8

// The states of a series.
const (
	Unread     State = 1 + iota // nothing came yet
	Good                        // a measurement
	Missing                     // the read failed: EIO, ENODATA, EAGAIN, file gone
	Blocked                     // the read did not end within its deadline
	NotANumber                  // NaN or infinite
	Sentinel                    // a value by which chips say "no sensor"
	Impossible                  // outside of physics: 3.9 million degrees
	Stuck                       // has not changed by a digit for far longer than it ever did
	Absent                      // a fan or voltage that has never been anything but 0
	Silent                      // no reading came for longer than maxSilence
)

var stateNames = [...]string{
	Unread: "unread", Good: "good", Missing: "missing", Blocked: "blocked", NotANumber: "not a number",
	Sentinel: "sentinel", Impossible: "impossible", Stuck: "stuck", Absent: "absent", Silent: "silent",
}

// String returns the state as people read it.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return "unknown"
}

// Judge says what a bare reading is, without history.
func Judge(k Kind, v float64) State {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return NotANumber
	case k == Temperature && isTemperatureSentinel(v):
		return Sentinel
	case int(k) >= len(possible) || v < possible[k].least || v > possible[k].most:
		return Impossible
	}
	return Good
}

// isTemperatureSentinel knows the values of open or shorted inputs: +127 and
// -128 are an 8-bit register without a diode (it87, nct6775), -273.15 is a
// kernel driver's 0 K.
func isTemperatureSentinel(v float64) bool {
	return v == 127 || v == 127.5 || v == -128 || v <= -273
}

// Limits are what a chip or a person says about a series, NaN where nothing is.
type Limits struct {
	Low  float64 // tempM_lcrit, inM_min ...
	High float64 // tempM_max, inM_max: a comfort level, good for an alert
	Crit float64 // tempM_crit: the box trips or is damaged
}

// NoLimits says nothing.
func NoLimits() Limits { return Limits{Low: math.NaN(), High: math.NaN(), Crit: math.NaN()} }

// Same says whether both say the same.
func (l Limits) Same(o Limits) bool {
	alike := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	return alike(l.Low, o.Low) && alike(l.High, o.High) && alike(l.Crit, o.Crit)
}

// A LimitState says what became of a series' limits.
type LimitState uint8

// The states of limits.
const (
	NoLimit           LimitState = 1 + iota // none is given
	ValidLimit                              // at least one may be used
	ZeroLimits                              // all are zero: nobody has set them
	InvertedLimits                          // min is not below max
	ImplausibleLimits                       // a sentinel, or outside of physics
	AlwaysOver                              // the very first readings were beyond it, see [Series.firstReadings]
)

var limitNames = [...]string{
	NoLimit: "none", ValidLimit: "valid", ZeroLimits: "all zero", InvertedLimits: "min not below max",
	ImplausibleLimits: "implausible", AlwaysOver: "beyond it since the first reading",
}

// String returns the state as people read it.
func (s LimitState) String() string {
	if int(s) < len(limitNames) && limitNames[s] != "" {
		return limitNames[s]
	}
	return "unknown"
}

// Accept returns the limits that may be used, NaN for those that may not, and
// why not. A limit counts only if it could be true: firmware leaves registers at
// zero or swapped on most boards (groeck/it87#98, nct6779 in1, Helios64 in0).
func (l Limits) Accept(k Kind) (Limits, LimitState) {
	given, zero := 0, 0
	for _, v := range []float64{l.Low, l.High, l.Crit} {
		if !math.IsNaN(v) {
			given++
		}
		if v == 0 {
			zero++
		}
	}
	switch {
	case given == 0:
		return NoLimits(), NoLimit
	case zero == given && k != Other:
		return NoLimits(), ZeroLimits
	case l.Low >= l.High || l.Low >= l.Crit:
		return NoLimits(), InvertedLimits
	}
	out, state := l, NoLimit
	for _, v := range []*float64{&out.Low, &out.High, &out.Crit} {
		if !math.IsNaN(*v) && !k.plausibleLimit(*v, v == &out.Low) {
			*v, state = math.NaN(), max(state, ImplausibleLimits)
		}
	}
	if !math.IsNaN(out.Low) || !math.IsNaN(out.High) || !math.IsNaN(out.Crit) {
		state = ValidLimit
	}
	return out, state
}

// plausibleLimit says whether somebody could have meant v. Nothing in a box is
// rated below 40 C, and a lower limit of a temperature says nothing about heat:
// NVMe drives give -0.1 C. An upper limit of 0 was never set.
func (k Kind) plausibleLimit(v float64, low bool) bool {
	switch {
	case Judge(k, v) != Good:
		return false
	case k == Temperature && low:
		return v >= -40 && v < 20
	case k == Temperature:
		return v >= 40
	case k == Other || low:
		return true
	}
	return v != 0
}

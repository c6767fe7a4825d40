// Package sensors says what a sensor's reading is, whoever took it, and judges
// what all readings of a box mean for its health; it refuses to take a reading
// itself, and to decide what is done about its verdict.
//
// Sources read: sensors/sysfs what the kernel knows, others what drives, buses
// and UPSs say. Package sensors/rounds asks them in turn with a deadline, and
// [Judge] puts what they said through the gate and into sensors/predict.
//
// Pure: time is an argument. Start reading at [Reading], [Source], then [Judge].
package sensors

import (
	"math"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/sensors/predict"
)

// A Kind says what a reading is of.
type Kind uint8

// The kinds of readings. Those up to Other are measurements, and have a trend.
const (
	Temperature Kind = 1 + iota // degrees Celsius
	Fan                         // revolutions a minute
	Voltage                     // volts
	Current                     // amperes
	Power                       // watts
	Humidity                    // per cent
	Other                       // whatever Unit says; a limit on either side is critical
	Count                       // errors since some time; only its growth says anything
	Alarm                       // 1 while something is wrong, by the device's own word; else 0
	Wear                        // per cent of a life that is used; the verdict is Reading.Finding
	Context                     // what explains others, or is good to know: never judged
)

var kinds = [...]struct{ name, unit string }{
	Temperature: {"temperature", "C"}, Fan: {"fan", "RPM"}, Voltage: {"voltage", "V"}, Current: {"current", "A"},
	Power: {"power", "W"}, Humidity: {"humidity", "%"}, Other: {"other", ""}, Count: {"count", ""},
	Alarm: {"alarm", ""}, Wear: {"wear", "%"}, Context: {"context", ""},
}

// String returns the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kinds) && kinds[k].name != "" {
		return kinds[k].name
	}
	return "unknown"
}

// A State says what became of a reading. Only the Value of an OK one is a number
// to go by; all others are names.
type State uint8

// The states of a reading. A source sets OK, Absent, Fault or Unreadable;
// sensors/rounds sets Blocked, and the gate of [Judge] the rest.
const (
	OK          State = 1 + iota // a measurement
	Absent                       // nothing is connected: a fan that never turned, an input without a diode
	Fault                        // the chip says itself that the sensor is broken
	Unreadable                   // the read failed: EIO, ENODATA, a device that left
	Blocked                      // the read did not end within its deadline
	Implausible                  // a sentinel, no number, or outside of physics
	Stuck                        // has stood still for far longer than it ever did
	Silent                       // no reading came for long
	Ignored                      // the configuration says so
	Unjudged                     // more sensors than may be judged, see predict.MaxSeries
)

var stateNames = [...]string{
	OK: "ok", Absent: "absent", Fault: "fault", Unreadable: "unreadable", Blocked: "blocked", Implausible: "implausible",
	Stuck: "stuck", Silent: "silent", Ignored: "ignored", Unjudged: "unjudged",
}

// String returns the state as people read it.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return "unknown"
}

// A Reading is what a source read of one sensor.
type Reading struct {
	// ID names the sensor, the same after each boot: SOURCE/DEVICE/INPUT as in
	// "hwmon/k10temp@0000:00:18.3/Tctl" or "nvme/0000:01:00.0/wear". It is printable
	// and holds no space; see [Clean].
	ID    string
	Label string // for people: "k10temp Tctl"
	Kind  Kind
	Value float64
	Unit  string // empty: the unit of its kind
	// Low, High and Crit are the limits that the device gives, NaN where it
	// gives none; see predict.Limits for what they mean.
	Low, High, Crit float64
	At              time.Time
	State           State
	Why             string // of a State that is not OK, one clause
	// Drive is of a Fan: how it is driven, 0 to 255; NaN unknown.
	Drive float64
	// Fatal is of a Count: each increment asks for a handover, such as memory
	// errors that were not corrected. Of others: a Finding of level Move is one
	// to act on at once.
	Fatal bool
	// Finding is what the device's own words mean, of any kind; of Alarm and
	// Wear it is all there is. Level Well: nothing is wrong.
	Finding predict.Finding
	// Sure is of a Finding: it is believed although it has stood since the very
	// first reading, as that of a UPS.
	Sure bool
	// Named is of what the configuration names by itself: that it cannot be read is
	// an alarm after a while, and no more.
	Named bool
	// Loss is what the Finding takes from the node's health, in points; 0: by level.
	Loss int
}

// New returns a reading without limits whose state is OK.
func New(id, label string, kind Kind, value float64, at time.Time) Reading {
	nan := math.NaN()
	return Reading{ID: Clean(id), Label: label, Kind: kind, Value: value, Low: nan, High: nan, Crit: nan, At: at, State: OK, Drive: nan}
}

// Lost returns a reading of which only the reason is known why there is no value.
func Lost(id, label string, kind Kind, at time.Time, state State, why string) Reading {
	r := New(id, label, kind, math.NaN(), at)
	r.State, r.Why = state, why
	return r
}

func (r *Reading) limits() predict.Limits {
	return predict.Limits{Low: r.Low, High: r.High, Crit: r.Crit}
}

// UnitName returns the unit of the value, empty if it has none.
func (r *Reading) UnitName() string {
	if r.Unit == "" && int(r.Kind) < len(kinds) {
		return kinds[r.Kind].unit
	}
	return r.Unit
}

// A Source is one device, or one set of files, that is read as a whole and hangs
// as a whole.
type Source interface {
	// Name names the source in a sentence: "hwmon k10temp at 0000:00:18.3".
	Name() string
	// Read appends a reading of each of its sensors, in the same order each time,
	// and returns the longer slice. at is the time the readings are of. It should
	// end within the time given; one that does not is left behind, called again
	// only after it has returned, and its readings become Blocked. A sensor that
	// cannot be read is a reading, too, and no reason to leave out the next. Read
	// is never called twice at the same time. A source that asks its device seldom
	// says its last answer again, with the At that it had.
	Read(to []Reading, at time.Time, within time.Duration) []Reading
}

// maxID bounds an ID, in bytes.
const maxID = 96

// Clean makes a text fit for an ID: what is not printable ASCII, or a space,
// becomes an underscore; what is too long is cut.
func Clean(text string) string {
	fits := len(text) <= maxID
	for i := 0; fits && i < len(text); i++ {
		fits = text[i] > ' ' && text[i] < 0x7f
	}
	if fits {
		return text
	}
	b := []byte(text[:min(len(text), maxID)])
	for i, c := range b {
		if c <= ' ' || c >= 0x7f {
			b[i] = '_'
		}
	}
	return string(b)
}

// Plain makes one line of printable ASCII of what a device or a daemon says.
func Plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

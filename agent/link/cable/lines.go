//go:build !lite

package cable

import (
	"strings"

	"github.com/twinbeat/twinbeat/agent/link/serial"
)

// outputs are the states that both outputs of a port go through, in this order.
var outputs = [4][2]bool{{true, true}, {false, true}, {true, false}, {true, true}}

// A Toggle is what both ends read while one of them went through outputs.
type Toggle struct {
	Own, Far [4]serial.Inputs
	Done     bool // every reading came
}

// follows says whether an input fell and rose with output out (0 DTR, 1 RTS)
// alone.
func follows(read [4]serial.Inputs, of func(serial.Inputs) bool, out int) bool {
	for i, state := range outputs {
		if of(read[i]) != state[out] {
			return false
		}
	}
	return true
}

// inputs are the lines that tell something, by name.
var inputs = []struct {
	name string
	of   func(serial.Inputs) bool
}{
	{"DSR", func(i serial.Inputs) bool { return i.DSR }},
	{"CTS", func(i serial.Inputs) bool { return i.CTS }},
	{"DCD", func(i serial.Inputs) bool { return i.DCD }},
}

// joined lists which input follows which output, as "DTR-DSR".
func joined(read [4]serial.Inputs) []string {
	var out []string
	for i, name := range []string{"DTR", "RTS"} {
		for _, in := range inputs {
			if follows(read, in.of, i) {
				out = append(out, name+"-"+in.name)
			}
		}
	}
	return out
}

// carries says whether the far end's DSR and CTS both follow, which is what an
// agent judges by.
func carries(wires []string) bool {
	all := strings.Join(wires, " ")
	return strings.Contains(all, "-DSR") && strings.Contains(all, "-CTS")
}

// Classes of cables, as a report names them.
const (
	Full      = "full null modem"
	HalfLoop  = "half-loop"
	ThreeWire = "3-wire"
	Partial   = "partial null modem"
	Plug      = "loopback plug"
	NoLines   = "unknown: a port without modem lines"
	Unread    = "unknown: the modem lines could not be read"
)

// Classify says what cable two toggles show, one of each end.
func Classify(here, there Toggle) (class string, details []string) {
	if !here.Done || !there.Done {
		return Unread, nil
	}
	looped, crossed := false, 0
	for _, t := range []struct {
		name string
		Toggle
		other Toggle
	}{{"here", here, there}, {"there", there, here}} {
		own, far := joined(t.Own), joined(t.Far)
		if len(own) > 0 {
			looped = true
			details = append(details, "looped back at the plug "+t.name+": "+strings.Join(own, ", "))
		}
		if len(far) > 0 {
			details = append(details, "carried from "+t.name+": "+strings.Join(far, ", "))
		}
		if carries(far) {
			crossed++
		}
		if up := stuck(t.Own, t.other.Far); len(own) == 0 && up != "" {
			details = append(details, "up whatever either end does, "+t.name+": "+up)
		}
	}
	switch {
	case looped:
		return HalfLoop, details
	case crossed == 2:
		return Full, details
	case len(joined(here.Far))+len(joined(there.Far)) > 0:
		return Partial, details
	}
	return ThreeWire, details
}

// stuck names the inputs that were up while our outputs moved, and while the far
// end's did.
func stuck(own, far [4]serial.Inputs) string {
	var up []string
	for _, in := range inputs {
		all := true
		for i := range own {
			all = all && in.of(own[i]) && in.of(far[i])
		}
		if all {
			up = append(up, in.name)
		}
	}
	return strings.Join(up, ", ")
}

package report

import "time"

// A Fence is one line of the history of fences: what was done with the power of
// a node, or said of it by an operator.
type Fence struct {
	At       time.Time `json:"at"`     // wall clock, for people
	By       string    `json:"by"`     // the agent of a node, or an operator
	Why      string    `json:"why"`    // what was seen or wanted
	Target   string    `json:"target"` // devices and outlets
	Node     string    `json:"node"`   // whose power it is
	Action   string    `json:"action"` // off, on, reboot, verify, test, confirm-dead
	Proven   bool      `json:"proven"` // of an off; an on that was read back
	Grade    string    `json:"grade"`  // what the proof rests on, in words
	Level    int       `json:"level,omitempty"`
	Evidence string    `json:"evidence"`
	Detail   string    `json:"detail,omitempty"`
	TookMS   int64     `json:"took_ms"`
}

// String returns the record in one line, without the detail.
func (f Fence) String() string {
	verdict := "NOT proven"
	if f.Proven {
		verdict = "proven"
	}
	return f.Node + " " + f.Action + " by " + f.By + ", " + verdict + " after " + Span(float64(f.TookMS)) + ": " + f.Evidence + "; because: " + f.Why
}

// A Verified is what a verification of the fence found: the peer was switched
// off while in maintenance, and fell silent.
type Verified struct {
	At       time.Time `json:"at"` // wall clock, for people
	By       string    `json:"by"`
	Wiring   string    `json:"wiring"` // fingerprint of devices and outlets as configured
	OffMS    int64     `json:"off_ms"` // from the order to the proof
	SilentMS int64     `json:"silent_ms"`
	LinesMS  *int64    `json:"lines_ms,omitempty"` // to the fall of the modem lines; absent: they say nothing
	Cable    string    `json:"cable,omitempty"`    // what the modem lines were, with the class of the cable
	Grade    string    `json:"grade"`
}

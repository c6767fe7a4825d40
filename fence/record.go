package fence

import "time"

// A Record is one line of the history: something that was done with the power
// of a node, or said of it by an operator.
type Record struct {
	At       time.Time `json:"at"`               // wall clock, for people
	By       string    `json:"by"`               // the agent of a node, or an operator
	Why      string    `json:"why"`              // what was seen or wanted
	Target   string    `json:"target"`           // devices and outlets
	Node     string    `json:"node"`             // whose power it is
	Action   string    `json:"action"`           // off, on, reboot, verify, test, confirm-dead
	Proven   bool      `json:"proven"`           // of an off; an on that was read back
	Grade    Grade     `json:"grade"`            // what the proof rests on
	Level    int       `json:"level,omitempty"`  // that proved it, from 1
	Evidence string    `json:"evidence"`         // one line; Proof.Evidence
	Detail   string    `json:"detail,omitempty"` // Proof.Detail
	TookMS   int64     `json:"took_ms"`
}

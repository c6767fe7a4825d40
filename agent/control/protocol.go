package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twinbeat/twinbeat/agent/report"
)

// Version is the version of the protocol. It rises when an old client could
// misread a new server; fields are only added otherwise.
const Version = 1

// Limits of the protocol.
const (
	// MaxRequest is the longest request, in bytes with its line end. A longer one
	// is refused and the connection closed, since its end cannot be found.
	MaxRequest = 64 * 1024
	// MaxResponse is the longest response line a client accepts, in bytes: 8
	// groups of 4,096 addresses of 60 bytes are 2 MiB.
	MaxResponse = 8 * 1024 * 1024
	// MaxReason is the longest reason, in bytes; it goes to the journal of both nodes.
	MaxReason = 500
	// MaxFor is the longest maintenance that ends by itself.
	MaxFor = 366 * 24 * time.Hour
	// maxGroupName is above any name a configuration admits.
	maxGroupName = 64
)

// The questions.
const (
	CommandStatus = "status" // one snapshot
	CommandEvents = "events" // the events in memory, and those to come
)

// The orders, which a Handler carries out.
const (
	OrderHandover       = "handover"        // give a group to the peer
	OrderTake           = "take"            // ask the peer for a group
	OrderMaintenanceOn  = "maintenance-on"  // leave service
	OrderMaintenanceOff = "maintenance-off" // come back
	OrderResume         = "resume"          // end maintenance; clear failed and unfit
	OrderConfirmDead    = "confirm-dead"    // the operator saw the peer powered off
	OrderFenceVerify    = "fence-verify"    // switch the peer, which is in maintenance, off and on, and look
	OrderReload         = "reload"          // take up the configuration anew; the result is a report.Reload in JSON
	OrderReloadPlan     = "reload-plan"     // say what that would do
	OrderSensors        = "sensors"         // tell what is known of the sensors, as JSON in the result; changes nothing
	OrderWatchdogDisarm = "watchdog-disarm" // end the watch over the box until the agent is started anew
	OrderNote           = "note"            // make the reason an event; nothing else
)

// A Request is one line from the client.
type Request struct {
	V       int    `json:"v"`
	Command string `json:"command"`
	After   uint64 `json:"after,omitempty"`  // events: those with a higher sequence number
	Follow  bool   `json:"follow,omitempty"` // events: and those to come
	Group   string `json:"group,omitempty"`  // orders: empty means all that apply
	Reason  string `json:"reason,omitempty"`
	ForMS   int64  `json:"for_ms,omitempty"` // maintenance-on: ends by itself after it; 0 does not
	Force   bool   `json:"force,omitempty"`  // handover, take: to the node that is worse off; maintenance-on: even if nobody can take over
}

// A Response is one line from the server. Exactly one field beside V is set,
// but for Hint, which goes with Error.
type Response struct {
	V        int              `json:"v"`
	Snapshot *report.Snapshot `json:"snapshot,omitempty"`
	Event    *report.Event    `json:"event,omitempty"`
	Lost     uint64           `json:"lost,omitempty"` // events that left memory before they could be sent
	End      bool             `json:"end,omitempty"`
	Result   string           `json:"result,omitempty"`
	Error    string           `json:"error,omitempty"`
	Hint     string           `json:"hint,omitempty"`
}

// An Order is what an operator wants done.
type Order struct {
	Command string // one of the Order constants
	Group   string // empty: every group
	Reason  string
	For     time.Duration // maintenance-on: ends by itself; 0: does not
	Force   bool
	By      string // who, from the kernel: "alice (uid 1000)"
}

// A Handler answers for the agent. Its methods are called from many goroutines;
// those with a context must return soon after it ends, for Serve waits for them.
type Handler interface {
	// Snapshot returns the newest snapshot, with At read from time.Now so that
	// its age can be told from the monotonic clock.
	Snapshot() report.Snapshot
	// Events returns the events held with a sequence number above after, oldest first.
	Events(after uint64) []report.Event
	// Wait returns nil once an event above after exists, the context's error if it ends first.
	Wait(ctx context.Context, after uint64) error
	// Do carries out an order, or says why not; it returns a sentence for the
	// operator. An error may have a Hint() string method.
	Do(ctx context.Context, o Order) (string, error)
}

// An Error is a refusal with advice what to do about it.
type Error struct {
	Text   string
	Advice string // may be empty
}

// Error returns what went wrong.
func (e *Error) Error() string { return e.Text }

// Hint returns what to do about it, empty if nothing is known.
func (e *Error) Hint() string { return e.Advice }

// Hint returns the advice of the first error in err's tree that has any.
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// arguments names, for every command, the fields it takes.
var arguments = map[string][]string{
	CommandStatus:       nil,
	CommandEvents:       {"after", "follow"},
	OrderHandover:       {"group", "reason", "force"},
	OrderTake:           {"group", "reason", "force"},
	OrderMaintenanceOn:  {"reason", "for_ms", "force"},
	OrderMaintenanceOff: {"reason"},
	OrderResume:         {"group", "reason"},
	OrderConfirmDead:    {"reason"},
	OrderFenceVerify:    {"reason"},
	OrderReload:         {"reason"},
	OrderReloadPlan:     nil,
	OrderSensors:        nil,
	OrderWatchdogDisarm: {"reason"},
	OrderNote:           {"group", "reason"},
}

// DecodeRequest reads one request line, strictly: what it does not understand
// it refuses.
func DecodeRequest(line []byte) (Request, error) {
	var r Request
	if len(line) > MaxRequest {
		return r, fmt.Errorf("read request: %d bytes, at most %d", len(line), MaxRequest)
	}
	if !utf8.Valid(line) {
		return r, errors.New("read request: not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("read request: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("read request: more than one object on the line")
	}
	if err := r.check(); err != nil {
		return Request{}, err
	}
	return r, nil
}

func (r Request) check() error {
	if r.V != Version {
		return &Error{
			Text:   fmt.Sprintf("read request: protocol version %d, this agent speaks %d", r.V, Version),
			Advice: "use the twinbeat program that the agent was started from",
		}
	}
	takes, known := arguments[r.Command]
	if !known {
		return fmt.Errorf("read request: unknown command %q", clip(r.Command))
	}
	given := map[string]bool{
		"after": r.After != 0, "follow": r.Follow, "group": r.Group != "",
		"reason": r.Reason != "", "for_ms": r.ForMS != 0, "force": r.Force,
	}
	for name, set := range given {
		if set && !slices.Contains(takes, name) {
			return fmt.Errorf("read request: %s takes no %q", r.Command, name)
		}
	}
	switch {
	case r.ForMS < 0 || r.ForMS > MaxFor.Milliseconds():
		return fmt.Errorf("read request: for_ms %d is not within 0 and %d", r.ForMS, MaxFor.Milliseconds())
	case len(r.Group) > maxGroupName || !printable(r.Group):
		return fmt.Errorf("read request: group %q is not a name", clip(r.Group))
	case len(r.Reason) > MaxReason:
		return fmt.Errorf("read request: reason of %d bytes, at most %d", len(r.Reason), MaxReason)
	case !printable(r.Reason):
		return errors.New("read request: reason holds control characters")
	}
	return nil
}

func (r Request) order(by string) Order {
	return Order{
		Command: r.Command, Group: r.Group, Reason: r.Reason,
		For: time.Duration(r.ForMS) * time.Millisecond, Force: r.Force, By: by,
	}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clip keeps an error line short, whatever the client sent.
func clip(s string) string {
	const longest = 40
	if len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return s
}

package report

import "time"

// A Snapshot is everything the outside may see of a running agent at one moment.
// Every age in it is as of At; AgeMS says how old the whole was when it left the agent.
type Snapshot struct {
	At        time.Time  `json:"at"`
	AgeMS     float64    `json:"age_ms"` // set by control.Server on the way out, from the monotonic clock
	Version   string     `json:"version"`
	Cluster   string     `json:"cluster"`
	Guarantee Guarantee  `json:"guarantee"`
	Self      NodeView   `json:"self"`
	Peer      NodeView   `json:"peer"`
	Links     []LinkView `json:"links"`
	Groups    []Group    `json:"groups"`
	Alarms    []Alarm    `json:"alarms"`

	Watchdog  *Watchdog `json:"watchdog,omitempty"`
	Alerting  *Alerting `json:"alerting,omitempty"`   // who is told of events; nil: nobody
	LastReset *Reset    `json:"last_reset,omitempty"` // why the box, or the agent, was started
	Monitors  []Monitor `json:"monitors,omitempty"`   // of this node
}

// A Guarantee says what keeps the two nodes from both being active, and why.
type Guarantee struct {
	Mode   string `json:"mode"`
	Safe   string `json:"safe_under"` // what it is safe under
	Price  string `json:"price"`
	Lease  string `json:"lease"`  // "kernel gate (nft), 300 ms" or "address lifetime, 2 s"
	Reason string `json:"reason"` // why this mode is in force
}

// Group returns the group of that name; nil if there is none.
func (s *Snapshot) Group(name string) *Group {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	return nil
}

// A NodeView is what this node knows of itself or the peer.
type NodeView struct {
	Name       string   `json:"name"`
	ID         uint8    `json:"id"`
	Alive      bool     `json:"alive"`
	TwoWay     bool     `json:"two_way"` // it hears us, too
	HeardAgoMS *float64 `json:"heard_ago_ms,omitempty"`
	AckAgoMS   *float64 `json:"ack_ago_ms,omitempty"` // age of the newest of our frames it echoed
	Session    string   `json:"session,omitempty"`
	Version    string   `json:"version,omitempty"`
	DigestOK   bool     `json:"config_agrees"`
	Digest     string   `json:"config_digest"`
	Differs    []string `json:"config_differs,omitempty"` // of the peer: keys whose values differ, or that one node lacks; never a value
	UptimeMS   int64    `json:"uptime_ms,omitempty"`
	LeaseMS    int64    `json:"lease_ms"`
	Lines      string   `json:"modem_lines,omitempty"`

	Maintenance *Maintenance `json:"maintenance,omitempty"`
	Fence       *FenceView   `json:"fence,omitempty"`
	Health      *Health      `json:"health,omitempty"` // null: the peer does not say
}

// Health is how well a node is, in points; 100 is full health. Of the peer only
// what a heartbeat carries is known.
type Health struct {
	Score    int          `json:"score"`
	Critical bool         `json:"critical,omitempty"`
	LeftSec  int64        `json:"left_seconds,omitempty"` // until a limit is reached; 0: none is in sight
	Votes    []HealthVote `json:"votes,omitempty"`        // the gravest first
}

// A HealthVote is one source's word on what is wrong.
type HealthVote struct {
	Source   string `json:"source"`
	Loss     int    `json:"loss"` // points
	Reason   string `json:"reason"`
	Critical bool   `json:"critical,omitempty"`
	LeftSec  int64  `json:"left_seconds,omitempty"`
}

// Maintenance says who took the node out of service, and for how long.
type Maintenance struct {
	Reason  string    `json:"reason"`
	By      string    `json:"by"`
	Since   time.Time `json:"since"`
	LeftSec int64     `json:"left_seconds,omitempty"` // 0: no expiry
}

// A FenceView is the state of the fence device that switches the peer off.
type FenceView struct {
	Device  string `json:"device"`
	Power   string `json:"power"` // the peer's outlet: on, off, unknown
	Error   string `json:"error,omitempty"`
	AgoMS   int64  `json:"checked_ago_ms"`
	Running bool   `json:"running"`
	Last    string `json:"last,omitempty"`

	Grade      string    `json:"grade,omitempty"`      // what its newest proof rested on: what it can give
	Identity   string    `json:"identity,omitempty"`   // what is wrong with who it is; empty: nothing
	Barred     string    `json:"barred,omitempty"`     // why this node may not switch the peer off
	Budget     int       `json:"budget,omitempty"`     // fences within an hour; 0: no bound
	BudgetUsed int       `json:"budget_used"`          // of them
	Verified   *Verified `json:"verified,omitempty"`   // the newest verification of the wiring in force
	LastFence  *Fence    `json:"last_fence,omitempty"` // kept across reboots
}

// A LinkView is one path to the peer.
type LinkView struct {
	ID          int      `json:"id"`
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Open        bool     `json:"open"`
	State       string   `json:"state"` // up, one-way-in, one-way-out, down, closed
	HeardAgoMS  *float64 `json:"heard_ago_ms,omitempty"`
	RoundTripMS *float64 `json:"round_trip_ms,omitempty"`
	LossPercent float64  `json:"loss_percent"` // over the last LossWindow frames
	Error       string   `json:"error,omitempty"`
	Lines       string   `json:"modem_lines,omitempty"`

	TxFrames  uint64            `json:"tx_frames"`
	TxBytes   uint64            `json:"tx_bytes"`
	TxDropped uint64            `json:"tx_dropped"`
	RxFrames  uint64            `json:"rx_frames"`
	RxBytes   uint64            `json:"rx_bytes"`
	Drops     map[string]uint64 `json:"drops"` // by reason
	Reopens   uint64            `json:"reopens"`
}

// A Group is one group as both nodes stand to it.
type Group struct {
	Name         string   `json:"name"`
	State        string   `json:"state"`
	PeerState    string   `json:"peer_state"`
	Owner        string   `json:"owner"` // node name, empty if unknown or none
	Preferred    string   `json:"preferred"`
	Term         uint32   `json:"term"`
	SinceMS      int64    `json:"since_ms"`
	Evidence     string   `json:"evidence,omitempty"`
	GateOpen     bool     `json:"gate_open"`
	LeaseLeftMS  float64  `json:"lease_left_ms"`
	Addresses    []string `json:"addresses"`
	AddressesUp  int      `json:"addresses_up"`
	Services     []string `json:"services,omitempty"`
	ServicesUp   bool     `json:"services_up"`
	Unfit        string   `json:"unfit,omitempty"`
	CanTakeOver  bool     `json:"can_take_over"` // this node could take the group now
	WhyNot       string   `json:"why_not,omitempty"`
	Failback     string   `json:"failback"`
	MovesInFlap  int      `json:"moves_in_flap_window"`
	FlapFrozen   bool     `json:"flap_frozen"`
	LastTakeover *Event   `json:"last_takeover,omitempty"`
}

// An Alarm is a named condition that an operator should know of.
type Alarm struct {
	Name  string    `json:"name"`
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// An Event is one line of the journal: seen, decided, done.
type Event struct {
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	MonoMS   float64   `json:"mono_ms"` // since the agent started; orders events whatever the wall clock did
	Boot     uint32    `json:"boot"`
	Kind     string    `json:"kind"` // role, link, alarm, operator, fence, service, address, agent
	Group    string    `json:"group,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Term     uint32    `json:"term,omitempty"`
	Evidence string    `json:"evidence,omitempty"`
	Seen     string    `json:"seen,omitempty"`
	Decided  string    `json:"decided,omitempty"`
	Done     string    `json:"done,omitempty"`
}

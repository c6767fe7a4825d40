// Package config decides whether the bytes of a configuration file describe a
// pair that can be safe, and refuses, with line and hint, every file that
// breaks a timing inequality, names a key it does not know, or contradicts
// itself. It opens no files and asks no kernel: whether an interface exists is
// found out elsewhere. Start reading at Parse, then keys.go (every key with its
// type, default and meaning) and timing.go (the arithmetic).
package config

import (
	"net/netip"
	"time"

	"github.com/twinbeat/twinbeat/vip"
)

// Limits of a configuration.
const (
	MaxGroups    = 8    // groups of one pair; the heartbeat carries a state for each
	MaxLinks     = 8    // links of one pair; the heartbeat carries a bit for each
	MaxAddresses = 4096 // addresses of one group
	MaxServices  = 64   // services of one group
	MaxMonitors  = 32   // monitors of one pair
	MaxTargets   = 16   // hosts of one monitor
)

// A Config is a checked configuration as one node sees it.
type Config struct {
	Cluster string
	Digest  uint32 // of the document without comments, layout and order of keys; equal on both nodes
	Mode    string // fence, silence or lease
	Profile string // default, fast or slow

	KeyFile       string
	StateDir      string
	ControlSocket string
	ControlGroup  string // unix group allowed to connect; empty means root alone
	Realtime      bool

	Timing Timing
	Nodes  [2]Node // in the order of the file; ids are 1 and 2
	Self   int     // index into Nodes
	Links  []Link
	Groups []Group
	Fence  *Fence

	Health   Health
	Watchdog *Watchdog // nil: no device is opened
	Upstream *Upstream // nil: the network is not asked who has the addresses
	Bounce   *Bounce   // nil: no interface is ever set down
	Monitors []Monitor
	Sensors  *Sensors // nil: none is read
	Notify   []Notify
}

// Me returns the node that runs with this configuration.
func (c Config) Me() Node { return c.Nodes[c.Self] }

// Peer returns the other node.
func (c Config) Peer() Node { return c.Nodes[1-c.Self] }

// Timing holds the intervals of the pair, as resolved from the profile and the file.
type Timing struct {
	Beat      time.Duration // between two heartbeats on one link
	Dead      time.Duration // silence on every link that makes the peer suspect: the longest of the links
	Lease     time.Duration // life of the kernel lease after its last refresh
	Window    time.Duration // kernel-enforced distance from turn start to lease refresh
	Takeover  time.Duration // silence after which an armed standby may take over
	Probe     time.Duration // between two VIP probes, and after the last; see Probes
	Ack       time.Duration // lease mode: longest time an active goes unacknowledged
	BootWait  time.Duration // T_init
	Race      time.Duration // D_race
	FenceTime time.Duration // longest fence operation
	Reserve   time.Duration // J
	Lifetime  time.Duration // valid_lft of the addresses, the second layer; whole seconds
}

// FenceSpare is what a turn to fence is longer than the longest fence operation
// and what the two nodes may differ in when they lost each other.
func (t *Timing) FenceSpare() time.Duration { return t.Race - t.FenceTime - t.Dead - t.Beat }

// A Node is one of the two boxes.
type Node struct {
	ID   uint8
	Name string
}

// A Link is one path to the peer, as this node uses it. Its index is its id on the wire.
type Link struct {
	Name      string
	Type      string // serial, multicast or unicast
	Device    string // serial: this node's tty
	Baud      int
	Interface string     // multicast, unicast: this node's interface
	Group     netip.Addr // multicast
	Port      uint16
	Local     netip.Addr    // unicast
	Remote    netip.Addr    // unicast
	TTL       uint8         // multicast, unicast: always 255, RFC 5082
	Lines     string        // serial: auto, ignore
	Dead      time.Duration // this link's own T_dead
}

// A Bounce says which interfaces of this node are set down for a moment when a
// group was given up.
type Bounce struct {
	Interfaces  []string
	Down, Every time.Duration
}

// A Group is a set of addresses and services that one node owns at a time.
type Group struct {
	Name         string
	Preferred    int    // index into Nodes
	Failback     string // never, auto or hold
	FailbackHold time.Duration
	FlapMax      int
	FlapWindow   time.Duration
	GateTransit  bool // gate frames that are routed through the group's interfaces
	VIP          vip.Set
	Announce     Announce
	Services     []Service
	Virtual      []vip.Virtual // one for each device of VIP; nil: the addresses are on the devices themselves
	OnVirtual    vip.Set       // VIP with the virtual devices in the place of theirs; see Placed
}

// Placed is VIP as it is in the kernel: on the virtual devices, if there are any.
// What is asked of the LAN, and what people read, names the devices themselves.
func (g *Group) Placed() vip.Set {
	if len(g.Virtual) == 0 {
		return g.VIP
	}
	return g.OnVirtual
}

// Announce says how often a group's addresses are announced.
type Announce struct {
	Count   int           // frames of each form per burst
	Spacing time.Duration // between two rounds of a burst
	Refresh time.Duration // slow refresh while owned; 0 turns it off
	Pace    int           // frames a second, at most
}

// A Service is one step of a group's start order.
type Service struct {
	Name           string
	Line           int    // in the file, of its driver
	Driver         string // see serviceKeysByDriver
	Unit           string
	Start          []string
	Stop           []string
	Status         []string
	Args           []string          // heartbeat: before the verb
	Params         map[string]string // ocf: by name
	ParamLines     map[string]int    // ocf: where they stand in the file
	Promote        bool              // ocf
	Depth          int               // ocf: of monitor
	OnTake         string            // start, restart, reload or none
	StartTimeout   time.Duration     // this and the next two, with driver ocf: 0 leaves it to the agent's metadata
	StopTimeout    time.Duration
	StatusTimeout  time.Duration
	CheckInterval  time.Duration
	Restarts       int
	RestartWindow  time.Duration
	OnStartFailure string // handover or stay
	OnStopFailure  string // fence or proceed
	KeepOnStop     bool   // leave it running on the standby
}

package report

import (
	"fmt"
	"strings"
)

// StaleAfterMS is the age, in milliseconds, beyond which a snapshot says more
// about a standing loop than about the pair. The slowest profile turns every
// 125 ms; 3 s is far above any turn and below an operator's patience.
const StaleAfterMS = 3000

// Degraded says whether one more fault could cost the service, or already did.
// It decides exit code 3 of the status command.
func Degraded(s Snapshot) bool { return len(Reasons(s)) > 0 }

// Reasons lists why the pair is degraded, worst first; empty if it is not. A
// node in maintenance counts: the operator wanted it, but nobody stands by.
func Reasons(s Snapshot) []string {
	var out []string
	add := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(s.AgeMS > StaleAfterMS, "the agent's loop has not turned for %s", Span(s.AgeMS))
	for _, g := range s.Groups {
		out = append(out, groupReasons(s, g)...)
	}
	add(!s.Peer.Alive, "peer %s is not alive", s.Peer.Name)
	add(s.Peer.Alive && !s.Peer.TwoWay, "peer %s is heard, but does not hear this node", s.Peer.Name)
	add(s.Peer.Alive && !s.Peer.DigestOK, "peer %s runs a different configuration%s", s.Peer.Name, differs(s.Peer.Differs))
	add(len(s.Links) == 0, "no link is configured")
	for _, l := range s.Links {
		add(l.State != "up", "link %d (%s) is %s", l.ID, l.Name, l.State)
	}
	for _, n := range []NodeView{s.Self, s.Peer} {
		add(n.Maintenance != nil, "node %s is in maintenance", n.Name)
		add(n.Fence != nil && n.Fence.Error != "", "fence device of %s does not answer", n.Name)
	}
	for _, a := range s.Alarms {
		add(true, "alarm %s", a.Name)
	}
	return out
}

// differs names the keys, if any are known.
func differs(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}

func groupReasons(s Snapshot, g Group) []string {
	var out []string
	mine := g.Owner != "" && g.Owner == s.Self.Name
	switch {
	case s.Peer.Alive && owns(g.State) && owns(g.PeerState): // what a dead peer said last is no claim
		out = append(out, fmt.Sprintf("group %s: BOTH nodes say they own it", g.Name))
	case g.Owner == "":
		out = append(out, fmt.Sprintf("group %s: nobody owns it", g.Name))
	case mine && !g.GateOpen:
		out = append(out, fmt.Sprintf("group %s: this node owns it, but its gate is closed", g.Name))
	}
	if mine && g.AddressesUp < len(g.Addresses) {
		out = append(out, fmt.Sprintf("group %s: %d of %d addresses are up", g.Name, g.AddressesUp, len(g.Addresses)))
	}
	if mine && len(g.Services) > 0 && !g.ServicesUp {
		out = append(out, fmt.Sprintf("group %s: services are not all up", g.Name))
	}
	if g.Unfit != "" {
		out = append(out, fmt.Sprintf("group %s: %s is unfit to serve it", g.Name, s.Self.Name))
	}
	if g.FlapFrozen {
		out = append(out, fmt.Sprintf("group %s: moves are frozen, it flapped", g.Name))
	}
	return out
}

// owns says whether a state's name is one in which a node owns its group.
func owns(state string) bool {
	return strings.EqualFold(state, "active") || strings.EqualFold(state, "solo")
}

package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// shownAddresses is how many addresses of a group Render lists; the rest is counted.
const shownAddresses = 6

// label is the width of the labels in front of a fact.
const label = 13

// Render writes the snapshot for a console of width columns (0: Columns). It
// uses no colour and no control character but the line end, whatever the texts
// in the snapshot hold.
func Render(s Snapshot, width int) string {
	if width <= 0 {
		width = Columns
	}
	p := &page{width: max(width, minColumns)}
	p.para("", fmt.Sprintf("pair %s, seen from %s at %s (%s ago)",
		s.Cluster, s.Self.Name, s.At.Format(TimeLayout), Span(s.AgeMS)))
	renderVerdict(p, s)
	p.line("")
	renderGuarantee(p, s.Guarantee)
	p.line("")
	renderNodes(p, s)
	p.line("")
	renderLinks(p, s.Links)
	for _, g := range s.Groups {
		p.line("")
		renderGroup(p, s, g)
	}
	renderMonitors(p, s)
	renderWatchdog(p, s)
	renderAlerting(p, s.Alerting)
	if len(s.Alarms) > 0 {
		p.line("")
		p.line("ALARMS")
	}
	for _, a := range s.Alarms {
		p.para("  ", fmt.Sprintf("%s: %s (since %s)", a.Name, a.Text, a.Since.Format(TimeLayout)))
	}
	return p.String()
}

func renderVerdict(p *page, s Snapshot) {
	reasons := Reasons(s)
	if len(reasons) == 0 {
		p.line("well: no alarm, peer alive, every link up, every group owned")
		return
	}
	for _, r := range reasons {
		p.para("DEGRADED: ", r)
	}
}

func renderGuarantee(p *page, g Guarantee) {
	p.para(pad("MODE", label), g.Mode)
	fact(p, "why", g.Reason)
	fact(p, "safe under", g.Safe)
	fact(p, "price", g.Price)
	fact(p, "lease", g.Lease)
}

// fact writes a labelled text, nothing if the text is empty.
func fact(p *page, name, text string) {
	if text != "" {
		p.para(pad("  "+name, label), text)
	}
}

func renderNodes(p *page, s Snapshot) {
	w := max(utf8.RuneCountInString(s.Self.Name), utf8.RuneCountInString(s.Peer.Name), 4) + 2
	p.para(pad("NODE "+s.Self.Name, w+5), nodeLine(s.Self, true))
	nodeFacts(p, s.Self)
	p.para(pad("NODE "+s.Peer.Name, w+5), nodeLine(s.Peer, false))
	nodeFacts(p, s.Peer)
}

func nodeLine(n NodeView, self bool) string {
	var parts []string
	last := "never heard"
	if n.HeardAgoMS != nil {
		last = "last heard " + ago(n.HeardAgoMS)
	}
	switch {
	case self:
		parts = append(parts, "this node")
	case !n.Alive:
		parts = append(parts, "NOT ALIVE", last)
	case !n.TwoWay:
		parts = append(parts, "alive, but ONE-WAY", "heard "+ago(n.HeardAgoMS), "echoed us "+ago(n.AckAgoMS))
	default:
		parts = append(parts, "alive", "heard "+ago(n.HeardAgoMS), "echoed us "+ago(n.AckAgoMS))
	}
	parts = append(parts, "version "+or(n.Version, "unknown"))
	if n.UptimeMS > 0 {
		parts = append(parts, "up "+Span(float64(n.UptimeMS)))
	}
	return strings.Join(parts, ", ")
}

func nodeFacts(p *page, n NodeView) {
	config := or(n.Digest, "unknown")
	if n.Digest != "" && !n.DigestOK {
		config += " DIFFERS"
		if len(n.Differs) > 0 {
			config += " in " + strings.Join(n.Differs, ", ")
		}
	}
	lease := ""
	if n.LeaseMS > 0 {
		lease = ", lease " + Span(float64(n.LeaseMS))
	}
	fact(p, "config", config+lease)
	fact(p, "session", n.Session)
	fact(p, "lines", n.Lines)
	if n.Health != nil {
		fact(p, "health", HealthText(*n.Health))
		for _, v := range n.Health.Votes {
			fact(p, "", fmt.Sprintf("-%d %s: %s", v.Loss, v.Source, v.Reason))
		}
	}
	if m := n.Maintenance; m != nil {
		fact(p, "out of use", MaintenanceText(*m))
	}
	if f := n.Fence; f != nil {
		fact(p, "fence", fenceText(*f))
	}
}

// HealthText says how well a node is, in one clause.
func HealthText(h Health) string {
	text := fmt.Sprintf("%d of 100", h.Score)
	if h.Critical {
		text += ", ABOUT TO FAIL"
	}
	if h.LeftSec > 0 {
		text += ", a limit is reached in about " + Span(float64(h.LeftSec)*1000)
	}
	return text
}

// MaintenanceText writes why, by whom, since when and for how long a node is
// out of service.
func MaintenanceText(m Maintenance) string {
	text := fmt.Sprintf("maintenance by %s since %s", or(m.By, "unknown"), m.Since.Format(TimeLayout))
	if m.LeftSec > 0 {
		text += fmt.Sprintf(", ends in %s", Span(float64(m.LeftSec)*1000))
	} else {
		text += ", no end set"
	}
	return text + ": " + or(m.Reason, "no reason given")
}

func fenceText(f FenceView) string {
	parts := []string{fmt.Sprintf("%s: peer's outlet %s (checked %s ago)", f.Device, or(f.Power, "unknown"), Span(float64(f.AgoMS)))}
	if f.Running {
		parts = append(parts, "FENCING NOW")
	}
	if f.Error != "" {
		parts = append(parts, "ERROR "+f.Error)
	}
	if f.Grade != "" {
		parts = append(parts, "proves "+f.Grade)
	}
	if f.Barred != "" {
		parts = append(parts, "MAY NOT FENCE: "+f.Barred)
	}
	if f.Budget > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d fences of this hour used", f.BudgetUsed, f.Budget))
	}
	switch {
	case f.LastFence != nil:
		parts = append(parts, "last at "+f.LastFence.At.Format(TimeLayout)+": "+f.LastFence.String())
	case f.Last != "":
		parts = append(parts, "last: "+f.Last)
	}
	return strings.Join(parts, "; ")
}

// linkColumns is the widths of state, heard, round trip and loss.
const linkColumns = "%-12s %-11s %-9s %s"

func renderLinks(p *page, links []LinkView) {
	name := 6
	for _, l := range links {
		name = max(name, utf8.RuneCountInString(l.Name)+4)
	}
	name = min(name, p.width-41) // what linkColumns leaves
	p.line("%s"+linkColumns, pad("LINK", name), "STATE", "HEARD", "TRIP", "LOSS")
	for _, l := range links {
		title := fmt.Sprintf("%d %s", l.ID, l.Name)
		if utf8.RuneCountInString(title) >= name { // too long: on its own line
			p.line("%s", title)
			title = ""
		}
		trip := "-"
		if l.RoundTripMS != nil {
			trip = Span(*l.RoundTripMS)
		}
		p.line("%s"+linkColumns, pad(title, name), or(l.State, "unknown"),
			strings.TrimSuffix(ago(l.HeardAgoMS), " ago"), trip, fmt.Sprintf("%.1f%%", l.LossPercent))
		linkFacts(p, l)
	}
}

func linkFacts(p *page, l LinkView) {
	var parts []string
	if l.Error != "" {
		parts = append(parts, "error: "+l.Error)
	}
	if l.Lines != "" {
		parts = append(parts, "modem lines "+l.Lines)
	}
	if l.Reopens > 0 {
		parts = append(parts, fmt.Sprintf("reopened %d times", l.Reopens))
	}
	if l.TxDropped > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d frames not sent", l.TxDropped, l.TxFrames+l.TxDropped))
	}
	if drops := dropsText(l.Drops); drops != "" {
		parts = append(parts, "refused: "+drops)
	}
	if len(parts) > 0 {
		p.para("    ", strings.Join(parts, "; "))
	}
}

func dropsText(drops map[string]uint64) string {
	var parts []string
	for reason, n := range drops {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", reason, n))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func renderGroup(p *page, s Snapshot, g Group) {
	owner := "NOBODY owns it"
	switch g.Owner {
	case "":
	case s.Self.Name:
		owner = "owned by " + g.Owner + " (this node)"
	default:
		owner = "owned by " + g.Owner
	}
	p.para("GROUP "+g.Name+"  ", fmt.Sprintf("%s, term %d", owner, g.Term))
	fact(p, s.Self.Name, selfText(g))
	fact(p, s.Peer.Name, or(g.PeerState, "unknown"))
	fact(p, "evidence", g.Evidence)
	if g.LastTakeover != nil {
		e := *g.LastTakeover
		fact(p, "last move", e.At.Format(TimeLayout)+" "+strings.Join(nonEmpty(e.Seen, e.Decided, e.Done), " -> "))
	}
	fact(p, "addresses", addressText(g))
	fact(p, "services", serviceText(g))
	takeText(p, s, g)
	fact(p, "unfit", g.Unfit)
	fact(p, "failback", failbackText(g))
}

func selfText(g Group) string {
	text := fmt.Sprintf("%s for %s, ", or(g.State, "unknown"), Span(float64(g.SinceMS)))
	if g.GateOpen {
		return text + "gate open, lease " + Span(g.LeaseLeftMS) + " left"
	}
	return text + "gate closed"
}

func addressText(g Group) string {
	shown := g.Addresses[:min(len(g.Addresses), shownAddresses)]
	text := fmt.Sprintf("%d of %d up here: %s", g.AddressesUp, len(g.Addresses), strings.Join(shown, ", "))
	if more := len(g.Addresses) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return strings.TrimSuffix(text, ": ")
}

func serviceText(g Group) string {
	if len(g.Services) == 0 {
		return ""
	}
	state := "not all up here: "
	if g.ServicesUp {
		state = "up here: "
	}
	return state + strings.Join(g.Services, ", ")
}

// takeText says, for a group this node does not own, whether it could take it.
func takeText(p *page, s Snapshot, g Group) {
	switch {
	case g.Owner == s.Self.Name:
	case g.CanTakeOver:
		fact(p, "takeover", "this node could take it now")
	default:
		fact(p, "takeover", "this node could NOT take it now: "+or(g.WhyNot, "no reason known"))
	}
}

func failbackText(g Group) string {
	moves := fmt.Sprintf("%d moves", g.MovesInFlap)
	if g.MovesInFlap == 1 {
		moves = "1 move"
	}
	text := fmt.Sprintf("%s; prefers %s; %s in the flap window", or(g.Failback, "never"), or(g.Preferred, "no node"), moves)
	if g.FlapFrozen {
		text += ", FROZEN"
	}
	return text
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(t string) bool { return t == "" })
}

// RenderEvent writes one event: what, then seen, decided and done, on one line
// if that fits Columns, else on a few. It ends with a line end.
func RenderEvent(e Event) string {
	p := &page{width: Columns}
	head := []string{e.At.Format(TimeLayout), or(e.Kind, "event")}
	if e.Group != "" {
		head = append(head, e.Group)
	}
	if e.From != "" || e.To != "" {
		head = append(head, or(e.From, "?")+" -> "+or(e.To, "?"))
	}
	if e.Term > 0 {
		head = append(head, fmt.Sprintf("term %d", e.Term))
	}
	if e.Evidence != "" {
		head = append(head, "evidence "+e.Evidence)
	}
	one := strings.Join(append(slices.Clone(head), nonEmpty(e.Seen, e.Decided, e.Done)...), "  ")
	if len(nonEmpty(e.Seen, e.Decided, e.Done)) <= 1 && utf8.RuneCountInString(one) <= Columns {
		p.line("%s", one)
		return p.String()
	}
	p.line("%s", strings.Join(head, "  "))
	eventFact(p, "seen", e.Seen)
	eventFact(p, "decided", e.Decided)
	eventFact(p, "done", e.Done)
	return p.String()
}

func eventFact(p *page, name, text string) {
	if text != "" {
		p.para("    "+pad(name, 9), text)
	}
}

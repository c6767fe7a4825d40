//go:build !lite

package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A LAN asks the network who has the addresses of a group.
type LAN interface {
	// Holders says which hardware addresses must answer while this node owns
	// the group, for a few of its addresses.
	Holders(group int) []accord.Holder
	// Ask asks the network for these addresses. The answers are in the order
	// of the questions; one that could not be asked has asked false.
	Ask(ctx context.Context, group int, who []accord.Holder) []Answers
}

// Answers are what one question brought: the hardware addresses that answered,
// and those who send to this node what is for the address.
type Answers struct {
	Asked        bool
	MACs, Misled []accord.MAC
}

const (
	// holdersEvery is between two tellings of the owner's hardware addresses;
	// what was told holds for so many of them.
	holdersEvery = 5 * time.Second
	holdersHold  = 3
	askDeadline  = 5 * time.Second
	// askAgain is the pause after a look that found something wrong, for the
	// first askHasty looks in a row; then it is as slow as any other.
	askAgain = 3 * time.Second
	askHasty = 3
	// findingCopies is how often a finding is told.
	findingCopies = 3
	// badMost is how many looks in a row may go wrong before it is an alarm:
	// the first announcement may have put it right.
	badMost = 2
	// silentAfter is after how many periods without a word the owner drops its
	// alarm: the standby may be gone.
	silentAfter = 3
)

// lan is what one group knows of the network's belief.
type lan struct {
	busy   bool // a lane works for it
	holder bool // the owner's word is to be told
	own    []accord.Holder
	ownAt  pair.Instant

	told   []accord.Holder // by the peer that owns the group
	toldAt pair.Instant
	askAt  pair.Instant
	hasty  int
	find   accord.Finding // the newest
	copies int            // of it that are still to be told

	round   uint8        // of the newest finding heard
	heardAt pair.Instant // when; zero: none yet
	bad     int          // in a row
}

// lookUpstream keeps both sides going, once a second.
func (l *Loop) lookUpstream(now pair.Instant) {
	if l.o.Talk.LAN == nil {
		return
	}
	for _, g := range l.groups {
		if g.opened {
			l.lookOwner(now, g)
		} else {
			l.lookStandby(now, g)
		}
	}
}

// lookOwner reads this node's hardware addresses from time to time: an operator
// or a bond may change them.
func (l *Loop) lookOwner(now pair.Instant, g *group) {
	u := &g.lan
	u.told, u.copies = nil, 0
	if u.bad > 0 && now.Since(u.heardAt) > silentAfter*l.o.Talk.Every {
		l.upstreamRight(g)
	}
	if u.busy || u.ownAt != 0 && now.Since(u.ownAt) < holdersEvery {
		return
	}
	u.busy = true
	ask, i := l.o.Talk.LAN, g.index
	l.lane(fmt.Sprintf("upstream %d", i), askDeadline, func(context.Context) Fact {
		return holdersFact{i, ask.Holders(i)}
	}, func(error) Fact { return holdersFact{i, nil} })
}

// holdersFact ends a reading of this node's hardware addresses.
type holdersFact struct {
	group int
	own   []accord.Holder
}

func (f holdersFact) apply(l *Loop, now pair.Instant) {
	u := &l.groups[f.group].lan
	u.busy, u.own, u.ownAt, u.holder = false, f.own, now, true
}

// lookStandby asks the network if it is time and the owner said what is right.
func (l *Loop) lookStandby(now pair.Instant, g *group) {
	u := &g.lan
	u.own, u.ownAt, u.holder, u.heardAt = nil, 0, false, 0
	l.upstreamRight(g)
	if now.Since(u.toldAt) > holdersHold*holdersEvery || !l.agrees() {
		u.told = nil
	}
	if u.busy || len(u.told) == 0 || now < u.askAt || !l.twoWay(now) || !l.peerOwns(g) {
		return
	}
	u.busy = true
	ask, i, told := l.o.Talk.LAN, g.index, u.told
	l.lane(fmt.Sprintf("upstream %d", i), askDeadline, func(ctx context.Context) Fact {
		return lanFact{i, told, ask.Ask(ctx, i, told)}
	}, func(error) Fact { return lanFact{i, told, nil} })
}

func (l *Loop) peerOwns(g *group) bool {
	return l.peer.known && g.index < l.peer.m.NGroups && owns(pair.State(l.peer.m.Groups[g.index].State))
}

// lanFact ends a look.
type lanFact struct {
	group int
	told  []accord.Holder
	seen  []Answers
}

func (f lanFact) apply(l *Loop, now pair.Instant) {
	g := l.groups[f.group]
	u := &g.lan
	u.busy, u.askAt = false, now.Add(l.o.Talk.Every)
	worst := accord.Finding{}
	for i, a := range f.seen {
		if one := accord.Judge(f.told[i], a.MACs, a.Misled); a.Asked && one.Verdict > worst.Verdict {
			worst = one
		}
	}
	// The group may have moved, or its addresses changed, while the question was
	// under way.
	if worst.Verdict == 0 || g.opened || !l.peerOwns(g) || len(u.told) == 0 || !l.agrees() {
		return
	}
	worst.Round = u.find.Round + 1
	was := u.find.Verdict
	u.find, u.copies = worst, findingCopies
	if worst.Verdict == accord.Right {
		u.hasty = 0
		return
	}
	if u.hasty++; u.hasty <= askHasty {
		u.askAt = now.Add(askAgain)
	}
	if was != worst.Verdict {
		l.event(now, report.Event{Kind: "address", Group: g.Name, Seen: l.upstreamText(g, worst, l.o.Self.Name), Decided: l.o.Peer.Name + " owns it and is told"})
	}
}

func (l *Loop) upstreamText(g *group, f accord.Finding, asker string) string {
	address := "an address"
	if int(f.Index) < len(g.Addresses) {
		address = g.Addresses[f.Index]
	}
	return f.Text(address, asker)
}

// forget drops what was told, or is to be told, of addresses that a reload may
// have changed.
func (u *lan) forget() { u.told, u.copies, u.own, u.ownAt, u.holder = nil, 0, nil, 0, false }

// heardHolder keeps the owner's word; a new one is looked at soon.
func (l *Loop) heardHolder(now pair.Instant, value []byte) {
	h, ok := accord.ParseHolder(value)
	if !ok || l.o.Talk.LAN == nil || int(h.Group) >= len(l.groups) || l.groups[h.Group].opened || !l.agrees() {
		return // an index into another list means another address
	}
	u := &l.groups[h.Group].lan
	u.toldAt = now
	for i := range u.told {
		if u.told[i].Index == h.Index {
			if u.told[i].MAC != h.MAC {
				u.told = append([]accord.Holder(nil), u.told...) // a lane may read the old one
				u.told[i], u.askAt = h, now
			}
			return
		}
	}
	if len(u.told) < holdersMost {
		u.told, u.askAt = append(u.told[:len(u.told):len(u.told)], h), now
	}
}

// holdersMost is how many addresses of a group are asked for; the owner tells of
// no more.
const holdersMost = 3

// heardFinding takes the standby's word on what the network believes.
func (l *Loop) heardFinding(now pair.Instant, value []byte) {
	f, ok := accord.ParseFinding(value)
	if !ok || l.o.Talk.LAN == nil || int(f.Group) >= len(l.groups) || !l.agrees() {
		return
	}
	g := l.groups[f.Group]
	u := &g.lan
	if !g.opened || u.heardAt != 0 && u.round == f.Round {
		return
	}
	u.round, u.heardAt = f.Round, now
	if f.Verdict == accord.Right {
		l.upstreamRight(g)
		return
	}
	u.bad++
	text := l.upstreamText(g, f, l.o.Peer.Name)
	l.event(now, report.Event{Kind: "address", Group: g.Name, Seen: text, Decided: "this node owns the group", Done: "announced again"})
	l.o.Hands.Announce(g.index, "the network believes otherwise")
	if u.bad >= badMost {
		l.alarm(g.Name+"/upstream", true, text)
	}
}

func (l *Loop) upstreamRight(g *group) {
	g.lan.bad = 0
	l.alarm(g.Name+"/upstream", false, "")
}

func (l *Loop) upstreamDue() bool {
	for _, g := range l.groups {
		if g.lan.holder || g.lan.copies > 0 {
			return true
		}
	}
	return false
}

// tellUpstream puts what is due into the frame. What does not fit is told by a
// later one.
func (l *Loop) tellUpstream(room int) {
	for _, g := range l.groups {
		u := &g.lan
		if u.copies > 0 {
			u.find.Group = uint8(g.index)
			if l.add(room, accord.TypeFinding, u.find.Append(nil)) {
				u.copies--
			}
		}
		for u.holder && len(u.own) > 0 {
			h := u.own[0]
			h.Group = uint8(g.index)
			if !l.add(room, accord.TypeHolder, h.Append(nil)) {
				break
			}
			u.own = u.own[1:]
		}
		u.holder = len(u.own) > 0
	}
}

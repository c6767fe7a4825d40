package loop

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// helloEvery is the pause between handshake attempts while no session stands; the
// first helloHasty come with each beat, no more than the peer answers within a second:
// an agent that restarts has little left of its lease. helloSilent is the pause while
// one stands but the peer is silent (its agent may have restarted and lost it).
const (
	helloEvery  = 100 * time.Millisecond
	helloHasty  = 4
	helloSilent = 500 * time.Millisecond
)

// beat sends heartbeats when they are due, or when a state changed, and renews
// the leases in the same turn.
// It reports whether it did.
func (l *Loop) beat(began pair.Instant) bool {
	if began < l.nextBeat && !l.urgent {
		return false
	}
	if l.tokenAt == 0 {
		return false // it became urgent in this turn: the next one, at once, has a mark
	}
	now := l.o.Now()
	regular := now >= l.nextBeat
	if regular {
		l.nextBeat = l.nextBeat.Add(l.o.Beat)
		if l.nextBeat <= now {
			l.nextBeat = now.Add(l.o.Beat)
		}
	}
	l.urgent = false
	if l.helloDue(now) {
		l.nextHello = now.Add(l.helloPause())
		l.sendHello(now)
	}
	l.send(now, wire.Beat, wire.AllGroups)
	l.renew(now)
	l.watchLinks(now)
	l.beatDone()
	if regular {
		l.tellPeer(now)
	}
	return true
}

func (l *Loop) helloPause() time.Duration {
	switch l.hellos++; {
	case !l.o.Wire.WantsHello():
		return helloSilent
	case l.hellos <= helloHasty:
		return l.o.Beat
	default:
		return max(helloEvery, l.o.Beat)
	}
}

func (l *Loop) helloDue(now pair.Instant) bool {
	if l.o.Wire.Worn() && !l.worn {
		l.worn = true
		l.o.Wire.Restart(l.o.Nonce())
	}
	if now < l.nextHello {
		return false
	}
	return l.o.Wire.WantsHello() || now.Since(l.peer.heardAt) > l.o.Dead
}

// renew extends the kernel lease of every group whose machine may hold it. It
// comes last in the turn: after the heartbeat that tells the peer. A heartbeat
// that no link would take is no reason to go dark: the machine judges by what
// the peer echoes, and a survivor without any link must go on serving.
func (l *Loop) renew(now pair.Instant) {
	refused := !l.marked
	for _, g := range l.groups {
		if !g.opened || !g.m.MayRenew(now) {
			continue
		}
		if err := l.o.Gate.Renew(uint8(g.index)); err != nil {
			l.counters.GateErrors++
			refused = true
			l.verify(now, g)
			continue
		}
		if now.Since(g.renewed) >= l.o.Lease { // it may have run out, and the kernel refuses what is late
			if l.verify(now, g); !g.opened {
				continue
			}
		}
		g.renewed = now
	}
	if !refused {
		l.proveLease()
	}
}

func (l *Loop) sendHello(now pair.Instant) {
	l.send(now, wire.Hello, wire.AllGroups)
}

// send puts one message on every path, under one counter. It reports whether
// at least one path took it.
func (l *Loop) send(now pair.Instant, kind wire.Kind, groupIndex uint8) bool {
	l.sends++
	m := &l.message
	*m = wire.Message{Kind: kind, GroupIndex: groupIndex}
	if kind != wire.Hello {
		if l.follow(now); l.session == 0 {
			return false
		}
		l.fill(now, m)
		m.Counter = l.o.Wire.NextCounter()
		l.sent.add(m.Counter, now)
	}
	took := false
	for _, p := range l.paths {
		p.echo(now, m, l.session)
		frame, err := l.o.Wire.Seal(l.buf[:0], p.id, m)
		if err == nil {
			err = p.Path.Send(frame)
		}
		if err != nil {
			l.counters.SendErrors++
			continue
		}
		took = true
	}
	return took
}

// fill writes what every frame of a session says of this node.
func (l *Loop) fill(now pair.Instant, m *wire.Message) {
	m.Mode, m.Digest, m.Version = uint8(l.o.Mode), l.o.Digest, l.o.Soft
	m.Lease = l.o.Lease + l.o.Window
	s := &l.health.own
	m.Health, m.TimeToCritical = health.Byte(s.Score), timeToCritical(s)
	if l.peer.known && l.peer.session == l.session { // counters of another session mean nothing in this one
		m.Echo, m.EchoAge = l.peer.counter, now.Since(l.peer.heardAt)
	}
	for _, p := range l.paths {
		if p.session == l.session && p.fresh(now) {
			m.HearsLinks |= 1 << p.id
		}
	}
	m.NGroups = len(l.groups)
	for i, g := range l.groups {
		v := g.m.View()
		m.Groups[i] = wire.Group{State: uint8(v.State), Flags: flags(v), Term: v.Term}
	}
}

func flags(v pair.View) uint8 {
	var f uint8
	if v.Passive {
		f |= wire.Passive
	}
	if v.Unfit {
		f |= wire.Unfit
	}
	if v.FenceMe {
		f |= wire.FenceMe
	}
	return f
}

// echo fills in what this path alone heard, for the peer's round trip.
func (p *path) echo(now pair.Instant, m *wire.Message, session uint32) {
	m.LinkEcho, m.LinkEchoAge = 0, 0
	if p.heardAt != 0 && p.session == session {
		m.LinkEcho, m.LinkEchoAge = p.counter, now.Since(p.heardAt)
	}
}

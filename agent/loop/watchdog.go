package loop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/vital"
)

// A Dog resets the box that does not feed it; see agent/watchdog. The loop alone
// calls it, and Feed only at the end of a turn.
type Dog interface {
	Feed() error
	Leave() error  // the next process has the hand-over time to open the device
	Disarm() error // for an operator who says so
	Devices() []report.WatchdogDev
}

// A Watch is what the loop needs to feed a watchdog honestly.
type Watch struct {
	Dog   Dog
	Guard *vital.Guard
	Every time.Duration // between two feeds

	// The guard's sources that the loop proves, or has proved in its lanes.
	Machine, Lease, Netlink, Journal int
	NetlinkEvery, JournalEvery       time.Duration
	Patience                         time.Duration // of the lanes

	Ask    func() error            // asks the kernel over netlink and reads the answer
	Record func(report.Kick) error // writes and syncs the newest feed; may wait for the disk
	Dump   func(why string)        // keeps every goroutine's stack; does not wait
	Kick   report.Kick             // what the record says beside the feed
}

// guarding is what the loop knows of its watchdog.
type guarding struct {
	beaten   bool // this turn sent its heartbeats
	fedAt    pair.Instant
	feeds    uint64
	next     pair.Instant // feed
	ask      pair.Instant
	record   pair.Instant
	asking   bool
	writing  bool
	starved  bool // for ever
	disarmed bool
	leftOut  string
}

// stamp is the guard's time.
func (l *Loop) stamp() time.Duration { return time.Duration(l.o.Now()) }

// guard ends a turn: it judges whether all vital work gets done, and only then,
// and only after heartbeats, feeds the watchdog.
func (l *Loop) guard() {
	w, g := l.o.Watch, &l.watch
	beaten := g.beaten
	g.beaten = false
	now := l.o.Now()
	yields := l.yields(now)
	if w == nil || g.starved || yields && g.disarmed {
		if yields {
			l.yielded()
		}
		return
	}
	switch judged := w.Guard.Judge(time.Duration(now)); {
	case judged == vital.Failed:
		l.starve(now)
	case yields:
		l.leaveDog(judged == vital.Well)
	case judged == vital.Well:
		if beaten && now >= g.next && !g.disarmed {
			l.feed(now)
		}
	}
}

// leaveDog is the last that this process does to the watchdog. Before every
// source has proven itself the hand-over time is still in force.
func (l *Loop) leaveDog(well bool) {
	if well {
		if err := l.o.Watch.Dog.Leave(); err != nil {
			l.alarm("watchdog", true, err.Error())
		}
	}
	l.watch.disarmed = true // a feed would put the working timeout in force again
	l.yielded()
}

// feed keeps the box alive for one more timeout.
func (l *Loop) feed(now pair.Instant) {
	w, g := l.o.Watch, &l.watch
	err := w.Dog.Feed()
	g.next = now.Add(w.Every)
	if err == nil {
		g.fedAt, g.feeds = now, g.feeds+1
	}
	took := l.o.Now().Since(now)
	slow := took > l.o.Stall/2
	why := fmt.Sprintf("a feed took %d ms, in which no heartbeat went out", took.Milliseconds())
	if err != nil {
		why = err.Error()
	}
	l.alarm("watchdog", err != nil || slow, why)
	if out := strings.Join(w.Guard.LeftOut(), ", "); out != g.leftOut {
		g.leftOut = out
		l.alarm("watchdog-unproven", out != "", out+": never worked since the agent started, and is not judged by")
	}
}

// starve gives this node up: gates first, then the word to the peer, then what
// a person needs to find the cause. The watchdog is not fed again.
func (l *Loop) starve(now pair.Instant) {
	w := l.o.Watch
	l.watch.starved = true
	stale := strings.Join(w.Guard.Stale(), "; ")
	for _, g := range l.groups {
		if g.opened || g.wantOpen != 0 {
			l.close(g)
		}
	}
	for _, g := range l.groups {
		l.step(now, g, pair.LeaseLost{}) // RELEASED, if it owned
		l.step(now, g, pair.Stop{})      // GOODBYE
	}
	w.Dump("vital work does not get done: " + stale)
	l.alarm("watchdog-starved", true, stale)
	l.event(now, report.Event{
		Kind: "agent", Seen: stale, Decided: "gates closed, GOODBYE said; the watchdog is not fed again", Done: "the box is about to be reset",
	})
	l.recordFeed()
}

// proveLease notes that the kernel took the turn's mark and every renewal.
func (l *Loop) proveLease() {
	if w := l.o.Watch; w != nil {
		w.Guard.Done(w.Lease, l.stamp())
	}
}

// beatDone notes that every machine had its tick and the heartbeats went out.
func (l *Loop) beatDone() {
	if w := l.o.Watch; w != nil {
		l.watch.beaten = true
		w.Guard.Done(w.Machine, l.stamp())
	}
}

// prove has the lanes do what proves netlink and the disk, when it is due.
func (l *Loop) prove(now pair.Instant) {
	w, g := l.o.Watch, &l.watch
	if w == nil {
		return
	}
	for _, p := range l.paths { // a reader may wait for a line that is cut: a look of our own proves it, too
		if p.Lazy {
			p.Path.Drain()
		}
	}
	if now >= g.ask && !g.asking {
		g.ask, g.asking = now.Add(w.NetlinkEvery), true
		l.lane("netlink", w.Patience, func(context.Context) Fact {
			w.Guard.Begin(w.Netlink, l.stamp())
			return askedFact{l.proof(w.Netlink, w.Ask())}
		}, func(err error) Fact { return askedFact{err} })
	}
	if now >= g.record && !g.writing {
		l.recordFeed()
	}
}

// proof notes how a piece of work ended, in the goroutine that did it.
func (l *Loop) proof(source int, err error) error {
	if err == nil || full(err) {
		l.o.Watch.Guard.Done(source, l.stamp())
	} else {
		l.o.Watch.Guard.End(source)
	}
	return err
}

// full says whether a disk that is full or read-only answered: it works as far as
// it can, and a reset would not give it room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

// recordFeed writes the newest feed into the journal, which proves the disk.
func (l *Loop) recordFeed() {
	w, g := l.o.Watch, &l.watch
	g.writing, g.record = true, l.o.Now().Add(w.JournalEvery)
	k := w.Kick
	k.State, k.Stale = l.watchState(), w.Guard.Stale()
	k.At = l.o.Wall()
	if g.fedAt != 0 {
		k.At = k.At.Add(-l.o.Now().Since(g.fedAt))
	}
	l.lane("journal", saveDeadline, func(context.Context) Fact {
		w.Guard.Begin(w.Journal, l.stamp())
		return recordedFact{l.proof(w.Journal, w.Record(k))}
	}, func(err error) Fact { return recordedFact{err} })
}

// askedFact ends a question to the kernel.
type askedFact struct{ err error }

func (f askedFact) apply(l *Loop, _ pair.Instant) {
	l.watch.asking = false
	l.alarm("netlink", f.err != nil, fmt.Sprintf("netlink: %v", f.err))
}

// recordedFact ends a record of the newest feed.
type recordedFact struct{ err error }

func (f recordedFact) apply(l *Loop, _ pair.Instant) {
	l.watch.writing = false
	l.alarm("watchdog-record", f.err != nil, fmt.Sprintf("prove disk: %v", f.err))
}

// saveProof is [Memory.Save] as proof of the disk, or as the piece of work that
// does not come back.
func (l *Loop) saveProof(memory Memory, s Saved) error {
	w := l.o.Watch
	if w == nil {
		return memory.Save(s)
	}
	w.Guard.Begin(w.Journal, l.stamp())
	return l.proof(w.Journal, memory.Save(s))
}

// disarm carries out an operator's word.
func (l *Loop) disarm(now pair.Instant, o Order) result {
	w, g := l.o.Watch, &l.watch
	switch {
	case w == nil:
		return result{err: errors.New("disarm watchdog: none is open")}
	case g.starved:
		return result{err: errors.New("disarm watchdog: this node gave up, and the reset is its only way back")}
	}
	l.operator(now, o)
	if err := w.Dog.Disarm(); err != nil {
		return result{err: err}
	}
	g.disarmed = true
	l.alarm("watchdog-disarmed", true, "disarmed by "+o.By+"; armed again when the agent is started")
	return result{text: "the watchdog is disarmed until the agent is started again"}
}

// Starved says whether the loop gave this node up. It may be asked when Run has
// returned.
func (l *Loop) Starved() bool { return l.watch.starved }

// watchState is the word for how things stand.
func (l *Loop) watchState() string {
	switch g := &l.watch; {
	case g.starved:
		return "starved"
	case g.disarmed:
		return "disarmed"
	case g.feeds == 0:
		return "starting"
	}
	return "fed"
}

// watchdogView is what status shows.
func (l *Loop) watchdogView(now pair.Instant) *report.Watchdog {
	w := l.o.Watch
	if w == nil {
		return l.o.NoDog
	}
	v := &report.Watchdog{
		State: l.watchState(), Devices: w.Dog.Devices(), FedMS: ago(now, l.watch.fedAt), Feeds: l.watch.feeds,
		Stale: w.Guard.Stale(), LeftOut: w.Guard.LeftOut(),
	}
	for _, a := range w.Guard.Ages(time.Duration(now)) {
		t := report.TokenView{Name: a.Name, LimitMS: ms(a.Limit)}
		if a.Age >= 0 {
			age := ms(a.Age)
			t.AgeMS = &age
		}
		v.Tokens = append(v.Tokens, t)
	}
	return v
}

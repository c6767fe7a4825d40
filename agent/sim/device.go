package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// The ways of a fence device. What the field has met is in the words of the
// people who met it: a relay that is welded, a status that lags, an error that
// acted, a reboot in place of an off. Up to deviceTruths the device can be late,
// mute or wrong, but what it lets itself be read as off has lost its power, or
// the meter says that it has not: no proof may come of it that is false. Beyond
// it are lies that no reading finds out. Mode fence promises nothing then, and
// says so; the checker counts whom they deceived instead of accusing the machine.
const (
	deviceGood    = iota
	deviceSlow    // obeys and answers within the longest fence operation, or just not
	deviceDeaf    // says yes and does nothing
	deviceGarbled // noSuchInstance, another outlet's value: nothing can be read
	deviceErrs    // says error and obeys
	deviceLags    // its reading lags behind the relay by deviceLag
	deviceReboots // switches on again by itself soon after
	deviceHalf    // of two outlets it switches one
	devicePending // off, and a delayed "on" is pending
	deviceLate    // a command waits in it, though its sender may die; an answer gets lost now and then
	deviceMetered // the relay is welded, and the meter shows the load
	deviceTruths
	deviceWelded // the relay is welded, and there is no meter
	deviceOther  // what it reads is another outlet, which is off
	deviceMiswired
	deviceBehaviours
)

var deviceNames = [...]string{
	"good", "slow", "deaf", "garbled", "failing though it obeys", "lagging", "rebooting", "switching one outlet of two", "about to switch on again",
	"late", "welded with a meter", "", "welded without a meter", "reading another outlet", "cabled to the wrong box",
}

// deviceLag is the longest that a status was seen to lag.
const deviceLag = 25 * time.Second

// maxFeeds is how many power supplies a node has at most.
const maxFeeds = 2

// feed is the outlet of one power supply.
type feed struct {
	off     bool // as the device has it
	changed pair.Instant
	pending bool   // it will be on again by itself, and the device says so
	starves *node  // who has no power from it; nil: the contact is closed
	number  uint32 // of the newest command: a switching-on of before means nothing
}

// device is the fence device: it obeys whoever reaches it.
type device struct {
	w     *World
	reach [2]bool
	how   int
	lied  bool         // it was a liar since the last heal
	since pair.Instant // when it took to its ways: a status that was read does not go back behind that
	feeds [2][maxFeeds]feed
}

// liar says whether the device lies, or lied since the last heal, in a way that
// no reading finds out.
func (d *device) liar() bool { return d.lied || d.how > deviceTruths }

// become changes the ways of the device. A relay that was welded comes loose.
func (d *device) become(how int) {
	welded := d.how == deviceMetered || d.how == deviceWelded
	d.how, d.since = how, d.w.now
	d.lied = d.liar()
	for n := range d.feeds {
		for i := range d.w.cfg.Feeds {
			if f := &d.feeds[n][i]; welded && f.off && f.starves == nil {
				d.starve(f, d.w.nodes[n])
			}
		}
	}
}

// starve takes the power of one outlet from a node.
func (d *device) starve(f *feed, victim *node) {
	if f.starves == nil {
		f.starves = victim
		victim.starved++
	}
	if victim.starved >= d.w.cfg.Feeds {
		victim.powerOff(fenced)
	}
}

// mend makes the device good and every outlet live.
func (d *device) mend() {
	d.reach, d.how, d.lied = [2]bool{true, true}, deviceGood, false
	for n := range d.feeds {
		for i := range d.feeds[n] {
			d.close(n, i)
		}
	}
}

// obey takes the order of a node to switch the other one off, and says whether
// it acknowledged it. It is carried out within the time of the fence operation,
// whatever becomes of the sender.
func (d *device) obey(by *node, until pair.Instant) bool {
	w := d.w
	if !d.reach[by.id] {
		return false
	}
	if d.how == deviceDeaf || d.how == deviceOther || w.cfg.Mutant == FenceLies {
		return true
	}
	for i := range w.cfg.Feeds {
		in := w.chance(w.fenceT * 2 / 5)
		switch {
		case d.how == deviceHalf && i > 0:
			return true
		case d.how == deviceLags: // the status, not the relay
			in = w.chance(provingGap / 2)
		case d.how == deviceSlow:
			in = w.fenceT/4 + w.chance(w.fenceT/2)
		case d.how == deviceLate:
			in = w.chance(w.fenceT)
		}
		w.after(min(in, until.Since(w.now)), func() { d.open(1-by.id, i) })
	}
	return d.how != deviceErrs && (d.how != deviceLate || !w.odds(4))
}

// open is the moment in which the outlet of a node's power supply goes off.
func (d *device) open(n, i int) {
	w, f := d.w, &d.feeds[n][i]
	if !f.off {
		f.off, f.changed = true, w.now
	}
	f.number++
	f.pending = d.how == devicePending
	dark := 5*w.unit + w.chance(10*w.unit)
	switch {
	case d.how == deviceReboots:
		dark = w.unit/4 + w.chance(2*w.unit)
	case f.pending:
		dark = w.unit + w.chance(w.unit)
	case w.calm: // somebody switches it on again: after a proof could be had, and before the next turn's order
		dark = w.fenceT + w.chance(w.fenceT/4)
	}
	number := f.number
	w.after(dark, func() {
		if f.number == number {
			d.close(n, i)
		}
	})
	victim := w.nodes[n]
	if d.how == deviceMiswired {
		// Node 0 hangs on the outlet that is called node 1's, and node 1 on none.
		if n == 0 {
			return
		}
		victim = w.nodes[0]
	}
	if d.how != deviceWelded && d.how != deviceMetered {
		d.starve(f, victim)
	}
}

// close is the moment in which an outlet goes on.
func (d *device) close(n, i int) {
	f := &d.feeds[n][i]
	if f.off {
		f.off, f.changed = false, d.w.now
	}
	f.number++
	f.pending = false
	if v := f.starves; v != nil {
		f.starves = nil
		v.starved--
		v.powerOn()
	}
}

// A reading is what package fence makes of what a device says of all outlets of
// a node.
type reading int

const (
	readUnknown reading = iota // or a command is pending
	readOn                     // or a load is there
	readOff
)

// read is what a node reads of the other one's outlets.
func (d *device) read(by *node) reading {
	w := d.w
	switch {
	case !d.reach[by.id] || d.how == deviceGarbled || d.how == deviceLate && w.odds(8):
		return readUnknown
	case d.how == deviceOther || w.cfg.Mutant == FenceLies:
		return readOff
	}
	r := readOff
	for i := range w.cfg.Feeds {
		f := &d.feeds[1-by.id][i]
		off := f.off
		if d.how == deviceLags && f.changed > d.since && w.now.Since(f.changed) < deviceLag {
			off = !off
		}
		switch {
		case !off || d.how == deviceMetered:
			return readOn
		case f.pending:
			r = readUnknown
		}
	}
	return r
}

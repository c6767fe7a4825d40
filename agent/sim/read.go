package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

const (
	// maxFrames is how many frames wait for the loop: loop.FrameQueue.
	maxFrames = 64
	// maxUnread is what a socket holds that nobody reads, in frames, and
	// maxTTY what a tty does, in bytes (n_tty).
	maxUnread = 256
	maxTTY    = 4096
	// drainMost bounds what the loop takes from a socket in one turn, as
	// link.DrainMost; a read of a tty takes all.
	drainMost = 16
	// maxReaderLag is how long after a resume the readers may still stand still.
	maxReaderLag = 5 * time.Millisecond
	// attendAfter, sampleEvery and sampleLasts are agent/loop's for a lazy path.
	attendAfter = 2
	sampleEvery = 256
	sampleLasts = 12
)

// inlet is the receiving end of one link: the kernel's buffer, and the reader
// that empties it. A reader that is held up may keep the loop from emptying it,
// too, since it stopped with the lock in its hand.
type inlet struct {
	unread  []int32
	rests   bool // a tty that is left to the loop while Ethernet brings the frames
	late    bool // the reader comes later
	locked  bool // and holds the lock
	heardAt pair.Instant
}

// read is what a frame's arrival makes of the reader of its link.
func (w *World) read(p *process, ref int32) {
	if p.n.proc != p {
		w.pool.free(ref)
		return
	}
	link := int(w.pool.frames[ref].link)
	in := &p.inlets[link]
	switch {
	case p.paused || in.rests || in.late:
	case !w.calm && w.odds(64): // a scheduler that takes its time
		p.readLater(link, w.timing.Window/2, w.odds(8))
	case len(in.unread) == 0:
		w.take(p, ref)
		return
	}
	most := maxUnread
	if w.links[link].serial {
		most = maxTTY / frameSize
	}
	if len(in.unread) >= most {
		w.pool.free(ref)
		return
	}
	in.unread = append(in.unread, ref)
	if !p.paused && !in.rests && !in.late {
		p.empty(link, maxUnread)
	}
}

// readLater holds a reader up for a time below d.
func (p *process) readLater(link int, d time.Duration, locked bool) {
	in := &p.inlets[link]
	in.late, in.locked = true, locked
	p.n.w.after(p.n.w.chance(d), func() {
		if p.paused {
			return // resume comes back to it
		}
		in.late, in.locked = false, false
		if !in.rests {
			p.empty(link, maxUnread)
		}
	})
}

// empty takes what a link's kernel buffer holds.
func (p *process) empty(link, most int) {
	in := &p.inlets[link]
	for range min(len(in.unread), most) {
		if p.n.proc != p || len(in.unread) == 0 {
			return
		}
		ref := in.unread[0]
		in.unread = in.unread[1:]
		p.n.w.take(p, ref)
	}
}

// collect is the loop's own look at the links before it judges: agent/loop
// says when.
func (p *process) collect() {
	w := p.n.w
	if len(p.inbox) > 0 && p.inbox[0].isFrame() && w.odds(2) {
		return // it was a frame that woke the loop
	}
	late := p.now().Since(p.talk.heardAt) > w.timing.Beat+w.timing.Beat/2
	for i := range p.inlets {
		in := &p.inlets[i]
		if in.locked || len(in.unread) == 0 || !late && !in.rests {
			continue
		}
		most := drainMost
		if w.links[i].serial {
			most = maxUnread
		}
		p.empty(i, most)
	}
}

// attend says once a beat how the tty is to be read.
func (p *process) attend(now pair.Instant) {
	t, eth := &p.talk, &p.inlets[linkUDP]
	brought := eth.heardAt != 0 && now.Since(eth.heardAt) <= attendAfter*p.n.w.timing.Beat
	tty := &p.inlets[linkTTY]
	was := tty.rests
	tty.rests = brought && t.last%sampleEvery >= sampleLasts && t.heard%sampleEvery >= sampleLasts
	if was && !tty.rests && !tty.late {
		p.readLater(linkTTY, 100*time.Microsecond, false)
	}
}

// isFrame says whether an input came by a link.
func (x *input) isFrame() bool { return x.in == nil && !x.verify }

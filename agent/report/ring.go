package report

// RingSize is how many events a Ring keeps. Beyond it the oldest is overwritten;
// a reader sees the gap in Seq, and the journal's files may still hold it.
const RingSize = 1000

// A Ring keeps the newest RingSize events in order. The zero value is ready.
// It is not safe for concurrent use: its owner holds the lock.
type Ring struct {
	events [RingSize]Event
	n      int    // events held
	next   int    // where the next one goes
	last   uint64 // Seq of the newest event ever added
}

// Add gives the event the next sequence number, keeps it and returns it.
func (r *Ring) Add(e Event) Event {
	r.last++
	e.Seq = r.last
	r.put(e)
	return e
}

// Restore fills the ring with events of an earlier run, oldest first, as the
// journal kept them, so that sequence numbers go on rising over a restart. An
// event whose number does not rise is given the next one: a journal that lost
// its tail must not make two events share a number.
func (r *Ring) Restore(events []Event) {
	for _, e := range events {
		if e.Seq <= r.last {
			e.Seq = r.last + 1
		}
		r.last = e.Seq
		r.put(e)
	}
}

func (r *Ring) put(e Event) {
	r.events[r.next] = e
	r.next = (r.next + 1) % RingSize
	r.n = min(r.n+1, RingSize)
}

// Last returns the sequence number of the newest event, 0 if there was none.
func (r *Ring) Last() uint64 { return r.last }

// After returns a copy of the events held with a sequence number above seq,
// oldest first. If the first number is above seq+1, those between are gone.
func (r *Ring) After(seq uint64) []Event {
	if seq >= r.last {
		return nil
	}
	var out []Event
	for i := range r.n {
		e := r.events[(r.next-r.n+i+RingSize)%RingSize]
		if e.Seq > seq {
			out = append(out, e)
		}
	}
	return out
}

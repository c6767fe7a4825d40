//go:build !lite

package cable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"
	"time"
)

// beat is the length of an echoed frame: a BEAT of one group (see agent/wire).
const beat = 53

// Counted is what one end counted at one rate.
type Counted struct {
	Bytes  int `json:"bytes"`      // of the known sequence
	Errors int `json:"bit_errors"` // in them
	Lost   int `json:"bytes_lost"`
	Slips  int `json:"slips"` // how often bytes were missing or too many
}

// A Rate is what was measured at one line speed. Round trips are of frames as
// long as a beat.
type Rate struct {
	Baud   int     `json:"baud"`
	Error  string  `json:"error,omitempty"` // why it was not measured
	Sent   int     `json:"frames_sent"`     // by the leader, to come back
	Back   int     `json:"frames_back"`
	TripMS float64 `json:"round_trip_ms"` // median
	MostMS float64 `json:"round_trip_most_ms"`
	Here   Counted `json:"here"`
	There  Counted `json:"there"`
}

// lateMost is how many frames one may be late that is no sign of a bad cable, but of
// a box that was busy: where thousands go there and back.
const lateMost = 500

// Clean says whether everything that was sent arrived as it was.
func (r Rate) Clean() bool {
	whole := func(c Counted) bool { return c.Bytes > 0 && c.Errors == 0 && c.Lost == 0 && c.Slips == 0 }
	return r.Error == "" && r.Sent > 0 && r.Sent-r.Back <= r.Sent/lateMost && whole(r.Here) && whole(r.There)
}

// bytesAt is how many bytes of the sequence are sent at a rate.
func (t Times) bytesAt(baud int) int { return int(t.Stream.Seconds() * float64(baud) / 10) }

// play is one end's part at a rate, from the change to it until the return.
func (k *talk) play(baud int, leads bool) (r Rate, err error) {
	began := time.Now()
	r.Baud = baud
	if err := k.w.SetBaud(baud); err != nil {
		return r, err
	}
	defer func() {
		if back := k.w.SetBaud(Base); back != nil && err == nil {
			err = back
		}
		sleepUntil(began.Add(k.t.whole() + k.t.Settle))
		if flush := k.flush(); flush != nil && err == nil {
			err = flush
		}
	}()
	sleepUntil(began.Add(k.t.Settle))
	if err := k.flush(); err != nil {
		return r, err
	}
	echoed := began.Add(k.t.Settle + k.t.Echo)
	if leads {
		sleepUntil(began.Add(2 * k.t.Settle)) // until the other one has flushed, too
		err = k.echoes(&r, echoed)
	} else {
		err = k.mirror(echoed.Add(k.t.Settle))
	}
	if err != nil {
		return r, err
	}
	sleepUntil(echoed.Add(3 * k.t.Settle / 2))
	if err := k.flush(); err != nil {
		return r, err
	}
	sleepUntil(echoed.Add(2 * k.t.Settle))
	r.Here, err = k.stream(baud, began.Add(k.t.whole()))
	return r, err
}

func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }

// echoes sends frames until a moment and waits for each to come back.
func (k *talk) echoes(r *Rate, until time.Time) error {
	wire := time.Duration(float64(2*10*(beat+4)) / float64(r.Baud) * float64(time.Second))
	patience := 2*wire + 100*time.Millisecond
	var trips []time.Duration
	frame := make([]byte, beat)
	place := firstSequence
	for time.Now().Add(wire).Before(until) {
		for i := range frame {
			frame[i] = place.next()
		}
		binary.BigEndian.PutUint32(frame, uint32(r.Sent))
		frame[4] = 0xee // never the first letter of a message
		sent := time.Now()
		if err := k.send(frame); err != nil {
			return err
		}
		r.Sent++
		end := sent.Add(patience)
		if end.After(until) {
			end = until.Add(k.t.Settle / 2)
		}
		for p := []byte{}; p != nil; {
			var err error
			if p, err = k.next(time.Until(end)); err != nil {
				return err
			}
			if bytes.Equal(p, frame) {
				r.Back++
				trips = append(trips, time.Since(sent))
				break
			}
		}
	}
	if len(trips) > 0 {
		sort.Slice(trips, func(i, k int) bool { return trips[i] < trips[k] })
		r.TripMS, r.MostMS = millis(trips[len(trips)/2]), millis(trips[len(trips)-1])
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// mirror sends back what comes until a moment.
func (k *talk) mirror(until time.Time) error {
	for time.Now().Before(until) {
		p, err := k.next(time.Until(until))
		if err != nil {
			return err
		}
		if len(p) == beat && p[4] == 0xee {
			if err := k.send(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// stream sends the known sequence, and counts what comes of the other's.
func (k *talk) stream(baud int, until time.Time) (Counted, error) {
	all := k.t.bytesAt(baud)
	out := make([]byte, all)
	place := firstSequence
	for i := range out {
		out[i] = place.next()
	}
	sent := make(chan error, 1)
	go func() { sent <- k.pour(out, baud, until) }()
	var c count
	var b [4096]byte
	for time.Now().Before(until) {
		n, err := k.w.Read(b[:], min(time.Until(until), 20*time.Millisecond))
		if err != nil {
			<-sent
			return Counted{}, err
		}
		c.write(b[:n])
	}
	if err := <-sent; err != nil {
		return Counted{}, err
	}
	return Counted{Bytes: c.Bytes, Errors: c.Errors, Lost: max(all-c.Bytes, 0), Slips: c.Slips}, nil
}

// pour writes no faster than the wire carries, so that nothing is left unsent in
// the kernel when the speed changes.
func (k *talk) pour(out []byte, baud int, until time.Time) error {
	const slice = 10 * time.Millisecond
	began := time.Now()
	for done := 0; done < len(out); time.Sleep(slice) {
		due := min(len(out), int((time.Since(began)+slice).Seconds()*float64(baud)/10))
		if err := k.w.Write(out[done:due], time.Until(until)); err != nil {
			return err
		}
		done = due
	}
	return nil
}

// String is a count as it travels.
func (c Counted) String() string {
	return fmt.Sprintf("%d %d %d %d", c.Bytes, c.Errors, c.Lost, c.Slips)
}

func (c *Counted) scan(words string) error {
	return numbers(words, &c.Bytes, &c.Errors, &c.Lost, &c.Slips)
}

//go:build !lite

package cable

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/twinbeat/twinbeat/agent/wire"
)

const (
	helloEvery  = 200 * time.Millisecond
	answerTime  = 500 * time.Millisecond
	writeTime   = 2 * time.Second
	keptStrange = 256 // bytes of what is not ours
	plugHellos  = 5   // own frames that come back before that is the finding
)

// ErrNobody means that no other test was met. Errors wrap it; what is
// there instead stands in the text.
var ErrNobody = errors.New("no cable test answers")

// A talk is the exchange over a wire.
type talk struct {
	w     Wire
	t     Times
	in    wire.Deframer
	queue [][]byte // payloads that came and were not taken yet

	strange []byte // the newest bytes of what was no frame
	other   int    // how many bytes came in all
	run     []byte // bytes since the last frame or delimiter
	hello   []byte // as it was said last
	seq     int
	last    string // the follower's newest answer, and what it was to
	lastSeq int
}

const maxQueue = 64

// read takes in what comes within a time; payloads are queued.
func (k *talk) read(within time.Duration) error {
	var b [4096]byte
	n, err := k.w.Read(b[:], within)
	if err != nil {
		return err
	}
	k.other += n
	for i := range n {
		good := k.in.Good
		k.in.Write(b[i:i+1], func(p []byte) {
			if len(k.queue) < maxQueue {
				k.queue = append(k.queue, bytes.Clone(p))
			}
		})
		switch {
		case k.in.Good != good:
			k.run = k.run[:0]
		default:
			k.run = append(k.run, b[i])
		}
		if len(k.run) > 2*wire.MaxSerial { // no frame is that long
			k.keep()
		}
	}
	return nil
}

// keep remembers bytes that belong to no frame.
func (k *talk) keep() {
	k.strange = append(k.strange, k.run...)
	k.strange = k.strange[max(0, len(k.strange)-keptStrange):]
	k.run = k.run[:0]
}

// next returns the next payload that comes within a time, nil if none does.
func (k *talk) next(within time.Duration) ([]byte, error) {
	for end := time.Now().Add(within); ; {
		if len(k.queue) > 0 {
			p := k.queue[0]
			k.queue = k.queue[1:]
			return p, nil
		}
		left := time.Until(end)
		if left <= 0 {
			return nil, nil
		}
		if err := k.read(min(left, 20*time.Millisecond)); err != nil {
			return nil, err
		}
	}
}

// send puts one payload on the wire; words that are too long are cut.
func (k *talk) send(payload []byte) error {
	return k.w.Write(wire.AppendSerial(nil, payload[:min(len(payload), wire.MaxFrame)]), writeTime)
}

func (k *talk) flush() error {
	k.queue, k.run, k.in = nil, nil, wire.Deframer{}
	return k.w.Flush()
}

// meet says hello until both ends have heard each other, and returns the other's
// nonce. It returns plug if our own words come back.
func (k *talk) meet(nonce uint64) (other uint64, plug bool, err error) {
	own := 0
	known := false // the other has heard us
	var until, due time.Time
	for end := time.Now().Add(k.t.Meet); time.Now().Before(end); {
		if !time.Now().Before(due) {
			due = time.Now().Add(helloEvery)
			k.hello = fmt.Appendf(nil, "HELLO %d %d", nonce, other)
			if err := k.send(k.hello); err != nil {
				return 0, false, err
			}
		}
		if known && time.Now().After(until) {
			return other, false, nil
		}
		p, err := k.next(min(helloEvery/4, time.Until(end)))
		if err != nil {
			return 0, false, err
		}
		from, heard, hello := parseHello(string(p))
		switch {
		case strings.HasPrefix(string(p), "ASK "): // it leads, and knows that we are here
			k.queue = append(k.queue, p)
			return other, false, nil
		case !hello:
		case from == nonce:
			if own++; own >= plugHellos {
				return 0, true, nil
			}
		default:
			other = from
			if heard == nonce && !known { // it may still need our word for having heard it
				known, until, due = true, time.Now().Add(3*helloEvery), time.Time{}
			}
		}
	}
	k.keep()
	if _, share := printable(k.strange); k.other > 0 && share < textShare {
		if err := k.sniff(); err != nil {
			return 0, false, err
		}
	}
	return 0, false, k.nobody()
}

// textShare is how much of what came is printable if a program writes text.
const textShare = 0.8

// sniffTime is above two beats of any profile.
const sniffTime = 600 * time.Millisecond

// sniff listens at each speed for the frames of an agent, which the test cannot
// understand at its own. It returns an error if it finds one.
func (k *talk) sniff() error {
	for _, baud := range Rates {
		if k.w.SetBaud(baud) != nil {
			continue // the port cannot
		}
		if err := k.flush(); err != nil {
			return err
		}
		for end := time.Now().Add(sniffTime); time.Now().Before(end); {
			p, err := k.next(time.Until(end))
			if err != nil {
				return err
			}
			if len(p) >= leastSealed && p[0]>>4 == wireVersion {
				return fmt.Errorf("%w: a twinbeat agent has the other port, at %d baud", ErrNobody, baud)
			}
		}
	}
	return k.w.SetBaud(Base)
}

// What frames of agents have in common: see agent/wire.
const (
	wireVersion = 1
	leastSealed = 8 + 16 // header and tag
)

func parseHello(words string) (from, heard uint64, ok bool) {
	f := strings.Fields(words)
	if len(f) != 3 || f[0] != "HELLO" {
		return 0, 0, false
	}
	from, err := strconv.ParseUint(f[1], 10, 64)
	heard, err2 := strconv.ParseUint(f[2], 10, 64)
	return from, heard, err == nil && err2 == nil
}

// numbers reads as many whole numbers as are asked for, none below zero, and
// nothing else.
func numbers(words string, into ...*int) error {
	f := strings.Fields(words)
	if len(f) != len(into) {
		return fmt.Errorf("the other end says %q", words)
	}
	for i, word := range f {
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return fmt.Errorf("the other end says %q", words)
		}
		*into[i] = int(n)
	}
	return nil
}

// nobody says what is at the other end instead of a cable test.
func (k *talk) nobody() error {
	text, share := printable(k.strange)
	switch {
	case k.other == 0:
		return fmt.Errorf("%w: not a byte came in", ErrNobody)
	case len(k.strange) >= 4 && share >= textShare:
		return fmt.Errorf("%w: a program that writes text does, as a login prompt or a console: %q", ErrNobody, text)
	}
	return fmt.Errorf("%w: %d bytes came in, but no frame of it: another line speed or another program at the other end, or noise", ErrNobody, k.other)
}

// printable returns the text in b and how much of b it is.
func printable(b []byte) (text string, share float64) {
	if len(b) == 0 {
		return "", 0
	}
	good := 0
	words := strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			good++
			return ' '
		case r < unicode.MaxASCII && unicode.IsPrint(r):
			good++
			return r
		}
		return -1
	}, string(b))
	words = strings.Join(strings.Fields(words), " ")
	return words[max(0, len(words)-60):], float64(good) / float64(len(b))
}

// ask puts a question to the follower until it is answered.
func (k *talk) ask(format string, args ...any) (string, error) {
	k.seq++
	for range k.t.Tries {
		if err := k.send(fmt.Appendf(nil, "ASK %d %s", k.seq, fmt.Sprintf(format, args...))); err != nil {
			return "", err
		}
		for end := time.Now().Add(answerTime); time.Now().Before(end); {
			p, err := k.next(time.Until(end))
			if err != nil {
				return "", err
			}
			if words, ok := strings.CutPrefix(string(p), fmt.Sprintf("ANSWER %d ", k.seq)); ok {
				return words, nil
			}
		}
	}
	return "", fmt.Errorf("the other end no longer answers (%s)", fmt.Sprintf(format, args...))
}

// heard returns the next new question within a time, "" if none comes; one that
// was answered is answered again.
func (k *talk) heard(within time.Duration) (string, error) {
	for end := time.Now().Add(within); ; {
		p, err := k.next(time.Until(end))
		if err != nil || p == nil {
			return "", err
		}
		if bytes.HasPrefix(p, []byte("HELLO ")) { // it has not heard that we heard it
			if err := k.send(k.hello); err != nil {
				return "", err
			}
		}
		rest, asks := strings.CutPrefix(string(p), "ASK ")
		number, words, _ := strings.Cut(rest, " ")
		seq, err := strconv.Atoi(number)
		if !asks || err != nil {
			continue
		}
		if seq == k.lastSeq {
			if err := k.send([]byte(k.last)); err != nil {
				return "", err
			}
			continue
		}
		k.lastSeq = seq
		return words, nil
	}
}

func (k *talk) answer(format string, args ...any) error {
	k.last = fmt.Sprintf("ANSWER %d %s", k.lastSeq, fmt.Sprintf(format, args...))
	return k.send([]byte(k.last))
}

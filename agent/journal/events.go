package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// The events: JSON lines in two files. When the newer is full it takes the
// older one's place, so between half a MiB and a MiB of events is kept.
const (
	newEvents    = "events.jsonl"
	oldEvents    = "events.old.jsonl"
	maxEvents    = 512 << 10 // bytes of each file
	maxEventText = 1 << 10   // bytes of one text of an event; the rest is cut off
	maxEventLine = 16 << 10  // bytes of one line; Append refuses a longer one
)

// events is the open newer file.
type events struct {
	dir   string
	file  *os.File // nil: could not be opened; tried again at each Append
	size  int64
	dirty bool      // written to since the last sync
	sync  time.Time // of the last sync
}

// Append adds one event. It is in the kernel's hands when Append returns, so
// it survives the end of the agent; a power cut may take what FlushEvents has
// not yet put on the disk. Flash wears with each sync, and events are for the
// operator: nothing is decided by them.
func (j *Journal) Append(e report.Event) error {
	line, err := eventLine(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lock == nil {
		return fmt.Errorf("append event: %s is not open", j.dir)
	}
	return j.events.append(line)
}

// FlushEvents puts appended events on the disk if there are any and the last
// time was at least every ago. The caller calls it as often as it likes.
func (j *Journal) FlushEvents(every time.Duration) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if time.Since(j.events.sync) < every {
		return nil
	}
	return j.events.flush()
}

// Events returns what the files hold, oldest first. Lines that cannot be read
// are left out and counted in the error, which comes with the rest.
func (j *Journal) Events() ([]report.Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []report.Event
	var errs []error
	for _, name := range []string{oldEvents, newEvents} {
		path := filepath.Join(j.dir, name)
		b, err := readEvents(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got, bad := parseEvents(b)
		all = append(all, got...)
		if bad > 0 {
			errs = append(errs, fmt.Errorf("read %s: %d lines are damaged", path, bad))
		}
	}
	return all, errors.Join(errs...)
}

func eventLine(e report.Event) ([]byte, error) {
	for _, text := range []*string{&e.Kind, &e.Group, &e.From, &e.To, &e.Evidence, &e.Seen, &e.Decided, &e.Done} {
		*text = clip(*text, maxEventText)
	}
	e.At = plain(e.At)
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("append event: %w", err)
	}
	if len(b) >= maxEventLine {
		return nil, fmt.Errorf("append event: %d bytes, at most %d", len(b), maxEventLine)
	}
	return append(b, '\n'), nil
}

// readEvents reads a file, which nobody writes beyond its bound.
func readEvents(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEvents))
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return b, nil
}

func parseEvents(b []byte) (all []report.Event, bad int) {
	for line := range bytes.Lines(b) {
		var e report.Event
		if err := json.Unmarshal(line, &e); err != nil {
			bad++
			continue
		}
		all = append(all, e)
	}
	return all, bad
}

// open opens the newer file and cuts off a line that a power cut tore.
func (v *events) open(dir string) error {
	v.dir = dir
	path := filepath.Join(dir, newEvents)
	b, err := readEvents(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open events: %w", err)
	}
	// After a power cut a file may end in a torn line or, where its length
	// was written before its data, in zeros. A newline ends each whole line.
	whole := int64(bytes.LastIndexByte(b, '\n') + 1)
	if whole < int64(len(b)) {
		if err := f.Truncate(whole); err != nil {
			f.Close()
			return fmt.Errorf("repair events: %w", err)
		}
	}
	v.file, v.size = f, whole
	return nil
}

func (v *events) append(line []byte) error {
	if v.file == nil {
		if err := v.open(v.dir); err != nil {
			return fmt.Errorf("append event: %w", err)
		}
	}
	if v.size+int64(len(line)) > maxEvents {
		if err := v.rotate(); err != nil {
			return fmt.Errorf("append event: %w", err)
		}
	}
	n, err := v.file.Write(line)
	if err != nil {
		if n > 0 {
			// Half a line would spoil the next one. Truncating works on a full disk.
			err = errors.Join(err, v.file.Truncate(v.size))
		}
		return fmt.Errorf("append event: %w", err)
	}
	v.size += int64(n)
	v.dirty = true
	return nil
}

// rotate makes the newer file the older one.
func (v *events) rotate() error {
	flushed := v.flush()
	v.file.Close()
	v.file = nil
	err := os.Rename(filepath.Join(v.dir, newEvents), filepath.Join(v.dir, oldEvents))
	if err != nil {
		return fmt.Errorf("rotate events: %w", err)
	}
	return errors.Join(flushed, v.open(v.dir))
}

func (v *events) flush() error {
	if !v.dirty || v.file == nil {
		return nil
	}
	v.sync = time.Now()
	if err := v.file.Sync(); err != nil {
		return fmt.Errorf("flush events: %w", err)
	}
	v.dirty = false
	return nil
}

func (v *events) close() error {
	if v.file == nil {
		return nil
	}
	err := errors.Join(v.flush(), v.file.Close())
	v.file = nil
	return err
}

// readFull reads until b is full or the file ends.
func readFull(f *os.File, b []byte) (int, error) {
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

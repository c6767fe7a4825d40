package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
)

// What is promised. An alert that waits, and an event that the board holds and
// no office has seen, survive
//   - an end in order: all of it;
//   - a killed agent: all that the event file or the file in memory holds, which
//     is written at once, memoryPause apart;
//   - a power cut or a reset: what has waited for settle or longer, and the count
//     of what was dropped; not the repetitions that windows hold back.
//
// Who is told twice is told so by the event's number: an alert whose answer was
// not noted any more is sent again.
const (
	// settle is how long an alert may wait before it is written to flash. Most are
	// told sooner, and cost no write at all.
	settle = 5 * time.Second
	// memoryPause is the least time between two writes to the file in memory. One
	// that took long is followed by memoryRests times as much: all that is owed is
	// encoded each time.
	memoryPause = 250 * time.Millisecond
	memoryRests = 20
	// diskRetry is the pause after a write to disk that failed.
	diskRetry = time.Minute
)

// load reads what an earlier office left: of this kernel boot in memory, else on disk.
func (f *Office) load() (alert.Spool, error) {
	quick, err1 := readSpool(f.o.Memory)
	if err1 == nil && quick.Boot == f.o.Boot && quick.Seq > 0 {
		return quick, nil
	}
	kept, err2 := readSpool(f.o.Disk)
	return kept, errors.Join(err1, err2)
}

// readSpool reads a spool; one that is absent is empty.
func readSpool(path string) (alert.Spool, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return alert.Spool{}, nil
	}
	if err != nil {
		return alert.Spool{}, fmt.Errorf("open alerts: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, alert.MaxSpool+1))
	if err != nil {
		return alert.Spool{}, fmt.Errorf("read alerts: %w", err)
	}
	s, err := alert.Decode(b)
	if err != nil {
		return alert.Spool{}, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// keep writes the queues whenever they change: to memory at once, to disk what
// still waits after settle. At the end it writes both, and all to disk.
func (f *Office) keep(finish chan struct{}) {
	var due, rested <-chan time.Time // of the disk; of the memory, nil: it is
	var memory, disk error
	stale := false // the file in memory
	written, _ := os.ReadFile(f.o.Disk)
	for {
		select {
		case <-f.changed:
			stale = true
			if due == nil {
				due = time.After(settle)
			}
		case <-rested:
			rested = nil
		case <-due:
			due = nil
			if disk = f.toDisk(&written, false); disk != nil {
				due = time.After(diskRetry)
			}
		case <-finish:
			f.note(errors.Join(f.toMemory(), f.toDisk(&written, true)))
			return
		}
		if stale && rested == nil {
			began := time.Now()
			memory, stale = f.toMemory(), false
			rested = time.After(restAfter(time.Since(began)))
		}
		f.note(errors.Join(memory, disk))
	}
}

// restAfter is the pause after a write to memory that took so long.
func restAfter(took time.Duration) time.Duration { return max(memoryPause, memoryRests*took) }

// note keeps what went wrong for the status, and logs it once.
func (f *Office) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	news := text != f.trouble
	f.trouble = text
	f.mu.Unlock()
	if news && text != "" {
		f.o.Log.Warn("alerts that wait are not kept", "err", text)
	}
}

// spool is what is owed now; held: with the repetitions that are held back.
func (f *Office) spool(held bool) alert.Spool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := alert.Spool{Boot: f.o.Boot, Seq: f.seen.Seq, At: f.seen.At}
	for _, d := range f.desks {
		s.Owed = append(s.Owed, d.queue.Backlog(held))
	}
	return s
}

func (f *Office) toMemory() error {
	b, err := f.spool(true).Encode()
	if err != nil {
		return err
	}
	return replace(f.o.Memory, b, false)
}

// toDisk writes what is owed if it is not what is there. Where nothing is owed,
// there is no file. What is held back goes there at the end only: each repetition
// of an alarm that flaps would be a write.
func (f *Office) toDisk(written *[]byte, held bool) error {
	s := f.spool(held)
	if s.Empty() {
		if *written == nil {
			return nil
		}
		if err := os.Remove(f.o.Disk); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove alerts: %w", err)
		}
		*written = nil
		return syncDir(f.o.Disk)
	}
	s.Seq, s.At = 0, time.Time{} // each event would be a write
	b, err := s.Encode()
	if err != nil || bytes.Equal(b, *written) {
		return err
	}
	if err := replace(f.o.Disk, b, true); err != nil {
		return err
	}
	*written = b
	return nil
}

// replace puts a file in another's place, whole or not at all.
func replace(path string, b []byte, sync bool) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("keep alerts: %w", err)
	}
	_, err = file.Write(b)
	if sync {
		err = errors.Join(err, file.Sync())
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new")
		return fmt.Errorf("keep alerts: %w", err)
	}
	if sync {
		return syncDir(path)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("keep alerts: %w", err)
	}
	defer d.Close()
	return d.Sync()
}

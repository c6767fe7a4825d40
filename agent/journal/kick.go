package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/twinbeat/twinbeat/agent/report"
)

// The record of the newest feed of the watchdog: one block, written in place, so
// that it costs flash least; a torn one is not believed.
const (
	kickFile = "watchdog.last"
	maxKick  = 4 << 10
	maxStale = 8 // texts of what was stale
)

// Feed keeps the record of the newest feed, durably when it returns nil. It is
// at the same time the proof that the disk still takes anything.
func (j *Journal) Feed(k report.Kick) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lock == nil {
		return fmt.Errorf("record feed: %s is not open", j.dir)
	}
	k.At, k.BootID = plain(k.At), j.last.BootID
	k.Stale = k.Stale[:min(len(k.Stale), maxStale)]
	for _, text := range []*string{&k.State, &k.Dump, &k.Reset} {
		*text = clip(*text, maxStateText/4)
	}
	b, err := json.Marshal(k)
	if err != nil || len(b) > maxKick-crc32.Size {
		return fmt.Errorf("record feed: %d bytes, %w", len(b), err)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	if err := j.writeBlock(b); err != nil {
		return fmt.Errorf("record feed: %w", err)
	}
	return nil
}

func (j *Journal) writeBlock(b []byte) error {
	f, err := os.OpenFile(filepath.Join(j.dir, kickFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Truncate(int64(len(b)))
	}
	if err == nil {
		err = j.sync(f)
	}
	return errors.Join(err, f.Close())
}

// LastFeed returns the record of the newest feed, nil if there is none or it is
// torn, and whether it was written in this boot.
func (j *Journal) LastFeed() (k *report.Kick, sameBoot bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f, err := os.Open(filepath.Join(j.dir, kickFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read feed: %w", err)
	}
	defer f.Close()
	b := make([]byte, maxKick)
	n, err := readFull(f, b)
	if err != nil || n < crc32.Size {
		return nil, false, errors.Join(errors.New("read feed: too short"), err)
	}
	body, sum := b[:n-crc32.Size], binary.BigEndian.Uint32(b[n-crc32.Size:n])
	if crc32.ChecksumIEEE(body) != sum {
		return nil, false, fmt.Errorf("read feed: %w", errSum)
	}
	k = new(report.Kick)
	if err := json.Unmarshal(body, k); err != nil {
		return nil, false, fmt.Errorf("read feed: %w", err)
	}
	return k, k.BootID == j.last.BootID, nil
}

// SameBoot says whether the run before was in this boot of the kernel.
func (j *Journal) SameBoot() bool { return j.sameBoot }

// First says whether this is the first run with this directory.
func (j *Journal) First() bool { return j.first }

// Stacks of goroutines that an agent left when it gave up.
const (
	stackFile = "stacks-%d.txt"
	maxStacks = 4
	// MaxStack is the longest dump in bytes; the rest is cut off.
	MaxStack = 256 << 10
)

// Dump keeps a dump of goroutines, the newest first, and forgets the oldest. It
// waits for the disk, and for nobody else: the journal may be what hangs.
func (j *Journal) Dump(text []byte) error {
	name := func(i int) string { return filepath.Join(j.dir, fmt.Sprintf(stackFile, i)) }
	for i := maxStacks - 1; i > 0; i-- {
		if err := os.Rename(name(i-1), name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dump stacks: %w", err)
		}
	}
	if err := j.writeSynced(name(0), text[:min(len(text), MaxStack)]); err != nil {
		return fmt.Errorf("dump stacks: %w", err)
	}
	return nil
}

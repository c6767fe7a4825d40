package fence

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unicode/utf8"
)

// The history: lines of a checksum and JSON, in two files. When the newer is
// full it takes the older one's place, so between a quarter and half a MiB is
// kept: the last few hundred fencings, or 30 that say all they can.
const (
	historyFile    = "fence.jsonl"
	historyOld     = "fence.old.jsonl"
	historyLock    = "fence.lock"
	maxHistory     = 256 << 10 // bytes of each file
	maxHistoryText = 256       // bytes of one text of a record but for the detail; the rest is cut off
	maxDetail      = 4 << 10   // bytes of the detail
	maxHistoryLine = 32 << 10  // bytes of a line; Append refuses a longer one
)

// A History keeps what was done with the power of nodes across reboots. The
// agent and a command may use one folder at the same time.
type History struct{ dir string }

// OpenHistory makes the folder if there is none. It opens no file: each Append
// does, and closes it, since weeks pass between two.
func OpenHistory(dir string) (*History, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open fence history: %w", err)
	}
	return &History{dir}, nil
}

// Append adds one record and returns when it is on the disk.
func (h *History) Append(r Record) error {
	line, err := historyLine(r)
	if err == nil {
		err = h.locked(syscall.LOCK_EX, func() error { return h.append(line) })
	}
	if err != nil {
		return fmt.Errorf("append to fence history: %w", err)
	}
	return nil
}

// Records returns what is kept, oldest first. Damaged lines are left out and
// counted in the error, which comes with the rest.
func (h *History) Records() ([]Record, error) {
	var all []Record
	var errs []error
	err := h.locked(syscall.LOCK_SH, func() error {
		for _, name := range []string{historyOld, historyFile} {
			b, err := readHistory(filepath.Join(h.dir, name))
			got, bad := parseHistory(b)
			all = append(all, got...)
			if bad > 0 {
				err = errors.Join(err, fmt.Errorf("%s: %d lines are damaged", name, bad))
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return all, fmt.Errorf("read fence history: %w", err)
	}
	return all, nil
}

// locked runs do while no other process appends.
func (h *History) locked(how int, do func() error) error {
	f, err := os.OpenFile(filepath.Join(h.dir, historyLock), os.O_RDONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // and with it the lock
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err == nil {
			return do()
		}
		if !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock: %w", err)
		}
	}
}

func (h *History) append(line []byte) error {
	path := filepath.Join(h.dir, historyFile)
	f, size, err := openHistory(path)
	if err != nil {
		return err
	}
	if size+int64(len(line)) > maxHistory {
		f.Close()
		if err := os.Rename(path, filepath.Join(h.dir, historyOld)); err != nil {
			return fmt.Errorf("rotate: %w", err)
		}
		if f, _, err = openHistory(path); err != nil {
			return err
		}
	}
	_, err = f.Write(line)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return err
	}
	return syncDir(h.dir)
}

// openHistory opens the newer file for appending and ends a line that a power
// cut tore, so that only this one is lost.
func openHistory(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	last := []byte{'\n'}
	if err == nil && size > 0 {
		_, err = f.ReadAt(last, size-1)
	}
	if err == nil && last[0] != '\n' {
		_, err = f.Write([]byte{'\n'})
		size++
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("repair: %w", err)
	}
	return f, size, nil
}

// syncDir puts a new file's name on the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func historyLine(r Record) ([]byte, error) {
	for _, text := range []*string{&r.By, &r.Why, &r.Target, &r.Node, &r.Action} {
		*text = cut(*text, maxHistoryText)
	}
	r.Evidence, r.Detail = cut(r.Evidence, maxDetail), cut(r.Detail, maxDetail)
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(body), body)
	if len(line) > maxHistoryLine {
		return nil, fmt.Errorf("%d bytes, at most %d", len(line), maxHistoryLine)
	}
	return line, nil
}

// cut shortens a text to a number of bytes, between two characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// readHistory reads a file, which nobody writes beyond its bound.
func readHistory(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxHistory))
}

func parseHistory(b []byte) (all []Record, bad int) {
	for line := range bytes.Lines(b) {
		r, ok := parseRecord(bytes.TrimSuffix(line, []byte{'\n'}))
		if !ok {
			bad++
			continue
		}
		all = append(all, r)
	}
	return all, bad
}

func parseRecord(line []byte) (r Record, ok bool) {
	sum, body, found := bytes.Cut(line, []byte{' '})
	var want [crc32.Size]byte
	if n, err := hex.Decode(want[:], sum[:min(len(sum), 2*len(want))]); !found || err != nil || n != len(want) || len(sum) != 2*len(want) {
		return r, false
	}
	got := crc32.ChecksumIEEE(body)
	if got != uint32(want[0])<<24|uint32(want[1])<<16|uint32(want[2])<<8|uint32(want[3]) {
		return r, false
	}
	return r, json.Unmarshal(body, &r) == nil
}

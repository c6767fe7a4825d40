// Package journal decides what of a node survives a reboot or power cut: the
// state in two checksummed copies, and the newest events. It refuses to guess:
// from a file that is not whole it takes nothing, and whatever it could not
// read or write it says. Start reading at Open, then SpendToken.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The files of a state directory.
const (
	copyA   = "state.a"
	copyB   = "state.b"
	bootIDs = "/proc/sys/kernel/random/boot_id" // random(4): one value for each kernel boot
)

// ErrLocked says that another process has the state directory open. Two agents
// on one directory would fence and count against each other.
var ErrLocked = errors.New("state directory is in use by another agent")

// ErrNoToken says that there is no boot token to spend.
var ErrNoToken = errors.New("boot token is spent")

// A Journal is an open state directory. Its methods may be called from any
// goroutine; those that write wait for the disk, so the loop calls them in a
// lane. It works on after an error: a full or dead disk must not end a
// heartbeat, but the node cannot keep promises then, and its caller must say so.
type Journal struct {
	dir    string
	lock   *os.File // the directory itself, flocked; nil if it could not be opened
	boot   func() (string, error)
	uptime func() time.Duration
	sync   func(*os.File) error

	first    bool // no agent ran with this directory before
	sameBoot bool // the run before was in this boot

	mu     sync.Mutex
	last   record // what the next save starts from
	saved  []byte // both copies hold this, but for Seq and Uptime; nil: not known
	events events
}

// Options are the parts of the machine that a test replaces; zero values mean
// the real ones.
type Options struct {
	// Late leaves the disk as it is, for an agent that has a lease to renew first:
	// the next Save writes, and until then the disk says how the run before ended.
	Late bool

	BootIDPath string
	Uptime     func() time.Duration // since kernel boot, suspend included
	Sync       func(*os.File) error // fsync(2)
}

// Open opens the state directory, making it if need be, and returns what was
// promised before. It counts a kernel boot it has not seen, and notes that the
// agent is running (Clean is false on disk from now on, while the returned
// State says how the last run ended).
//
// The journal is never nil. With errors it holds what could be read or else
// defaults: of several copies the newest whole one counts; with none left
// whole the boot token counts as spent, as nobody knows. Only a directory
// without any state file is a first start and gets a fresh token.
func Open(dir string) (*Journal, State, []error) { return OpenWith(dir, Options{}) }

// OpenWith is Open with parts replaced.
func OpenWith(dir string, o Options) (*Journal, State, []error) {
	if o.BootIDPath == "" {
		o.BootIDPath = bootIDs
	}
	if o.Uptime == nil {
		o.Uptime = uptime
	}
	if o.Sync == nil {
		o.Sync = (*os.File).Sync
	}
	j := &Journal{dir: dir, uptime: o.Uptime, sync: o.Sync, boot: func() (string, error) { return readBootID(o.BootIDPath) }}
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	note(j.lockDir())
	for _, err := range j.load() {
		note(err)
	}
	j.first = j.last.Seq == 0 && len(errs) == 0
	before := j.last.BootID
	note(j.countBoot())
	j.sameBoot = before != "" && before == j.last.BootID
	state := j.last.clone()
	j.last.Clean = false
	if j.lock != nil { // else it is not ours to write
		note(j.events.open(dir))
		if !o.Late {
			note(j.write())
		}
	}
	return j, state, errs
}

// lockDir makes the directory and locks it. The lock is on the directory, not
// on a file in it: a read-only file system can be locked, too.
func (j *Journal) lockDir() error {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	d, err := os.Open(j.dir)
	if err != nil {
		return fmt.Errorf("open state directory: %w", err)
	}
	err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		d.Close()
		return fmt.Errorf("lock %s: %w", j.dir, ErrLocked)
	}
	if err != nil {
		d.Close()
		return fmt.Errorf("lock %s: %w", j.dir, err)
	}
	j.lock = d
	return nil
}

// load takes the newest whole copy and says what is wrong with the others.
func (j *Journal) load() []error {
	var found [copies]record
	var errs [copies]error
	var out []error
	for i, name := range [copies]string{copyA, copyB} {
		path := filepath.Join(j.dir, name)
		if found[i], errs[i] = readCopy(path); errs[i] != nil && !errors.Is(errs[i], fs.ErrNotExist) {
			out = append(out, fmt.Errorf("read %s: %w", path, errs[i]))
		}
	}
	var whole bool
	if j.last, whole = newest(found, errs); !whole {
		out = append(out, fmt.Errorf("read state in %s: no whole copy is left; terms, maintenance and faults are forgotten, and the boot token counts as spent", j.dir))
	}
	return out
}

// newest returns the record that counts: the newest whole copy. Whole is false
// if there were copies and none is left whole.
func newest(found [copies]record, errs [copies]error) (best record, whole bool) {
	var good, absent int
	for i, r := range found {
		switch {
		case errors.Is(errs[i], fs.ErrNotExist):
			absent++
		case errs[i] != nil:
		case good == 0 || r.Seq > best.Seq:
			best = r
			good++
		default:
			good++
		}
	}
	if good == 0 {
		best = bounded(record{State: State{Token: absent == copies}})
		best.Clean = absent == copies // nothing ran before, so nothing ended badly
	}
	return best, good > 0 || absent == copies
}

// readCopy reads one file, at most one byte more than a state may have.
func readCopy(path string) (record, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	b := make([]byte, maxState+1)
	n, err := readFull(f, b)
	if err != nil {
		return record{}, err
	}
	return decode(b[:n])
}

// countBoot brings the record from the boot it was written in to this one.
func (j *Journal) countBoot() error {
	id, err := j.boot()
	if err == nil && id == j.last.BootID {
		// The clock of this boot ran on while the agent was down.
		j.last.Maintenance = aged(j.last.Maintenance, j.uptime()-j.last.Uptime)
		return nil
	}
	// Without an id it counts as a new boot: the count only tells boots apart.
	j.last.Boot++
	j.last.BootID = id
	return err
}

// leastLeft is what is left of a maintenance that ran out while the agent was
// down: enough for the loop to end it and record that it did, and a whole
// second, as 0 means without end and a caller may count in seconds.
const leastLeft = time.Second

// aged takes time from what is left of a maintenance.
func aged(m *Maintenance, by time.Duration) *Maintenance {
	if m == nil || m.Left == 0 || by <= 0 {
		return m
	}
	old := *m
	old.Left = max(m.Left-by, leastLeft)
	return &old
}

func readBootID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if id == "" || len(id) > maxStateText {
		return "", fmt.Errorf("read boot id: %s holds %d bytes", path, len(b))
	}
	return id, nil
}

func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Save keeps the state, durably in both copies when it returns nil.
//
// Boot and Token are the journal's own and are ignored: a State that was read
// before SpendToken and is saved after it must not bring the token back, nor
// one that was read before RecordContact take it away. Map entries and texts
// beyond the bounds are dropped. Nothing is written if nothing changed.
func (j *Journal) Save(s State) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	boot, token := j.last.Boot, j.last.Token
	j.last.State = s.clone()
	j.last.Boot, j.last.Token = boot, token
	return j.write()
}

// SpendToken spends the boot token: the leave to fence the peer without having
// had two-way contact with it. It must return nil before the fence is sent.
//
// There is one such token. It lets a box that starts alone after a power cut
// come up; were there one for each boot, two boxes with a cut link would fence
// each other in turns for ever. So a spent token stays spent, across restarts
// of the agent and reboots, until RecordContact.
func (j *Journal) SpendToken() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.last.Token {
		return fmt.Errorf("spend boot token: %w", ErrNoToken)
	}
	j.last.Token = false
	if err := j.write(); err != nil {
		j.last.Token = true // the caller does not fence, and may try again
		return fmt.Errorf("spend boot token: %w", err)
	}
	return nil
}

// RecordContact notes that there was two-way contact with the peer, which
// gives a spent token anew. It writes only then, so it may be called at each
// contact.
func (j *Journal) RecordContact() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last.Token {
		return nil
	}
	j.last.Token = true
	if err := j.write(); err != nil {
		j.last.Token = false // a token that the disk does not hold would be spent twice
		return fmt.Errorf("record contact: %w", err)
	}
	return nil
}

// Token says whether the boot token is unspent.
func (j *Journal) Token() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last.Token
}

// Close lets go of the directory. What was saved is on disk already; events
// since the last FlushEvents are handed to the disk.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.events.close()
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
		j.lock = nil
	}
	return err
}

// write puts the record into both copies, one after the other, so that a power
// cut finds at least one whole. Both hold the same: with an older second copy
// a damaged first one would bring a spent token back.
func (j *Journal) write() error {
	if j.lock == nil {
		return fmt.Errorf("save state: %s is not open", j.dir)
	}
	same, err := j.essence()
	if err != nil || same != nil && bytes.Equal(same, j.saved) {
		return err
	}
	j.last.Seq++
	j.last.Uptime = j.uptime()
	b, err := encode(j.last)
	if err != nil {
		return err
	}
	j.saved = nil
	var errs []error
	for _, name := range []string{copyA, copyB} {
		if err := j.replace(name, b); err != nil {
			errs = append(errs, fmt.Errorf("save state: %w", err))
		}
	}
	if len(errs) == 0 {
		j.saved = same
	}
	return errors.Join(errs...)
}

// essence returns what must be written if it changes; nil means that even the
// same state must be, as its maintenance is counted from the save.
func (j *Journal) essence() ([]byte, error) {
	if m := j.last.Maintenance; m != nil && m.Left != 0 {
		return nil, nil
	}
	r := j.last
	r.Seq, r.Uptime = 0, 0
	return encode(r)
}

// replace makes a file hold b, or leaves it as it is.
func (j *Journal) replace(name string, b []byte) error {
	path := filepath.Join(j.dir, name)
	temp := path + ".new"
	if err := j.writeSynced(temp, b); err != nil {
		os.Remove(temp) // also frees the blocks of a full disk
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	// Without it the rename itself may be lost in a power cut (fsync(2)).
	if err := j.sync(j.lock); err != nil {
		return fmt.Errorf("sync %s: %w", j.dir, err)
	}
	return nil
}

func (j *Journal) writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = j.sync(f)
	}
	return errors.Join(err, f.Close())
}

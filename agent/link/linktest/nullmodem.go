package linktest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

const (
	bitsPerByte = 10 // 8N1: a start bit, eight data bits, a stop bit

	// A paced relay moves what one millisecond carries at a time, but at least
	// what a 16550 lets come together before it interrupts, and at most what
	// its larger sisters hold.
	fifoMin = 8
	fifoMax = 64

	// unpaced is the relay's buffer in bytes without pacing.
	unpaced = 4096

	// idleAfter is how late the relay may be before it takes the line for
	// idle, and behindMost the same while more bytes wait than it took. Below,
	// lateness of the scheduler is made up for: a wire does not get slower
	// because the machine is busy.
	idleAfter  = 200 * time.Microsecond
	behindMost = 50 * time.Millisecond

	// rest bounds how often a relay retries a pty that refuses to be read.
	rest = 10 * time.Millisecond
)

// A Direction is one of the two wires of a cable, or both.
type Direction uint8

const (
	// AToB carries what side 0 writes.
	AToB Direction = 1 << iota
	// BToA carries what side 1 writes.
	BToA
	// Both is the whole cable.
	Both = AToB | BToA
)

// A NullModem is a serial cable between two ptys. A relay moves the bytes and
// can pace, cut, corrupt or stall them. Ptys have no modem lines and no count
// of unsent bytes, so those have to be tested elsewhere.
type NullModem struct {
	dir   string // holds the symbolic links
	ends  [2]*end
	lanes [2]*lane // from side 0, from side 1
	done  sync.WaitGroup
}

// NewNullModem makes a cable without pacing and starts its relay. It needs
// /dev/ptmx and no privilege.
func NewNullModem() (*NullModem, error) {
	dir, err := os.MkdirTemp("", "nullmodem-")
	if err != nil {
		return nil, fmt.Errorf("make null modem: %w", err)
	}
	n := &NullModem{dir: dir}
	for i := range n.ends {
		n.ends[i] = &end{link: filepath.Join(dir, string(rune('a'+i)))}
		n.ends[i].changed.L = &n.ends[i].mu
		if err := n.ends[i].appear(); err != nil {
			_ = n.Close()
			return nil, fmt.Errorf("make null modem: %w", err)
		}
	}
	for i := range n.lanes {
		l := &lane{from: n.ends[i], to: n.ends[1-i]}
		l.changed.L = &l.mu
		n.lanes[i] = l
		n.done.Go(l.run)
	}
	return n, nil
}

// Device returns the path of the tty of a side, 0 or 1: a symbolic link that
// stays the same when the device vanishes and comes back under another number.
func (n *NullModem) Device(side int) string { return n.ends[side].link }

// SetBaud paces both wires at bps bits per second, ten bits a byte; 0 ends
// pacing. It is not the setting of the ttys, which ptys ignore.
func (n *NullModem) SetBaud(bps int) { n.each(Both, func(l *lane) { l.baud = bps }) }

// Cut loses all bytes of the direction until Restore.
func (n *NullModem) Cut(d Direction) { n.each(d, func(l *lane) { l.cut = true }) }

// Stall stops the relay from reading the direction until Restore, so that the
// writer's buffer fills up.
func (n *NullModem) Stall(d Direction) { n.each(d, func(l *lane) { l.stall = true }) }

// Corrupt flips each data bit of both directions with the given probability,
// by a sequence that the seed decides; 0 ends that.
func (n *NullModem) Corrupt(bitErrorRate float64, seed uint64) {
	for i, l := range n.lanes {
		l.change(func() { l.noise = newNoise(bitErrorRate, seed, uint64(i)) })
	}
}

// Listen calls heard with all that comes out at the far side of the direction,
// in the relay's goroutine; nil ends that. The bytes are valid during the call.
func (n *NullModem) Listen(d Direction, heard func(b []byte)) {
	n.each(d, func(l *lane) { l.heard = heard })
}

// Restore ends Cut, Stall and Corrupt.
func (n *NullModem) Restore() {
	n.each(Both, func(l *lane) { l.cut, l.stall, l.noise = false, false, nil })
}

// Inject makes b come in at a side as if its wire had carried it, at once.
func (n *NullModem) Inject(side int, b []byte) error {
	if taken := n.ends[side].write(b); taken < len(b) {
		return fmt.Errorf("inject at side %d: only %d of %d bytes fit", side, taken, len(b))
	}
	return nil
}

// Vanish takes the tty of a side away, like a USB adapter that is pulled: who
// has it open sees a hang-up, and its path is gone.
func (n *NullModem) Vanish(side int) { n.ends[side].vanish() }

// Appear brings the tty of a side back under the same Device path.
func (n *NullModem) Appear(side int) error { return n.ends[side].appear() }

// Bytes returns how many bytes came out at the far side of the direction.
func (n *NullModem) Bytes(d Direction) uint64 {
	var sum uint64
	n.each(d, func(l *lane) { sum += l.moved.Load() })
	return sum
}

// Lost returns how many bytes of the direction were cut or did not fit.
func (n *NullModem) Lost(d Direction) uint64 {
	var sum uint64
	n.each(d, func(l *lane) { sum += l.lost.Load() })
	return sum
}

// Close ends the relay and removes the ttys.
func (n *NullModem) Close() error {
	for _, l := range n.lanes {
		if l != nil {
			l.change(func() { l.closed = true })
		}
	}
	for _, e := range n.ends {
		if e != nil {
			e.close()
		}
	}
	n.done.Wait()
	return os.RemoveAll(n.dir)
}

func (n *NullModem) each(d Direction, f func(*lane)) {
	for i, l := range n.lanes {
		if d&(1<<i) != 0 {
			l.change(func() { f(l) })
		}
	}
}

// An end is the tty of one side. Its slave is kept open, because the master
// reads as broken while nobody has the slave open.
type end struct {
	link string

	mu      sync.Mutex
	changed sync.Cond
	in      *link.Input // of the master; nil while vanished
	held    *link.Input // the one that the relay reads
	master  int
	slave   int
	closed  bool
}

func (e *end) appear() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.in != nil || e.closed {
		return nil
	}
	master, slave, path, err := openPTY()
	if err != nil {
		return err
	}
	in, err := link.NewInput(master)
	if err == nil {
		err = os.Symlink(path, e.link)
	}
	if err != nil {
		_ = unix.Close(master)
		_ = unix.Close(slave)
		return err
	}
	e.in, e.master, e.slave = in, master, slave
	e.changed.Broadcast()
	return nil
}

func (e *end) vanish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.in == nil {
		return
	}
	_ = os.Remove(e.link)
	_ = unix.Close(e.master)
	_ = unix.Close(e.slave)
	e.in.Interrupt()
	if e.held != e.in { // else its reader closes it, and with it the pty
		e.in.Close()
	}
	e.in = nil
}

func (e *end) close() {
	e.vanish()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.changed.Broadcast()
}

// wait returns the master, when there is one; nil means that the end is closed.
// It closes the one that the caller had before, if that has vanished: only then
// the pty hangs up.
func (e *end) wait(had *link.Input) *link.Input {
	e.mu.Lock()
	defer e.mu.Unlock()
	if had != nil && had != e.in {
		had.Close()
	}
	for e.in == nil && !e.closed {
		e.changed.Wait()
	}
	e.held = e.in
	return e.in
}

// write puts bytes into the tty's input without waiting, and returns how many
// fitted. The lock keeps the descriptor open meanwhile.
func (e *end) write(b []byte) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.in == nil {
		return 0
	}
	n, err := unix.Write(e.master, b)
	if err != nil {
		return 0
	}
	return n
}

// openPTY makes a pty with a raw slave; both descriptors are open.
func openPTY() (master, slave int, path string, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, "", fmt.Errorf("open /dev/ptmx: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return -1, -1, "", fmt.Errorf("unlock pty: %w", err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return -1, -1, "", fmt.Errorf("number pty: %w", err)
	}
	path = fmt.Sprintf("/dev/pts/%d", number)
	slave, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, "", fmt.Errorf("open %s: %w", path, err)
	}
	if err = makeRaw(slave); err != nil {
		_ = unix.Close(slave)
		return -1, -1, "", fmt.Errorf("set %s raw: %w", path, err)
	}
	return fd, slave, path, nil
}

// makeRaw is cfmakeraw of termios(3).
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// A lane moves bytes one way.
type lane struct {
	from, to    *end
	moved, lost atomic.Uint64

	mu      sync.Mutex
	changed sync.Cond
	baud    int
	cut     bool
	stall   bool
	closed  bool
	noise   *noise
	heard   func([]byte)
}

func (l *lane) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.changed.Broadcast()
}

// settings waits while the lane is stalled and returns the speed.
func (l *lane) settings() (baud int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.stall && !l.closed {
		l.changed.Wait()
	}
	return l.baud, !l.closed
}

// run relays until the cable is closed.
func (l *lane) run() {
	var buf [unpaced]byte
	var due time.Time // when the line is free
	var master *link.Input
	patience := idleAfter
	for {
		baud, ok := l.settings()
		master = l.from.wait(master)
		if !ok || master == nil {
			return
		}
		events, err := master.Wait(time.Time{})
		n := 0
		if err == nil {
			n, err = master.Take(buf[:chunk(baud)], events)
		}
		if n == 0 && err == nil {
			continue
		}
		if err != nil {
			time.Sleep(rest) // vanished, or nobody has the slave open
			continue
		}
		if baud, ok = l.settings(); !ok { // it may have been stalled meanwhile
			return
		}
		if baud > 0 {
			now := time.Now()
			if now.Sub(due) > patience {
				due = now
			}
			patience = idleAfter
			if n == chunk(baud) { // more waits, most likely
				patience = behindMost
			}
			due = due.Add(time.Duration(n) * bitsPerByte * time.Second / time.Duration(baud))
			sleepUntil(due)
		}
		l.deliver(buf[:n])
	}
}

// chunk returns how many bytes move at a time.
func chunk(baud int) int {
	if baud <= 0 {
		return unpaced
	}
	return min(max(baud/bitsPerByte/1000, fifoMin), fifoMax)
}

// sleepUntil sleeps with the grain of the kernel, some 60 us; Go's own timers
// have one of a millisecond.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		ts := unix.NsecToTimespec(int64(left))
		if unix.Nanosleep(&ts, nil) == nil {
			return
		}
	}
}

// deliver damages the bytes as asked and puts them into the far tty.
func (l *lane) deliver(b []byte) {
	l.mu.Lock()
	cut := l.cut
	if l.noise != nil {
		l.noise.damage(b)
	}
	if l.heard != nil && !cut {
		l.heard(b)
	}
	l.mu.Unlock()
	taken := 0
	if !cut {
		taken = l.to.write(b)
	}
	l.moved.Add(uint64(taken))
	l.lost.Add(uint64(len(b) - taken))
}

// noise flips bits at seeded random places.
type noise struct {
	rng   *rand.Rand
	scale float64 // 1/ln(1-p)
	next  int64   // good bits before the next bad one
}

func newNoise(rate float64, seed, lane uint64) *noise {
	if rate <= 0 {
		return nil
	}
	n := &noise{rng: rand.New(rand.NewPCG(seed, lane)), scale: 1 / math.Log1p(-min(rate, 0.5))}
	n.skip()
	return n
}

// skip draws the distance to the next bad bit, which is geometric.
func (n *noise) skip() {
	n.next = int64(math.Log(1-n.rng.Float64()) * n.scale)
}

func (n *noise) damage(b []byte) {
	bits := int64(len(b)) * 8
	for n.next < bits {
		b[n.next/8] ^= 1 << (n.next % 8)
		at := n.next
		n.skip()
		n.next += at + 1
	}
	n.next -= bits
}

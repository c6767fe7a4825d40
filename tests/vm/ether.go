package vm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// An Ether is the heartbeat cable between two machines: QEMU's datagram sockets
// on both sides, and a goroutine each way in between.
type Ether struct {
	dir  string
	in   [2]*net.UnixConn // frames of side 0, of side 1
	done sync.WaitGroup

	mu   sync.Mutex
	cut  [2]bool // frames from side 0, from side 1
	loss float64
	rng  *rand.Rand
	seen [2]int // frames that went through
}

// frameMost is the longest Ethernet frame that is taken.
const frameMost = 2048

// NewEther makes the sockets in dir.
func NewEther(dir string) (*Ether, error) {
	e := &Ether{dir: dir, rng: rand.New(rand.NewPCG(1, 1))}
	for i := range e.in {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: e.socket(i, "out"), Net: "unixgram"})
		if err != nil {
			return e, errors.Join(fmt.Errorf("make heartbeat cable: %w", err), e.Close())
		}
		e.in[i] = c
	}
	for i := range e.in {
		e.done.Go(func() { e.carry(i) })
	}
	return e, nil
}

func (e *Ether) socket(side int, way string) string {
	return filepath.Join(e.dir, fmt.Sprintf("ha%d.%s", side, way))
}

// arguments are QEMU's for a side.
func (e *Ether) arguments(side int) []string {
	_ = os.Remove(e.socket(side, "in")) // an earlier QEMU's
	return []string{"-netdev", fmt.Sprintf("dgram,id=ha,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s",
		e.socket(side, "in"), e.socket(side, "out"))}
}

func (e *Ether) carry(from int) {
	buf := make([]byte, frameMost)
	to := &net.UnixAddr{Name: e.socket(1-from, "in"), Net: "unixgram"}
	for {
		n, err := e.in[from].Read(buf)
		if err != nil {
			return // closed
		}
		e.mu.Lock()
		lost := e.cut[from] || e.rng.Float64() < e.loss
		if !lost {
			e.seen[from]++
		}
		e.mu.Unlock()
		if lost {
			continue
		}
		// A machine without power, or one that reads nothing, loses the frame.
		_ = e.in[1-from].SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = e.in[1-from].WriteTo(buf[:n], to)
	}
}

// Cut loses the frames from both sides, from side 0 or from side 1.
func (e *Ether) Cut(from0, from1 bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cut = [2]bool{from0, from1}
}

// Lose loses a share of the frames, by a sequence that the seed decides.
func (e *Ether) Lose(share float64, seed uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.loss, e.rng = share, rand.New(rand.NewPCG(seed, 0))
}

// Frames counts what went through from each side.
func (e *Ether) Frames() [2]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

// Close ends the cable.
func (e *Ether) Close() error {
	var errs []error
	for _, c := range e.in {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	e.done.Wait()
	return errors.Join(errs...)
}

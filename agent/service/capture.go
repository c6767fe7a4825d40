package service

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxDrain bounds the bytes read after the leader's end: a noisy daemon it
// left behind would keep us reading for ever.
const maxDrain = 1 << 20

// A capture keeps the end of what a command writes to one descriptor.
//
// The child gets a pipe that it holds open for reading, too. So a daemon that
// the command leaves behind and that still writes to it never meets SIGPIPE,
// not even when the agent ends. And at the command's end the pipe is made
// non-blocking, so that the daemon never blocks on a pipe nobody drains: once
// 64 KiB are full its writes fail with EAGAIN, and what it writes is lost.
type capture struct {
	child *os.File // the child's end, for reading and writing
	read  *os.File
	keep  int    // bytes, of the end
	tail  []byte // they
	total int
	done  chan struct{} // closed when the reading goroutine ended; nil before run
}

func newCapture() (*capture, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer unix.Close(p[1])
	// A new open file description, so that O_NONBLOCK of one end is not the other's.
	child, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", p[1]), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(p[0])
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	return &capture{keep: MaxOutput, child: os.NewFile(uintptr(child), "|child"), read: os.NewFile(uintptr(p[0]), "|")}, nil
}

func (c *capture) run() {
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		var buf [4096]byte
		for {
			n, err := c.read.Read(buf[:])
			c.add(buf[:n])
			if err != nil {
				return // the deadline that finish sets
			}
		}
	}()
}

func (c *capture) add(p []byte) {
	c.total += len(p)
	c.tail = append(c.tail, p...)
	if over := len(c.tail) - c.keep; over > 0 {
		c.tail = c.tail[:copy(c.tail, c.tail[over:])]
	}
}

// finish takes what is left in the pipe and lets go of it.
func (c *capture) finish() string {
	_ = c.read.SetReadDeadline(time.Unix(1, 0))
	<-c.done
	if raw, err := c.read.SyscallConn(); err == nil {
		_ = raw.Control(c.drain)
	}
	c.close()
	return string(c.tail)
}

func (c *capture) drain(fd uintptr) {
	var buf [4096]byte
	for got := 0; got < maxDrain; {
		n, err := unix.Read(int(fd), buf[:])
		if n <= 0 || err != nil {
			return // EAGAIN: empty
		}
		got += n
		c.add(buf[:n])
	}
}

func (c *capture) close() {
	if raw, err := c.child.SyscallConn(); err == nil {
		// The flag belongs to the description, which is the daemon's, too.
		_ = raw.Control(func(fd uintptr) { _ = unix.SetNonblock(int(fd), true) })
	}
	c.child.Close()
	c.read.Close()
}

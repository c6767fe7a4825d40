package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// Limits of the server.
const (
	// MaxConnections is how many clients are served at once; the next is told
	// so and closed.
	MaxConnections = 16
	// requestTimeout is how long a client may take to ask, and may idle between questions.
	requestTimeout = 30 * time.Second
	// writeTimeout is how long one line may take to leave; a slower reader is dropped.
	writeTimeout = 5 * time.Second
	// refuseTimeout is the same for a client that is not let in.
	refuseTimeout = 100 * time.Millisecond
	// orderTimeout bounds an order: a handover waits for services to stop.
	orderTimeout = 5 * time.Minute
	// acceptPause spaces attempts when accept fails, as with no free descriptor.
	acceptPause = 100 * time.Millisecond
)

// A Server holds the control socket. Use Listen.
type Server struct {
	path string
	gid  int // noGroup: none
	lock *os.File
	ln   *net.UnixListener
	file os.FileInfo // the socket as this server made it
}

// Serve answers clients until the context ends, then closes every connection,
// removes the socket and lets go of the lock. It returns nil when the context
// ended it.
func (s *Server) Serve(ctx context.Context, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.ln.Close() })
	defer stop()
	defer s.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before Wait: it is what ends the connections
	slots := make(chan struct{}, MaxConnections)
	for { // ends when the listener is closed
		c, err := s.ln.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if c != nil {
				c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		case err != nil: // no descriptor free, or the client is gone: a later one may do
			pause(ctx, acceptPause)
			continue
		}
		select {
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				s.serve(ctx, c, h)
			})
		default:
			refuse(c, &Error{
				Text:   fmt.Sprintf("%d clients are connected already", MaxConnections),
				Advice: "end one: is something following events in a loop?",
			})
		}
	}
}

// Close takes the socket away, if it is still this server's, and lets go of the
// lock. A Server that was served need not be closed. The lock is last: the next
// agent must find the path free.
func (s *Server) Close() error {
	err := s.ln.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if now, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(now, s.file) {
		err = errors.Join(err, os.Remove(s.path))
	}
	if lockErr := s.lock.Close(); lockErr != nil && !errors.Is(lockErr, os.ErrClosed) {
		err = errors.Join(err, lockErr)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// refuse tells a client why it is not served, without waiting for it.
func refuse(c net.Conn, err error) {
	defer c.Close()
	_ = write(c, refuseTimeout, failure(err)) // it may be gone: then nobody needs the answer
}

func failure(err error) Response {
	return Response{V: Version, Error: err.Error(), Hint: Hint(err)}
}

func write(c net.Conn, limit time.Duration, r Response) error {
	line, err := json.Marshal(r)
	if err != nil { // a number that JSON has not, say: told rather than hidden
		line, err = json.Marshal(failure(fmt.Errorf("encode response: %w", err)))
		if err != nil {
			return err
		}
	}
	if err := c.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	_, err = c.Write(append(line, '\n'))
	return err
}

// serve answers one client until it leaves, errs or the context ends.
func (s *Server) serve(ctx context.Context, c *net.UnixConn, h Handler) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	who, err := callerOf(c)
	if err == nil {
		err = s.admit(who)
	}
	if err != nil {
		refuse(c, err)
		return
	}
	in := bufio.NewReaderSize(c, MaxRequest)
	for { // ends with the client, or with its silence
		if err := c.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			refuse(c, fmt.Errorf("read request: longer than %d bytes", MaxRequest))
			return
		}
		if err != nil {
			return // gone, silent, or a line without end
		}
		r, err := DecodeRequest(line)
		if err != nil {
			refuse(c, err)
			return
		}
		if !answer(ctx, cancel, c, in, h, r, who) {
			return
		}
	}
}

// answer says whether the client may ask again.
func answer(ctx context.Context, leave func(), c net.Conn, in io.Reader, h Handler, r Request, who caller) bool {
	var err error
	switch {
	case r.Command == CommandStatus:
		err = write(c, writeTimeout, status(h.Snapshot()))
	case r.Command == CommandEvents && r.Follow:
		go leaveWithClient(c, in, leave)
		_ = follow(ctx, c, h, r.After) // ends with the client or the agent
		return false
	case r.Command == CommandEvents:
		if _, err = sendEvents(c, h.Events(r.After), r.After); err == nil {
			err = write(c, writeTimeout, Response{V: Version, End: true})
		}
	default:
		err = write(c, writeTimeout, carryOut(ctx, h, r.order(who.name())))
	}
	return err == nil
}

// status tells the snapshot with its age.
func status(s report.Snapshot) Response {
	if s.At.IsZero() {
		return failure(&Error{Text: "read status: the agent has none yet", Advice: "it has just started; ask again in a second"})
	}
	s.AgeMS = max(0, float64(time.Since(s.At))/float64(time.Millisecond))
	return Response{V: Version, Snapshot: &s}
}

func carryOut(ctx context.Context, h Handler, o Order) Response {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	result, err := h.Do(ctx, o)
	if err != nil {
		return failure(err)
	}
	if result == "" {
		result = o.Command + " done"
	}
	return Response{V: Version, Result: result}
}

// leaveWithClient ends a connection that only listens when its client goes, or
// says anything more. It ends with the connection.
func leaveWithClient(c net.Conn, in io.Reader, leave func()) {
	_ = c.SetReadDeadline(time.Time{}) // a follower may be silent for ever
	var one [1]byte
	_, _ = in.Read(one[:])
	leave()
}

func follow(ctx context.Context, c net.Conn, h Handler, after uint64) error {
	for { // ends with the context or a failed write
		last, err := sendEvents(c, h.Events(after), after)
		if err != nil {
			return err
		}
		after = last
		if err := h.Wait(ctx, after); err != nil {
			return err
		}
	}
}

// sendEvents sends events and returns the last sequence number sent, after if
// there was none. A gap behind a number the client has seen is told.
func sendEvents(c net.Conn, events []report.Event, after uint64) (uint64, error) {
	for i := range events {
		e := &events[i]
		if after > 0 && e.Seq > after+1 {
			if err := write(c, writeTimeout, Response{V: Version, Lost: e.Seq - after - 1}); err != nil {
				return after, err
			}
		}
		if err := write(c, writeTimeout, Response{V: Version, Event: e}); err != nil {
			return after, err
		}
		after = e.Seq
	}
	return after, nil
}

package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// answerTimeout is how long an answer may take; the server reads its snapshot
// from memory.
const answerTimeout = 10 * time.Second

// A Client talks to a running agent. It serves one goroutine. Use Dial.
type Client struct {
	c  net.Conn
	in *bufio.Reader
}

// Dial connects to the agent that serves the socket at path. Its errors say in a
// Hint what is wrong with the agent, the path or the permission.
func Dial(path string) (*Client, error) {
	c, err := dialUnix(path)
	if err != nil {
		return nil, explainDial(path, err)
	}
	return &Client{c: c, in: bufio.NewReaderSize(c, 4096)}, nil
}

// dialUnix connects, or says at once why not: even a full backlog keeps it
// waiting for nothing, as the socket does not block (EAGAIN, connect(2)). net.Dial
// would link the resolver of host names: 0.2 MB.
func dialUnix(path string) (*net.UnixConn, error) {
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
}

func explainDial(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{
			Text:   fmt.Sprintf("connect to the agent: no socket %s", path),
			Advice: "is the agent running here, and is this its control_socket?",
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{
			Text:   fmt.Sprintf("connect to the agent: nobody serves %s", path),
			Advice: "the agent died without removing its socket; see its log and start it again",
		}
	case errors.Is(err, fs.ErrPermission):
		return &Error{
			Text:   fmt.Sprintf("connect to the agent: no permission for %s", path),
			Advice: "run it as root, or as a member of control_group",
		}
	}
	return fmt.Errorf("connect to the agent: %w", err)
}

// Close ends the connection.
func (c *Client) Close() error { return c.c.Close() }

// Snapshot asks for the newest snapshot.
func (c *Client) Snapshot(ctx context.Context) (report.Snapshot, error) {
	var s report.Snapshot
	err := c.ask(ctx, answerTimeout, Request{Command: CommandStatus}, func(r Response) (bool, error) {
		if r.Snapshot == nil {
			return true, errors.New("read answer: no snapshot in it")
		}
		s = *r.Snapshot
		return true, nil
	})
	return s, err
}

// Events calls fn with every event above the sequence number, oldest first, and
// with follow goes on until the context ends, fn fails or the agent does. Events
// that left the agent's memory come as one event of kind "lost" and number 0.
func (c *Client) Events(ctx context.Context, after uint64, follow bool, fn func(report.Event) error) error {
	limit := answerTimeout
	if follow {
		limit = 0
	}
	return c.ask(ctx, limit, Request{Command: CommandEvents, After: after, Follow: follow}, func(r Response) (bool, error) {
		switch {
		case r.End:
			return true, nil
		case r.Lost > 0:
			return false, fn(report.Event{At: time.Now(), Kind: "lost", Seen: fmt.Sprintf("%d events left the agent's memory unseen", r.Lost)})
		case r.Event != nil:
			return false, fn(*r.Event)
		}
		return true, errors.New("read answer: neither an event nor an end")
	})
}

// Do gives an order and returns the agent's sentence about it. Order.By is not
// sent: the agent asks the kernel.
func (c *Client) Do(ctx context.Context, o Order) (string, error) {
	req := Request{Command: o.Command, Group: o.Group, Reason: o.Reason, ForMS: o.For.Milliseconds(), Force: o.Force}
	var result string
	err := c.ask(ctx, orderTimeout+answerTimeout, req, func(r Response) (bool, error) {
		if r.Result == "" {
			return true, errors.New("read answer: no result in it")
		}
		result = r.Result
		return true, nil
	})
	return result, err
}

// ask sends a request and gives each response to fn until fn says it is done.
// A limit of 0 waits for ever.
func (c *Client) ask(ctx context.Context, limit time.Duration, r Request, fn func(Response) (done bool, err error)) error {
	stop := context.AfterFunc(ctx, func() { c.c.Close() })
	defer stop()
	r.V = Version
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	deadline := time.Time{}
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	if err := c.c.SetDeadline(deadline); err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	// A server that refuses us answers before we ask: then the write fails, and
	// the answer is there to be read all the same.
	_, writeErr := c.c.Write(append(line, '\n'))
	for { // ends with the answer, the deadline or the context
		resp, err := c.receive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return c.explain(errors.Join(writeErr, err))
		}
		if done, err := fn(resp); done || err != nil {
			return err
		}
	}
}

func (c *Client) explain(err error) error {
	var refused *Error
	var slow net.Error
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &slow) && slow.Timeout():
		return &Error{Text: "ask the agent: no answer in time", Advice: "the agent may be stalled; see its log"}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return &Error{Text: "ask the agent: it closed the connection", Advice: "it ended, or this client was too slow; see its log"}
	}
	return fmt.Errorf("ask the agent: %w", err)
}

// receive reads one response line of at most MaxResponse bytes.
func (c *Client) receive() (Response, error) {
	var line []byte
	for { // bounded by MaxResponse
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return Response{}, err
		}
		if len(line) > MaxResponse {
			return Response{}, fmt.Errorf("read answer: longer than %d bytes", MaxResponse)
		}
	}
	var r Response
	if err := json.Unmarshal(line, &r); err != nil {
		return Response{}, fmt.Errorf("read answer: %v", err)
	}
	if r.Error != "" {
		return Response{}, &Error{Text: r.Error, Advice: r.Hint}
	}
	if r.V != Version {
		return Response{}, fmt.Errorf("read answer: protocol version %d, this program speaks %d", r.V, Version)
	}
	return r, nil
}

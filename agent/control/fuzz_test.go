package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/report"
)

// couple returns both ends of a socket as the kernel makes them for a client.
func couple(t *testing.T) (server, client *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// A judge is a handler that holds that no order is out of bounds.
type judge struct {
	t      *testing.T
	orders int
}

func (j *judge) Snapshot() report.Snapshot { return report.Snapshot{At: time.Now()} }

func (j *judge) Events(after uint64) []report.Event {
	if after > 5 {
		return nil
	}
	return []report.Event{{Seq: after + 2, Kind: "role"}, {Seq: after + 3, Kind: "link"}}
}

func (j *judge) Wait(context.Context, uint64) error { return context.Canceled }

func (j *judge) Do(_ context.Context, o Order) (string, error) {
	j.orders++
	_, known := arguments[o.Command]
	if !known || o.Command == CommandStatus || o.Command == CommandEvents || o.For < 0 || o.For > MaxFor ||
		len(o.Reason) > MaxReason || len(o.Group) > maxGroupName || o.By == "" {
		j.t.Errorf("order %+v", o)
	}
	return "", nil
}

// FuzzConversation says anything to the server. Each line it answers is one
// response with one thing in it, no order comes without a line that asks for
// it, and the server ends when the client has said all.
func FuzzConversation(f *testing.F) {
	f.Add([]byte("{\"v\":1,\"command\":\"status\"}\n{\"v\":1,\"command\":\"events\",\"after\":1}\n"))
	f.Add([]byte("{\"v\":1,\"command\":\"handover\",\"group\":\"g\",\"reason\":\"r\"}\n{\"v\":1,\"command\":\"resume\"}\n"))
	f.Add([]byte("{\"v\":1,\"command\":\"events\",\"follow\":true}\n{\"v\":1,\"command\":\"take\"}\n"))
	f.Add([]byte("\n\n"))
	f.Add([]byte("{\"v\":2}\n"))
	f.Add(append(bytes.Repeat([]byte{' '}, MaxRequest+5), '\n'))
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > 2*MaxRequest || bytes.Count(said, []byte{'\n'}) > 50 {
			return
		}
		c, client := couple(t)
		defer client.Close()
		h := &judge{t: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			(&Server{gid: noGroup}).serve(t.Context(), c, h)
		}()
		go func() {
			_, _ = client.Write(said)
			_ = client.CloseWrite()
		}()
		answers := 0
		in := bufio.NewReader(client)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				break
			}
			answers++
			single(t, line)
		}
		<-done
		if lines := bytes.Count(said, []byte{'\n'}); h.orders > lines || answers > 4*lines+1 {
			t.Fatalf("%d orders and %d answers for %d lines", h.orders, answers, lines)
		}
	})
}

// single holds that a response says exactly one thing.
func single(t *testing.T, line []byte) {
	t.Helper()
	var r Response
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	n := 0
	for _, set := range []bool{r.Snapshot != nil, r.Event != nil, r.Lost > 0, r.End, r.Result != "", r.Error != ""} {
		if set {
			n++
		}
	}
	if n != 1 || r.V != Version || r.Hint != "" && r.Error == "" {
		t.Fatalf("%q says %d things", line, n)
	}
}

// FuzzAnswer lets a server say anything to the client, which ends with an
// answer or an error, and believes no answer to another question.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("{\"v\":1,\"snapshot\":{}}\n"), byte(0))
	f.Add([]byte("{\"v\":1,\"event\":{\"seq\":3}}\n{\"v\":1,\"lost\":4}\n{\"v\":1,\"end\":true}\n"), byte(1))
	f.Add([]byte("{\"v\":1,\"result\":\"done\"}\n"), byte(2))
	f.Add([]byte("{\"v\":1,\"error\":\"no\",\"hint\":\"wait\"}\n"), byte(2))
	f.Add([]byte("{\"v\":9,\"result\":\"x\"}\n"), byte(2))
	f.Add([]byte("null\n"), byte(0))
	f.Fuzz(func(t *testing.T, said []byte, what byte) {
		if len(said) > 1<<16 {
			return
		}
		server, conn := couple(t)
		defer server.Close()
		c := &Client{c: conn, in: bufio.NewReaderSize(conn, 4096)}
		defer c.Close()
		go func() {
			_, _ = server.Write(said)
			_ = server.CloseWrite()
		}()
		var err error
		asked := "error"
		switch what % 3 {
		case 0:
			_, err = c.Snapshot(t.Context())
			asked = "snapshot"
		case 1:
			err = c.Events(t.Context(), 1, what&4 != 0, func(report.Event) error { return nil })
			asked = "end"
		case 2:
			var text string
			text, err = c.Do(t.Context(), Order{Command: OrderTake})
			asked = "result"
			if err == nil && text == "" {
				t.Fatal("an order was carried out without a word")
			}
		}
		if err == nil && !bytes.Contains(bytes.ToLower(said), []byte(asked)) {
			// JSON may spell a key with escapes; then it has a backslash.
			if !bytes.Contains(said, []byte{'\\'}) {
				t.Fatalf("%q was taken for an answer with %q", said, asked)
			}
		}
	})
}

package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// A talker is the harness's end of a machine's serial port talk.
type talker struct {
	conn net.Conn

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan talk.Response
	boots   []string // ids, in their order
	more    chan struct{}
}

var errRebooted = errors.New("the machine has rebooted")

func openTalker(path string) (*talker, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open talk port: %w", err)
	}
	t := &talker{conn: conn, waiting: map[uint64]chan talk.Response{}, more: make(chan struct{})}
	go t.listen()
	return t, nil
}

func (t *talker) close() { t.conn.Close() }

func (t *talker) listen() {
	in := bufio.NewScanner(t.conn)
	in.Buffer(make([]byte, 64<<10), talk.MaxLine)
	for in.Scan() {
		var r talk.Response
		if json.Unmarshal(in.Bytes(), &r) != nil {
			continue // half a line from before a reset
		}
		t.mu.Lock()
		if r.ID == 0 && r.Boot != "" {
			t.boots = append(t.boots, r.Boot)
			t.forget()
			close(t.more)
			t.more = make(chan struct{})
		}
		if c := t.waiting[r.ID]; c != nil {
			c <- r
			delete(t.waiting, r.ID)
		}
		t.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
}

// forget tells all that wait that no answer comes any more.
func (t *talker) forget() {
	for id, c := range t.waiting {
		close(c)
		delete(t.waiting, id)
	}
}

// booted waits until the machine has come up n times.
func (t *talker) booted(n int, within time.Duration) error {
	end := time.After(within)
	for {
		t.mu.Lock()
		have, more := len(t.boots), t.more
		t.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-more:
		case <-end:
			return fmt.Errorf("not up within %s (%d boots, want %d)", within, have, n)
		}
	}
}

func (t *talker) ask(q talk.Request, within time.Duration) (talk.Response, error) {
	c := make(chan talk.Response, 1)
	t.mu.Lock()
	t.last++
	q.ID = t.last
	t.waiting[q.ID] = c
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.waiting, q.ID)
		t.mu.Unlock()
	}()
	line, err := json.Marshal(q)
	if err != nil {
		return talk.Response{}, err
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(within))
	if _, err := t.conn.Write(append(line, '\n')); err != nil {
		return talk.Response{}, fmt.Errorf("talk: %w", err)
	}
	select {
	case r, ok := <-c:
		if !ok {
			return r, errRebooted
		}
		if r.Err != "" {
			return r, errors.New(r.Err)
		}
		return r, nil
	case <-time.After(within):
		return talk.Response{}, fmt.Errorf("talk: no answer to %s within %s", q.Do, within)
	}
}

// askWait bounds a request that takes a healthy machine some milliseconds.
const askWait = 20 * time.Second

// talker is that of the power that the machine has now.
func (m *Machine) talker() (*talker, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.talk == nil {
		return nil, fmt.Errorf("%s has no power", m.Name)
	}
	return m.talk, nil
}

func (m *Machine) ask(q talk.Request, within time.Duration) (talk.Response, error) {
	t, err := m.talker()
	if err != nil {
		return talk.Response{}, err
	}
	r, err := t.ask(q, within)
	if err != nil {
		err = fmt.Errorf("%s: %s %s: %w", m.Name, q.Do, strings.Join(q.Args, " "), err)
	}
	return r, err
}

// Booted waits until the machine has come up n times since it has power.
func (m *Machine) Booted(n int, within time.Duration) error {
	t, err := m.talker()
	if err != nil {
		return err
	}
	if err := t.booted(n, within); err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	return nil
}

// Boots counts how often the machine has come up since it has power.
func (m *Machine) Boots() int {
	t, err := m.talker()
	if err != nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.boots)
}

// Shell runs a script in the machine and returns what it printed.
func (m *Machine) Shell(script string) (string, error) {
	r, err := m.ask(talk.Request{Do: talk.Run, Args: []string{"/bin/sh", "-c", script}, Within: askWait}, askWait+time.Second)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%s: %s: exit code %d: %s", m.Name, script, r.Code, r.Out)
	}
	return strings.TrimSpace(string(r.Out)), err
}

// WriteFile writes a file in the machine; it need not come back from it.
func (m *Machine) WriteFile(name, text string, within time.Duration) error {
	_, err := m.ask(talk.Request{Do: talk.Write, Args: []string{name}, Data: []byte(text)}, within)
	return err
}

// StatusWithin is the agent's snapshot.
func (m *Machine) StatusWithin(within time.Duration) (s report.Snapshot, err error) {
	r, err := m.ask(talk.Request{Do: talk.Status}, within)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(r.Out, &s)
}

// Events are all that the agent remembers.
func (m *Machine) Events() (all []report.Event, err error) {
	r, err := m.ask(talk.Request{Do: talk.Events}, askWait)
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(r.Out, &all)
}

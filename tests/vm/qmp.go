package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// qmpWait bounds how long a machine's monitor may take to answer.
const qmpWait = 30 * time.Second

// A monitor is QEMU's control connection, by its protocol QMP. It is opened
// before the machine runs: QEMU keeps no event for those that come later.
type monitor struct {
	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex // one command at a time

	events   sync.Mutex
	happened []string // names of events, in their order
}

// openMonitor connects to a machine that does not run yet.
func openMonitor(path string) (*monitor, error) {
	var conn net.Conn
	var err error
	for end := time.Now().Add(qmpWait); ; time.Sleep(10 * time.Millisecond) {
		if conn, err = net.Dial("unix", path); err == nil {
			break
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("open monitor: %w", err)
		}
	}
	m := &monitor{conn: conn, in: bufio.NewReader(conn)}
	return m, m.do("qmp_capabilities", nil)
}

// do gives a command and waits for its answer.
func (m *monitor) do(command string, args any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	line, err := json.Marshal(map[string]any{"execute": command, "arguments": args})
	if err != nil {
		return err
	}
	if args == nil {
		line = fmt.Appendf(nil, `{"execute":%q}`, command)
	}
	_ = m.conn.SetDeadline(time.Now().Add(qmpWait))
	if _, err := m.conn.Write(line); err != nil {
		return fmt.Errorf("monitor: %s: %w", command, err)
	}
	for {
		line, err := m.in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("monitor: %s: %w", command, err)
		}
		var a struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
			Event  string
		}
		_ = json.Unmarshal(line, &a) // the greeting is neither
		switch {
		case a.Error != nil:
			return fmt.Errorf("monitor: %s: %s", command, a.Error.Desc)
		case a.Event != "":
			m.note(a.Event)
		case a.Return != nil:
			return nil
		}
	}
}

// eventsMost bounds the events that are remembered.
const eventsMost = 1000

func (m *monitor) note(event string) {
	m.events.Lock()
	defer m.events.Unlock()
	if len(m.happened) < eventsMost {
		m.happened = append(m.happened, event)
	}
}

// Happened counts the events with a name so far. A command makes QEMU's news
// be read first.
func (m *monitor) Happened(event string) (n int) {
	_ = m.do("query-status", nil)
	m.events.Lock()
	defer m.events.Unlock()
	for _, e := range m.happened {
		if e == event {
			n++
		}
	}
	return n
}

func (m *monitor) close() { m.conn.Close() }

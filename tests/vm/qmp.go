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
	happened []happening // in their order
}

// A happening is an event of QEMU.
type happening struct {
	name string
	at   time.Time // as QEMU stamped it
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
			Return    json.RawMessage
			Error     *struct{ Desc string }
			Event     string
			Timestamp struct{ Seconds, Microseconds int64 }
		}
		_ = json.Unmarshal(line, &a) // the greeting is neither
		switch {
		case a.Error != nil:
			return fmt.Errorf("monitor: %s: %s", command, a.Error.Desc)
		case a.Event != "":
			m.note(happening{a.Event, time.Unix(a.Timestamp.Seconds, a.Timestamp.Microseconds*1000)})
		case a.Return != nil:
			return nil
		}
	}
}

// eventsMost bounds the events that are remembered.
const eventsMost = 1000

func (m *monitor) note(event happening) {
	m.events.Lock()
	defer m.events.Unlock()
	if len(m.happened) < eventsMost {
		m.happened = append(m.happened, event)
	}
}

// Times are when the events with a name happened. A command makes QEMU's news
// be read first.
func (m *monitor) Times(event string) (all []time.Time) {
	_ = m.do("query-status", nil)
	m.events.Lock()
	defer m.events.Unlock()
	for _, e := range m.happened {
		if e.name == event {
			all = append(all, e.at)
		}
	}
	return all
}

func (m *monitor) close() { m.conn.Close() }

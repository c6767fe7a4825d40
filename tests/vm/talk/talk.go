// Package talk decides what the harness and the agent inside a test machine
// say to each other: JSON, one object a line, over a virtio serial port. It
// refuses nothing; who reads skips what is no answer to him.
package talk

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Names of the serial ports of a test machine.
const (
	PortTalk = "talk" // requests and responses
	PortLog  = "log"  // what the agent under test writes to stderr
)

// What a request may ask for.
const (
	Run    = "run"    // a program, and wait for its end
	Start  = "start"  // a program, without waiting; its output goes to PortLog
	Signal = "signal" // PID gets signal Number
	Read   = "read"   // the file Args[0]
	Write  = "write"  // Data to the file Args[0]
	Status = "status" // a snapshot of the agent under test, as JSON
	Events = "events" // its events, as JSON
	Spin   = "spin"   // hold the processor at realtime priority for Within
	Hang   = "hang"   // calls Args[0] of PID on files Args[1] never come back, or fail with error Number
	Press  = "press"  // keep all memory but Args[0] MiB in use from now on; each try adds a byte to [Pressed]
)

// Pressed has as many bytes as there were tries to keep memory in use: the kernel ends
// who does.
const Pressed = "/run/pressed"

// Kept is what PortLog says when a call of [Hang] is kept for the first time.
const Kept = "guest: a call is kept"

// MaxLine bounds a line: the events of an agent, in base64.
const MaxLine = 8 << 20

// A Request is an order of the harness.
type Request struct {
	ID     uint64        `json:"id"`
	Do     string        `json:"do"`
	Args   []string      `json:"args,omitempty"`
	Data   []byte        `json:"data,omitempty"`
	PID    int           `json:"pid,omitempty"`
	Number int           `json:"number,omitempty"`
	Within time.Duration `json:"within,omitempty"`
}

// A Response answers the request with the same ID. ID 0 is the machine's first
// line after it has booted.
type Response struct {
	ID   uint64 `json:"id"`
	Out  []byte `json:"out,omitempty"`
	Code int    `json:"code,omitempty"` // exit code of Run
	PID  int    `json:"pid,omitempty"`  // of Start
	Err  string `json:"err,omitempty"`
	Boot string `json:"boot,omitempty"` // with ID 0: the kernel's random id of this boot
}

// Available is the memory that is free or can be made so, in bytes, as
// /proc/meminfo says it (proc(5)).
func Available(meminfo []byte) (bytes int, err error) {
	for line := range strings.Lines(string(meminfo)) {
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &bytes); n == 1 {
			return bytes << 10, nil
		}
	}
	return 0, errors.New("no MemAvailable in what should be /proc/meminfo")
}

//go:build !lite

// Package survey decides what of this box a pair could use: serial ports with a
// UART that nobody holds, Ethernet interfaces, watchdogs, the init system and
// the services that run. It opens no device, starts no program, and refuses to
// guess what it cannot read. Start reading at [Box.Look].
package survey

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/agent/watchdog"
)

// Limits of what is looked at; what lies beyond is left out.
const (
	maxSerials    = 64
	maxNets       = 256
	maxProcesses  = 1 << 15
	maxDescriptor = 4096    // of one process
	maxText       = 1 << 16 // bytes of one file in /proc or /sys
)

// Facts are what was found.
type Facts struct {
	Init      string          `json:"init,omitempty"` // systemd, openrc, procd, runit or sysv; empty: none that is known
	Serials   []Serial        `json:"serial"`
	Nets      []Net           `json:"interfaces"`
	Watchdogs []watchdog.Seen `json:"watchdogs"`
	Services  []Service       `json:"services"`
}

// A Box is where to look.
type Box struct {
	Root       string                      // where /proc, /sys, /dev, /etc and /run are
	Interfaces func() ([]Interface, error) // of the network namespace; nil: the kernel is asked
}

// This is the box that the program runs on.
func This() Box { return Box{Root: "/"} }

// Look gathers all facts. What cannot be read is missing from them, except the
// interfaces, without which there is no pair.
func (b Box) Look() (Facts, error) {
	nets, err := b.nets()
	if err != nil {
		return Facts{}, err
	}
	running := b.processes()
	return Facts{
		Init:      service.InitSystem(b.Root),
		Serials:   b.serials(running),
		Nets:      nets,
		Watchdogs: append([]watchdog.Seen{}, watchdog.LookBelow(b.Root)...),
		Services:  b.services(running),
	}, nil
}

// read returns the text of a file, trimmed; empty if it cannot be read.
func (b Box) read(path ...string) string {
	data, err := os.ReadFile(b.path(path...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data[:min(len(data), maxText)]))
}

func (b Box) path(path ...string) string {
	return filepath.Join(append([]string{b.Root}, path...)...)
}

// list returns the names in a folder, sorted.
func (b Box) list(most int, path ...string) []string {
	entries, _ := os.ReadDir(b.path(path...))
	var names []string
	for _, e := range entries[:min(len(entries), most)] {
		names = append(names, e.Name())
	}
	return names
}

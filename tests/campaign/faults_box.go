package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// kernelFaults are what strangers do to the kernel of a box.
var kernelFaults = []fault{
	{name: "nft-flushed-owner", touches: gate, strike: func(x *strike) error { return x.strangerNFT(x.owner, "flush", "ruleset") }},
	{name: "nft-flushed-standby", touches: gate, strike: func(x *strike) error { return x.strangerNFT(x.peer, "flush", "ruleset") }},
	{name: "nft-table-deleted", touches: gate, strike: deleteTables},
	{name: "vip-deleted", touches: gate, moves: mustStay, tells: []string{vip4}, strike: func(x *strike) error {
		return x.at(x.owner, "ip", "addr", "del", vip4+"/16", "dev", "eth0")
	}},
	{name: "vip6-deleted", touches: gate, moves: mustStay, tells: []string{"fd77::1:1"}, strike: func(x *strike) error {
		return x.at(x.owner, "ip", "addr", "del", "fd77::1:1/64", "dev", "eth0")
	}},
	{name: "vip-given-to-standby", touches: gate, moves: mustStay, strike: func(x *strike) error {
		x.undo(func() error { return x.at(x.peer, "ip", "addr", "del", vip4+"/16", "dev", "eth0") })
		return x.at(x.peer, "ip", "addr", "add", vip4+"/16", "dev", "eth0")
	}},
	{name: "lan-device-down", touches: gate | lan, tells: []string{"eth0"}, strike: func(x *strike) error { return x.deviceDown(x.any(), "eth0") }},
	{name: "ethernet-device-down", touches: ethernet, moves: mustStay, tells: []string{"multicast"}, strike: func(x *strike) error { return x.deviceDown(x.any(), "ha0") }},
}

var vip4 = lab.VIP(0).String()

// strangerNFT changes the rules of a box. Until they are back nothing is said
// about what it routes: it has no gate.
func (x *strike) strangerNFT(i int, args ...string) error {
	x.watch.gated[i].Store(false)
	return x.at(i, "nft", args...)
}

func deleteTables(x *strike) error {
	i := x.any()
	if !x.node(i).Powered() {
		return nil
	}
	out, err := x.node(i).Space.Run("nft", "list", "tables")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			if err := x.strangerNFT(i, "delete", "table", f[1], f[2]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *strike) deviceDown(i int, device string) error {
	n := x.node(i)
	x.undo(func() error {
		if !n.Powered() {
			return nil
		}
		return n.SetDevice(device, true)
	})
	return n.SetDevice(device, false)
}

// resourceFaults are a machine that runs short of something, and clocks.
var resourceFaults = []fault{
	{name: "slow-disk", touches: disk | resources, moves: mustStay, strike: slowDisk},
	{name: "full-disk", touches: disk, moves: mustStay, strike: func(x *strike) error {
		n := x.node(x.any())
		x.undo(n.FreeDisk)
		return n.FillDisk()
	}},
	{name: "disk-lost", touches: disk | agents, ends: true, strike: func(x *strike) error {
		return x.diskWhileDown(func(string, []byte) []byte { return nil })
	}},
	{name: "disk-torn", touches: disk | agents, ends: true, strike: func(x *strike) error {
		return x.diskWhileDown(func(_ string, b []byte) []byte { return b[:x.rng.IntN(len(b)+1)] })
	}},
	{name: "disk-rotten", touches: disk | agents, ends: true, strike: func(x *strike) error {
		x.rot = true
		return x.diskWhileDown(func(_ string, b []byte) []byte {
			for range 1 + len(b)/20 {
				b[x.rng.IntN(len(b))] ^= 1 << x.rng.IntN(8)
			}
			return b
		})
	}},
	{name: "disk-older", touches: disk | agents, ends: true, strike: diskOlder},
	{name: "no-descriptors", touches: resources, moves: mustStay, strike: func(x *strike) error {
		n := x.node(x.any())
		return x.limit(n, unix.RLIMIT_NOFILE, uint64(n.TopFD()+1))
	}},
	{name: "no-memory", touches: agents, strike: noMemory},
	{name: "other-uptime", touches: agents, ends: true, strike: func(x *strike) error { return x.otherUptime(x.any()) }},
	{name: "wall-clock-steps", touches: resources, moves: mustStay, strike: wallSteps},
	{name: "busy-box", touches: resources, strike: busyBox},
}

func (x *strike) limit(n *lab.Node, resource int, soft uint64) error {
	heal, err := n.Limit(resource, soft)
	if err == nil {
		x.undo(heal)
	}
	return err
}

func slowDisk(x *strike) error {
	heal, err := x.node(x.any()).SlowDisk(x.between(50, 700))
	if errors.Is(err, lab.ErrNoStrace) {
		return unavailable{err}
	}
	if err == nil {
		x.undo(heal)
	}
	return err
}

// Each copy of the state is read while an agent is down and written back as
// change says; nil is a file that is gone.
func (x *strike) diskWhileDown(change func(name string, b []byte) []byte) error {
	i := x.any()
	n := x.node(i)
	x.forgot = true
	n.Kill()
	x.later(x.between(50, 600), func() error { return x.start(i) })
	files, err := filepath.Glob(n.StateDir() + "/*")
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || len(b) == 0 {
			continue
		}
		if b = change(f, b); b == nil {
			err = os.Remove(f)
		} else {
			err = os.WriteFile(f, b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readTree reads every file under dir.
func readTree(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files[path], err = os.ReadFile(path)
		}
		return err
	})
	return files, err
}

// diskOlder brings the disk back to what it was before the group moved twice.
func diskOlder(x *strike) error {
	i := x.any()
	n := x.node(i)
	old, err := readTree(n.StateDir())
	if err != nil {
		return err
	}
	if err := x.halt(x.owner); err != nil {
		return err
	}
	x.later(300*time.Millisecond, func() error {
		n.Kill()
		x.forgot = true
		for f, b := range old {
			if err := os.WriteFile(f, b, 0o600); err != nil {
				return err
			}
		}
		return errors.Join(x.start(x.owner), x.start(x.peer))
	})
	return nil
}

// callers is how many ask an agent at once that has no memory left.
const callers = 24

// noMemory lets the kernel refuse the agent every further page of address
// space while many ask it things. It may die of it, as it may be killed.
func noMemory(x *strike) error {
	i := x.any()
	n := x.node(i)
	x.expectCrash = true
	if err := x.limit(n, unix.RLIMIT_AS, uint64(n.Holdings().Virtual)); err != nil {
		return err
	}
	for range callers {
		x.busy.Go(func() {
			_, _ = n.Status()
			_, _ = n.Events(0)
		})
	}
	return nil
}

// otherUptime starts the agent again on a box whose kernel counts from
// elsewhere.
func (x *strike) otherUptime(i int) error {
	n := x.node(i)
	n.OtherClock(time.Duration(1+x.rng.IntN(1_000_000)) * time.Minute)
	x.undo(func() error { n.OtherClock(0); return nil })
	n.Kill()
	if err := n.Run(); err != nil {
		return err
	}
	if !lab.Until(time.Second, func() bool { return n.OwnClock() || n.Pid() == 0 }) {
		return unavailable{errors.New("time namespaces: this kernel's exec does not enter them")}
	}
	return nil
}

// wallSteps are those of the wall clock: back to 1970, to 2038, a leap, a day.
var wallTargets = []time.Duration{time.Second, -time.Second, 24 * time.Hour, -24 * time.Hour, 12 * 365 * 24 * time.Hour, -56 * 365 * 24 * time.Hour}

func wallSteps(x *strike) error {
	i := x.any()
	x.undo(func() error {
		if x.node(i).Pid() == 0 {
			return nil
		}
		return x.node(i).StepWall(0)
	})
	x.wallStepped = true
	at := time.Duration(0)
	for range 1 + x.rng.IntN(4) {
		to := wallTargets[x.rng.IntN(len(wallTargets))]
		x.later(at, func() error {
			if x.node(i).Pid() == 0 {
				return nil
			}
			return x.node(i).StepWall(to)
		})
		at += x.between(20, 300)
	}
	err := x.node(i).StepWall(0)
	if errors.Is(err, lab.ErrNoWall) {
		return unavailable{err}
	}
	return err
}

// busyBox keeps a program busy inside a box for the length of the fault.
func busyBox(x *strike) error {
	stop, err := x.spin(x.node(x.any()))
	if err == nil {
		x.undo(stop)
	}
	return err
}

// An unavailable fault cannot be made on this machine; the record says so.
type unavailable struct{ error }

// tail returns the last lines of a text.
func tail(b []byte, lines int) string {
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

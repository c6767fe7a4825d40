package vm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// A loaded is what came of a time in which the owner had more to do than it can.
type loaded struct {
	Minutes float64 `json:"minutes"`
	Scale   float64 `json:"scale"`
	Looks   int     `json:"looks"`     // at the age of the owner's newest heartbeat
	P99MS   float64 `json:"p99_ms"`    // of those ages, as the standby sees them
	WorstMS float64 `json:"worst_ms"`  // of those ages
	IdlePC  float64 `json:"idle_pc"`   // of the processor's time
	FreeMiB int     `json:"free_mib"`  // memory that was available, in the median
	Pressed int     `json:"pressed"`   // how often the kernel had ended who held the rest, and once
	Resets  int     `json:"resets"`    // by the watchdogs of both
	Moves   int     `json:"moves"`     // of the group, and of its owner's agent
	BothMS  int64   `json:"both_ms"`   // active
	Outage  int64   `json:"outage_ms"` // of the client, at the longest
	Wrong   string  `json:"wrong,omitempty"`
}

// What the load is.
const (
	spinners  = 3  // loops that want the whole processor
	spare     = 12 // MiB of available memory that are left alone
	diskStall = 50 * time.Millisecond
)

// overload gives a machine three busy loops, hardly any memory, and a disk that is
// written all the time and takes 50 ms for each piece.
func (x *play) overload(i int) error {
	m := x.Machines[i]
	if err := m.SlowDisk(int(time.Second / diskStall)); err != nil {
		return err
	}
	free, err := x.available(i)
	if err != nil {
		return err
	}
	if free <= spare {
		return fmt.Errorf("%s has %d MiB of memory, which is no room for a load", m.Name, free)
	}
	if _, err = m.ask(talk.Request{Do: talk.Press, Args: []string{strconv.Itoa(spare)}}, askWait); err != nil {
		return err
	}
	const busy = "(while :; do :; done) > /dev/null 2>&1 &"
	const write = "(while :; do dd if=/dev/zero of=/var/lib/twinbeat/load bs=16k count=64 conv=fsync; done) > /dev/null 2>&1 &"
	for _, script := range append(slices.Repeat([]string{busy}, spinners), write) {
		if _, err := m.Shell(script); err != nil {
			return err
		}
	}
	return nil
}

// underLoad watches a pair whose owner is overloaded for some time.
func (x *play) underLoad(span time.Duration) (r loaded, err error) {
	r = loaded{Minutes: span.Minutes(), Scale: x.Timing.Scale}
	if err := x.overload(0); err != nil {
		return r, err
	}
	pid, err := x.agent(0)
	if err != nil {
		return r, err
	}
	x.struck = x.Probe.Now()
	busy, total := x.processor(0)
	if err := x.watchLoad(span, &r); err != nil {
		return r, err
	}
	if now, err := x.agent(0); err != nil || now != pid {
		r.Moves++
	}
	busyNow, totalNow := x.processor(0)
	r.IdlePC = 100 * (1 - (busyNow-busy)/max(1, totalNow-total))
	pressed, err := x.Machines[0].ask(talk.Request{Do: talk.Read, Args: []string{talk.Pressed}}, askWait)
	r.Pressed = len(pressed.Out)
	r.Resets = len(x.Machines[0].Times(bite)) + len(x.Machines[1].Times(bite))
	r.BothMS, r.Outage = x.both().Milliseconds(), x.outage().Outage.Milliseconds()
	return r, errors.Join(err, r.judge(), x.crashed())
}

// watchLoad looks through the standby's eyes at the owner's heartbeats.
func (x *play) watchLoad(span time.Duration, r *loaded) error {
	var ages []float64
	var free []int // MiB
	owned := true
	for end, next := time.Now().Add(span), time.Now(); time.Now().Before(end); time.Sleep(askNext) {
		if time.Now().After(next) {
			next = time.Now().Add(memoryNext)
			if mib, err := x.available(0); err == nil {
				free = append(free, mib)
			}
		}
		state, s := x.state(1)
		if s.Peer.HeardAgoMS != nil {
			ages = append(ages, *s.Peer.HeardAgoMS)
		}
		owns := state == "" || state == "ARMED" || state == "STANDBY"
		if owned && !owns {
			r.Moves++
		}
		owned = owns
	}
	if n := len(ages); n > 0 {
		slices.Sort(ages)
		r.Looks, r.P99MS, r.WorstMS = n, ages[n*99/100], ages[n-1]
	}
	if len(free) == 0 {
		return errors.New("the owner's memory could not be looked at")
	}
	slices.Sort(free)
	r.FreeMiB = free[len(free)/2]
	return nil
}

// memoryNext is between two looks at the owner's memory.
const memoryNext = 30 * time.Second

// available is a machine's free memory and what it can make free, in MiB.
func (x *play) available(i int) (mib int, err error) {
	r, err := x.Machines[i].ask(talk.Request{Do: talk.Read, Args: []string{"/proc/meminfo"}}, askWait)
	if err != nil {
		return 0, err
	}
	mib, err = talk.Available(r.Out)
	return mib >> 20, err
}

func (r loaded) judge() error {
	switch {
	case r.Resets > 0:
		return fmt.Errorf("%d resets by watchdogs, without a cause", r.Resets)
	case r.BothMS > 0:
		return fmt.Errorf("both nodes were active for %d ms", r.BothMS)
	case r.FreeMiB > 2*spare:
		return fmt.Errorf("%d MiB of memory were free most of the time", r.FreeMiB)
	case r.IdlePC > 10:
		return fmt.Errorf("the processor was idle for %.0f %% of the time", r.IdlePC)
	}
	return nil
}

// processor is how long a machine's processor worked, and how long it could have.
func (x *play) processor(i int) (busy, total float64) {
	out, err := x.Machines[i].Shell("awk '/^cpu / {for (i = 2; i <= 9; i++) all += $i; print all - $5 - $6, all}' /proc/stat")
	if err == nil {
		_, _ = fmt.Sscan(out, &busy, &total)
	}
	return busy, total
}

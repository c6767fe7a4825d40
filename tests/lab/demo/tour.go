package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Bounds of one step of the tour.
const (
	settleTime = 8 * time.Second        // from the heal until the pair is whole again
	calm       = 500 * time.Millisecond // measured on after that
)

// busyPause is a pause of the prober above which its figures mean little. It
// is some of what the agents allow for in their own lease.
const busyPause = 100 * time.Millisecond

// A step is a fault of the tour and what came of it.
type step struct {
	result
	lacks string // what the pair lacked when it should have been whole again
}

// tour plays the faults one after the other. It ends early with ctx.
func tour(ctx context.Context, w *world, tell func(n int, f fault), done func(s step)) []step {
	var steps []step
	for n, f := range tourFaults() {
		tell(n+1, f)
		w.press(f)
		if !pause(ctx, f.hold) {
			return steps
		}
		if f.heal != nil {
			w.busy.Lock()
			f.heal(w)
			w.busy.Unlock()
			w.say("healed: " + f.name)
			// What the agents say of the links is older than the heal.
			if !pause(ctx, 2*askEvery) {
				return steps
			}
		}
		lacks := ""
		if !w.wait(ctx, settleTime, w.settled) {
			lacks = w.missing()
		}
		if !pause(ctx, calm) {
			return steps
		}
		r, ok := w.result()
		if !ok { // the fault found nobody to hit
			r.name, r.before, r.after, lacks = f.name, -1, -1, "nobody was active"
		}
		steps = append(steps, step{result: r, lacks: lacks})
		done(steps[len(steps)-1])
	}
	return steps
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// tourOnPaper plays the tour line by line.
func tourOnPaper(ctx context.Context, w *world) int {
	fmt.Printf("client 10.77.0.100 pings %s every millisecond and asks who has it\n", w.user.vip)
	total := len(tourFaults())
	steps := tour(ctx, w,
		func(n int, f fault) { fmt.Printf("%d/%d %s ...\n", n, total, f.name) },
		func(s step) {
			fmt.Printf("    %s\n", w.outcome(s.result))
			if s.lacks != "" {
				fmt.Printf("    NOT WHOLE after %s: %s\n", settleTime, s.lacks)
			}
		})
	return w.finish(ctx, os.Stdout, steps)
}

// outcome is a result in one line.
func (w *world) outcome(r result) string {
	text := w.moved(r)
	if r.proof != "" {
		text += " by " + r.proof
	}
	text += fmt.Sprintf("; pings lost for %s ms", ms(r.lost))
	if r.pages {
		text += fmt.Sprintf(", pages %s ms", ms(r.page))
	}
	text += fmt.Sprintf("; both active %s ms", ms(r.both))
	return text
}

// finish prints the table and returns the exit code.
func (w *world) finish(ctx context.Context, to io.Writer, steps []step) int {
	both, asked := w.bothActive()
	fmt.Fprintln(to)
	w.table(to, steps)
	fmt.Fprintf(to, "\nAll along, %d questions who has the address were asked; two boxes answered\n", asked)
	fmt.Fprintf(to, "in %s ms of that time. Lost and both-active are in milliseconds, as the client\n", ms(both))
	fmt.Fprintln(to, "saw them: pings every ms, a page (with its name) every 25 ms.")
	late := time.Duration(0)
	for _, s := range steps {
		late = max(late, s.client.Late)
	}
	fmt.Fprintf(to, "The prober itself paused for %s ms at most.\n", ms(late))
	if late > busyPause {
		fmt.Fprintln(to, "This machine was too busy to be two boxes: the figures are its, not the pair's.")
	}
	code, words := verdict(both, ctx.Err() != nil || len(steps) < len(tourFaults()), steps)
	fmt.Fprint(to, words)
	return code
}

// verdict is the exit code of a tour, and why.
func verdict(both time.Duration, interrupted bool, steps []step) (code int, words string) {
	if both > 0 {
		code, words = exitFailed, "FAILED: both boxes were active.\n"
	}
	for _, s := range steps {
		if s.lacks != "" {
			code = exitFailed
			words += fmt.Sprintf("FAILED: %s after %q was healed: %s\n", settleTime, s.name, s.lacks)
		}
	}
	if interrupted && code == exitWell {
		return exitInterrupted, "The tour was interrupted.\n"
	}
	return code, words
}

func (w *world) table(to io.Writer, steps []step) {
	if len(steps) == 0 {
		return
	}
	const row = "%-27s  %-12s  %9s  %9s  %4s  %s\n"
	fmt.Fprintf(to, row, "fault", "took over", "ping lost", "page lost", "both", "evidence")
	fmt.Fprintf(to, row, strings.Repeat("-", 27), strings.Repeat("-", 12), "---------", "---------", "----", "--------")
	for _, s := range steps {
		proof := s.proof
		if proof == "" {
			proof = "-"
		}
		if s.lacks != "" {
			proof += " !"
		}
		name, _, _ := strings.Cut(s.name, " (")
		fmt.Fprintf(to, row, name, w.moved(s.result), ms(s.lost), pageText(s.result), ms(s.both), proof)
	}
}

// Command bench measures a pair of twinbeats, and Debian's keepalived in its
// place, in network namespaces on this machine: what a client loses by each
// fault, whether two boxes were active at once, and what the pair costs. It
// prints tables in markdown, on stderr how far it is, and judges what must be
// reached; it does not try again to get a better figure. Start reading at
// inside, then rows.go (what is measured), shot.go (how) and table.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// Exit codes.
const (
	exitWell    = 0
	exitMissed  = 1 // something that must be reached was not
	exitFailed  = 2
	exitStopped = 130
)

// binaryEnv tells the inner process where the program under test is.
const binaryEnv = "TWINBEAT_BENCH_BINARY"

// memoryMost is where the collector starts after all.
const memoryMost = 512 << 20

// A bench is one call of the program.
type bench struct {
	runs   int
	quick  bool
	only   *regexp.Regexp
	json   string
	binary string
	result result
}

func main() { os.Exit(run()) }

func run() int {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 20, "runs of each fault; of those that last long, half as many")
	flag.BoolVar(&b.quick, "quick", false, "few and short runs: for development, not for figures")
	only := flag.String("only", "", "measure only rows whose name matches this regular expression")
	list := flag.Bool("list", false, "print the rows and how long each should take")
	flag.StringVar(&b.json, "json", "", "also write every run to this file")
	flag.Parse()
	var err error
	if b.only, err = regexp.Compile(*only); err != nil || flag.NArg() > 0 || b.runs < 1 {
		fmt.Fprintln(os.Stderr, "bench: bad arguments:", err, flag.Args())
		return exitFailed
	}
	if *list {
		b.estimate(os.Stdout, b.rows(), true)
		return exitWell
	}
	if b.binary = os.Getenv(binaryEnv); b.binary != "" {
		if inner, code, _ := lab.Enclose(""); !inner {
			return code
		}
		return b.inside()
	}
	code, err := lab.Launch("bench", lab.BuildAs(binaryEnv))
	if err != nil {
		return failed(err)
	}
	return code
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "bench:", err)
	return exitFailed
}

func (b *bench) inside() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The probers share this process with the null modems: not collected while
	// they run (see player.once), and with room to run when the kernel gives a
	// thread a core.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryMost)
	runtime.GOMAXPROCS(runtime.NumCPU() + 8)
	lab.StayOutside()

	rows := b.rows()
	b.result.Machine = machine()
	b.result.Quick = b.quick
	b.estimate(os.Stderr, rows, false)
	began := time.Now()
	for i, r := range rows {
		if ctx.Err() != nil {
			break
		}
		say("[%d/%d, %s of about %s] %s", i+1, len(rows), time.Since(began).Round(time.Second), total(rows).Round(time.Second), r.id)
		rowBegan := time.Now()
		r.measure(ctx, b, r)
		say("        took %s, estimated %s", time.Since(rowBegan).Round(time.Second), r.takes.Round(time.Second))
	}
	b.result.Took = time.Since(began).Round(time.Second).String()
	ok := b.result.print(os.Stdout)
	if b.json != "" {
		if err := b.result.write(b.json); err != nil {
			return failed(err)
		}
	}
	switch {
	case ctx.Err() != nil:
		return exitStopped
	case !ok:
		return exitMissed
	}
	return exitWell
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// estimate prints how long the rows should take on a quiet machine.
func (b *bench) estimate(w *os.File, rows []row, each bool) {
	if each {
		for _, r := range rows {
			fmt.Fprintf(w, "%-40s %s\n", r.id, r.takes.Round(time.Second))
		}
	}
	fmt.Fprintf(w, "%d rows, about %s\n", len(rows), total(rows).Round(time.Second))
}

func total(rows []row) time.Duration {
	var sum time.Duration
	for _, r := range rows {
		sum += r.takes
	}
	return sum
}

// machine names what the figures were measured on.
func machine() string {
	var u syscall.Utsname
	release := make([]byte, 0, len(u.Release))
	if syscall.Uname(&u) == nil {
		for _, c := range u.Release {
			if c == 0 {
				break
			}
			release = append(release, byte(c))
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("Linux %s %s, %d cores, load %s at the start, %s",
		release, runtime.GOARCH, runtime.NumCPU(), first, keepalivedVersion())
}

func keepalivedVersion() string {
	out, err := exec.Command("keepalived", "--version").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "keepalived is not installed"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// pause waits, less if the user has had enough.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// upTo is a random time, so that faults fall anywhere between two heartbeats.
func upTo(d time.Duration) time.Duration { return rand.N(d) }

// path of a file that keeps what a failed run left, for a look.
func wreck(id string) string {
	return filepath.Join("/tmp", "twinbeat-bench-"+strings.NewReplacer("/", "-", " ", "-").Replace(id)+".log")
}

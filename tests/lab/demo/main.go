// Command demo shows a pair of twinbeats on this machine: two boxes in network
// namespaces, a client that measures, and keys for the faults. It decides
// nothing about the pair, and touches nothing outside the namespaces it made.
// Start reading at run, then world.go (the boxes and the faults), view.go (the
// screen) and tour.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// Exit codes.
const (
	exitWell        = 0
	exitFailed      = 1
	exitInterrupted = 130 // as a shell says of SIGINT
)

// binaryEnv tells the inner process where the program under test is.
const binaryEnv = "TWINBEAT_DEMO_BINARY"

// bootTime bounds the pair's first start, on a machine that has better to do.
const bootTime = 40 * time.Second

func main() {
	tour := flag.Bool("tour", yes(os.Getenv("TOUR")), "play every fault by itself and print what was measured")
	profile := flag.String("profile", "default", "default or fast")
	flag.Parse()
	os.Exit(run(*tour, *profile))
}

// yes reads TOUR: make passes it on as it is, and so empty if it was not given.
func yes(s string) bool { return s != "" && s != "0" && s != "no" }

// run is the program outside the namespaces: it builds, because there is no
// network inside, and sees that nothing stays behind.
func run(tour bool, profile string) int {
	if os.Getenv(binaryEnv) != "" {
		if inner, code, _ := lab.Enclose(""); !inner {
			return code
		}
		return inside(tour, profile)
	}
	restore := keepTerminal()
	defer restore()
	code, err := lab.Launch("demo", prepare)
	if err != nil {
		return failed(err)
	}
	return code
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "demo:", err)
	return exitFailed
}

// prepare builds the program under test and sees that the services are there.
// It ends early, and nothing with it, when the user has had enough.
func prepare(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root, err := lab.ModuleRoot()
	if err != nil {
		return err
	}
	if missing := missingPackages(); len(missing) > 0 {
		install(ctx, root, missing)
	}
	fmt.Println("building twinbeat (the first time, Go compiles its libraries, too) ...")
	began := time.Now()
	name := filepath.Join(dir, "twinbeat")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-o", name, ".")
	cmd.Dir, cmd.Env, cmd.Stderr = root, append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return errors.New("build twinbeat: interrupted")
		}
		return fmt.Errorf("build twinbeat: %w", err)
	}
	fmt.Printf("built in %.1f s\n", time.Since(began).Seconds())
	return os.Setenv(binaryEnv, name)
}

// install lets the tree's own script fetch what is missing. The demo goes on
// without what it cannot have.
func install(ctx context.Context, root string, missing []string) {
	if os.Geteuid() != 0 {
		fmt.Printf("missing: %s; going on without (root on Debian installs it)\n", strings.Join(missing, ", "))
		return
	}
	fmt.Printf("installing %s ...\n", strings.Join(missing, ", "))
	cmd := exec.CommandContext(ctx, filepath.Join(root, ".ci", "deps"), missing...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo: install packages:", err)
	}
	if still := missingPackages(); len(still) > 0 {
		fmt.Printf("going on without %s\n", strings.Join(still, ", "))
	}
}

// keepTerminal returns what puts the terminal back as it is now, whatever
// happened to the inner process.
func keepTerminal() (restore func()) {
	old, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS)
	if err != nil {
		return func() {} // not a terminal
	}
	return func() {
		now, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS)
		if err == nil && now.Lflag != old.Lflag { // the screen did not get to close itself
			fmt.Print(leaveScreen)
			_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, old)
		}
	}
}

// inside is the program in its namespaces.
func inside(tour bool, profile string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	terminal := isTerminal(os.Stdin) && isTerminal(os.Stdout)
	if !terminal && !tour {
		fmt.Println("no terminal to show the pair on and to read keys from: playing the tour (TOUR=1)")
		tour = true
	}
	fmt.Println("building two boxes, a LAN, a heartbeat Ethernet, a null modem and a client ...")
	w, err := newWorld(os.Getenv(binaryEnv), profile)
	if err != nil {
		return failed(err)
	}
	defer w.close()
	fmt.Println("booting both boxes ...")
	if !w.wait(ctx, bootTime, w.settled) {
		if ctx.Err() != nil {
			return exitInterrupted
		}
		w.explain(os.Stderr)
		return failed(errors.New("boot the pair: it did not settle"))
	}
	w.begin("")
	switch {
	case !tour:
		return interactive(ctx, w)
	case terminal:
		return tourOnScreen(ctx, w)
	default:
		return tourOnPaper(ctx, w)
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

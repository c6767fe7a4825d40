// Command mutants breaks one safety rule of the product at a time and sees
// which ring of tests notices; a rule that nobody notices is a failed run.
//
// Start reading at mutant and at the tables (pair*.go, around.go, kernel.go).
// A mutant is a substitution in the sources, applied by go test -overlay to
// copies in a temporary folder: nothing of it is ever in the product.
//
//	go run ./tests/mutants [-full] [-only REGEXP] [-list]
//
// Without -full only the rings that ought to kill a mutant are asked, cheapest
// first, and the first kill is enough. With it every ring that contains the
// broken package runs, the whole table is printed, and a ring that ought to
// kill a mutant and does not is a failure, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
	"golang.org/x/sys/unix"
)

func main() {
	full := flag.Bool("full", false, "run every ring for every mutant and print the whole table")
	only := flag.String("only", "", "only mutants whose name or file matches")
	list := flag.Bool("list", false, "list the rules and end")
	workers := flag.Int("j", runtime.GOMAXPROCS(0), "how many mutants at once")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer cancel()
	if err := run(ctx, *full, *only, *list, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, full bool, only string, list bool, workers int) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("read -only: %w", err)
	}
	root, err := lab.ModuleRoot()
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(all()), func(m mutant) bool {
		return !pattern.MatchString(m.name) && !slices.ContainsFunc(m.edits, func(e edit) bool { return pattern.MatchString(e.file) })
	})
	if len(chosen) == 0 {
		return fmt.Errorf("choose mutants: none matches %q", only)
	}
	if list {
		for _, m := range chosen {
			fmt.Printf("%-44s %s\n", m.name, m.rule)
		}
		return nil
	}
	for _, m := range chosen { // before any minute is spent
		if _, err := m.apply(root); err != nil {
			return err
		}
	}
	began := time.Now()
	l, err := newWorkshop(ctx, root, full)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.sound(chosen); err != nil {
		return err
	}
	fmt.Printf("the rings are sound after %v; %d mutants\n", time.Since(began).Round(time.Second), len(chosen))
	outcomes := l.judge(chosen, max(1, workers))
	if full {
		printMatrix(os.Stdout, outcomes)
	}
	err = summary(os.Stdout, outcomes, full, time.Since(began))
	return errors.Join(ctx.Err(), err)
}

// Package e2e runs the real twinbeat as a pair on real kernels.
package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	inner, code, err := lab.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if !inner {
		return code
	}
	dir, err := os.MkdirTemp("", "twinbeat-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = lab.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

func TestSmoke(t *testing.T) {
	l, err := lab.New(lab.Options{Binary: binary})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer func() {
		for _, n := range l.Nodes {
			b, _ := os.ReadFile(n.LogPath())
			t.Logf("%s:\n%s", n.Name, b)
		}
	}()
	if err := l.Boot(); err != nil {
		t.Fatal(err)
	}
	ok := lab.Until(5*time.Second, func() bool { return l.Nodes[0].State(0) == "ACTIVE" && l.Nodes[1].State(0) == "ARMED" })
	t.Log(ok, l.Nodes[0].State(0), l.Nodes[1].State(0))
	p, err := l.Probe(lab.VIP(0), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	o, err := l.Observe(lab.VIP(0), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Stop()
	time.Sleep(500 * time.Millisecond)
	from, ofrom := p.Now(), o.Now()
	l.Nodes[0].Kill()
	time.Sleep(1500 * time.Millisecond)
	both, asked := o.BothActive(ofrom, o.Now())
	t.Logf("%+v both %v of %d; %s %s", p.Report(from-100*time.Millisecond, p.Now()), both, asked, l.Nodes[0].State(0), l.Nodes[1].State(0))
	s, err := l.Nodes[1].Status()
	t.Logf("%+v %v", s, err)
}

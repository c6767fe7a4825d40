package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

func TestZZCost(t *testing.T) {
	if os.Getenv("COST") == "" {
		t.Skip()
	}
	l, err := lab.New(lab.Options{Binary: binary, Timing: os.Getenv("TIMING"), Profile: os.Getenv("PROFILE"), Baud: 230400})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Boot(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	read := func(n *lab.Node) (string, int64) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", n.Pid()))
		var tot int64
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", n.Pid()))
		for _, tk := range tasks {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", n.Pid(), tk.Name()))
			var a, bb, c int64
			fmt.Sscan(string(b), &a, &bb, &c)
			tot += a
		}
		return strings.TrimSpace(string(b)), tot
	}
	_, a0 := read(l.Nodes[0])
	_, b0 := read(l.Nodes[1])
	if os.Getenv("HOLD") != "" {
		fmt.Println("PIDS", l.Nodes[0].Pid(), l.Nodes[1].Pid())
	}
	time.Sleep(20 * time.Second)
	_, a1 := read(l.Nodes[0])
	_, b1 := read(l.Nodes[1])
	t.Logf("cpu ms/min fw1 %.1f fw2 %.1f", float64(a1-a0)/1e6*3, float64(b1-b0)/1e6*3)
	for _, n := range l.Nodes {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", n.Pid()))
		t.Log(string(b)[:400])
	}
	s, _ := l.Nodes[0].Status()
	for _, k := range s.Links {
		t.Logf("%+v %v", k, *k.RoundTripMS)
	}
	b, _ := os.ReadFile(l.Nodes[0].LogPath())
	t.Log(string(b))
}

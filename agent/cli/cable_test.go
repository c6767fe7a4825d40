//go:build !lite

package cli

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
)

func modem(t *testing.T) *linktest.NullModem {
	t.Helper()
	n, err := linktest.NewNullModem()
	if err != nil {
		t.Skipf("this machine has no ptys: %v", err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// Both commands over a cable of ptys, with the times that operators get.
func TestCableTestOnBothBoxes(t *testing.T) {
	n := modem(t)
	nowhere := filepath.Join(t.TempDir(), "s")
	var out, errs [2]bytes.Buffer
	var codes [2]int
	var all sync.WaitGroup
	for i := range 2 {
		args := []string{"cable-test", n.Device(i), "--socket", nowhere}
		if i == 0 {
			args = append(args, "--json")
		}
		all.Go(func() { codes[i] = Main(args, strings.NewReader(""), &out[i], &errs[i]) })
	}
	all.Wait()
	t.Logf("%s%s", out[1].String(), errs[1].String())
	if codes != [2]int{} {
		t.Fatalf("exit %v: %s%s", codes, errs[0].String(), errs[1].String())
	}
	var a cableAnswer
	if err := json.Unmarshal(out[0].Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if len(a.Rates) != 8 || a.Recommend == 0 || len(a.Proves) == 0 || len(a.Cannot) == 0 || !strings.Contains(a.Class, "without modem lines") {
		t.Errorf("%+v", a)
	}
	for _, want := range []string{"CABLE         unknown: a port without modem lines", "   9600  0.00%", "cannot prove  that a silent peer is off", "RECOMMENDED   baud = "} {
		if !strings.Contains(out[1].String(), want) {
			t.Errorf("the other box's report lacks %q", want)
		}
	}
}

func TestCableTestNamesWhoHoldsThePort(t *testing.T) {
	n := modem(t) // this process has its ends open
	self := newConsole(t, "dumb", "version").cmd.Path
	text, err := exec.Command(self, "cable-test", n.Device(0), "--socket", filepath.Join(t.TempDir(), "s")).CombinedOutput()
	if err == nil || !strings.Contains(string(text), "held by cli.test (pid ") || !strings.Contains(string(text), "hint: ") {
		t.Errorf("%v: %s", err, text)
	}
}

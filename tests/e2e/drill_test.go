package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// drilled is what twinbeat drill --json prints, as far as it is judged here.
type drilled struct {
	Well     bool     `json:"well"`
	Trouble  []string `json:"trouble"`
	Owner    string   `json:"owner"`
	Degraded []string `json:"degraded"`
	Moves    []struct {
		From, To  string
		Done      bool
		DarkMS    *float64 `json:"dark_ms"`
		Measured  string
		ServiceMS *float64 `json:"service_dark_ms"`
	}
}

// drill runs the command on a node and returns its answer and its exit code.
func (r *rig) drill(node int, args ...string) (drilled, int) {
	r.Helper()
	return r.drillWhile(node, func(*os.Process) {}, args...)
}

// drillWhile is drill with something that happens meanwhile.
func (r *rig) drillWhile(node int, meanwhile func(*os.Process), args ...string) (drilled, int) {
	r.Helper()
	n := r.Nodes[node]
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, append([]string{"drill", "--json", "--socket", filepath.Join(filepath.Dir(n.LogPath()), "run/twinbeat.sock")}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	r.try(n.Space.Start(cmd))
	meanwhile(cmd.Process)
	err := cmd.Wait()
	var d drilled
	if bad := json.Unmarshal(out.Bytes(), &d); bad != nil {
		r.Fatalf("drill: %v: %v: %s%s", err, bad, out.String(), errs.String())
	}
	r.Logf("fw%d: exit %d: %s%s", node+1, cmd.ProcessState.ExitCode(), out.String(), errs.String())
	return d, cmd.ProcessState.ExitCode()
}

// web is a configuration with lighttpd on the group's address, and writes what it
// needs to the boxes' own disks.
func web(t *testing.T) lab.Options {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/lighttpd"); err != nil {
		t.Skip("lighttpd is not installed: .ci/deps does it")
	}
	dir := t.TempDir()
	conf := fmt.Sprintf("server.bind = %q\nserver.port = 80\nserver.document-root = %q\nserver.pid-file = \"/run/web.pid\"\n", lab.VIP(0), dir)
	script := `cd "$1" || exit 1
case $2 in
start) [ ! -e /run/broken ] && exec /usr/sbin/lighttpd -f "$1/conf" ;;
stop) pid=$(cat /run/web.pid 2>/dev/null) || exit 0; kill -9 "$pid"; rm -f /run/web.pid ;;
status) pid=$(cat /run/web.pid 2>/dev/null) && kill -0 "$pid" 2>/dev/null || exit 3 ;;
esac
`
	for name, text := range map[string]string{"conf": conf, "rc": script, "index.html": "well\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	verb := func(v string) string { return fmt.Sprintf("%s = [\"/bin/sh\", %q, %q, %q]\n", v, dir+"/rc", dir, v) }
	return lab.Options{Group: "flap_max = 0\n[[group.service]]\nname = \"web\"\ndriver = \"command\"\ncheck_interval = \"200ms\"\n" +
		verb("start") + verb("stop") + verb("status")}
}

func TestDrillThereAndBackWithARealService(t *testing.T) {
	r := boot(t, web(t))
	r.await("services run on fw1", soon, func() bool {
		s, err := r.Nodes[0].Status()
		return err == nil && s.Groups[0].ServicesUp
	})
	for node := range r.Nodes { // from the owner, then from the standby
		since := r.mark()
		d, code := r.drill(node, "--return", "--stay", "1s", "--tcp", "80")
		if code != 0 || !d.Well || d.Owner != "fw1" || len(d.Moves) != 2 || len(d.Degraded) > 0 {
			t.Fatalf("fw%d: exit %d: %+v", node+1, code, d)
		}
		for _, m := range d.Moves {
			if !m.Done || m.DarkMS == nil || m.ServiceMS == nil || m.Measured != "asked on the LAN" {
				t.Errorf("not measured: %+v", m)
				continue
			}
			if *m.DarkMS > 500 || *m.ServiceMS < *m.DarkMS-20 {
				t.Errorf("the address was dark for %.1f ms, the service for %.1f ms", *m.DarkMS, *m.ServiceMS)
			}
		}
		noted := false
		for _, e := range r.events(node, since[node]) {
			noted = noted || e.Kind == "operator" && strings.Contains(e.Seen, "drill well; fw1 to fw2: address dark for ")
		}
		if !noted {
			t.Error("the result is no event")
		}
	}
}

// The measured time is what the client saw.
func TestDrillMeasuresWhatAClientSees(t *testing.T) {
	r := boot(t, lab.Options{})
	var d drilled
	seen := r.during(func() { d, _ = r.drill(0, "--stay", "0s") }, func() { r.moved(1) })
	if len(d.Moves) != 1 || d.Moves[0].DarkMS == nil {
		t.Fatalf("not measured: %+v", d)
	}
	mine := time.Duration(*d.Moves[0].DarkMS * float64(time.Millisecond))
	t.Logf("drill measured %v, the client %v (late by %v)", mine, seen.Outage, seen.Late)
	if diff := mine - seen.Outage; diff > 20*time.Millisecond+seen.Late || diff < -20*time.Millisecond-seen.Late {
		t.Errorf("drill measured %v, the client %v", mine, seen.Outage)
	}
}

func TestDrillReturnsOnTrouble(t *testing.T) {
	r := boot(t, web(t))
	r.await("services run on fw1", soon, func() bool {
		s, err := r.Nodes[0].Status()
		return err == nil && s.Groups[0].ServicesUp
	})
	d, code := r.drill(0, "--stay", "1s", "--limit", "1us") // no network is that fast
	if code != 1 || d.Well || d.Owner != "fw1" || len(d.Trouble) == 0 || !strings.Contains(d.Trouble[0], "nobody served for ") {
		t.Errorf("exit %d: %+v", code, d)
	}
	r.moved(0)
	r.await("fw2 is armed", 2*soon, func() bool { return r.states(0, "ACTIVE", "ARMED") })

	// The service of fw2 does not start: the agent gives the group back, or drill does.
	broken := filepath.Join(filepath.Dir(r.Nodes[1].LogPath()), "run/broken")
	r.try(os.WriteFile(broken, nil, 0o600))
	d, code = r.drill(0, "--stay", "20s", "--tcp", "80")
	if code != 1 || d.Well || len(d.Trouble) == 0 {
		t.Errorf("exit %d: %+v", code, d)
	}
	r.await("fw1 owns the group again, and serves", 2*soon, func() bool {
		s, err := r.Nodes[0].Status()
		return err == nil && r.owns(0, 0) && s.Groups[0].ServicesUp
	})
}

func TestDrillNeedsAPairThatIsWell(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	r.order(1, control.Order{Command: control.OrderMaintenanceOn, Reason: "test"})
	d, code := r.drill(0)
	if code != 3 || len(d.Moves) > 0 || !strings.Contains(strings.ToLower(strings.Join(d.Degraded, " ")), "maintenance") {
		t.Errorf("exit %d: %+v", code, d)
	}
	for _, c := range r.changes(since) {
		if strings.HasPrefix(c, "fw1/") && !strings.Contains(c, "-> SOLO") {
			t.Errorf("it moved: %s", c)
		}
	}
}

func TestDrillThatIsGivenUpGoesBack(t *testing.T) {
	r := boot(t, lab.Options{})
	d, code := r.drillWhile(0, func(p *os.Process) {
		r.moved(1)
		r.try(p.Signal(os.Interrupt))
	}, "--stay", "30s")
	if code != 1 || d.Owner != "fw1" || len(d.Moves) != 2 || len(d.Trouble) != 1 || d.Trouble[0] != "the operator gave up" {
		t.Errorf("exit %d: %+v", code, d)
	}
	r.moved(0)
}

// The new owner dies while it is watched: the pair does what it does, and the
// drill tells that and its own result.
func TestDrillTellsThatTheNewOwnerDied(t *testing.T) {
	r := boot(t, lab.Options{})
	d, code := r.drillWhile(0, func(*os.Process) {
		r.moved(1)
		time.Sleep(200 * time.Millisecond)
		r.Nodes[1].Kill()
	}, "--stay", "10s")
	if code != 1 || d.Owner != "fw1" || len(d.Trouble) != 1 || !strings.Contains(d.Trouble[0], "went back to fw1 without the drill, by evidence ") || len(d.Degraded) == 0 {
		t.Errorf("exit %d: %+v", code, d)
	}
	r.await("fw1 serves alone", soon, func() bool { return r.owns(0, 0) })
}

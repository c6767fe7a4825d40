package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// A stove is the sensor of a box: a hwmon chip in a tree of files.
type stove struct{ root, input string }

// stoveCrit is its critical limit, in degrees Celsius.
const stoveCrit = 100

func newStove(t *testing.T) stove {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "sys/devices/platform/soc.0/hwmon/hwmon0")
	class := filepath.Join(root, "sys/class/hwmon")
	for _, d := range []string{dir, class} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := stove{root, filepath.Join(dir, "temp1_input")}
	for name, text := range map[string]string{
		"name": "soc", "temp1_label": "CPU", "temp1_crit": fmt.Sprint(stoveCrit * 1000), "temp1_input": "60000",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../devices/platform/soc.0/hwmon/hwmon0", filepath.Join(class, "hwmon0")); err != nil {
		t.Fatal(err)
	}
	return s
}

// set makes the sensor read a temperature, in one step as a register does.
func (s stove) set(t *testing.T, celsius float64) {
	t.Helper()
	fresh := s.input + ".new"
	if err := os.WriteFile(fresh, fmt.Appendf(nil, "%.0f\n", celsius*1000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, s.input); err != nil {
		t.Fatal(err)
	}
}

// stoves gives each node one; lines are further ones of the configuration.
func stoves(t *testing.T, lines string) ([2]stove, lab.Options) {
	s := [2]stove{newStove(t), newStove(t)}
	return s, lab.Options{Extra: fmt.Sprintf("[sensors]\ninterval = \"1s\"\nroot = { fw1 = %q, fw2 = %q }\n%s", s[0].root, s[1].root, lines)}
}

// A warming is how stoves get hot: from, to, and C a second.
type warming struct{ from, to, pace float64 }

// heat warms stoves until done says so, and returns the temperature then. The
// sensors are noisy.
func (w warming) heat(t *testing.T, done func(celsius float64) bool, hot ...stove) float64 {
	t.Helper()
	began := time.Now()
	for i := 0; ; i++ {
		now := min(w.from+w.pace*time.Since(began).Seconds(), w.to)
		for _, s := range hot {
			s.set(t, now+0.1*float64(i%3-1))
		}
		if done(now) {
			return now
		}
		time.Sleep(time.Second)
	}
}

func TestOwnerThatGetsHotHandsOverBeforeItsLimit(t *testing.T) {
	s, o := stoves(t, "")
	r := boot(t, o)
	since := r.mark()
	w := warming{from: 60, to: 120, pace: 0.25}
	at := w.heat(t, func(c float64) bool { return r.owns(1, 0) || c >= stoveCrit }, s[0])
	if at >= stoveCrit-5 {
		t.Fatalf("at %.0f C the service is still with fw1, or just moved: %v", at, r.changes(since))
	}
	r.moved(1)
	r.took(1, "released")
	t.Logf("fw2 took over at %.1f C, %.0f s before the limit", at, (stoveCrit-at)/w.pace)
	text := r.story(0)
	for _, says := range []string{"soc CPU", "reaches 100 C in"} {
		if !strings.Contains(text, says) {
			t.Errorf("the events do not say %q:\n%s", says, text)
		}
	}
	if !r.alarmed(0, "sensor hwmon/soc@soc.0/CPU") {
		t.Error("no alarm names the sensor")
	}
	r.await("fw1 is armed", soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
	answer := r.order(0, control.Order{Command: control.OrderSensors})
	for _, says := range []string{`"id":"hwmon/soc@soc.0/CPU"`, `"crit":100`, `"level":"move"`, `"per_hour":`, `"minutes":[`} {
		if !strings.Contains(answer, says) {
			t.Errorf("sensors does not say %s: %.600s", says, answer)
		}
	}
}

// A hot room is no reason to move: the peer is as badly off. The nodes' windows
// of ten seconds begin at different times, so that one of them is first.
func TestHotRoomMovesNothing(t *testing.T) {
	s, o := stoves(t, "[health]\nhold = \"30s\"\n")
	r := boot(t, o)
	since := r.mark()
	both, began := time.Time{}, time.Now()
	warming{from: 74, to: 87, pace: 0.15}.heat(t, func(float64) bool {
		if both.IsZero() && r.alarmed(0, "sensor ") && r.alarmed(1, "sensor ") {
			both = time.Now()
		}
		return !both.IsZero() && time.Since(both) > 35*time.Second || time.Since(began) > 150*time.Second
	}, s[0], s[1])
	if both.IsZero() {
		t.Error("no alarm on both nodes")
	}
	r.unmoved(since)
}

// A limit that is reached acts at once, without medians and without a trend.
func TestCriticalTemperatureActsAtOnce(t *testing.T) {
	s, o := stoves(t, "")
	r := boot(t, o)
	s[0].set(t, stoveCrit+1)
	took := r.await("fw2 owns the group", 2*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	t.Logf("after %v", took)
	if text := r.story(0); !strings.Contains(text, "at its limit of 100") {
		t.Errorf("the events do not say why:\n%s", text)
	}
	s[0].set(t, 60)
}

// A chip that hangs, lies or leaves is an event and no reason for anything.
func TestSensorsThatHangOrLieMoveNothing(t *testing.T) {
	s, o := stoves(t, "deadline = \"100ms\"\n")
	r := boot(t, o)
	since := r.mark()
	lie := func(text, says string) {
		if err := os.WriteFile(s[0].input, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		r.await("the event: "+says, 2*soon, func() bool { return strings.Contains(r.story(0), says) })
	}
	lie("3892313987", "is implausible: 3892314 C is physically impossible")
	lie("garbage", "is unreadable: \"garbage\": holds no number")
	// A file that hangs, until somebody writes.
	pipe := filepath.Join(s[0].root, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, s[0].input+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s[0].input+".new", s[0].input); err != nil {
		t.Fatal(err)
	}
	says := "is blocked: temp1_input has not answered for"
	r.await("the event: "+says, 2*soon, func() bool { return strings.Contains(r.story(0), says) })
	s[0].set(t, 60)
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.await("the sensor is well", 2*soon, func() bool { return strings.Contains(r.story(0), "sensor soc CPU (hwmon/soc@soc.0/CPU) is ok") })
	if r.alarmed(0, "sensor ") {
		t.Error("it is an alarm")
	}
	r.unmoved(since)
}

// story is all that a node's events say.
func (r *rig) story(node int) string {
	events, err := r.Nodes[node].Events(0)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s: %s; %s; %s\n", e.Kind, e.Seen, e.Decided, e.Done)
	}
	return b.String()
}

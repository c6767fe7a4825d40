//go:build !lite

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

func sensorsOf(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(append([]string{"sensors"}, args...), strings.NewReader(""), &o, &e)
	for line := range strings.Lines(o.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 && line[0] != '{' {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	return o.String(), e.String(), code
}

// boxAt writes a configuration whose sensors are in a tree, with one zone.
func boxAt(t *testing.T, celsius float64, lines string) (config string) {
	t.Helper()
	dir := t.TempDir()
	zone := filepath.Join(dir, "sys/class/thermal/thermal_zone0")
	if err := os.MkdirAll(zone, 0o755); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "twinbeat.toml")
	for name, text := range map[string]string{
		filepath.Join(zone, "type"): "cpu-thermal", filepath.Join(zone, "temp"): fmt.Sprintf("%.0f", celsius*1000),
		filepath.Join(zone, "trip_point_0_type"): "critical", filepath.Join(zone, "trip_point_0_temp"): "105000",
		config: `cluster = "office"
control_socket = "` + dir + `/none"
key_file = "` + dir + `/keys"
[[node]]
name = "fw1"
[[node]]
name = "fw2"
[[link]]
type = "serial"
device = "/dev/ttyS1"
[[link]]
type = "multicast"
interface = "eth2"
group = "239.255.77.1"
[[group]]
name = "gateway"
addresses = ["192.0.2.1/24@eth0"]
[sensors]
root = "` + dir + `"
` + lines,
	} {
		if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config
}

func TestSensorsAreReadDirectlyWithoutAnAgent(t *testing.T) {
	out, errs, code := sensorsOf(t, "--config", boxAt(t, 51, "[[sensors.rule]]\nmatch = \"thermal/*\"\nlabel = \"SoC\"\n"))
	if code != 0 || !strings.Contains(errs, "read directly, without trends") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if !strings.Contains(out, "temperature\n  SoC                          51 C         < 105\n") {
		t.Errorf("%s", out)
	}
	out, _, code = sensorsOf(t, "--json", "--config", boxAt(t, 3892314, ""))
	var r agent.SensorReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || !r.Direct {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if s := r.Sensors[0]; s.State != "implausible" || s.Value != nil {
		t.Errorf("%+v", s)
	}
	if _, errs, code := sensorsOf(t, "--config", "/nonexistent/x.toml"); code != 1 || !strings.Contains(errs, "read configuration") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestCheckSaysWhichRuleMatchesNoSensor(t *testing.T) {
	config := boxAt(t, 51, "ambient = \"hwmon/inlet\"\n[[sensors.rule]]\nmatch = \"thermal/*\"\n[[sensors.rule]]\nmatch = \"hwmon/k10temp*\"\n")
	if code := Main([]string{"keygen", "--out", filepath.Join(filepath.Dir(config), "keys")}, strings.NewReader(""), io.Discard, io.Discard); code != 0 {
		t.Fatal("keygen")
	}
	var o, e bytes.Buffer
	if code := Main([]string{"check", "--config", config, "--node", "fw1"}, strings.NewReader(""), &o, &e); code != 0 {
		t.Fatalf("%s%s", o.String(), e.String())
	}
	for _, says := range []string{
		`twinbeat.toml:23: warning: sensors.rule[1].match: "hwmon/k10temp*" matches no sensor of this machine`,
		`sensors.ambient: "hwmon/inlet" matches no sensor`,
	} {
		if !strings.Contains(o.String(), says) {
			t.Errorf("no %q in:\n%s", says, o.String())
		}
	}
	if strings.Contains(o.String(), "sensors.rule[0]") {
		t.Error(o.String())
	}
}

// A looker reads so many pictures, and goes.
type looker struct {
	seen bytes.Buffer
	left int
}

func (l *looker) Write(b []byte) (int, error) {
	if l.left--; l.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return l.seen.Write(b)
}

func TestWatchPrintsOneObjectForEachLook(t *testing.T) {
	out, errs := &looker{left: 2}, &bytes.Buffer{}
	code := Main([]string{"sensors", "--json", "--watch", "--config", boxAt(t, 51, "")}, strings.NewReader(""), out, errs)
	d, looks := json.NewDecoder(&out.seen), 0
	for d.More() {
		var r agent.SensorReport
		if err := d.Decode(&r); err != nil || len(r.Sensors) == 0 || *r.Sensors[0].Value != 51 {
			t.Fatalf("look %d: %v, %+v", looks, err, r)
		}
		looks++
	}
	if looks != 2 || code != 1 {
		t.Errorf("%d looks, exit %d: %s", looks, code, errs)
	}
}

// aPicture is what an agent may know.
func aPicture() agent.SensorReport {
	at := time.Unix(1e9, 0)
	j := sensors.NewJudge(sensors.Config{})
	all := make([]sensors.Reading, 0, 8)
	for i := range 2000 {
		at = at.Add(2 * time.Second)
		cpu := sensors.New("hwmon/k10temp@0000:00:18.3/Tctl", "k10temp Tctl", sensors.Temperature, 60+float64(max(0, i-1800))*0.08, at)
		cpu.Crit = 95
		fan := sensors.New("hwmon/it8728@it87.2608/fan2", "it8728 fan2", sensors.Fan, 1380-float64(i%3), at)
		in := sensors.New("hwmon/nct6779@nct6775.656/in1", "nct6779 in1", sensors.Voltage, 1.024, at)
		in.Low, in.High = 0, 0
		wear := sensors.New("emmc/x/life", "eMMC SLD128", sensors.Wear, 100, at)
		wear.Finding = predict.EMMC(10, 1, 1)
		all = append(all[:0], cpu, fan, in, wear,
			sensors.New("hwmon/nct6793/temp15", "nct6793 temp15", sensors.Temperature, 3892314, at),
			sensors.Lost("hwmon/lm75/temp1", "lm75\x1b[2J temp1", sensors.Temperature, at, sensors.Blocked, "temp1_input has not answered for 9s"),
			sensors.New("net/eth0/rx", "eth0 receive errors", sensors.Count, 0, at),
			sensors.New("net/eth1/rx", "eth1 receive errors", sensors.Count, 12, at))
		j.Take(at, all)
	}
	r := agent.SensorReport{Sensors: j.View()}
	for _, v := range j.Votes() {
		if v.Loss > 0 {
			r.Votes = append(r.Votes, agent.SensorVote{Kind: v.Kind.String(), Loss: v.Loss, Reason: v.Reason})
		}
	}
	return r
}

func TestTheTableReadsAsTheGoldenFileSays(t *testing.T) {
	const golden = "testdata/sensors.golden"
	got := sensorTable(aPicture(), 80, true) + "\n" + sensorTable(aPicture(), 80, false)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A chatty is an agent that knows sensors.
type chatty struct {
	*desk
	answer string
}

func (c chatty) Do(ctx context.Context, o control.Order) (string, error) {
	if o.Command == control.OrderSensors {
		return c.answer, nil
	}
	return c.desk.Do(ctx, o)
}

func TestSensorsAreTheAgentsIfItRuns(t *testing.T) {
	b, err := json.Marshal(aPicture())
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	s, err := control.Listen(control.Config{Path: socket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ctx, chatty{newDesk(well()), string(b)}) }()
	defer func() { cancel(); <-done }()
	out, errs, code := sensorsOf(t, "--socket", socket)
	if code != 3 || errs != "" || !strings.Contains(out, "reaches 95 C in") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d: %s%s", code, errs, out)
	}
}

func TestFiguresAndSparklines(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 66.875: "66.9", 1.1044: "1.104", -40: "-40", 12345.6: "12346", 0.0012: "0.0012", 1e15: "1000000000000000"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %q, want %q", v, got, want)
		}
	}
	nan := float32(math.NaN())
	for _, tt := range []struct {
		of   []float32
		room int
		want string
	}{
		{[]float32{1, 2, 3, 4, 5, 6, 7, 8}, 20, "_.-=+*#@"},
		{[]float32{5, 5, 5}, 20, "___"},
		{[]float32{1, 2, 3, 4, 5}, 4, "_-*@"},
		{[]float32{1, 2}, 3, ""},
		{[]float32{1}, 20, ""},
		{[]float32{nan, 1, nan}, 20, "___"},
	} {
		if got := sparkline(tt.of, tt.room, false); got != tt.want {
			t.Errorf("%v in %d: %q, want %q", tt.of, tt.room, got, tt.want)
		}
	}
}

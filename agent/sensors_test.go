//go:build !lite

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/rounds"
)

// A sensed is a sensing whose loop writes down what it is told.
type sensed struct {
	*sensing
	values map[string]float64
	facts  []string
	votes  []health.Vote
	full   bool // the loop takes no votes
	logged *bytes.Buffer
}

func (s *sensed) Name() string { return "fake" }

// Read makes a sensor of every value, with a critical limit of 100.
func (s *sensed) Read(to []sensors.Reading, at time.Time, _ time.Duration) []sensors.Reading {
	for id, v := range s.values {
		r := sensors.New(id, id, sensors.Temperature, v, at)
		r.Crit = 100
		to = append(to, r)
	}
	return to
}

func newSensed(t *testing.T, file string) *sensed {
	s := &sensed{values: map[string]float64{"cpu": 60}, logged: &bytes.Buffer{}}
	s.sensing = &sensing{
		cfg: config.Sensors{Interval: time.Second, Deadline: time.Second, Act: "move"}, file: file, saved: time.Now(),
		judge: sensors.NewJudge(sensors.Config{}), raised: map[string]bool{}, waiting: map[string]string{}, log: slog.New(slog.NewTextHandler(s.logged, nil)),
		rounds: rounds.New(func() []sensors.Source { return []sensors.Source{s} }, time.Second),
		next:   make(chan *config.Sensors, 1), shelf: &shelf{},
	}
	s.vote = func(v health.Vote) bool {
		if !s.full {
			s.votes = append(s.votes, v)
		}
		return !s.full
	}
	s.insist = func(v health.Vote) { s.votes = append(s.votes, v) }
	s.tell = func(f loop.Fact) { s.facts = append(s.facts, fmt.Sprintf("%+v", f)) }
	t.Cleanup(s.sensing.rounds.Close)
	return s
}

func TestTroubleIsVotedUntilItIsOver(t *testing.T) {
	s := newSensed(t, filepath.Join(t.TempDir(), learnedFile))
	s.round(context.Background())
	if len(s.votes) != 0 {
		t.Errorf("all is well, and it voted %+v", s.votes)
	}
	s.values["cpu"] = 101
	s.full = true
	for range sensors.AtOnce {
		s.round(context.Background())
	}
	s.full = false
	s.round(context.Background()) // what the loop had no room for is said again
	if n := len(s.votes); n != 1 || s.votes[0].Source != "sensors/temperature" || !s.votes[0].Critical || s.votes[0].Loss != 90 {
		t.Fatalf("%+v", s.votes)
	}
	if len(s.facts) != 1 || !strings.Contains(s.facts[0], "Name:sensor cpu") || !strings.Contains(s.facts[0], "On:true") {
		t.Errorf("%s", s.facts)
	}
	s.values["cpu"] = 60
	s.full = true
	s.round(context.Background())
	s.full = false
	s.round(context.Background())
	s.round(context.Background())
	if n := len(s.votes); n != 2 || s.votes[1].Loss != 0 || s.votes[1].Source != "sensors/temperature" {
		t.Errorf("it was not taken back once: %+v", s.votes)
	}
	if len(s.facts) != 2 || !strings.Contains(s.facts[1], "On:false") {
		t.Errorf("%s", s.facts)
	}
}

func TestAlarmsOfSensorsAreBounded(t *testing.T) {
	s := newSensed(t, filepath.Join(t.TempDir(), learnedFile))
	for i := range 2 * maxSensorAlarms {
		s.values[fmt.Sprint("t", i)] = 120
	}
	for range 5 {
		s.round(context.Background())
	}
	raised, told := 0, 0
	for _, f := range s.facts {
		if strings.Contains(f, "On:true") {
			raised++
		} else if strings.Contains(f, "too many of sensors stand already") {
			told++
		}
	}
	if raised != maxSensorAlarms || told != maxSensorAlarms {
		t.Errorf("%d alarms, %d events", raised, told)
	}
	for id := range s.values {
		s.values[id] = 50
	}
	s.facts = nil
	s.round(context.Background())
	if len(s.raised) != 0 || len(s.facts) != maxSensorAlarms {
		t.Errorf("%d alarms stand: %s", len(s.raised), s.facts)
	}
}

func TestAnAlarmThatWasOneTooManyIsRaisedWhenThereIsRoom(t *testing.T) {
	s := newSensed(t, filepath.Join(t.TempDir(), learnedFile))
	news := func(id string, on, again bool, text string) {
		s.facts = nil
		s.news(sensors.Change{ID: id, Alarm: true, On: on, Again: again, Text: text})
		s.fill()
	}
	for i := range maxSensorAlarms + 2 {
		news(fmt.Sprint("t", 100+i), true, false, "hot")
	}
	news("t133", true, true, "hotter")
	if len(s.facts) != 0 || s.raised["sensor t133"] {
		t.Errorf("raised without room: %s", s.facts)
	}
	news("t132", false, false, "") // one that waits is over
	if len(s.facts) != 0 {
		t.Errorf("%s", s.facts)
	}
	news("t105", false, false, "")
	want := "{Name:sensor t105 Text: On:false} {Name:sensor t133 Text:hotter On:true}"
	if got := strings.Join(s.facts, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	news("t133", true, true, "hotter still")
	if len(s.facts) != 1 {
		t.Errorf("its newer text: %s", s.facts)
	}
	news("t106", false, false, "")
	if len(s.facts) != 1 || len(s.waiting) != 0 || len(s.raised) != maxSensorAlarms-1 {
		t.Errorf("%s, %d wait, %d stand", s.facts, len(s.waiting), len(s.raised))
	}
}

// A hanging source answers when its channel is closed.
type hanging chan struct{}

func (h hanging) Name() string { return "hanging" }

func (h hanging) Read(to []sensors.Reading, _ time.Time, _ time.Duration) []sensors.Reading {
	<-h
	return to
}

func TestAStopWaitsForNoSourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := newSensed(t, filepath.Join(t.TempDir(), learnedFile)), make(hanging)
		s.rounds.Close()
		s.sensing.rounds = rounds.New(func() []sensors.Source { return []sensors.Source{h} }, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		s.run(ctx)
		if took := time.Since(began); took != time.Second || s.taken != 0 || len(s.facts) != 0 {
			t.Errorf("it ended after %v, with %d rounds: %v", took, s.taken, s.facts)
		}
		close(h)
	})
}

func TestWhatSensorsLearnedIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), learnedFile)
	s := newSensed(t, file)
	s.round(context.Background())
	s.save()
	if _, err := os.Stat(file); err == nil {
		t.Fatal("it replaced what was learned before by nothing")
	}
	s.round(context.Background())
	s.save()
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(err, st)
	}
	again := newSensed(t, file)
	again.round(context.Background())
	again.round(context.Background())
	if again.logged.Len() > 0 {
		t.Error(again.logged)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"cut": b[:len(b)/2], "changed": append([]byte{b[0] ^ 1}, b[1:]...), "empty": nil, "huge": make([]byte, 1<<20)} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		hurt := newSensed(t, file)
		hurt.round(context.Background())
		hurt.round(context.Background())
		if !strings.Contains(hurt.logged.String(), "learned anew") {
			t.Errorf("%s: %s", name, hurt.logged)
		}
		hurt.save()
		if now, err := os.ReadFile(file); err != nil || bytes.Equal(now, bad) {
			t.Errorf("%s: the file was not replaced: %v", name, err)
		}
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Error(left)
	}
}

func TestAFullDiskLeavesWhatWasLearned(t *testing.T) {
	dir := t.TempDir()
	s := newSensed(t, filepath.Join(dir, "none", learnedFile))
	s.round(context.Background())
	s.round(context.Background())
	s.save()
	if !strings.Contains(s.logged.String(), "no such file") {
		t.Error(s.logged)
	}
}

func TestSavingIsRareAndCanBeTurnedOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), learnedFile)
	s := newSensed(t, file)
	for every, want := range map[time.Duration]bool{0: false, time.Hour: false, time.Nanosecond: true} {
		s.cfg.SaveEvery = every
		os.Remove(file)
		s.round(context.Background())
		s.round(context.Background())
		if _, err := os.Stat(file); (err == nil) != want {
			t.Errorf("every %v: %v", every, err)
		}
	}
}

func TestWhatIsShownIsJSON(t *testing.T) {
	s := newSensed(t, filepath.Join(t.TempDir(), learnedFile))
	s.round(context.Background())
	text, err := s.show()
	var r SensorReport
	if err != nil || json.Unmarshal([]byte(text), &r) != nil || len(r.Sensors) != 1 || *r.Sensors[0].Value != 60 || r.Direct {
		t.Errorf("%v %s", err, text)
	}
}

func TestABuildWithoutSensorsSaysSo(t *testing.T) {
	kept := openSenses
	openSenses = nil
	defer func() { openSenses = kept }()
	a := &agent{}
	if err := a.openSensors(); err != nil || len(ExamineSensors(a.cfg)) != 0 {
		t.Errorf("nobody asked for any: %v", err)
	}
	a.cfg.Sensors = &config.Sensors{Line: 12}
	err := a.openSensors()
	if err == nil || !strings.Contains(err.Error(), buildName+" build") || control.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	if p := ExamineSensors(a.cfg); len(p) != 1 || p[0].Line != 12 || p[0].Warning {
		t.Errorf("%+v", p)
	}
	if _, err := a.showSensors(); err == nil {
		t.Error("it shows some")
	}
}

func TestTheAgentSaysThatItReadsNone(t *testing.T) {
	if _, err := (&agent{}).showSensors(); err == nil || control.Hint(err) == "" {
		t.Errorf("%v", err)
	}
}

package model

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// typed is a value of a closed set, as agent/pair's test writes it.
type typed struct {
	Type  string
	Value json.RawMessage
}

// kinds are the types of the two closed sets, by name.
var kinds = func() map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for t := range eventsOf {
		m[t.String()] = t
	}
	for _, a := range []pair.Action{
		pair.Send{},
		pair.TakeAddresses{},
		pair.OpenGate{},
		pair.CloseGate{},
		pair.StartServices{},
		pair.StopServices{},
		pair.DropAddresses{},
		pair.Probe{},
		pair.FencePeer{},
		pair.CancelFence{},
		pair.Announce{},
		pair.Persist{},
		pair.Record{},
		pair.Alarm{},
		pair.Answer{},
	} {
		m[reflect.TypeOf(a).String()] = reflect.TypeOf(a)
	}
	return m
}()

func (v typed) value() (any, error) {
	t, ok := kinds[v.Type]
	if !ok {
		return nil, fmt.Errorf("unknown type %q", v.Type)
	}
	p := reflect.New(t)
	err := json.Unmarshal(v.Value, p.Interface())
	return p.Elem().Interface(), err
}

// told is one step of a story.
type told struct {
	Step
	Story string
	In    typed
	Out   []typed
}

// stories replays agent/pair's transcripts and returns the steps of each.
func stories(t *testing.T) map[string][]Step {
	t.Helper()
	file := filepath.Join(t.TempDir(), "steps")
	if out, err := exec.Command("go", "test", "-count=1", "-run", "TestTranscripts", "../../agent/pair", "-args", "-steps", file).CombinedOutput(); err != nil {
		t.Fatalf("replay transcripts: %v\n%s", err, out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]Step{}
	for d := json.NewDecoder(f); d.More(); {
		var s told
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		in, err := s.In.value()
		if err != nil {
			t.Fatal(err)
		}
		s.Step.In = in.(pair.Input)
		for _, a := range s.Out {
			v, err := a.value()
			if err != nil {
				t.Fatal(err)
			}
			s.Step.Out = append(s.Step.Out, v.(pair.Action))
		}
		all[s.Story] = append(all[s.Story], s.Step)
	}
	return all
}

// TestTranscriptsKeepToTheRules holds every story of agent/pair against the table.
func TestTranscriptsKeepToTheRules(t *testing.T) {
	fired, steps := map[string]int{}, 0
	all := stories(t)
	for name, story := range all {
		c := &Checker{Fired: fired}
		for _, s := range story {
			steps++
			if err := c.Step(s); err != nil {
				t.Errorf("%s at %v by %T: %v", name, s.Now, s.In, err)
				break
			}
		}
	}
	if len(all) < 45 {
		t.Errorf("%d stories", len(all))
	}
	for _, r := range Rules {
		if fired[r.Name] == 0 {
			t.Logf("not told: %s", r.Name)
		}
	}
	t.Logf("%d stories, %d steps", len(all), steps)
}

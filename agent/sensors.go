//go:build !lite

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
	"github.com/twinbeat/twinbeat/sensors/rounds"
	"github.com/twinbeat/twinbeat/sensors/sysfs"
)

func init() { openSenses, examineSenses = newSensing, examineSensors }

const (
	// learnedFile holds what the sensors usually read, in the state folder.
	learnedFile = "sensors.learned"
	// maxSensorAlarms bounds those that stand at a time; the rest is in `twinbeat sensors`.
	maxSensorAlarms = 32
	// warmUp is for how many rounds sensors may appear before what was learned
	// is given to them.
	warmUp = 2
)

// A SensorReport is what `twinbeat sensors` gets.
type SensorReport struct {
	At      time.Time      `json:"at"`
	Direct  bool           `json:"direct,omitempty"` // read by the command itself: nothing is known of the past
	Sensors []sensors.View `json:"sensors"`
	Votes   []SensorVote   `json:"votes"`
	Beyond  int            `json:"beyond,omitempty"` // readings of sensors for which there is no room
}

// A SensorVote is what the sensors of one kind take from the node's health.
type SensorVote struct {
	Kind     string `json:"kind"`
	Loss     int    `json:"loss"`
	Critical bool   `json:"critical,omitempty"`
	Reason   string `json:"reason"`
	LeftMS   int64  `json:"left_ms,omitempty"`
}

// sensing reads the sensors in a goroutine of its own and judges them.
type sensing struct {
	cfg    config.Sensors
	dir    string // of the state, whose disk is one of the sensors
	file   string
	fresh  bool // since the kernel was booted no agent ran before
	vote   func(health.Vote) bool
	insist func(health.Vote) // waits for the loop, as tell does
	tell   func(loop.Fact)   // waits for the loop
	log    *slog.Logger
	rounds *rounds.Rounds
	voted  [sensors.Context + 1]bool
	raised map[string]bool
	// waiting are alarms for which there was no room, with their text: at most
	// one for each of sensors.MaxRows.
	waiting map[string]string
	taken   int       // rounds
	saved   time.Time // by the monotonic clock

	next  chan *config.Sensors // of one place: to be taken up before the next round; nil: none are read
	shelf *shelf

	mu    sync.Mutex     // of what follows: the control socket asks, too
	judge *sensors.Judge // nil: a reload took the sensors out
	at    time.Time
}

func newSensing(a *agent, c config.Sensors) senses {
	s := &sensing{
		cfg: c, dir: a.cfg.StateDir, file: filepath.Join(a.cfg.StateDir, learnedFile), fresh: !a.journal.SameBoot(),
		vote: a.hands.vote, insist: a.insistVote, tell: a.hands.insist, log: a.log, raised: map[string]bool{}, waiting: map[string]string{}, saved: time.Now(),
		judge: sensors.NewJudge(sensorConfig(c)), next: make(chan *config.Sensors, 1), shelf: &shelf{},
	}
	s.rounds = rounds.New(sensorSources(s.cfg, s.dir, s.shelf), s.cfg.Deadline)
	return s
}

// A shelf has what sensors are found and read by, by the beginning of their IDs:
// a reload makes anew only what changed.
type shelf struct {
	was, is map[string]onShelf
	left    []string // beginnings of IDs whose device is asked no more
}

type onShelf struct{ device, how, it any }

// kernelsOwn is the beginning of any ID: all but those of other sources are the kernel's.
const kernelsOwn = ""

// get returns what was made of the same device to be read in the same way, or
// builds it. device and how can be compared.
func (s *shelf) get(id string, device, how any, build func() any) any {
	it := s.was[id]
	if it.it == nil || it.device != device || it.how != how {
		it = onShelf{device, how, build()}
	}
	s.is[id] = it
	return it.it
}

// sensorFinders make what finds sources. Whoever links a kind of them adds its own.
var sensorFinders = []func(c config.Sensors, disk string, s *shelf) rounds.Finder{
	func(c config.Sensors, disk string, s *shelf) rounds.Finder {
		return s.get(kernelsOwn, c.Root, nil, func() any { return sysfs.New(c.Root, disk) }).(*sysfs.Tree).Find
	},
}

// sensorSources finds everything that this node can read, by what is on the shelf
// as far as that did not change.
func sensorSources(c config.Sensors, disk string, s *shelf) rounds.Finder {
	*s = shelf{was: s.is, is: map[string]onShelf{}}
	var all []rounds.Finder
	for _, f := range sensorFinders {
		all = append(all, f(c, disk, s))
	}
	for id, it := range s.was {
		if s.is[id].device != it.device {
			s.left = append(s.left, id)
		}
	}
	return func() []sensors.Source {
		var out []sensors.Source
		for _, find := range all {
			out = append(out, find()...)
		}
		return out
	}
}

// sensorConfig turns what the configuration says into the judge's terms.
func sensorConfig(c config.Sensors) sensors.Config {
	out := sensors.Config{Ambient: c.Ambient, AlertOnly: c.Act == "alert"}
	for _, r := range c.Rules {
		out.Rules = append(out.Rules, sensors.Rule{
			Match: r.Match, Ignore: r.Ignore, Label: r.Label, Low: r.Low, High: r.High, Crit: r.Crit, Weight: r.Weight, AlertOnly: r.Act == "alert",
		})
	}
	return out
}

// run reads until ctx ends, then keeps what was learned.
func (s *sensing) run(ctx context.Context) {
	defer s.rounds.Close()
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		s.round(ctx)
		select {
		case <-tick.C:
		case c := <-s.next:
			s.follow(c)
			tick.Reset(s.cfg.Interval)
		case <-ctx.Done():
			s.save()
			return
		}
	}
}

// follow takes up another configuration, between two rounds. What it does not
// change goes on: no vote is taken back because of a reload.
func (s *sensing) follow(c *config.Sensors) {
	if c == nil {
		s.rest()
		return
	}
	s.cfg = *c
	s.rounds.Change(sensorSources(*c, s.dir, s.shelf), c.Deadline)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.judge == nil {
		s.judge = sensors.NewJudge(sensorConfig(*c))
		s.taken, s.fresh = 0, true // what was counted while nobody looked is no burst
		return
	}
	s.judge.Configure(sensorConfig(*c))
	for _, id := range s.shelf.left {
		s.judge.Leave(id)
	}
}

// rest keeps what was learned and ends all votes and alarms: nobody reads sensors
// until a reload says otherwise. What reads the kernel's stays: some of it may
// hang, and be counted on.
func (s *sensing) rest() {
	s.save()
	s.shelf.is = map[string]onShelf{kernelsOwn: s.shelf.is[kernelsOwn]}
	s.mu.Lock()
	s.judge = nil
	s.mu.Unlock()
	for k, voted := range s.voted {
		if voted {
			s.insist(health.Vote{Source: "sensors/" + sensors.Kind(k).String()})
		}
	}
	for name := range s.raised {
		s.tell(loop.AlarmChanged{Name: name})
	}
	s.voted = [len(s.voted)]bool{}
	clear(s.raised)
	clear(s.waiting)
}

// round reads all sensors once and tells what they mean.
func (s *sensing) round(ctx context.Context) {
	if s.judge == nil {
		return
	}
	at := time.Now()
	readings := s.rounds.Ask(ctx, at) // may take seconds, without the lock
	if ctx.Err() != nil {
		return // they are not all, and nobody needs them
	}
	s.mu.Lock()
	changes := s.judge.Take(at, readings)
	if s.taken++; s.taken == warmUp {
		s.restore()
	}
	votes := s.judge.Votes()
	s.at = at
	s.mu.Unlock()
	for _, c := range changes {
		s.news(c)
	}
	s.fill()
	for _, v := range votes {
		s.cast(v)
	}
	if every := s.cfg.SaveEvery; every > 0 && time.Since(s.saved) >= every {
		s.save()
	}
}

// cast gives a vote, or takes back what was cast; if the loop has no room the
// next round says it again.
func (s *sensing) cast(v sensors.Vote) {
	if v.Loss == 0 && !s.voted[v.Kind] {
		return
	}
	given := s.vote(health.Vote{
		Source: "sensors/" + v.Kind.String(), Loss: v.Loss, Reason: v.Reason, Critical: v.Critical, Left: v.Left.Round(time.Second),
	})
	if given {
		s.voted[v.Kind] = v.Loss > 0
	}
}

// news tells the loop what changed: an alarm, or a line for the journal.
func (s *sensing) news(c sensors.Change) {
	name := "sensor " + c.ID
	switch {
	case c.Alarm && c.On && !s.raised[name] && len(s.raised) >= maxSensorAlarms:
		s.waiting[name] = c.Text
		if !c.Again {
			s.tell(loop.Notice{Event: report.Event{Kind: "alarm", Seen: c.Text, Decided: "no alarm: too many of sensors stand already"}})
		}
	case c.Alarm && c.On:
		s.raise(name, c.Text)
	case c.Alarm && s.raised[name]:
		s.tell(loop.AlarmChanged{Name: name})
		delete(s.raised, name)
	case c.Alarm:
		delete(s.waiting, name)
	default:
		s.tell(loop.Notice{Event: report.Event{Kind: "sensor", Seen: c.Text}})
	}
}

func (s *sensing) raise(name, text string) {
	s.raised[name] = true
	delete(s.waiting, name)
	s.tell(loop.AlarmChanged{Name: name, On: true, Text: text})
}

// fill gives the room that a round has made to alarms that wait.
func (s *sensing) fill() {
	for name, text := range s.waiting {
		if len(s.raised) >= maxSensorAlarms {
			return
		}
		s.raise(name, text)
	}
}

// restore gives the sensors what was learned before. A file that is damaged is
// left for the next save to replace.
func (s *sensing) restore() {
	b, err := readLearned(s.file)
	if err == nil {
		err = s.judge.Restore(b, s.fresh)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("what the sensors learned is lost, it is learned anew", "file", s.file, "err", err)
	}
}

func readLearned(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > int64(predict.MaxState) {
		return nil, fmt.Errorf("%d bytes, at most %d", st.Size(), predict.MaxState)
	}
	b := make([]byte, st.Size())
	n, err := f.ReadAt(b, 0)
	if n == len(b) {
		err = nil
	}
	return b[:n], err
}

// save keeps what was learned. It has a checksum, and the old file stays until
// the new one is whole.
func (s *sensing) save() {
	s.saved = time.Now()
	if s.judge == nil || s.taken < warmUp {
		return // what is on the disk is better
	}
	s.mu.Lock()
	b := s.judge.Save()
	s.mu.Unlock()
	if err := writeWhole(s.file, b); err != nil {
		s.log.Warn("keep what the sensors learned", "err", err)
	}
}

func writeWhole(file string, b []byte) error {
	fresh := file + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(fresh, file)
	}
	if err != nil {
		os.Remove(fresh) // also frees the blocks of a full disk
	}
	return err
}

// show tells all as JSON.
func (s *sensing) show() (string, error) {
	s.mu.Lock()
	if s.judge == nil {
		s.mu.Unlock()
		return "", errNoSensors
	}
	r := sensorReport(s.judge, s.at)
	s.mu.Unlock()
	b, err := json.Marshal(r)
	return string(b), err
}

func sensorReport(j *sensors.Judge, at time.Time) SensorReport {
	r := SensorReport{At: at, Sensors: j.View(), Votes: []SensorVote{}, Beyond: j.Beyond()}
	for _, v := range j.Votes() {
		if v.Loss > 0 {
			r.Votes = append(r.Votes, SensorVote{v.Kind.String(), v.Loss, v.Critical, v.Reason, v.Left.Milliseconds()})
		}
	}
	return r
}

// examineSensors warns of what finds no sensor here, and of sensors that say
// nothing.
func examineSensors(c config.Config) []config.Problem {
	var out []config.Problem
	warn := func(line int, key, text string) {
		out = append(out, config.Problem{Line: line, Key: key, Text: text, Hint: "twinbeat sensors --json shows the IDs of this machine", Warning: true})
	}
	r := ReadSensors(c.Sensors, c.StateDir)
	matches := func(pattern string) bool {
		for _, s := range r.Sensors {
			if sensors.Glob(pattern, s.ID) {
				return true
			}
		}
		return false
	}
	measured := false
	for _, s := range r.Sensors {
		measured = measured || s.Kind != sensors.Context.String()
	}
	if !measured {
		warn(c.Sensors.Line, "sensors", "this machine has no sensor that its kernel knows")
	}
	out = append(out, missingSensors(r, c.Sensors.Line)...)
	for i, rule := range c.Sensors.Rules {
		if !matches(rule.Match) {
			warn(rule.Line, fmt.Sprintf("sensors.rule[%d].match", i), fmt.Sprintf("%q matches no sensor of this machine", rule.Match))
		}
	}
	if a := c.Sensors.Ambient; a != "" && !matches(a) {
		warn(c.Sensors.Line, "sensors.ambient", fmt.Sprintf("%q matches no sensor of this machine", a))
	}
	return out
}

// missingSensors warns of what the configuration names and nobody can read.
func missingSensors(r SensorReport, line int) (out []config.Problem) {
	for _, s := range r.Sensors {
		if s.Named && s.State != sensors.OK.String() && s.State != sensors.Ignored.String() {
			out = append(out, config.Problem{
				Line: line, Key: "sensors", Text: fmt.Sprintf("%s is %s: %s", s.ID, s.State, s.Why), Hint: "the agent raises an alarm after a minute of this", Warning: true,
			})
		}
	}
	return out
}

// directPause is between the two looks of ReadSensors: some sensors need two.
const directPause = 250 * time.Millisecond

// ReadSensors reads the sensors of this box without an agent. c is nil where the
// configuration says nothing.
func ReadSensors(c *config.Sensors, disk string) SensorReport {
	if c == nil {
		c = &config.Sensors{Deadline: 2 * time.Second, Root: "/"}
	}
	j, r := sensors.NewJudge(sensorConfig(*c)), rounds.New(sensorSources(*c, disk, &shelf{}), c.Deadline)
	defer r.Close()
	at := time.Now()
	j.Take(at, r.Ask(context.Background(), at))
	time.Sleep(directPause)
	at = time.Now()
	j.Take(at, r.Ask(context.Background(), at))
	out := sensorReport(j, at)
	out.Direct = true
	return out
}

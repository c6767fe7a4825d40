package sensors

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/sensors/predict"
)

const (
	// MaxRows bounds the sensors of a box; what comes beyond is counted only.
	MaxRows = 512
	// AtOnce is how many readings in a row beyond a critical limit are believed
	// without waiting for medians.
	AtOnce = 3
	// settled is for how many rounds a state must last to be news: a file that
	// gives EAGAIN now and then is none.
	settled = 3
	// imminent is the time to a limit within which a handover may not wait. No
	// room warms a box so fast.
	imminent = time.Minute
	// retell is for how many rounds an alarm keeps its text.
	retell = 30
	// silence is the time without a reading after which a sensor has gone.
	silence = time.Minute
	// gone is the same for good: what was wrong with it is over.
	gone = 10 * time.Minute
	// missed is how long what the configuration names may be away: a daemon that
	// is restarted, a box that boots.
	missed = time.Minute
	// blind ends what is said of a sensor that was bad when it was last read.
	blind = "; cannot be read now"
	// byOrder says why a sensor is ignored.
	byOrder = "the configuration says so"
)

// What a level takes from the node's health, in points, before its weight. An
// alert asks for a person and not for another box: those of three kinds together
// are less than the usual margin between the nodes.
var losses = [...]int{predict.Well: 0, predict.Weak: 1, predict.Alert: 6, predict.Move: 70}

// criticalLoss is that of a critical limit that is reached, or will be before
// anybody can wait, and of a fan that stopped. What approaches a limit slowly is
// not critical: where a room warms both boxes, one of them is first by seconds,
// and would hand over at once to a peer that is as badly off.
const criticalLoss = 90

// A Rule is what the configuration says about the sensors whose ID matches.
type Rule struct {
	Match           string // see Glob
	Ignore          bool
	Label           string
	Low, High, Crit float64 // NaN: as the device says
	Weight          int     // per cent of the usual loss
	AlertOnly       bool    // never a reason to move
}

// A Config is what the configuration says about all.
type Config struct {
	Rules     []Rule // the first that matches counts
	AlertOnly bool   // no sensor is a reason to move
	Ambient   string // glob of the sensor that measures the air that comes in; empty: none
}

// A Vote is what a kind of sensors takes from the node's health, by its gravest.
type Vote struct {
	Kind     Kind
	Loss     int // points; 0: nothing is wrong
	Reason   string
	Critical bool
	Left     time.Duration // to a critical limit; 0 unknown
}

// A Change is news of one sensor.
type Change struct {
	ID   string
	Text string // one sentence
	On   bool   // an alarm begins; false: it ends
	// Alarm is true for what a person should look at, false for a sensor that
	// came, left or broke.
	Alarm bool
	Again bool // the alarm stands already, only its text is newer
}

// A row is one sensor.
type row struct {
	Reading
	rule     *Rule          // nil: none matches
	seen     time.Time      // newest round in which it was told of
	fresh    bool           // no reading was taken yet, or none is worth anything now
	name     string         // as its source labels it
	given    predict.Limits // by the device
	refused  string         // why the box does not follow it
	series   int            // in the box, -1: it has none
	count    int
	beyond   int             // readings in a row beyond the critical limit
	begun    bool            // the device's own word was heard once
	stood    bool            // it has stood since then
	streak   int             // rounds with it, less those without
	word     bool            // it is believed
	said     predict.Finding // its newest
	level    predict.Level
	text     string
	vote     Vote      // of the newest round in which it could be read, before its weight
	blind    bool      // it is older
	told     State     // last one that was news
	rounds   int       // for which State has differed from told
	raised   bool      // the alarm that was told
	saidText string    // its text
	stale    int       // rounds since then
	away     time.Time // since when a named one was not read; zero: it was
	missing  bool      // for so long that a person should know
}

// A Judge puts readings through the gate, follows their trends and says what
// they mean. Not safe for concurrent use.
type Judge struct {
	cfg     Config
	box     *predict.Box
	rows    []*row
	byID    map[string]*row
	at      time.Time // of the newest round
	beyond  int       // sensors for which there is no row
	changes []Change
	load    float64
	ambient float64
}

// NewJudge returns a judge that knows no sensor yet.
func NewJudge(c Config) *Judge {
	return &Judge{cfg: c, box: predict.New(), byID: map[string]*row{}, load: math.NaN(), ambient: math.NaN()}
}

// Take judges a round: what all sources said at the time at. It returns what is
// news since the last one; the slice is valid until the next call.
func (j *Judge) Take(at time.Time, readings []Reading) []Change {
	j.at, j.changes = at, j.changes[:0]
	for i := range readings {
		r := &readings[i]
		w := j.byID[r.ID]
		if w == nil {
			if w = j.meet(r); w == nil {
				continue
			}
		}
		if w.seen = at; !r.At.Equal(w.At) || w.fresh { // what a slow source says again is old
			w.fresh = false
			j.take(w, r)
		}
	}
	j.box.Around(j.load, j.ambient)
	for _, w := range j.rows {
		if !w.seen.Equal(at) && w.State != Ignored {
			j.miss(w, at)
		}
		j.judge(w)
		w.miss(at)
		j.news(w)
	}
	return j.changes
}

// miss judges a row of which this round tells nothing.
func (j *Judge) miss(w *row, at time.Time) {
	since := at.Sub(w.seen)
	why := "has not been there for " + since.Round(time.Second).String()
	switch {
	case since > gone:
		j.lapse(w, Absent, why)
	case since > silence && w.State != Absent:
		w.State, w.Why = Silent, why
	}
}

// lapse forgets what a row reads, and all that was found out by it: only what is
// read from now on counts. What is usual for it stays.
func (j *Judge) lapse(w *row, now State, why string) {
	if w.series >= 0 {
		j.box.Lapse(w.series)
	}
	if w.count >= 0 {
		j.box.LapseCounter(w.count)
	}
	w.State, w.Why, w.fresh, w.Named = now, why, true, false // missed again once it is read
	w.begun, w.stood, w.streak, w.word = false, false, 0, false
	w.level, w.text, w.beyond = predict.Well, "", 0
}

// call gives a row its name for people.
func (w *row) call() {
	w.Label = w.name
	if w.rule != nil && w.rule.Label != "" {
		w.Label = w.rule.Label
	}
}

// meet makes a row for a sensor that is new; nil if there are too many.
func (j *Judge) meet(r *Reading) *row {
	if len(j.rows) >= MaxRows {
		j.beyond++
		return nil
	}
	w := &row{Reading: *r, series: -1, count: -1, rule: j.rule(r.ID), told: OK, fresh: true, name: r.Label, given: r.limits()}
	w.call()
	j.rows, j.byID[r.ID] = append(j.rows, w), w
	if !w.ignored() {
		w.refused = j.watch(w)
	}
	return w
}

// watch gives a sensor its place in the box, or says why it has none.
func (j *Judge) watch(w *row) string {
	var err error
	switch kind, limits := w.measured(); {
	case kind != 0:
		w.series, err = j.box.Rewatch(predict.Spec{Name: w.ID, Label: w.Label, Kind: kind, Limits: limits, Trusted: w.ruled()}, j.at)
	case w.Kind == Count && w.count < 0:
		w.count, err = j.box.Count(w.ID, w.Fatal)
	}
	if err != nil {
		w.series, w.count = -1, -1
		return err.Error()
	}
	return ""
}

// ruled says whether the configuration gives a limit.
func (w *row) ruled() bool {
	return w.rule != nil && !(math.IsNaN(w.rule.Low) && math.IsNaN(w.rule.High) && math.IsNaN(w.rule.Crit))
}

func (w *row) ignored() bool { return w.rule != nil && w.rule.Ignore }

// measured returns as what a sensor is followed, 0 if it has no trend. Context
// with a limit of the configuration is more than context.
func (w *row) measured() (predict.Kind, predict.Limits) {
	l := w.given
	if w.rule != nil {
		l.Low, l.High, l.Crit = either(w.rule.Low, l.Low), either(w.rule.High, l.High), either(w.rule.Crit, l.Crit)
	}
	switch {
	case w.Kind < Other:
		return predict.Kind(w.Kind), l
	case w.Kind == Other || w.Kind == Context && w.ruled():
		return predict.Other, l
	}
	return 0, l
}

func either(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return a
}

func (j *Judge) rule(id string) *Rule {
	for i := range j.cfg.Rules {
		if Glob(j.cfg.Rules[i].Match, id) {
			return &j.cfg.Rules[i]
		}
	}
	return nil
}

// take puts one reading where it belongs.
func (j *Judge) take(w *row, r *Reading) {
	label := w.Label
	w.Reading = *r
	w.Label = label
	if w.State == OK { // else it need not tell the limits
		w.given = r.limits()
	}
	switch {
	case w.ignored():
		w.State, w.Why = Ignored, byOrder
		return
	case w.series >= 0:
		j.observe(w)
	case w.State == OK && w.count >= 0:
		j.box.Counted(w.count, w.At, w.Value)
	case w.State == OK && w.refused != "":
		w.State, w.Why = Unjudged, w.refused
	}
	if w.ID == LoadID && r.State == OK {
		j.load = w.Value / 100
	}
	j.surround(w)
}

// surround takes the temperature of the air from whoever measures it.
func (j *Judge) surround(w *row) {
	if j.cfg.Ambient != "" && w.Kind == Temperature && Glob(j.cfg.Ambient, w.ID) {
		j.ambient = math.NaN()
		if w.State == OK {
			j.ambient = w.Value
		}
	}
}

// LoadID is the ID of the reading that says how busy the processors are, in per
// cent: it explains temperatures.
const LoadID = "context/load"

// observe is the gate: the reading is a number only if the box takes it for one.
func (j *Judge) observe(w *row) {
	if w.State != OK {
		why := predict.Missing
		if w.State == Blocked {
			why = predict.Blocked
		}
		j.box.Lost(w.series, w.At, why)
		w.interrupt()
		return
	}
	s := j.box.Series(w.series)
	if w.Kind == Fan {
		j.box.Drive(w.series, w.Drive)
	}
	j.box.Observe(w.series, w.At, w.Value)
	l := s.Limits()
	w.Low, w.High, w.Crit = l.Low, l.High, l.Crit
	if s.Limit() > predict.ValidLimit {
		w.Why = "limits not used: " + s.Limit().String()
	}
	switch state := s.State(); state {
	case predict.Good, predict.Unread:
	case predict.Absent:
		w.State, w.Why = Absent, "has never been anything but 0"
	case predict.Stuck:
		w.State, w.Why = Stuck, "has not changed by a digit for hours"
	default:
		w.State, w.Why = Implausible, fmt.Sprintf("%.7g %s is %s", w.Value, w.UnitName(), outOf[state])
	}
	switch {
	case w.State != OK:
		w.interrupt()
	case w.atLimit():
		w.beyond++
	default:
		w.beyond = 0
	}
}

// atLimit says whether the reading alone is beyond the critical limit.
func (w *row) atLimit() bool {
	return w.series >= 0 && w.Value >= w.Crit && (w.Kind == Temperature || w.ruled())
}

// interrupt ends a row of readings beyond the limit by one that is none. What a
// row has shown already stands until a reading says otherwise.
func (w *row) interrupt() {
	if w.beyond < AtOnce {
		w.beyond = 0
	}
}

var outOf = map[predict.State]string{
	predict.NotANumber: "no number", predict.Sentinel: "how chips say that no sensor is there", predict.Impossible: "physically impossible",
}

// judge says what a row asks for. What was bad stays bad while nobody can look:
// a sensor that fails to be read is no better for it.
func (j *Judge) judge(w *row) {
	switch w.State {
	case OK:
	case Absent, Ignored:
		w.level, w.text, w.beyond = predict.Well, "", 0
		return
	default:
		if w.level > predict.Well && !w.blind {
			w.text += blind
			w.vote.Reason, w.blind = w.text, true
		}
		return
	}
	w.level, w.text, w.blind = predict.Well, "", false
	j.judgeReading(w)
	if w.level > predict.Well {
		w.vote = j.vote(w)
	}
}

// judgeReading judges a row that was read.
func (j *Judge) judgeReading(w *row) {
	if w.series >= 0 {
		s := j.box.Series(w.series)
		if v, ok := s.Verdict(); ok {
			w.level, w.text = v.Level, v.Text
		}
		if w.beyond >= AtOnce && w.level < predict.Move {
			w.level, w.text = predict.Move, fmt.Sprintf("%s %.4g %s, at its limit of %.4g", w.Label, w.Value, w.UnitName(), w.Crit)
		}
	}
	if w.count >= 0 {
		if level, text := j.box.Counter(w.count); level > predict.Well {
			w.level, w.text = level, w.Label+strings.TrimPrefix(text, w.ID)
		}
	}
	j.judgeFinding(w)
}

// judgeFinding takes the device's own word.
func (j *Judge) judgeFinding(w *row) {
	f := w.Finding
	if w.Kind != Wear && !w.Sure && f.Level < predict.Move {
		f = w.believed()
	}
	if f.Level > w.level {
		w.level, w.text = f.Level, w.Label+": "+f.Text
	}
}

// believed is the device's own word once it has stood for some rounds, until it
// has been gone for as many. An alarm that stood already at the first reading is
// firmware's: registers of limits are at their defaults on most boards, and every
// input is beyond them.
func (w *row) believed() predict.Finding {
	on := w.Finding.Level > predict.Well
	w.stood = on && (w.stood || !w.begun)
	w.begun = true
	switch {
	case w.stood:
		w.Why = "its alarm has stood since the first reading, and is not counted"
		return predict.Finding{}
	case on:
		w.said, w.streak = w.Finding, min(w.streak+1, settled)
	default:
		w.streak = max(w.streak-1, 0)
	}
	w.word = w.streak == settled || w.word && w.streak > 0
	if !w.word {
		return predict.Finding{}
	}
	return w.said
}

// news tells what has changed for good.
func (j *Judge) news(w *row) {
	j.alarms(w)
	if w.State == w.told {
		w.rounds = 0
		return
	}
	if w.rounds++; w.rounds < settled {
		return
	}
	// What never was there is no news, and neither is what the operator wants.
	quiet := w.State == Absent && w.told == OK || w.State == Ignored || w.State == Unjudged
	if !quiet && !(w.told == Absent && w.State == OK) {
		j.changes = append(j.changes, Change{ID: w.ID, On: w.State != OK, Text: w.change()})
	}
	w.told, w.rounds = w.State, 0
}

// miss notes since when a sensor that the configuration names is away.
func (w *row) miss(at time.Time) {
	switch {
	case !w.Named || w.State == OK || w.State == Ignored:
		w.away = time.Time{}
	case w.away.IsZero():
		w.away = at
	}
	w.missing = !w.away.IsZero() && at.Sub(w.away) >= missed
}

// alarms tells of an alarm that begins or ends, and now and then how one that
// stands has gone on.
func (j *Judge) alarms(w *row) {
	raised, text := w.level >= predict.Alert, w.text
	if !raised && w.missing {
		raised, text = true, fmt.Sprintf("%s is %s: %s", w.Label, w.State, w.Why)
	}
	w.stale++
	switch {
	case raised != w.raised:
	case raised && w.stale >= retell && text != w.saidText:
	default:
		return
	}
	j.changes = append(j.changes, Change{ID: w.ID, On: raised, Alarm: true, Text: text, Again: raised == w.raised})
	w.raised, w.stale, w.saidText = raised, 0, text
}

func (w *row) change() string {
	text := fmt.Sprintf("sensor %s (%s) is %s", w.Label, w.ID, w.State)
	if w.State != OK && w.Why != "" {
		text += ": " + w.Why
	}
	return text
}

// Votes returns one vote for each kind, in the order of kinds; a Loss of 0 says
// that nothing is wrong with it. The sensors of a kind feel the same heat, so
// only the gravest one counts.
func (j *Judge) Votes() []Vote {
	out := make([]Vote, 0, Context)
	for k := Temperature; k <= Context; k++ {
		out = append(out, Vote{Kind: k})
	}
	for _, w := range j.rows {
		if w.level == predict.Well || j.cfg.AlertOnly || w.rule != nil && w.rule.AlertOnly {
			continue
		}
		v := w.vote
		if w.rule != nil {
			v.Loss = v.Loss * w.rule.Weight / 100
			v.Critical = v.Critical && v.Loss >= losses[predict.Move]
		}
		if top := &out[w.Kind-1]; v.Critical && !top.Critical || v.Critical == top.Critical && v.Loss > top.Loss {
			v.Left = shorter(v.Left, top.Left)
			*top = v
		}
	}
	return out
}

func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// vote is what a row that was read takes, before its weight.
func (j *Judge) vote(w *row) Vote {
	v := Vote{Kind: w.Kind, Loss: losses[w.level], Reason: w.text, Critical: w.beyond >= AtOnce || w.Fatal && w.level == predict.Move}
	if w.series >= 0 && w.level == predict.Move {
		s := j.box.Series(w.series)
		ahead, heads := s.Ahead()
		if heads {
			v.Left = max(ahead.Likely, time.Second)
		}
		verdict, _ := s.Verdict()
		v.Critical = v.Critical || verdict.Cause == predict.BeyondCrit || verdict.Cause == predict.FanStalled || heads && ahead.Likely < imminent
	}
	switch {
	case v.Critical:
		v.Loss = criticalLoss
	case w.Loss > 0 && w.series < 0 && w.count < 0:
		v.Loss = w.Loss
	}
	return v
}

// Save returns what was learned; see [predict.Box.Save].
func (j *Judge) Save() []byte { return j.box.Save() }

// Restore takes what Save returned; a sensor that appears later gets its own
// then. rebooted says
// that the kernel counts from zero again.
func (j *Judge) Restore(state []byte, rebooted bool) error {
	err := j.box.Restore(state)
	if err == nil && rebooted {
		j.box.Rebooted()
	}
	return err
}

// Glob says whether a name matches a pattern, in which * stands for any text,
// also for none and with slashes, and ? for any one byte.
func Glob(pattern, name string) bool {
	star, again := -1, 0 // where the last * stands, and what it covers so far
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, again = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			again++
			p, n = star+1, again
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

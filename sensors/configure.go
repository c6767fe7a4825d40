package sensors

import (
	"math"
	"strings"

	"github.com/twinbeat/twinbeat/sensors/predict"
)

// Configure gives a judge at work another configuration. A sensor whose rule
// stays what it was is not touched. Any other is judged by its new rule from the
// next round on; what it has learned stays.
func (j *Judge) Configure(c Config) {
	j.cfg, j.ambient = c, math.NaN()
	for _, w := range j.rows {
		was := w.rule
		if w.rule = j.rule(w.ID); !was.same(w.rule) {
			j.again(w, was != nil && was.Ignore)
		}
		j.surround(w)
	}
}

// Leave says that the devices whose sensors' IDs begin so are asked no more. Who
// tells of such a sensor from now on tells of another device.
func (j *Judge) Leave(beginning string) {
	for _, w := range j.rows {
		if strings.HasPrefix(w.ID, beginning) && !w.ignored() {
			j.lapse(w, Absent, "its device is not asked any more")
		}
	}
}

// same says whether two rules, nil for none, ask for the same.
func (r *Rule) same(o *Rule) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.Ignore == o.Ignore && r.Label == o.Label && r.Weight == o.Weight && r.AlertOnly == o.AlertOnly && r.limits().Same(o.limits())
}

func (r *Rule) limits() predict.Limits {
	return predict.Limits{Low: r.Low, High: r.High, Crit: r.Crit}
}

// again puts a row under its new rule. What was not followed under the old one
// has to be read first.
func (j *Judge) again(w *row, wasIgnored bool) {
	w.call()
	if w.ignored() {
		w.State, w.Why = Ignored, byOrder
		return
	}
	followed, crit := w.series >= 0, w.Crit
	w.series = -1
	w.refused = j.watch(w)
	switch {
	case wasIgnored:
		j.lapse(w, Silent, "was ignored, and has not been read since")
	case w.series >= 0 && !followed:
		j.lapse(w, w.State, w.Why)
	}
	l := w.given
	if w.series >= 0 {
		l = j.box.Series(w.series).Limits()
	}
	w.Low, w.High, w.Crit = l.Low, l.High, l.Crit
	if w.State == OK && !w.atLimit() || w.beyond < AtOnce && w.Crit != crit {
		w.beyond = 0
	}
}

package sensors

import (
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/sensors/predict"
)

// The word of a UPS is believed at the first reading, takes what its source says,
// and is critical where it is fatal.
func TestAFindingThatIsSureCountsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		level    predict.Level
		sure     bool
		loss     int
		fatal    bool
		want     int
		critical bool
	}{
		"a chip's alarm since the first reading": {predict.Alert, false, 25, false, 0, false},
		"on battery":                             {predict.Alert, true, 25, false, 25, false},
		"by level":                               {predict.Alert, true, 0, false, losses[predict.Alert], false},
		"battery low":                            {predict.Move, true, 0, true, criticalLoss, true},
		"well":                                   {predict.Well, true, 25, true, 0, false},
	} {
		j := NewJudge(Config{})
		at := time.Unix(1_800_000_000, 0)
		for range 5 {
			r := New("ups/rack/state", "rack state", Alarm, 1, at)
			r.Finding, r.Sure, r.Loss, r.Fatal = predict.Finding{Level: c.level, Text: "on battery"}, c.sure, c.loss, c.fatal
			j.Take(at, []Reading{r})
			at = at.Add(time.Second)
		}
		v := j.Votes()[Alarm-1]
		if v.Loss != c.want || v.Critical != c.critical {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

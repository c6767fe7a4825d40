package agent

import (
	"slices"
	"testing"
	"time"
)

func TestAnnouncementsComeAgainLaterAndLater(t *testing.T) {
	for _, c := range []struct {
		refresh time.Duration
		want    []time.Duration // seconds
	}{
		{60, []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}},
		{1, []time.Duration{1, 1, 1}},
		{3, []time.Duration{1, 2, 3, 3}},
		{0, []time.Duration{60, 60}}, // only looked at, for a reload
	} {
		var got []time.Duration
		for last := time.Duration(0); len(got) < len(c.want); got = append(got, last/time.Second) {
			last = reannounce(last, c.refresh*time.Second)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("refresh %d s: %d, want %d", c.refresh, got, c.want)
		}
	}
}

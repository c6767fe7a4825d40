package lab

import (
	"net"
	"testing"
	"time"
)

var (
	boxA = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	boxB = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

// heard makes an observer that asked every 20 ms and got answers of each box to
// the questions from to to, each so many ms late.
func heard(n int, answers ...[4]int) *Observer {
	o := &Observer{began: time.Now(), every: 20 * time.Millisecond}
	for i := range n {
		o.asked = append(o.asked, time.Duration(i)*20*time.Millisecond)
	}
	o.answers, o.came = make([][2]net.HardwareAddr, n), make([][2]time.Duration, n)
	for _, a := range answers {
		who, mac := a[0], boxA
		if who == 1 {
			mac = boxB
		}
		for q := a[1]; q <= a[2]; q++ {
			o.answers[q][who], o.came[q][who] = mac, o.asked[q]+time.Duration(a[3])*time.Millisecond
		}
	}
	return o
}

func TestOverlapIsWhatIsSure(t *testing.T) {
	for name, c := range map[string]struct {
		answers [][4]int
		want    time.Duration
	}{
		"one owner":                             {[][4]int{{0, 0, 99, 5}}, 0},
		"a move with a gap":                     {[][4]int{{0, 0, 40, 5}, {1, 60, 99, 5}}, 0},
		"a question that both answered in turn": {[][4]int{{0, 0, 50, 5}, {1, 50, 99, 30}}, 0},
		"old questions answered after a pause":  {[][4]int{{0, 0, 10, 5}, {0, 11, 40, 1000}, {1, 20, 99, 5}}, 0},
		"both for long":                         {[][4]int{{0, 0, 60, 5}, {1, 50, 99, 5}}, 195 * time.Millisecond},
		"both, with answers lost":               {[][4]int{{0, 0, 52, 5}, {0, 55, 60, 5}, {1, 50, 99, 5}}, 195 * time.Millisecond},
		"by turns":                              {[][4]int{{0, 0, 20, 5}, {1, 24, 40, 5}, {0, 44, 60, 5}}, 0},
	} {
		o := heard(100, c.answers...)
		if got := o.Overlap(boxA, boxB, 0, time.Hour); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if got := o.Overlap(boxB, boxA, 0, time.Hour); got != c.want {
			t.Errorf("%s, the other way: %s, want %s", name, got, c.want)
		}
	}
}

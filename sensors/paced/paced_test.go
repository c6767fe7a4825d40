package paced

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

// A device counts how often it is asked, and takes its time.
type device struct {
	asked, most, now int
	takes            time.Duration
	again            time.Duration
}

func (d *device) ask(at time.Time) ([]sensors.Reading, time.Duration) {
	d.now++
	d.most = max(d.most, d.now)
	d.asked++
	n := d.asked
	time.Sleep(d.takes)
	d.now--
	return []sensors.Reading{sensors.New("test/a", "a", sensors.Context, float64(n), at)}, d.again
}

func source(d *device) *Source {
	return New(Config{Name: "device", Every: time.Minute, Patience: 10 * time.Second, Ask: d.ask})
}

// rounds reads once a second and returns the last readings.
func rounds(s *Source, n int) (last []sensors.Reading) {
	for range n {
		last = s.Read(nil, time.Now(), 500*time.Millisecond)
		time.Sleep(time.Second)
	}
	return last
}

func TestAQuickDeviceAnswersInTheFirstRoundAndIsAskedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{takes: 10 * time.Millisecond}
		s := source(d)
		if r := rounds(s, 1); len(r) != 1 || r[0].Value != 1 || r[0].State != sensors.OK {
			t.Errorf("first round: %+v", r)
		}
		r := rounds(s, 170)
		if d.asked != 3 || r[0].Value != 3 {
			t.Errorf("asked %d times in 171 s, value %v", d.asked, r[0].Value)
		}
		if age := time.Since(r[0].At); age > 2*time.Second {
			t.Errorf("the reading that holds says it is %s old", age)
		}
	})
}

func TestASlowDeviceKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{takes: 8 * time.Second}
		s := source(d)
		began := time.Now()
		if r := s.Read(nil, began, time.Second); len(r) != 0 || time.Since(began) > 750*time.Millisecond {
			t.Errorf("%+v after %s", r, time.Since(began))
		}
		if r := rounds(s, 10); len(r) != 1 || r[0].State != sensors.OK {
			t.Errorf("%+v", r)
		}
	})
}

func TestADeviceThatHangsIsNamedAndAskedOnlyAfterItCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{takes: time.Hour}
		s := source(d)
		if r := rounds(s, 15); len(r) != 1 || r[0].State != sensors.Blocked || r[0].Why == "" {
			t.Errorf("%+v", r)
		}
		rounds(s, 1000)
		if d.asked != 1 {
			t.Errorf("asked %d times while it hangs", d.asked)
		}
		time.Sleep(time.Hour)
		d.takes = 0
		if r := rounds(s, 2); r[0].State != sensors.OK || r[0].Value != 2 || d.most != 1 {
			t.Errorf("back again: %+v, %d asks at once", r, d.most)
		}
		d.takes = time.Hour
		r := rounds(s, 100)
		if r[0].State != sensors.Blocked || r[0].ID != "test/a" {
			t.Errorf("what it said once stands for what it says: %+v", r)
		}
		time.Sleep(time.Hour)
	})
}

func TestADeviceMayAskToBeAskedSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{again: 5 * time.Second}
		rounds(source(d), 61)
		if d.asked != 13 {
			t.Errorf("asked %d times in 61 s, not each 5", d.asked)
		}
		d = &device{again: time.Hour}
		rounds(source(d), 61)
		if d.asked != 2 {
			t.Errorf("asked %d times in 61 s: an hour is more than usual", d.asked)
		}
	})
}

func TestAClockThatWentBackPostponesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{}
		s := source(d)
		s.Read(nil, time.Now(), time.Second)
		s.Read(nil, time.Now().Add(-24*time.Hour).Round(0), time.Second)
		if d.asked != 2 {
			t.Errorf("asked %d times", d.asked)
		}
	})
}

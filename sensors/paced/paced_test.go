package paced

import (
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

// A device counts how often it is asked, and takes its time.
type device struct {
	asked atomic.Int32
	now   atomic.Int32
	twice atomic.Bool  // asked while it was
	takes atomic.Int64 // nanoseconds
	again time.Duration
}

func (d *device) ask(at time.Time) ([]sensors.Reading, time.Duration) {
	if d.now.Add(1) > 1 {
		d.twice.Store(true)
	}
	n := d.asked.Add(1)
	time.Sleep(time.Duration(d.takes.Load()))
	d.now.Add(-1)
	return []sensors.Reading{sensors.New("test/a", "a", sensors.Context, float64(n), at)}, d.again
}

func slow(takes time.Duration) *device {
	d := &device{}
	d.takes.Store(int64(takes))
	return d
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
		d := slow(10 * time.Millisecond)
		s := source(d)
		if r := rounds(s, 1); len(r) != 1 || r[0].Value != 1 || r[0].State != sensors.OK {
			t.Errorf("first round: %+v", r)
		}
		r := rounds(s, 170)
		if d.asked.Load() != 3 || r[0].Value != 3 {
			t.Errorf("asked %d times in 171 s, value %v", d.asked.Load(), r[0].Value)
		}
		if age := time.Since(r[0].At).Truncate(time.Second); age != 51*time.Second { // asked at 120 s, and now it is 171
			t.Errorf("the reading that holds says it is %s old", age)
		}
	})
}

func TestASlowDeviceKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := slow(8 * time.Second)
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

func TestADeadDeviceDelaysNoRoundButItsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := slow(3 * time.Second)
		d.again = 5 * time.Second
		s := source(d)
		for i := range 60 {
			began := time.Now()
			s.Read(nil, began, 2*time.Second)
			if took := time.Since(began); i == 0 && took != 1500*time.Millisecond || i > 0 && took != 0 {
				t.Errorf("round %d took %s", i, took)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Second)
		if n := d.asked.Load(); n < 8 || d.twice.Load() {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestADeviceThatHangsIsNamedAndAskedOnlyAfterItCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := slow(time.Hour)
		s := source(d)
		if r := rounds(s, 15); len(r) != 1 || r[0].State != sensors.Blocked || r[0].Why == "" {
			t.Errorf("%+v", r)
		}
		rounds(s, 1000)
		if d.asked.Load() != 1 {
			t.Errorf("asked %d times while it hangs", d.asked.Load())
		}
		time.Sleep(time.Hour)
		d.takes.Store(int64(0))
		if r := rounds(s, 2); r[0].State != sensors.OK || r[0].Value != 2 || d.twice.Load() {
			t.Errorf("back again: %+v, asked while it was: %v", r, d.twice.Load())
		}
		d.takes.Store(int64(time.Hour))
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
		if d.asked.Load() != 13 {
			t.Errorf("asked %d times in 61 s, not each 5", d.asked.Load())
		}
		d = &device{again: time.Hour}
		rounds(source(d), 61)
		if d.asked.Load() != 2 {
			t.Errorf("asked %d times in 61 s: an hour is more than usual", d.asked.Load())
		}
	})
}

func TestAClockThatWentBackPostponesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{}
		s := source(d)
		s.Read(nil, time.Now(), time.Second)
		s.Read(nil, time.Now().Add(-24*time.Hour).Round(0), time.Second)
		synctest.Wait()
		if d.asked.Load() != 2 {
			t.Errorf("asked %d times", d.asked.Load())
		}
	})
}

func TestOneReadingOfASlowChipThatLiesIsNotCritical(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := New(Config{Name: "chip", Every: 10 * time.Second, Patience: 10 * time.Second, Ask: func(at time.Time) ([]sensors.Reading, time.Duration) {
			v := 60.0
			if n++; n%20 == 10 {
				v = 120
			}
			return []sensors.Reading{sensors.New("i2c/a", "a", sensors.Temperature, v, at)}, 0
		}})
		nan := math.NaN()
		j := sensors.NewJudge(sensors.Config{Rules: []sensors.Rule{{Match: "*", Low: nan, High: nan, Crit: 95, Weight: 100}}})
		for range 500 {
			for _, c := range j.Take(time.Now(), s.Read(nil, time.Now(), time.Second)) {
				t.Errorf("told: %+v", c)
			}
			for _, v := range j.Votes() {
				if v.Loss > 0 {
					t.Fatalf("after reading %d: %+v", n, v)
				}
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// Sources that a reload took out while their device hung still count.
func TestDevicesThatHangAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := slow(time.Hour)
		for range MaxBusy {
			source(d).Read(nil, time.Now(), time.Millisecond)
		}
		one := source(d)
		r := one.Read(nil, time.Now(), time.Millisecond)
		if d.asked.Load() != MaxBusy || len(r) != 1 || r[0].State != sensors.Blocked || r[0].Why != "not asked: 128 devices do not answer" {
			t.Errorf("asked %d times, %+v", d.asked.Load(), r)
		}
		time.Sleep(time.Hour)
		one.Read(nil, time.Now(), time.Millisecond)
		if d.asked.Load() != MaxBusy+1 {
			t.Error("the others came back, and it is not asked")
		}
		time.Sleep(time.Hour)
	})
}

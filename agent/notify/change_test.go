package notify

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
)

// change makes the targets those of the names, of which some are told as before.
func (d *desktop) change(f *Office, same []string, names ...string) []alert.Backlog {
	var targets []Target
	for _, n := range names {
		if d.fakes[n] == nil {
			d.fakes[n] = &fake{}
		}
		targets = append(targets, Target{Name: n, Type: "fake", Sender: d.fakes[n], Filter: alert.Filter{Severity: alert.Info}, Timeout: 5 * time.Second})
	}
	return f.Change(targets, func(name string) bool { return slices.Contains(same, name) })
}

func TestATargetThatComesIsToldFromNowOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		f, stop := d.start()
		d.happen(3)
		synctest.Wait()
		d.change(f, []string{"log"}, "log", "page")
		d.happen(2)
		synctest.Wait()
		d.want("log", 1, 5)
		d.want("page", 4, 5)
		stop()
	})
}

// Its queue is dropped and told of; the other one's, and its place in the events,
// stay, and so does when it is tried again.
func TestATargetThatGoesLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log", "mail")
		d.fakes["log"].set(errors.New("down"))
		d.fakes["mail"].set(errors.New("down"))
		f, stop := d.start()
		d.happen(4)
		synctest.Wait()
		dropped := d.change(f, []string{"log"}, "log")
		if len(dropped) != 1 || dropped[0].Name != "mail" || len(dropped[0].Waiting) != 4 {
			t.Errorf("dropped %+v", dropped)
		}
		d.fakes["log"].set(nil)
		d.fakes["mail"].set(nil)
		time.Sleep(alert.MinRetry / 2)
		synctest.Wait()
		if got := d.fakes["log"].told(); len(got) > 0 {
			t.Errorf("it was tried before its time: %v", got)
		}
		time.Sleep(alert.MinRetry)
		d.happen(1)
		synctest.Wait()
		d.want("log", 1, 5)
		if got := d.fakes["mail"].told(); len(got) > 0 || len(f.View().Targets) != 1 {
			t.Errorf("the one that went was told %v; shown %+v", got, f.View().Targets)
		}
		stop()
	})
}

// What waited for the old address goes to the new one, at once.
func TestATargetThatChangesKeepsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		old := d.fakes["log"]
		old.set(errors.New("down"))
		f, stop := d.start()
		d.happen(3)
		time.Sleep(time.Minute)
		d.fakes["log"] = &fake{}
		if dropped := d.change(f, nil, "log"); len(dropped) > 0 {
			t.Errorf("dropped %+v", dropped)
		}
		synctest.Wait()
		if got := old.told(); len(got) > 0 {
			t.Errorf("the old one was told %v", got)
		}
		d.want("log", 1, 3)
		stop()
	})
}

// Before it runs, and after, an office is changed without anybody who sends.
func TestAnOfficeThatDoesNotRunIsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		f, err := Open(d.options())
		if err != nil {
			t.Fatal(err)
		}
		d.change(f, nil, "log", "page")
		if len(f.View().Targets) != 2 {
			t.Errorf("%+v", f.View())
		}
		f2, stop := d.start()
		stop()
		d.change(f2, nil, "log", "page")
		d.change(f2, nil)
		if n := len(f2.View().Targets); n != 0 {
			t.Errorf("%d targets", n)
		}
	})
}

// A target that comes is not told what happened before, though it is on the board,
// and though an office of an earlier run owed it something.
func TestATargetThatComesIsNotToldOfThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		d.fakes["log"].set(errors.New("down"))
		_, stop := d.start()
		d.happen(3)
		time.Sleep(time.Second)
		stop()
		d.happen(2) // that no office saw
		d.fakes = map[string]*fake{}
		f, stop := d.start()
		d.happen(2)
		d.change(f, nil, "log")
		d.happen(2)
		synctest.Wait()
		d.want("log", 8, 9)
		d.happen(1)
		d.change(f, []string{"log"}, "log", "page")
		synctest.Wait()
		d.want("log", 8, 10)
		if got := d.fakes["page"].told(); len(got) > 0 {
			t.Errorf("what was on the board before it came was told: %v", got)
		}
		stop()
	})
}

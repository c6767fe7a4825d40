//go:build !lite

package monitor

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// What lasted for one lasts for the next: a link that came back a moment ago is
// not well because somebody edited a weight.
func TestAnHeirOfAnInterfaceGoesOnCounting(t *testing.T) {
	fresh := func(up time.Duration, device string) *Monitor {
		m, err := New(Config{Name: "lan", Kind: "interface", Interface: device, UpFor: up, DownFor: time.Second, Interval: time.Second}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	synctest.Test(t, func(t *testing.T) {
		at := func(m *Monitor, up bool) (stable bool) {
			stable, _ = m.port.bounce.See(time.Since(m.port.began), up)
			return stable
		}
		old := fresh(10*time.Second, "eth0")
		at(old, false)
		time.Sleep(time.Minute)
		at(old, true)
		time.Sleep(5 * time.Second)
		heir, stranger := fresh(20*time.Second, "eth0"), fresh(20*time.Second, "eth1")
		heir.Follow(old)
		stranger.Follow(old)
		if at(heir, true) || !at(stranger, true) {
			t.Error("five seconds of ten were enough, or another interface waits")
		}
		time.Sleep(14 * time.Second)
		if at(heir, true) {
			t.Error("the new time has not passed")
		}
		time.Sleep(2 * time.Second)
		if !at(heir, true) {
			t.Error("the new time has passed")
		}
	})
}

// A rate of errors that is too high is so for the heir, before it has one itself.
func TestAnHeirOfAnInterfaceKnowsItsErrors(t *testing.T) {
	fresh := func(most int) *Monitor {
		m, err := New(Config{Name: "lan", Kind: "interface", Interface: "eth0", MaxErrors: most, UpFor: 10 * time.Second, Interval: time.Second}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	old, heir := fresh(10), fresh(20)
	old.port.errors(time.Second, 0)
	if l := old.port.errors(2*time.Second, 1000); l.Verdict != Bad {
		t.Fatalf("a thousand in a second: %+v", l)
	}
	heir.Follow(old)
	if l := heir.port.errors(2200*time.Millisecond, 1000); l.Verdict != Bad {
		t.Errorf("its first look: %+v", l)
	}
	if l := heir.port.errors(3*time.Second, 1000); l.Verdict != Bad {
		t.Errorf("well for less than it must last: %+v", l)
	}
	if l := heir.port.errors(14*time.Second, 1000); l.Verdict != Good {
		t.Errorf("well for long enough: %+v", l)
	}
}

func TestAnHeirWaitsForItsOwnWord(t *testing.T) {
	for name, c := range map[string]struct {
		said    State
		looks   string // g good, b bad, u unknown
		state   State
		changes int
	}{
		"one good look is not enough":   {Down, "g", Down, 0},
		"two are":                       {Down, "gg", Up, 1},
		"down, by its own word":         {Down, "bbb", Down, 1},
		"not looked at says nothing":    {Down, "uuuuuu", Down, 0},
		"not looked at, then bad":       {Down, "uuuuuubbb", Down, 1},
		"up, by its own word":           {Up, "gg", Up, 1},
		"up goes down":                  {Up, "bbb", Down, 1},
		"unknown, by its own word once": {Missing, "uuuuuuu", Missing, 1},
	} {
		j, n := Judge{Rise: 2, Fall: 3, State: c.said, Heir: true}, 0
		for _, l := range c.looks {
			if j.See(map[rune]Verdict{'g': Good, 'b': Bad, 'u': Unknown}[l]) {
				n++
			}
		}
		if j.State != c.state || n != c.changes {
			t.Errorf("%s: %v after %d changes", name, j.State, n)
		}
	}
}

// What hangs is asked by few, however many monitors were made for it.
func TestQuestionsThatHangAreBounded(t *testing.T) {
	hang := make(chan linkAnswer)
	defer func() {
		for range maxAside {
			hang <- linkAnswer{flags: unix.IFF_UP}
		}
	}()
	question := func() linkAnswer { return <-hang }
	for range maxAside {
		var a aside[linkAnswer]
		if _, err := a.ask(context.Background(), 0, question); err != errLate {
			t.Fatal(err)
		}
	}
	var one aside[linkAnswer]
	if _, err := one.ask(context.Background(), 0, question); err == nil || err == errLate || !strings.Contains(err.Error(), "64 questions hang already") {
		t.Errorf("one too many: %v", err)
	}
}

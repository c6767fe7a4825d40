package link

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffDoublesToItsBoundAndStartsOverAfterAGoodOpening(t *testing.T) {
	var b Backoff
	want := []time.Duration{100, 200, 400, 800, 1600, 2000, 2000}
	for i, w := range want {
		if got := b.Next(); got != w*time.Millisecond {
			t.Fatalf("pause %d: got %v, want %v", i, got, w*time.Millisecond)
		}
	}
	b.Lasted(BackoffMax - 1)
	if got := b.Next(); got != BackoffMax {
		t.Errorf("a path that failed at once starts over: pause %v", got)
	}
	b.Lasted(BackoffMax)
	if got := b.Next(); got != BackoffMin {
		t.Errorf("a path that lasted does not start over: pause %v", got)
	}
}

func TestBackoffWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Backoff
		start := time.Now()
		if !b.Wait(t.Context()) {
			t.Error("wait refused to go on")
		}
		if got := time.Since(start); got != BackoffMin {
			t.Errorf("waited %v, want %v", got, BackoffMin)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if b.Wait(ctx) {
			t.Error("wait goes on after the end of its context")
		}
	})
}

func TestMeterKeepsTheTimeOfTheLastChangeAndTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Meter
		m.Started()
		start := time.Now()
		time.Sleep(time.Second)
		m.Down(errors.New("no device"))
		if s := m.Stats(); s.Up || !s.Since.Equal(start) || s.Err != "no device" {
			t.Errorf("down from the start: %+v", s)
		}
		m.Opened()
		m.Up()
		opened := time.Now()
		time.Sleep(time.Second)
		m.Trouble(errors.New("no buffer"))
		if s := m.Stats(); !s.Up || !s.Since.Equal(opened) || s.Err != "no buffer" || s.Reopens != 0 {
			t.Errorf("up with trouble: %+v", s)
		}
		m.Up()
		m.Opened()
		if s := m.Stats(); !s.Since.Equal(opened) || s.Err != "" || s.Reopens != 1 {
			t.Errorf("still up after a reopening: %+v", s)
		}
	})
}

func TestWordsOfStatesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for s := LinesUnknown; s <= LinesDown+1; s++ {
		seen[s.String()] = true
	}
	if len(seen) != 4 {
		t.Errorf("line states share words: %v", seen)
	}
	clear(seen)
	for c := CableUnknown; c <= CableFull+1; c++ {
		seen[c.String()] = true
	}
	if len(seen) != 5 {
		t.Errorf("cable classes share words: %v", seen)
	}
}

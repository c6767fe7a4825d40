//go:build !lite

package loop

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

const (
	testFirmware = 10 * time.Second // from the end of a box to its new kernel
	testUptime   = 20 * time.Second // of that when its agent starts
)

// A reboot is a story of fw2's end and return, as fw1 saw it.
type reboot struct {
	end  func(a *node)         // what fw1 sees when fw2 ended; nil: nothing
	back func(o *Options)      // how fw2 starts again; nil: with no trace of its end
	then func(r *rig, b *node) // looks at fw2 when it is back
}

// reboots lets fw2 end without a word, and start anew as a box does.
func reboots(t *testing.T, s setup, story reboot) {
	t.Helper()
	s.groups, s.links, s.mode = 1, 2, pair.ModeSilence
	bubble(t, s, func(r *rig, a, b *node) {
		a.paths[0].setLines(pair.LinesUp)
		time.Sleep(time.Second)
		b.kill()
		b.stop()
		<-b.done
		if story.end != nil {
			story.end(a)
		}
		time.Sleep(testFirmware + testUptime)
		again := s
		again.change = func(i int, o *Options) {
			if s.change != nil {
				s.change(i, o)
			}
			kernel := o.Now().Add(-testUptime)
			o.LastReset = &report.Reset{Cause: report.CauseUnknown, Text: "nothing on record"}
			o.Uptime = func() time.Duration { return o.Now().Since(kernel) }
			if story.back != nil {
				story.back(o)
			}
		}
		r.lives += 100
		b = r.node(1, again, testKeys(t))
		a.inLoop(func(*Loop, pair.Instant) { r.nodes[1] = b })
		b.start()
		r.await("fw2 is back", 5*time.Second, func() bool { return b.view().Peer.TwoWay && a.view().Peer.TwoWay })
		a.paths[0].setLines(pair.LinesUp)
		story.then(r, b)
	})
}

// causeOf waits until fw2 knows a cause, and returns it.
func causeOf(r *rig, b *node, cause string) report.Reset {
	r.t.Helper()
	r.await("fw2 is told", 10*time.Second, func() bool { return b.view().LastReset.Cause == cause })
	return *b.view().LastReset
}

func TestTheSurvivorTellsWhatTheLinesShowed(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(a *node)
		cause string
		text  string
	}{
		{"the power went", func(a *node) { a.paths[0].setLines(pair.LinesDown) }, report.CauseSudden, " before this kernel began, saw its modem lines fall"},
		{"it hung", func(a *node) { time.Sleep(7 * time.Second); a.paths[0].setLines(pair.LinesDown) }, report.CauseHang, "power on for 7."},
		{"the lines stayed up", nil, report.CauseReset, "saw its modem lines stay up"},
		{"a last frame lay in a buffer", func(a *node) {
			a.paths[0].setLines(pair.LinesDown)
			time.Sleep(8 * testBeat)
			a.inLoop(func(l *Loop, now pair.Instant) { l.peer.heardAt = now })
		}, report.CauseSudden, "fall 0.0 ms after"},
		{"one line fell first", func(a *node) {
			a.paths[0].setLines(pair.LinesUnknown)
			time.Sleep(3 * testBeat)
			a.paths[0].setLines(pair.LinesDown)
		}, report.CauseSudden, ""},
		{"of two cables one was pulled before", func(a *node) {
			a.paths[1].setLines(pair.LinesDown)
			time.Sleep(5 * time.Second)
			a.paths[0].setLines(pair.LinesDown)
		}, report.CauseHang, "power on for 5."},
	} {
		t.Run(c.name, func(t *testing.T) {
			reboots(t, setup{}, reboot{end: c.end, then: func(r *rig, b *node) {
				if got := causeOf(r, b, c.cause); !strings.Contains(got.String(), c.text) {
					t.Errorf("%s", got)
				}
				time.Sleep(endingHolds)
				if n := b.board.count("agent", "last end: "+c.cause); n != 1 {
					t.Errorf("told %d times", n)
				}
				if n := r.nodes[0].count("tx data"); n > endingCopies {
					t.Errorf("fw1 told it %d times", n)
				}
			}})
		})
	}
}

func TestLinesThatSaidNothingTellNothing(t *testing.T) {
	for name, end := range map[string]func(a *node){
		"unknown from the end on": func(a *node) { a.paths[0].setLines(pair.LinesUnknown) },
		"known again later": func(a *node) {
			a.paths[0].setLines(pair.LinesUnknown)
			time.Sleep(5 * time.Second)
			a.paths[0].setLines(pair.LinesUp)
		},
		"fell while blind": func(a *node) {
			a.paths[0].setLines(pair.LinesUnknown)
			time.Sleep(5 * time.Second)
			a.paths[0].setLines(pair.LinesDown)
		},
	} {
		t.Run(name, func(t *testing.T) {
			reboots(t, setup{}, reboot{end: end, then: func(r *rig, b *node) {
				r.await("fw2 is told", 10*time.Second, func() bool { return len(b.view().LastReset.Evidence) > 0 })
				got := b.view().LastReset
				if got.Cause != report.CauseUnknown || !strings.HasSuffix(got.String(), "s before this kernel began, has no modem lines to tell more)") {
					t.Errorf("%s", got)
				}
				if n := b.board.count("agent", "last end"); n != 1 {
					t.Errorf("%d events, want that of the start", n)
				}
			}})
		})
	}
}

func TestAProofOfOffIsToldWithItsEvidence(t *testing.T) {
	for _, c := range []struct {
		name        string
		before      bool // the lines fell before the order
		late        time.Duration
		cause, text string
	}{
		{"fw1 switched it off", false, 0, report.CauseFenced, "fw1 switched this box off: off, relay and load"},
		{"off already", true, 0, report.CauseSudden, "proved it off after that"},
		{"a proof of long before", true, -time.Minute, report.CauseSudden, "for "},
	} {
		t.Run(c.name, func(t *testing.T) {
			reboots(t, setup{}, reboot{end: func(a *node) {
				if c.before {
					a.paths[0].setLines(pair.LinesDown)
				}
				time.Sleep(2 * time.Second)
				a.inLoop(func(l *Loop, now pair.Instant) {
					l.fence.began = now
					l.provenOff(FenceDone{Proven: true, Grade: "off, relay and load"})
					l.provenOff(FenceDone{Grade: "none"})
					l.ending.offAt += pair.Instant(c.late)
				})
				time.Sleep(testBeat)
				a.paths[0].setLines(pair.LinesDown)
			}, then: func(r *rig, b *node) {
				got := causeOf(r, b, c.cause)
				if !strings.Contains(got.String(), c.text) || strings.Contains(got.String(), "proved") != (c.late == 0) {
					t.Errorf("%s", got)
				}
			}})
		})
	}
}

// A fence that an agent really makes is such a proof.
func TestAFenceIsRemembered(t *testing.T) {
	lone(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.cutAll(true)
		r.await("b is proven off", 10*time.Second, func() bool { return a.hands.count("fence") > 0 && a.view().Peer.Fence.Power == "off" })
		a.inLoop(func(l *Loop, now pair.Instant) {
			if e := l.ending.judge(l.peer.heardAt, now, l.linesLate()); !e.Off || e.Grade != "off, relay claim only" {
				t.Errorf("%+v", e)
			}
		})
	})
}

func TestTheOwnWordStands(t *testing.T) {
	for name, own := range map[string]report.Reset{
		"watchdog": {Cause: report.CauseWatchdog, Text: "the watchdog reset the box"},
		"reboot":   {Cause: report.CauseReboot, Text: "in order"},
	} {
		t.Run(name, func(t *testing.T) {
			reboots(t, setup{}, reboot{
				end:  func(a *node) { a.paths[0].setLines(pair.LinesDown) },
				back: func(o *Options) { o.LastReset = &own },
				then: func(r *rig, b *node) {
					time.Sleep(10 * time.Second)
					if got := b.view().LastReset; got.Cause != own.Cause || got.Text != own.Text || b.board.count("agent", "last end") != 1 {
						t.Errorf("%s", got)
					}
				},
			})
		})
	}
}

// What fw1 heard of this very kernel was an agent that ended, not the box.
func TestAnEndOfTheAgentIsNotThatOfTheBox(t *testing.T) {
	reboots(t, setup{}, reboot{
		end: func(a *node) { a.paths[0].setLines(pair.LinesDown) },
		back: func(o *Options) {
			up := o.Uptime
			o.Uptime = func() time.Duration { return up() + time.Hour }
		},
		then: func(r *rig, b *node) {
			time.Sleep(10 * time.Second)
			if got := b.view().LastReset; got.Cause != report.CauseUnknown || len(got.Evidence) > 0 {
				t.Errorf("%s", got)
			}
		},
	})
}

// The next agent in this boot finds it in the journal: by the record of the
// watchdog's feed, or by a note where there is none.
func TestTheJournalIsToldWhyThisBootBegan(t *testing.T) {
	var mu sync.Mutex
	var notes []string
	reboots(t, setup{}, reboot{
		end: func(a *node) { a.paths[0].setLines(pair.LinesDown) },
		back: func(o *Options) {
			o.KeepReset = func(why string) {
				mu.Lock()
				defer mu.Unlock()
				notes = append(notes, why)
			}
		},
		then: func(r *rig, b *node) {
			causeOf(r, b, report.CauseSudden)
			time.Sleep(10 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if len(notes) != 1 || !strings.HasPrefix(notes[0], report.CauseSudden+": the box lost") {
				t.Errorf("%q", notes)
			}
		},
	})
	var dog *fakeDog
	reboots(t, setup{}, reboot{
		end:  func(a *node) { a.paths[0].setLines(pair.LinesDown) },
		back: func(o *Options) { dog = watched(o) },
		then: func(r *rig, b *node) {
			go dog.work()
			defer close(dog.over)
			causeOf(r, b, report.CauseSudden)
			r.await("the record says it", 10*time.Second, func() bool {
				dog.mu.Lock()
				defer dog.mu.Unlock()
				return len(dog.kicks) > 0 && strings.HasPrefix(dog.kicks[len(dog.kicks)-1].Reset, report.CauseSudden)
			})
		},
	})
}

// A pair that lost each other for a while, and a new handshake without silence,
// have nothing to tell.
func TestASilenceWithoutANewRunIsNoEnd(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.cutAll(true)
		time.Sleep(300 * time.Millisecond)
		b.cutAll(false)
		time.Sleep(time.Second)
		a.inLoop(func(l *Loop, _ pair.Instant) { l.o.Wire.Restart([16]byte{77}) })
		time.Sleep(3 * time.Second)
		if n := a.count("tx data") + b.count("tx data"); n != 0 {
			t.Errorf("%d DATA frames", n)
		}
	})
}

// Whatever a peer tells: without a reset to explain, or malformed, it is dropped.
func TestAnEndingOutOfPlaceIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{})
		l := r.nodes[0].loop
		l.o.Uptime = func() time.Duration { return time.Second }
		e := accord.Ending{AgoMS: 60_000, Lines: true}
		good := e.Append(nil)
		l.heardEnding(1, good) // no reset to explain
		l.o.LastReset = &report.Reset{Cause: report.CauseUnknown}
		l.heardEnding(1, good[1:])
		l.o.Uptime = nil
		l.heardEnding(1, good)
		if l.ending.heard || l.o.LastReset.Cause != report.CauseUnknown {
			t.Errorf("heard %v: %s", l.ending.heard, l.o.LastReset)
		}
	})
}

// On a slow line there is no room for the words of a proof.
func TestAnEndingFitsIntoASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRig(t, setup{}).nodes[0].loop
		for _, c := range []struct{ room, copies int }{{serialRoom(9600, 125*time.Millisecond, 125*time.Millisecond), endingCopies - 1}, {14, endingCopies}} {
			l.ending = ending{copies: endingCopies, backAt: 1, last: 1, found: accord.Ending{Off: true, Grade: "off, relay and load"}}
			l.data.items = wire.Items{}
			l.tellEnding(2, c.room)
			if l.ending.copies != c.copies || l.ending.found.Grade == "" {
				t.Errorf("room %d: %d copies left", c.room, l.ending.copies)
			}
		}
	})
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// sumEvery is how often the long sums are made; they walk all probes.
const sumEvery = 500 * time.Millisecond

// A show is the screen over the world.
type show struct {
	w      *world
	screen *screen
	keys   []string
	titles <-chan string // of the tour; nil without

	brief  *strings.Replacer
	summed time.Time
	scene  scene
}

var handKeys = []string{
	" k kill agent  f freeze it 5 s  p power off  o power on  h hand over",
	" s cut serial  e cut Ethernet  b cut both  c corrupt serial           q quit",
}

// interactive shows the pair until the user has had enough.
func interactive(ctx context.Context, w *world) int {
	s, err := openShow(w, handKeys)
	if err != nil {
		return failed(err)
	}
	defer s.screen.close()
	w.say("nothing was done yet: press a key; h is the gentlest, p the roughest")
	s.loop(ctx, func(key byte) {
		for _, f := range faults {
			if f.key == key {
				go w.press(f) // a handover waits for its end; the screen must not
			}
		}
	})
	s.screen.close()
	both, asked := w.bothActive()
	fmt.Printf("%d times it was asked who has the address; two boxes answered in %s ms of it all\n", asked, ms(both))
	if both > 0 {
		return exitFailed
	}
	return exitWell
}

func openShow(w *world, keys []string) (*show, error) {
	sc, err := openScreen()
	if err != nil {
		return nil, err
	}
	null := w.lab.Serial
	brief := strings.NewReplacer(null.Device(0), "tty", null.Device(1), "tty", " 239.255.77.1:6940", "")
	return &show{w: w, brief: brief, screen: sc, keys: append([]string(nil), keys...)}, nil
}

// loop paints until q, Ctrl-C or the end of ctx.
func (s *show) loop(ctx context.Context, press func(key byte)) {
	tick := time.NewTicker(paintTime)
	defer tick.Stop()
	for {
		select {
		case title := <-s.titles:
			s.keys[0] = title
		default:
		}
		s.refresh()
		s.screen.paint(compose(s.scene))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case key, ok := <-s.screen.keys:
			switch {
			case !ok || key == 'q' || key == 'Q' || key == keyInterrupt:
				return
			case key == keyRepaint:
				s.screen.repaint()
			default:
				press(key)
			}
		}
	}
}

// refresh brings the scene up to date.
func (s *show) refresh() {
	w := s.w
	sc := &s.scene
	sc.profile, sc.vip, sc.services, sc.keys = w.lab.Profile, w.user.vip.String(), present(), s.keys
	for i, n := range w.lab.Nodes {
		st := &w.state[i]
		snap, fresh := st.latest()
		sc.boxes[i] = boxView{
			name: n.Name, power: st.on.Load(), frozen: st.frozen.Load(), pid: n.Pid(),
			fresh: fresh, silent: st.silent(), snap: snap,
		}
		if fresh {
			sc.mode = snap.Guarantee.Mode
		}
	}
	w.mu.Lock()
	sc.strip = w.probe.Strip(stripWidth*stripEach, settleProbe)
	sc.last[0], sc.cables = " "+w.said, w.cables
	w.mu.Unlock()
	sc.answering = ""
	if i := w.answering(); i >= 0 {
		sc.answering = w.name(i)
	}
	sc.visit, _ = w.user.last()
	if time.Since(s.summed) < sumEvery {
		return
	}
	s.summed = time.Now()
	sc.both, sc.asked = w.bothActive()
	sc.last[1] = ""
	if r, ok := w.result(); ok {
		sc.last[1] = " " + w.outcome(r)
	}
	names := [2]string{w.name(0), w.name(1)}
	sc.events = mergeEvents(names, [2][]report.Event{w.state[0].history(), w.state[1].history()}, s.brief)
}

// tourOnScreen plays the tour with the screen as its stage, and prints the
// table when it is over.
func tourOnScreen(ctx context.Context, w *world) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := openShow(w, []string{"", " the tour plays by itself; q ends it"})
	if err != nil {
		return failed(err)
	}
	defer s.screen.close()
	titles := make(chan string, len(faults))
	over := make(chan []step, 1)
	go func() {
		total := len(tourFaults())
		steps := tour(ctx, w, func(n int, f fault) {
			titles <- fmt.Sprintf(" tour %d/%d: %s", n, total, f.name)
		}, func(step) {})
		over <- steps
		cancel()
	}()
	s.titles = titles
	s.loop(ctx, func(byte) {})
	interrupted := ctx.Err() == nil
	cancel()
	steps := <-over
	s.screen.close()
	after := context.Background()
	if interrupted {
		after = ctx
	}
	return w.finish(after, os.Stdout, steps)
}

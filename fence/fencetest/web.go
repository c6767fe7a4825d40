package fencetest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A RelayFault says how relays deviate from what they are told.
type RelayFault struct {
	Dead     bool          // they never move
	Lie      bool          // they never move, and Said repeats what was told
	Neighbor bool          // the one after the one that was told moves
	Lag      time.Duration // from the command until they move
	FlipBack time.Duration // so long after going off they are on again
}

// Relays are the outlets of a simulated device. All are on at first.
type Relays struct {
	mu    sync.Mutex
	fault RelayFault
	all   []relay
	told  int
}

type relay struct {
	on, told bool
	moves    time.Time // when it becomes target; zero: it is
	target   bool
	wentOff  time.Time
}

// NewRelays returns n relays, numbered from 0.
func NewRelays(n int) *Relays {
	r := &Relays{all: make([]relay, n)}
	for i := range r.all {
		r.all[i].on, r.all[i].told = true, true
	}
	return r
}

// Fail sets the fault from now on.
func (r *Relays) Fail(f RelayFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// Count returns how many there are.
func (r *Relays) Count() int { return len(r.all) }

// Tell tells relay i to go on or off, and says whether there is one.
func (r *Relays) Tell(i int, on bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i < 0 || i >= len(r.all) {
		return false
	}
	r.told++
	r.all[i].told = on
	if r.fault.Neighbor {
		i = (i + 1) % len(r.all)
	}
	if !r.fault.Dead && !r.fault.Lie {
		r.all[i].target, r.all[i].moves = on, time.Now().Add(r.fault.Lag)
	}
	return true
}

// Orders returns how often a relay was told something.
func (r *Relays) Orders() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told
}

// HasPower tells the truth about relay i.
func (r *Relays) HasPower(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now(i).on
}

// Said is what the device reads relay i to be, and Told what it was told.
func (r *Relays) Said(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault.Lie {
		return r.all[i].told
	}
	return r.now(i).on
}

// Told is what relay i was told last.
func (r *Relays) Told(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[i].told
}

func (r *Relays) now(i int) *relay {
	one, now := &r.all[i], time.Now()
	if !one.moves.IsZero() && !now.Before(one.moves) {
		if one.on && !one.target {
			one.wentOff = one.moves
		}
		one.on, one.moves = one.target, time.Time{}
	}
	if back := r.fault.FlipBack; back > 0 && !one.on && !one.wentOff.IsZero() && now.Sub(one.wentOff) >= back {
		one.on = true
	}
	return one
}

// A WebFault says how a web server deviates from the device behind it. Those
// that count answers count all of them, from now on.
type WebFault struct {
	Orders    int           // this many orders are carried out, but answered with 500
	Lost      int           // this many orders are carried out, and the connection is cut
	Cut       int           // this many readings end in the middle, and the connection with them
	Half      int           // this many readings are half of themselves, whole for HTTP
	Garbled   int           // this many readings are 200 and no sense
	Login     bool          // every path is a login page, and nothing is carried out
	Long      bool          // readings are longer than any device's
	Elsewhere string        // every path is a redirect to this URL
	Denied    bool          // every path is 403
	Down      time.Duration // so long after an order no connection is served
	Slow      time.Duration // before each answer
	Other     http.Handler  // answers instead, as soon as an order was carried out
}

// A Web is the web server of a simulated device.
type Web struct {
	device http.Handler
	order  func(*http.Request) bool // says which requests are orders

	mu     sync.Mutex
	fault  WebFault
	down   time.Time
	orders int
	seen   []string
}

// NewWeb puts a web server before a device.
func NewWeb(device http.Handler, order func(*http.Request) bool) *Web {
	return &Web{device: device, order: order}
}

// Fail sets the fault from now on.
func (w *Web) Fail(f WebFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// Seen returns "METHOD PATH?QUERY" of every request so far.
func (w *Web) Seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.seen...)
}

// plan is what is to become of one request.
type plan struct {
	f                                      WebFault
	order, fail, lose, cut, half, mad, off bool
	other                                  bool
}

func (w *Web) plan(r *http.Request) plan {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, r.Method+" "+r.URL.String())
	p := plan{f: w.fault, order: w.order(r)}
	p.off = time.Now().Before(w.down)
	p.other = w.fault.Other != nil && w.orders > 0
	if p.off || p.other || w.fault.Login || w.fault.Denied || w.fault.Elsewhere != "" {
		return p
	}
	if !p.order {
		p.cut = take(&w.fault.Cut)
		p.half = !p.cut && take(&w.fault.Half)
		p.mad = !p.cut && !p.half && take(&w.fault.Garbled)
	}
	return p
}

// carriedOut says what becomes of the answer to an order that was obeyed. One
// that the device refused, for want of a password, is no order yet.
func (w *Web) carriedOut(p *plan) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders++
	w.down = time.Now().Add(w.fault.Down)
	p.fail = take(&w.fault.Orders)
	p.lose = !p.fail && take(&w.fault.Lost)
}

func take(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return false
}

// ServeHTTP answers as the faults have it.
func (w *Web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	p := w.plan(r)
	time.Sleep(p.f.Slow)
	switch {
	case p.off:
		panic(http.ErrAbortHandler) // cuts the connection
	case p.other:
		p.f.Other.ServeHTTP(out, r)
		return
	case p.f.Elsewhere != "":
		http.Redirect(out, r, p.f.Elsewhere, http.StatusFound)
		return
	case p.f.Denied:
		http.Error(out, "forbidden", http.StatusForbidden)
		return
	case p.f.Login:
		out.Header().Set("Content-Type", "text/html")
		fmt.Fprint(out, `<html><body><form action="/login" method="post"><input name="password"></form> OFF {"POWER":"OFF"} </body></html>`)
		return
	}
	rec := httptest.NewRecorder()
	w.device.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	if p.order && rec.Code < 400 {
		w.carriedOut(&p)
	}
	switch {
	case p.lose:
		panic(http.ErrAbortHandler)
	case p.fail:
		http.Error(out, "internal error", http.StatusInternalServerError)
		return
	case rec.Code >= 400:
	case p.half:
		body = body[:len(body)/2]
	case p.mad:
		body = bytes.Map(func(c rune) rune { return c ^ 1 }, body)
	case p.f.Long && !p.order:
		body = append(body, strings.Repeat(" ", 1<<20)...)
	}
	for name, values := range rec.Header() {
		out.Header()[name] = values
	}
	if rec.Code != http.StatusNoContent {
		out.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	out.WriteHeader(rec.Code)
	if p.cut && rec.Code < 400 {
		body = body[:len(body)/2]
	}
	_, _ = out.Write(body)
	if p.cut {
		panic(http.ErrAbortHandler)
	}
}

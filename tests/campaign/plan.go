package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A class is a kind of pair. An iteration's class follows from its number, so
// that a pair can live through a whole block of iterations.
type class struct {
	name     string
	mode     string
	profile  string
	services bool
	calm     bool // agents live through the whole block: nothing that ends one
}

var classes = []class{
	{name: "silence", mode: "silence", profile: "default"},
	{name: "services", mode: "silence", profile: "default", services: true},
	{name: "calm", mode: "silence", profile: "default", services: true, calm: true},
	{name: "fence", mode: "fence", profile: "default"},
	{name: "lease", mode: "lease", profile: "default"},
	{name: "fast", mode: "silence", profile: "fast"},
}

// rota is the order of the classes; most of it is mode silence.
var rota = []string{"silence", "fence", "services", "lease", "silence", "calm", "services", "fast"}

// blockSize is how many iterations one pair lives through.
const blockSize = 15

func classNamed(name string) class {
	for _, c := range classes {
		if c.name == name {
			return c
		}
	}
	panic(fmt.Sprintf("campaign: unknown class %q", name))
}

// classOf returns the class of an iteration.
func classOf(i int) class { return classNamed(rota[i/blockSize%len(rota)]) }

// A pick is one fault of an iteration.
type pick struct {
	Fault string        `json:"fault"`
	After time.Duration `json:"after"` // the start of the iteration
	Seed  uint64        `json:"seed"`  // of everything that the fault leaves to chance
}

// A plan is one iteration: what strikes when, and how long it lasts.
type plan struct {
	seed  uint64
	Index int           `json:"index"`
	Class string        `json:"class"`
	Picks []pick        `json:"picks"`
	Hold  time.Duration `json:"hold"` // from the start of the iteration until all is healed
}

func (p plan) names() string {
	var all []string
	for _, k := range p.Picks {
		all = append(all, k.Fault)
	}
	return strings.Join(all, " + ")
}

// Bounds of a plan.
const (
	holdLeast  = 300 * time.Millisecond
	holdMost   = 1300 * time.Millisecond
	apartMost  = 400 * time.Millisecond // between two faults
	pairShare  = 0.3                    // of iterations with two faults
	drawsMost  = 50                     // for a second fault that goes with the first
	afterFirst = 20 * time.Millisecond
)

// newPlan draws an iteration: the same seed and number give the same one.
func newPlan(seed uint64, i int) plan {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	c := classOf(i)
	fit := fitting(c)
	first := fit[rng.IntN(len(fit))]
	p := plan{seed: seed, Index: i, Class: c.name, Hold: holdLeast + time.Duration(rng.Int64N(int64(holdMost-holdLeast)))}
	p.Picks = []pick{{first.name, afterFirst, rng.Uint64()}}
	if rng.Float64() < pairShare {
		for range drawsMost {
			second := fit[rng.IntN(len(fit))]
			if goTogether(c, first, second) {
				after := afterFirst + time.Duration(rng.Int64N(int64(apartMost)))
				p.Picks = append(p.Picks, pick{second.name, after, rng.Uint64()})
				break
			}
		}
	}
	return p
}

// singleHold is long enough for everything that one fault brings about.
const singleHold = time.Second

// single plans one fault alone, on a pair of the first class that it fits.
func single(seed uint64, i int, f fault) plan {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	for _, c := range classes {
		if f.fits(c) {
			return plan{seed: seed, Index: i, Class: c.name, Hold: singleHold, Picks: []pick{{f.name, afterFirst, rng.Uint64()}}}
		}
	}
	panic(fmt.Sprintf("campaign: fault %q fits nowhere", f.name))
}

// fitting returns the faults that take part in a class.
func fitting(c class) []fault {
	var all []fault
	for _, f := range catalogue {
		if f.fits(c) {
			all = append(all, f)
		}
	}
	return all
}

func (f fault) fits(c class) bool {
	return (f.only == "" || strings.Contains(f.only, c.name)) && (!c.calm || !f.ends)
}

// goTogether says whether two faults may strike at once. What touches the same
// thing is one fault at a time; and some pairs of faults are beyond what a mode
// promises: README.md says which.
func goTogether(c class, a, b fault) bool {
	both := a.touches | b.touches
	switch {
	case a.touches&b.touches != 0 || a.alone || b.alone:
		return false
	case c.mode == "silence" && both&links == links && both&(lan|gate) != 0:
		return false // all links cut at once: the probe on the LAN is the last guard
	case both&gate != 0 && both&agents != 0:
		return false // a stranger opened the gate of a box whose agent cannot close it
	}
	return true
}

// Package boxtest is a model of a router box as its sensors see it: load by the
// hour, a heat sink, a fan with its controller, a power supply, a room, and one
// fault that ends in a trip; it decides nothing about predictions.
//
// One seed is one box, and always the same one. The constants are ranges of
// real boxes (APU2, Protectli, small 1U servers), not of one.
package boxtest

import (
	"math"
	"math/rand/v2"
	"time"
)

// A Fault is what goes wrong with a box.
type Fault uint8

// The faults.
const (
	None          Fault = iota
	CloggedFilter       // air is let through less and less, for days
	DyingFan            // the fan slows down for hours to days, or stops at once
	DriedPaste          // the heat finds its way to the sink less and less, for days
	FailingPSU          // 12 V sags under load, for hours to days
	HotRoom             // the air conditioner fails: 5 to 40 K an hour
	Faults
)

var names = [...]string{"none", "clogged filter", "dying fan", "dried paste", "failing PSU", "hot room"}

// String returns the fault's name.
func (f Fault) String() string { return names[f] }

// Step is the time between two readings.
const Step = 10 * time.Second

const (
	tick     = 10.0 // seconds
	day      = 86400.0
	sagging  = 0.90 // of 12 V, where the box resets
	glitches = 2e-6 // probability of a temperature reading that is a lie: one in 60 days
)

// A Box is one machine.
type Box struct {
	Fault Fault
	Onset float64 // seconds at which the fault begins
	Crit  float64 // C
	Fan   bool    // it has one, and a sensor for it
	Room  bool    // it has a sensor of the air that comes in

	r   *rand.Rand
	at  float64
	out Readings

	span float64 // seconds from the onset to the fault's full size
	size float64

	ambient, swing, weather float64
	busy, base              float64 // load: amplitude of the day, floor
	burst, burstLoad        float64 // seconds left, load of it
	idle, full              float64 // W
	sink, caseR, paste      float64 // K/W
	sinkTau, caseTau        float64
	still                   float64 // sink's resistance without air, relative
	fanFrom, fanGain        float64
	rpm                     float64 // at full drive
	grain                   float64 // of the temperature sensor
	volts                   float64

	caseT, sinkT, pwm float64
	load              float64
}

// Readings are what the sensors say now.
type Readings struct {
	CPU     float64 // C
	RPM     float64
	PWM     float64 // 0-255
	Volts   float64
	Load    float64 // 0-1
	Ambient float64 // C
	Lost    bool    // no reading: the box restarts
	Tripped bool    // it is dead now
}

// New makes the box of a seed.
func New(seed uint64) *Box {
	r := rand.New(rand.NewPCG(seed, 0x7b0c5))
	b := &Box{r: r, Fault: Fault(seed % uint64(Faults))}
	b.Crit = []float64{90, 95, 100, 105}[r.IntN(4)]
	b.Fan, b.Room = r.Float64() < 0.7, r.Float64() < 0.6
	if !b.Fan && b.Fault == DyingFan {
		b.Fault = DriedPaste
	}
	if !b.Fan && b.Fault == CloggedFilter {
		b.Fault = HotRoom
	}
	b.Onset = b.among(3, 25) * day
	b.ambient, b.swing = b.among(19, 27), b.among(0.5, 3.5)
	b.busy, b.base = b.among(0.05, 0.5), b.among(0.03, 0.25)
	b.idle = b.among(4, 20)
	b.full = b.idle * b.among(1.5, 4)
	b.sinkTau, b.caseTau = b.among(40, 300), b.among(600, 2400)
	b.still = b.among(2, 3.5)
	b.fanFrom, b.fanGain = b.among(40, 55), b.among(3, 8)
	b.rpm = b.among(2500, 9000)
	b.grain = []float64{1, 0.5, 0.125}[r.IntN(3)]
	b.volts = b.among(11.9, 12.25)
	// A design: at full load in a room of 28 C the processor stays this far
	// below its limit.
	room := b.Crit - b.among(14, 35) - 28
	b.caseR, b.sink, b.paste = 0.25*room/b.full, 0.5*room/b.full, 0.25*room/b.full
	if b.Fan {
		b.sink *= 1.0 / 1.05 // at full speed a little is left
	}
	b.caseT, b.sinkT = b.ambient+5, b.ambient+15
	b.shape()
	return b
}

func (b *Box) among(least, most float64) float64 { return least + (most-least)*b.r.Float64() }

// shape draws how fast the fault grows and how far.
func (b *Box) shape() {
	switch b.Fault {
	case CloggedFilter:
		b.span, b.size = b.among(2, 15)*day, b.among(2, 5)
	case DyingFan:
		b.span, b.size = b.among(0, 5)*day, 1
		if b.r.Float64() < 0.3 {
			b.span = tick // it seizes
		}
	case DriedPaste:
		b.span, b.size = b.among(3, 20)*day, b.among(2, 6)
	case FailingPSU:
		b.span, b.size = b.among(1, 240)*3600, b.among(0.12, 0.2)
	case HotRoom:
		rate := b.among(5, 40) / 3600
		b.size = b.among(20, 60)
		b.span = b.size / rate
	}
}

// grown returns how far the fault is, 0 to 1.
func (b *Box) grown() float64 {
	if b.Fault == None || b.at < b.Onset {
		return 0
	}
	return min((b.at-b.Onset)/b.span, 1)
}

// At returns the seconds since the box was switched on.
func (b *Box) At() float64 { return b.at }

// Next lets one step pass and reads the sensors.
func (b *Box) Next() Readings {
	b.at += tick
	b.work()
	grown := b.grown()
	b.heat(grown)
	b.read(grown)
	return b.out
}

// work moves the load: the day's wave, noise, and bursts of backups.
func (b *Box) work() {
	hour := math.Mod(b.at, day) / 3600
	want := b.base + b.busy*(1-math.Cos(2*math.Pi*(hour-3)/24))/2
	if b.burst -= tick; b.burst > 0 {
		want = b.burstLoad
	} else if b.r.Float64() < 5*tick/day { // five a day
		b.burst, b.burstLoad = b.among(300, 3600), b.among(0.6, 1)
	}
	b.load = min(max(want+0.04*b.r.NormFloat64(), 0), 1)
	b.weather += (-b.weather*tick/(2*day) + 1.2*math.Sqrt(2*tick/(2*day))*b.r.NormFloat64())
}

func (b *Box) room(grown float64) float64 {
	hour := math.Mod(b.at, day) / 3600
	t := b.ambient + b.swing*math.Cos(2*math.Pi*(hour-15)/24) + b.weather
	if b.Fault == HotRoom {
		t += b.size * grown
	}
	return t
}

// heat moves case and sink towards where their sources lead: two stages, each
// of the first order, as heat sinks are (R-C network).
func (b *Box) heat(grown float64) {
	power := b.idle + (b.full-b.idle)*b.load
	paste, sink, caseR := b.paste, b.sink, b.caseR
	switch b.Fault {
	case DriedPaste:
		paste *= 1 + b.size*grown
	case CloggedFilter:
		sink, caseR = sink*(1+b.size*grown/2), caseR*(1+b.size*grown)
	}
	air := 1.0
	if b.Fan {
		b.pwm = min(max(60+b.fanGain*(b.out.CPU-b.fanFrom), 60), 255)
		air = b.pwm / 255 * b.turns(grown)
		sink *= 1 + (b.still-1)*(1-air)*(1-air)
	}
	b.caseT += (b.room(grown) + caseR*power - b.caseT) * (1 - math.Exp(-tick/b.caseTau))
	b.sinkT += (b.caseT + sink*power - b.sinkT) * (1 - math.Exp(-tick/b.sinkTau))
	b.out.CPU = b.sinkT + paste*power // the die follows within a second
	b.out.Tripped = b.out.CPU >= b.Crit
}

// turns is what is left of the fan's speed.
func (b *Box) turns(grown float64) float64 {
	if b.Fault != DyingFan {
		return 1
	}
	if left := 1 - b.size*grown; left > 0.15 {
		return left
	}
	return 0 // too slow to start
}

// read puts the sensors' errors on the truth.
func (b *Box) read(grown float64) {
	o, truth := &b.out, b.out.CPU
	o.Load, o.PWM = b.load, b.pwm
	o.CPU = math.Round((truth+0.3*b.r.NormFloat64())/b.grain) * b.grain
	if b.r.Float64() < glitches {
		o.CPU = []float64{0, 127, 120, 255}[b.r.IntN(4)]
	}
	if b.Fan {
		o.RPM = math.Round(b.rpm*b.pwm/255*b.turns(grown)*(1+0.01*b.r.NormFloat64())/15) * 15
	}
	v := b.volts * (1 - 0.01*b.load)
	if b.Fault == FailingPSU {
		v *= 1 - b.size*grown*(0.7+0.3*b.load)
		o.Tripped = o.Tripped || v < sagging*12
	}
	o.Volts = math.Round(v*(1+0.002*b.r.NormFloat64())/0.05) * 0.05
	o.Ambient = math.NaN()
	if b.Room {
		o.Ambient = math.Round(b.room(grown) + 2 + 0.3*b.r.NormFloat64())
	}
	o.Lost = math.Mod(b.at, 9.7*day) < 200 // it restarts now and then
}

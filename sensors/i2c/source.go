package i2c

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/paced"
)

// A Config says which chip is where.
type Config struct {
	Name    string // as the operator calls it
	Chip    string // see Names
	Bus     string // "1", "i2c-1", or the whole name of its adapter
	Address uint8
	Mux     uint8 // address of a TCA9548 or PCA954x before it; 0: none
	Channel uint8 // of it, 0 to 7
	Shunt   float64
	Vref    float64
	Every   time.Duration // 0: DefaultEvery
}

// Defaults, and what a trend still stands.
const (
	DefaultEvery = 2 * time.Second
	DefaultShunt = 0.1 // ohms, as on most boards with an INA219
	DefaultVref  = 3.3 // volts
)

// Bounds of one ask.
const (
	tries    = 3 // of a transfer: another master may have won the bus
	between  = 5 * time.Millisecond
	budget   = 2 * time.Second // for all values; what is left then is not read
	patience = 10 * time.Second
)

// Addresses of multiplexers: TI SCPS207 (TCA9548A), section 8.5.1.
const (
	muxFirst    = 0x70
	muxLast     = 0x77
	muxChannels = 8
)

// A probe is one chip.
type probe struct {
	Config
	chip chip
	sys  string // where sysfs is mounted
	dev  string // and the folder of devices
	open func(sys string, bus int, addr uint8) (conn, error)
	now  func() time.Time
}

// New returns the source of a chip. It does no I/O.
func New(c Config) (sensors.Source, error) {
	p, err := newProbe(c)
	if err != nil {
		return nil, err
	}
	return paced.New(paced.Config{Name: "chip " + c.Name, Every: p.Every, Patience: patience, Ask: p.ask}), nil
}

func newProbe(c Config) (*probe, error) {
	ch, err := find(c.Chip)
	if err != nil {
		return nil, err
	}
	switch {
	case !ch.mayBe(c.Address):
		return nil, fmt.Errorf("address %#02x is none of a %s, which may be at %#02x to %#02x", c.Address, c.Chip, ch.first, ch.last)
	case c.Mux != 0 && (c.Mux < muxFirst || c.Mux > muxLast):
		return nil, fmt.Errorf("mux %#02x is none of a multiplexer, which may be at %#02x to %#02x", c.Mux, muxFirst, muxLast)
	case c.Channel >= muxChannels:
		return nil, fmt.Errorf("channel %d: a multiplexer has 0 to %d", c.Channel, muxChannels-1)
	}
	if c.Every <= 0 {
		c.Every = DefaultEvery
	}
	if c.Shunt <= 0 {
		c.Shunt = DefaultShunt
	}
	if c.Vref <= 0 {
		c.Vref = DefaultVref
	}
	return &probe{Config: c, chip: ch, sys: "/sys", dev: "/dev", open: open, now: time.Now}, nil
}

// ask is a paced.Ask. It gives a reading for each value, whatever happens.
func (p *probe) ask(at time.Time) ([]sensors.Reading, time.Duration) {
	values, errs := p.measure()
	out := make([]sensors.Reading, 0, len(p.chip.values))
	for i, v := range p.chip.values {
		r := sensors.New("i2c/"+p.Name+"/"+v.name, p.Name+" "+v.name, v.kind, values[i], at)
		if errs[i] != nil {
			r = sensors.Lost(r.ID, r.Label, r.Kind, at, stateOf(errs[i]), errs[i].Error())
		}
		r.Named = i == 0 && r.State != sensors.Absent // one alarm for one chip
		out = append(out, r)
	}
	return out, 0
}

// A refusal is a value that the chip itself says is none.
type refusal string

func (r refusal) Error() string { return string(r) }

func stateOf(err error) sensors.State {
	if errors.Is(err, errDriver) || errors.Is(err, refusal(noDiode)) {
		return sensors.Absent
	}
	return sensors.Unreadable
}

// measure returns a number or an error for each value.
func (p *probe) measure() ([]float64, []error) {
	n := len(p.chip.values)
	values, errs := make([]float64, n), make([]error, n)
	err := p.reach(func(c conn) error {
		if err := p.known(c); err != nil {
			return err
		}
		if p.chip.talk != nil {
			return p.converse(c, values)
		}
		end := p.now().Add(budget)
		for i, v := range p.chip.values {
			if p.now().After(end) {
				errs[i] = fmt.Errorf("the bus is slow: not read within %s", budget)
				continue
			}
			values[i], errs[i] = p.value(c, v)
		}
		return nil
	})
	if err != nil {
		for i := range errs {
			values[i], errs[i] = math.NaN(), err
		}
	}
	return values, errs
}

// buses are the turns at each bus: a multiplexer's channel must not be moved
// while another chip is read.
var buses sync.Map // number -> chan struct{}

// turn takes the bus; ok is false if it did not become free in time.
func turn(bus int) (release func(), ok bool) {
	free, _ := buses.LoadOrStore(bus, make(chan struct{}, 1))
	c := free.(chan struct{})
	timer := time.NewTimer(budget)
	defer timer.Stop()
	select {
	case c <- struct{}{}:
		return func() { <-c }, true
	case <-timer.C:
		return nil, false
	}
}

// hold locks a bus's device against other programs of ours: twinbeat check reads
// chips while the agent does. Where the device cannot be opened there is nothing
// to hold, and who opens it for a transfer tells why.
func hold(path string) (unlock func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return func() {}, nil
	}
	for range budget / between {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // which unlocks
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			break
		}
		time.Sleep(between)
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("it is held by another program")
	}
	return nil, err
}

// reach opens the way to the chip, does something there and closes it.
func (p *probe) reach(do func(conn) error) (err error) {
	bus, err := number(p.sys, p.Bus)
	if err != nil {
		return err
	}
	release, ok := turn(bus)
	if !ok {
		return fmt.Errorf("bus %d is held by another chip", bus)
	}
	defer release()
	unlock, err := hold(fmt.Sprintf("%s/i2c-%d", p.dev, bus))
	if err != nil {
		return fmt.Errorf("bus %d: %w", bus, err)
	}
	defer unlock()
	if p.Mux != 0 {
		mux, err := p.open(p.sys, bus, p.Mux)
		if errors.Is(err, errDriver) {
			return fmt.Errorf("multiplexer %#02x: %w: name the bus that it made of the channel, and no mux", p.Mux, err)
		}
		if err != nil {
			return fmt.Errorf("multiplexer %#02x: %w", p.Mux, err)
		}
		defer mux.Close()
		if err := p.channel(mux, 1<<p.Channel); err != nil {
			return err
		}
		// Closed again, since a chip behind it may share its address with one before it.
		defer func() { err = errors.Join(err, p.channel(mux, 0)) }()
	}
	c, err := p.open(p.sys, bus, p.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// channel switches the multiplexer and reads back.
func (p *probe) channel(mux conn, mask uint8) error {
	var b [1]byte
	err := again(mux, func() error { return mux.write([]byte{mask}) })
	if err == nil {
		err = again(mux, func() error { return mux.read(b[:]) })
	}
	if err == nil && b[0] != mask {
		err = fmt.Errorf("channels are %02xh, not %02xh", b[0], mask)
	}
	if err != nil {
		return fmt.Errorf("multiplexer %#02x: %w", p.Mux, err)
	}
	return nil
}

// known compares the registers by which the chip says what it is.
func (p *probe) known(c conn) error {
	for _, id := range p.chip.ids {
		var got uint16
		err := again(c, func() (err error) { got, err = c.register(id.at, id.wide); return err })
		if err != nil {
			return err
		}
		if got&id.mask != id.want {
			return fmt.Errorf("this is no %s: register %02xh is %02xh, not %02xh", p.chip.name, id.at, got&id.mask, id.want)
		}
	}
	return nil
}

// converse asks a chip that has no registers.
func (p *probe) converse(c conn, values []float64) error {
	return again(c, func() error {
		got, err := p.chip.talk(c, params{shunt: p.Shunt, vref: p.Vref})
		if err == nil && len(got) != len(values) {
			err = fmt.Errorf("%d values came, not %d", len(got), len(values))
		}
		copy(values, got)
		return err
	})
}

// value reads one measurement. The lower byte comes after the higher one, whose
// reading holds it.
func (p *probe) value(c conn, v value) (float64, error) {
	read := func(at uint8, wide bool) (w uint16, err error) {
		err = again(c, func() (err error) { w, err = c.register(at, wide); return err })
		return w, err
	}
	var with []uint8
	for _, at := range v.with {
		w, err := read(at, false)
		if err != nil {
			return math.NaN(), err
		}
		with = append(with, uint8(w))
	}
	raw, err := read(v.at, v.wide)
	if err == nil && v.low != 0 {
		var low uint16
		low, err = read(v.low, false)
		raw = raw<<8 | low
	}
	if err != nil {
		return math.NaN(), err
	}
	number, why := v.decode(raw, with)
	if why != "" {
		return math.NaN(), refusal(why)
	}
	if v.amps {
		number /= p.Shunt
	}
	return number, nil
}

// again tries a transfer a few times where that may help.
func again(c conn, transfer func() error) (err error) {
	for try := range tries {
		if try > 0 {
			c.pause(between)
		}
		if err = transfer(); err == nil || !passing(err) {
			return err
		}
	}
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EREMOTEIO) {
		return fmt.Errorf("nothing answers at the address: %w", err)
	}
	return err
}

// passing are errors of the bus and not of what was asked: arbitration lost, no
// acknowledgement, timeout, damage.
func passing(err error) bool {
	for _, e := range [...]error{unix.EAGAIN, unix.ENXIO, unix.EREMOTEIO, unix.EIO, unix.ETIMEDOUT, unix.EBADMSG, unix.EPROTO, errCRC} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

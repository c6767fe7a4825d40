package accord

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

// endings are some of every kind.
var endings = map[string]Ending{
	"no lines":             {Ago: 40 * time.Second},
	"lines stayed up":      {Ago: 40 * time.Second, Lines: true},
	"lines fell":           {Ago: 40 * time.Second, Lines: true, Fell: true, FellAfter: 50 * time.Millisecond, Down: 34 * time.Second},
	"fell and rose":        {Ago: 40 * time.Second, Lines: true, Fell: true, FellAfter: 12 * time.Second, Down: time.Second},
	"fell with the word":   {Ago: time.Second, Lines: true, Fell: true, Down: time.Second},
	"off":                  {Ago: time.Minute, Off: true, Grade: "off, relay and load"},
	"off, not saying how":  {Ago: time.Minute, Off: true},
	"off, then lines fell": {Ago: time.Minute, Lines: true, Fell: true, FellAfter: 2 * time.Second, Off: true, Grade: "off, relay claim only"},
	"fell, then off":       {Ago: time.Minute, Lines: true, Fell: true, FellAfter: time.Millisecond, Down: time.Second, Off: true, OffLater: true},
	"for as long as told":  {Ago: math.MaxUint32 * time.Millisecond},
}

func TestEndingsComeBackAsTheyWere(t *testing.T) {
	for name, e := range endings {
		t.Run(name, func(t *testing.T) {
			b := e.Append(nil)
			if len(b) != endingSize+len(e.Grade) {
				t.Errorf("%d bytes", len(b))
			}
			if got, ok := ParseEnding(b); !ok || got != e {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

func TestAnEndingIsTrimmedToWhatFits(t *testing.T) {
	e := Ending{Ago: 400 * 24 * time.Hour, Lines: true, Fell: true, FellAfter: -time.Second, Off: true, Grade: strings.Repeat("x", 300)}
	got, ok := ParseEnding(e.Append(nil))
	if !ok || got.Ago != math.MaxUint32*time.Millisecond || got.FellAfter != 0 || len(got.Grade) != maxGrade {
		t.Errorf("%+v, %v", got, ok)
	}
}

func TestAnEndingThatCannotBeIsRefused(t *testing.T) {
	good := endings["off, then lines fell"].Append(nil)
	with := func(flags byte, change func(b []byte)) []byte {
		b := bytes.Clone(good[:endingSize])
		b[0] = flags
		change(b)
		return b
	}
	clear8 := func(b []byte) { clear(b[5:13]) }
	for name, b := range map[string][]byte{
		"nothing": nil, "a byte less": good[:endingSize-1], "a grade too long": append(bytes.Clone(good), make([]byte, maxGrade)...),
		"a flag of nobody":             with(1<<4|flagLines, clear8),
		"fell without lines":           with(flagFell, func([]byte) {}),
		"how long after without a fall": with(flagLines, func(b []byte) { clear(b[9:13]) }),
		"down without a fall":          with(flagLines, func(b []byte) { clear8(b); b[12] = 1 }),
		"off later, but not off":       with(flagLines|flagFell|flagOffLater, func([]byte) {}),
		"off later than no fall":       with(flagLines|flagOff|flagOffLater, clear8),
		"a grade of no proof":          append(with(flagLines|flagFell, func([]byte) {}), 'x'),
		"a grade with a bell":          append(bytes.Clone(good), 7),
		"a grade that is not ASCII":    append(bytes.Clone(good), 0xc3, 0xa4),
		"fell after now":               with(flagLines|flagFell, func(b []byte) { b[5] = 1 }),
		"down for longer than that":    with(flagLines|flagFell, func(b []byte) { b[9] = 1 }),
	} {
		if e, ok := ParseEnding(b); ok {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// FuzzParseEnding holds that whatever is taken is told on as the same bytes.
func FuzzParseEnding(f *testing.F) {
	for _, e := range endings {
		f.Add(e.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := ParseEnding(b); ok && !bytes.Equal(e.Append(nil), b) {
			t.Fatalf("%x became %+v", b, e)
		}
	})
}

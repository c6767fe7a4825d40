package accord

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// endings are some of every kind.
var endings = map[string]Ending{
	"no lines":             {AgoMS: 40_000},
	"lines stayed up":      {AgoMS: 40_000, Lines: true},
	"lines fell":           {AgoMS: 40_000, Lines: true, Fell: true, FellMS: 50, DownMS: 34_000},
	"fell and rose":        {AgoMS: 40_000, Lines: true, Fell: true, FellMS: 12_000, DownMS: 1000},
	"fell with the word":   {AgoMS: 1000, Lines: true, Fell: true, DownMS: 1000},
	"off":                  {AgoMS: 60_000, Off: true, Grade: "off, relay and load"},
	"off, not saying how":  {AgoMS: 60_000, Off: true},
	"off, then lines fell": {AgoMS: 60_000, Lines: true, Fell: true, FellMS: 2000, Off: true, Grade: "off, relay claim only"},
	"fell, then off":       {AgoMS: 60_000, Lines: true, Fell: true, FellMS: 1, DownMS: 1000, Off: true, OffLater: true},
	"for as long as told":  {AgoMS: math.MaxUint32},
}

func TestEndingsComeBackAsTheyWere(t *testing.T) {
	for name, e := range endings {
		t.Run(name, func(t *testing.T) {
			b := e.Append(nil)
			if len(b) != EndingSize+len(e.Grade) {
				t.Errorf("%d bytes", len(b))
			}
			if got, ok := ParseEnding(b); !ok || got != e {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

func TestAGradeIsTrimmed(t *testing.T) {
	e := Ending{AgoMS: 1, Off: true, Grade: strings.Repeat("x", 300)}
	if got, ok := ParseEnding(e.Append(nil)); !ok || len(got.Grade) != maxGrade {
		t.Errorf("%+v, %v", got, ok)
	}
}

func TestAnEndingThatCannotBeIsRefused(t *testing.T) {
	const flagLines, flagFell, flagOff, flagOffLater = 1, 2, 4, 8
	e := endings["off, then lines fell"]
	good := e.Append(nil)
	with := func(flags byte, change func(b []byte)) []byte {
		b := bytes.Clone(good[:EndingSize])
		b[0] = flags
		change(b)
		return b
	}
	clear8 := func(b []byte) { clear(b[5:13]) }
	for name, b := range map[string][]byte{
		"nothing": nil, "a byte less": good[:EndingSize-1], "a grade too long": append(bytes.Clone(good), make([]byte, maxGrade)...),
		"a flag of nobody":              with(1<<4|flagLines, clear8),
		"fell without lines":            with(flagFell, func([]byte) {}),
		"how long after without a fall": with(flagLines, func(b []byte) { clear(b[9:13]) }),
		"down without a fall":           with(flagLines, func(b []byte) { clear8(b); b[12] = 1 }),
		"off later, but not off":        with(flagLines|flagFell|flagOffLater, func([]byte) {}),
		"off later than no fall":        with(flagLines|flagOff|flagOffLater, clear8),
		"a grade of no proof":           append(with(flagLines|flagFell, func([]byte) {}), 'x'),
		"a grade with a bell":           append(bytes.Clone(good), 7),
		"a grade that is not ASCII":     append(bytes.Clone(good), 0xc3, 0xa4),
		"fell after now":                with(flagLines|flagFell, func(b []byte) { b[5] = 1 }),
		"down for longer than that":     with(flagLines|flagFell, func(b []byte) { b[9] = 1 }),
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

package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestTheChecksumIsX25(t *testing.T) {
	if got := checksum([]byte("123456789")); got != 0x906e {
		t.Fatalf("%#04x", got)
	}
}

// Examples of COBS around the full block of 254 bytes.
func TestStuffingFollowsTheBook(t *testing.T) {
	run := func(n int) []byte { return bytes.Repeat([]byte{7}, n) }
	for _, c := range []struct{ in, out []byte }{
		{[]byte{0x00}, []byte{1, 1}},
		{[]byte{0x11, 0x22, 0x00, 0x33}, []byte{3, 0x11, 0x22, 2, 0x33}},
		{[]byte{0x11, 0, 0, 0}, []byte{2, 0x11, 1, 1, 1}},
		{run(254), append([]byte{255}, run(254)...)},
		{run(255), append(append([]byte{255}, run(254)...), 2, 7)},
		{append(run(254), 0), append(append([]byte{255}, run(254)...), 1, 1)},
	} {
		got, ok := unstuff(append([]byte(nil), c.out...))
		if !ok || !bytes.Equal(got, c.in) {
			t.Errorf("% x: decoded % x", c.out, got)
		}
	}
	if _, ok := unstuff(append(append([]byte{255}, run(254)...), 1)); ok {
		t.Error("a second encoding of a full block is accepted")
	}
	if _, ok := unstuff([]byte{3, 1}); ok {
		t.Error("a block beyond the end is accepted")
	}
}

func randomPayload(r *rand.Rand) []byte {
	p := make([]byte, r.IntN(MaxFrame+1))
	zeros := r.IntN(4)
	for i := range p {
		if p[i] = byte(r.Uint32()); r.IntN(4) < zeros {
			p[i] = 0
		}
	}
	return p
}

func TestEveryPayloadPassesTheSerialLine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var line []byte
	var want [][]byte
	for n := range MaxFrame + 1 {
		for _, b := range []byte{0, 1, 255} {
			want = append(want, bytes.Repeat([]byte{b}, n))
		}
	}
	for range 2000 {
		want = append(want, randomPayload(r))
	}
	for _, p := range want {
		s := AppendSerial(nil, p)
		if len(s) > MaxSerial || bytes.IndexByte(s, 0) != len(s)-1 {
			t.Fatalf("% x: % x", p, s)
		}
		line = append(line, s...)
	}
	var d Deframer
	var got [][]byte
	for len(line) > 0 { // in pieces of any size
		n := 1 + r.IntN(min(300, len(line)))
		d.Write(line[:n], func(p []byte) { got = append(got, bytes.Clone(p)) })
		line = line[n:]
	}
	if len(got) != len(want) || d.Good != uint64(len(want)) || d.CRCErrors+d.Overlong+d.Empty != 0 {
		t.Fatalf("%d of %d, counters %d %d %d %d", len(got), len(want), d.Good, d.CRCErrors, d.Overlong, d.Empty)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("payload %d: % x, want % x", i, got[i], want[i])
		}
	}
}

func TestAfterGarbageOneFrameIsLostAtMost(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		a, b := pairUp(t, 1)
		garbage := make([]byte, r.IntN(3000))
		for i := range garbage {
			garbage[i] = byte(r.Uint32())
			if seed%2 == 0 {
				garbage[i] |= 1 // no delimiter in it at all
			}
		}
		var d Deframer
		good := 0
		count := func(p []byte) {
			if drop, _ := b.open(0, p); drop == Accepted {
				good++
			}
		}
		d.Write(garbage, count)
		for range 5 {
			d.Write(AppendSerial(nil, a.seal(t, 0, fullMessage(Beat))), count)
		}
		if good < 4 || good > 5 {
			t.Fatalf("seed %d: %d of 5 frames after %d bytes of garbage", seed, good, len(garbage))
		}
	}
}

// Bit errors: nothing false is ever accepted, and what is lost is what was hit.
func TestBitErrorsCostFramesButForgeNone(t *testing.T) {
	for _, ber := range []float64{1e-4, 1e-3, 1e-2} {
		t.Run(fmt.Sprint(ber), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, uint64(1/ber)))
			a, b := pairUp(t, 1)
			var d Deframer
			const frames = 4000
			good, hits := 0, 0
			var sent []byte
			var judged int
			check := func(p []byte) {
				judged++
				if drop, _ := b.open(0, p); drop == Accepted {
					good++
					if !bytes.Equal(p, sent) {
						t.Fatalf("accepted % x, sent % x", p, sent)
					}
				}
			}
			for range frames {
				sent = a.seal(t, 0, fullMessage(Beat))
				line := AppendSerial(nil, sent)
				hit := false
				for i := range len(line) * 8 {
					if r.Float64() < ber {
						line[i/8] ^= 1 << (i % 8)
						hit = true
					}
				}
				if hit {
					hits++
				}
				d.Write(line, check)
			}
			// A hit delimiter takes the next frame along.
			if good < frames-hits*2 || good > frames-hits+judged/100 || hits == 0 {
				t.Errorf("%d of %d frames read, %d hit", good, frames, hits)
			}
			t.Logf("%d of %d read, %d hit, %d checksum errors, %d passed the checksum falsely",
				good, frames, hits, d.CRCErrors, judged-good)
		})
	}
}

func TestARunWithoutDelimiterIsCountedOnceAndBounded(t *testing.T) {
	var d Deframer
	d.Write(bytes.Repeat([]byte{5}, 1<<20), func([]byte) { t.Fatal("emitted") })
	d.Write([]byte{0, 0, 0}, func([]byte) { t.Fatal("emitted") })
	if d.Overlong != 1 || d.Empty != 2 || d.CRCErrors != 0 || d.Good != 0 {
		t.Errorf("%+v", d)
	}
	good := 0
	d.Write(AppendSerial(nil, []byte("x")), func([]byte) { good++ })
	if good != 1 {
		t.Error("the frame after it is lost")
	}
	d.Write([]byte{1, 2, 3}, nil)
	d.Reset()
	d.Write(AppendSerial(nil, []byte("x")), func([]byte) { good++ })
	if good != 2 {
		t.Error("Reset kept the half frame")
	}
}

func TestSerialFramingAllocatesNothing(t *testing.T) {
	p := bytes.Repeat([]byte{1, 0, 2}, 20)
	buf := make([]byte, 0, MaxSerial)
	var d Deframer
	n := 0
	count := func([]byte) { n++ }
	if a := testing.AllocsPerRun(100, func() { d.Write(AppendSerial(buf, p), count) }); a != 0 || n < 100 {
		t.Errorf("%v allocations, %d frames", a, n)
	}
	defer func() {
		if recover() == nil {
			t.Error("a payload that is too long is sent")
		}
	}()
	AppendSerial(nil, make([]byte, MaxFrame+1))
}

package wire

import "testing"

// frameSizes reports what a beat of one group costs on the line.
func frameSizes(b *testing.B, f []byte) {
	n := len(AppendSerial(nil, f))
	b.ReportMetric(float64(len(f)), "payload-bytes")
	b.ReportMetric(float64(n), "serial-bytes")
	b.ReportMetric(115200/10/float64(n), "frames/s-at-115200")
}

func oneGroup() Message {
	m := fullMessage(Beat)
	m.NGroups = 1
	return m
}

func BenchmarkSeal(b *testing.B) {
	a, _ := pairUp(b, 1)
	m := oneGroup()
	buf := make([]byte, 0, MaxFrame)
	b.ReportAllocs()
	for b.Loop() {
		m.Counter = a.NextCounter()
		if _, err := a.Seal(buf, 0, &m); err != nil {
			b.Fatal(err)
		}
	}
	frameSizes(b, a.seal(b, 0, oneGroup()))
}

func BenchmarkOpenGood(b *testing.B) {
	a, p := pairUp(b, 1)
	frames := make([][]byte, 1<<14)
	for i := range frames {
		frames[i] = a.seal(b, 0, oneGroup())
	}
	cur := p.state.Load().cur
	var m Message
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i&(len(frames)-1) == 0 { // all frames are new again
			cur.windows[0] = window{}
			cur.newest.Store(0)
		}
		if d := p.openers[0].Open(frames[i&(len(frames)-1)], &m); d != Accepted {
			b.Fatal(d)
		}
		i++
	}
}

func benchmarkReject(b *testing.B, want Drop, f []byte, o *Opener) {
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if d := o.Open(f, &m); d != want {
			b.Fatal(d)
		}
	}
}

func BenchmarkOpenGarbage(b *testing.B) {
	_, p := pairUp(b, 1)
	benchmarkReject(b, DropVersion, make([]byte, 53), p.openers[0])
}

// The dearest reject: the header is right, the tag is not.
func BenchmarkOpenForged(b *testing.B) {
	a, p := pairUp(b, 1)
	f := a.seal(b, 0, oneGroup())
	f[20] ^= 1
	benchmarkReject(b, DropMAC, f, p.openers[0])
}

func BenchmarkOpenReplayedSession(b *testing.B) {
	a, _ := pairUp(b, 1)
	p := newNode(b, 2, 1, nonce{9}, ring(b, 1, 1))
	benchmarkReject(b, DropSession, a.seal(b, 0, oneGroup()), p.openers[0])
}

func BenchmarkAppendSerial(b *testing.B) {
	a, _ := pairUp(b, 1)
	f := a.seal(b, 0, oneGroup())
	buf := make([]byte, 0, MaxSerial)
	b.ReportAllocs()
	for b.Loop() {
		AppendSerial(buf, f)
	}
}

func BenchmarkDeframer(b *testing.B) {
	a, _ := pairUp(b, 1)
	line := AppendSerial(nil, a.seal(b, 0, oneGroup()))
	var d Deframer
	emit := func([]byte) {}
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		d.Write(line, emit)
	}
}

func BenchmarkOpenData(b *testing.B) {
	a, p := pairUp(b, 1)
	f := a.seal(b, 0, fullMessage(Data))
	cur := p.state.Load().cur
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		cur.data.windows[0] = window{}
		if d := p.openers[0].Open(f, &m); d != Accepted {
			b.Fatal(d)
		}
	}
}

// A handshake derives keys: what a node pays for a peer's restart.
func BenchmarkHandshake(b *testing.B) {
	keys := ring(b, 1, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		meet(b, newNode(b, 1, 2, nonce{1, byte(i), byte(i >> 8)}, keys), newNode(b, 2, 2, nonce{2}, keys))
	}
}

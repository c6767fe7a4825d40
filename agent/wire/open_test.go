package wire

import (
	"math/rand/v2"
	"sync"
	"testing"
)

func TestEveryRejectedFrameHasItsReason(t *testing.T) {
	a, b := pairUp(t, 2)
	other := newNode(t, 1, 2, nonce{1}, ring(t, 1, 1))
	other.hash = [2]byte{^other.hash[0], other.hash[1]}
	stranger := NewEndpoint(Config{Cluster: testCluster, Node: 3, Peer: 2, Nonce: nonce{1}, Keys: ring(t, 1, 1), Links: 2})
	beat, data := a.seal(t, 0, Message{Kind: Beat}), a.seal(t, 0, fullMessage(Data))
	with := func(f []byte, at int, v byte) []byte {
		f = append([]byte(nil), f...)
		f[at] = v
		return f
	}
	third, err := stranger.Seal(nil, 0, &Message{Kind: Hello})
	if err != nil {
		t.Fatal(err)
	}
	twin := newNode(t, 2, 2, nonce{7}, ring(t, 1, 1))
	cases := []struct {
		name  string
		want  Drop
		frame []byte
	}{
		{"an empty frame", DropLength, nil},
		{"a short frame", DropLength, beat[:minFrame-1]},
		{"a long frame", DropLength, make([]byte, MaxFrame+1)},
		{"another version", DropVersion, with(beat, 0, 2<<4|byte(Beat))},
		{"another cluster", DropCluster, other.seal(t, 0, Message{Kind: Hello})},
		{"a third node", DropNode, third},
		{"a frame of another link", DropLink, a.seal(t, 1, Message{Kind: Beat})},
		{"a frame of another link with its link changed", DropMAC, with(a.seal(t, 1, Message{Kind: Beat}), 2, 1<<4)},
		{"an unlisted key", DropKey, with(beat, 1, 9)},
		{"our own beat", DropOwn, b.seal(t, 0, Message{Kind: Beat})},
		{"our own hello", DropOwn, b.seal(t, 0, Message{Kind: Hello})},
		{"the hello of a node with our id", DropDirection, twin.seal(t, 0, Message{Kind: Hello})},
		{"a peer's beat with our id", DropDirection, with(beat, 2, 2<<4)},
		{"a peer's hello with our id", DropDirection, with(a.seal(t, 0, Message{Kind: Hello}), 2, 2<<4)},
		{"another session", DropSession, with(beat, 7, beat[7]+1)},
		{"a changed counter", DropMAC, with(beat, 11, beat[11]+1)},
		{"a changed tag", DropMAC, with(beat, len(beat)-1, beat[len(beat)-1]+1)},
		{"a changed hello", DropMAC, with(a.seal(t, 0, Message{Kind: Hello}), 20, 1)},
		{"a beat made a claim", DropMAC, with(beat, 0, version<<4|byte(Claim))},
		{"a beat made a hello", DropMAC, with(beat, 0, version<<4|byte(Hello))},
		{"the beat itself", Accepted, beat},
		{"the beat again", DropDuplicate, beat},
		{"a beat made data", DropMAC, with(beat, 0, version<<4|byte(Data))},
		{"data made a beat", DropMAC, with(data, 0, version<<4|byte(Beat))},
		{"our own data", DropOwn, b.seal(t, 0, fullMessage(Data))},
		{"data of another link", DropLink, a.seal(t, 1, fullMessage(Data))},
		{"data of another session", DropSession, with(data, 7, data[7]+1)},
		{"data with a changed value", DropMAC, with(data, 20, data[20]+1)},
		{"the data itself", Accepted, data},
		{"the data again", DropDuplicate, data},
	}
	var want [NDrops]uint64
	before := b.openers[0].Stats()
	for _, c := range cases {
		got, _ := b.open(0, c.frame)
		want[c.want]++
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	after := b.openers[0].Stats()
	for d := range after {
		if after[d]-before[d] != want[d] {
			t.Errorf("%v: counted %d, want %d", Drop(d), after[d]-before[d], want[d])
		}
	}
}

// A frame any bit of which is changed must not pass, whatever the reason.
func TestNoBitOfAFrameCanBeChanged(t *testing.T) {
	a, b := pairUp(t, 1)
	for _, f := range [][]byte{a.seal(t, 0, fullMessage(Claim)), a.seal(t, 0, fullMessage(Data)), a.seal(t, 0, Message{Kind: Hello})} {
		for i := range len(f) * 8 {
			f[i/8] ^= 1 << (i % 8)
			if d, _ := b.open(0, f); d == Accepted {
				t.Fatalf("bit %d changed: accepted", i)
			}
			f[i/8] ^= 1 << (i % 8)
		}
		for n := range f {
			if d, _ := b.open(0, f[:n]); d == Accepted {
				t.Fatalf("cut to %d bytes: accepted", n)
			}
		}
		if d, _ := b.open(0, append(f, 0)); d == Accepted {
			t.Fatal("longer by a byte: accepted")
		}
		if d, _ := b.open(0, f); d != Accepted {
			t.Fatalf("unchanged: %v", d)
		}
	}
}

func TestAnotherClusterOrPairHasOtherKeys(t *testing.T) {
	_, b := pairUp(t, 1)
	e := newNode(t, 1, 1, nonce{1}, ring(t, 1, 1))
	e.cluster = "harbor" // as if both names had the same hash in the header
	e.SetKeys(ring(t, 2, 2))
	e.SetKeys(ring(t, 1, 1))
	if d, _ := b.open(0, e.seal(t, 0, Message{Kind: Hello})); d != DropMAC {
		t.Errorf("hello of another cluster: %v", d)
	}
	other := newNode(t, 1, 1, nonce{1}, ring(t, 1, 1))
	other.SetKeys(func() *Keyring { r := ring(t, 2, 2); r.keys[0].id, r.active = 1, 1; return r }())
	if d, _ := b.open(0, other.seal(t, 0, Message{Kind: Hello})); d != DropMAC {
		t.Errorf("hello with another secret under the same id: %v", d)
	}
}

func TestTheWindowIsPerLinkAnd64Long(t *testing.T) {
	a, b := pairUp(t, 2)
	var frames [2][][]byte
	for range 200 {
		c := a.NextCounter()
		for l := range frames {
			frames[l] = append(frames[l], a.seal(t, l, Message{Kind: Beat, Counter: c}))
		}
	}
	want := func(link, i int, d Drop) {
		t.Helper()
		if got, _ := b.open(link, frames[link][i]); got != d {
			t.Fatalf("link %d frame %d: %v, want %v", link, i, got, d)
		}
	}
	want(0, 0, Accepted)
	want(1, 0, Accepted) // the same counter on another link is no duplicate
	want(0, 0, DropDuplicate)
	want(0, 70, Accepted)
	want(0, 6, DropReplay)
	want(0, 7, Accepted)
	want(0, 7, DropDuplicate)
	want(0, 69, Accepted)
	want(0, 199, Accepted)
	want(0, 70, DropReplay)
	want(0, 136, Accepted)
	// Link 1 has not read these, but they waited too long in some buffer.
	want(1, 135, DropReplay)
	want(1, 136, Accepted)
	want(1, 199, Accepted)
	want(1, 199, DropDuplicate)
}

// The clever window must agree with a set.
func TestTheWindowAgreesWithASet(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		var w window
		seen := map[uint32]bool{}
		top, base := uint32(0), uint32(1)
		for range 2000 {
			base += uint32(r.IntN(4))
			if r.IntN(100) == 0 {
				base += uint32(r.IntN(200))
			}
			c := max(1, base+uint32(r.IntN(20))-uint32(r.IntN(90))%base)
			want := Accepted
			if top >= windowSize && c <= top-windowSize {
				want = DropReplay
			} else if seen[c] {
				want = DropDuplicate
			}
			got := w.check(c)
			if got != want {
				t.Fatalf("counter %d, top %d: %v, want %v", c, top, got, want)
			}
			if got == Accepted {
				w.mark(c)
				seen[c], top = true, max(top, c)
			}
		}
	}
}

func TestNothingIsAllocatedForAFrame(t *testing.T) {
	a, b := pairUp(t, 2)
	garbage := make([]byte, 53)
	beat := a.seal(t, 0, fullMessage(Beat))
	b.open(0, beat)
	with := func(f []byte, at int, v byte) []byte {
		f = append([]byte(nil), f...)
		f[at] = v
		return f
	}
	hello := a.seal(t, 0, Message{Kind: Hello})
	rejects := map[Drop][]byte{
		DropLength:    nil,
		DropVersion:   garbage,
		DropCluster:   with(beat, 3, ^beat[3]),
		DropNode:      with(beat, 2, 5<<4),
		DropLink:      with(beat, 2, 1<<4|1),
		DropKey:       with(beat, 1, 2),
		DropOwn:       b.seal(t, 0, Message{Kind: Beat}),
		DropDirection: with(beat, 2, 2<<4),
		DropSession:   with(beat, 5, ^beat[5]),
		DropMAC:       with(beat, 30, ^beat[30]),
		DropDuplicate: beat,
		Accepted:      hello,
	}
	var m Message
	for want, f := range rejects {
		var got Drop
		if n := testing.AllocsPerRun(100, func() { got = b.openers[0].Open(f, &m) }); n != 0 || got != want {
			t.Errorf("%v: %v allocations (judged %v)", want, n, got)
		}
	}
	buf := make([]byte, 0, MaxFrame)
	msg := fullMessage(Beat)
	n := testing.AllocsPerRun(100, func() {
		msg.Counter = a.NextCounter()
		f, err := a.Seal(buf, 0, &msg)
		if err != nil || b.openers[0].Open(f, &m) != Accepted {
			t.Fatal("a good beat was not accepted")
		}
	})
	if n != 0 {
		t.Errorf("sealing and opening a beat: %v allocations", n)
	}
	msg = Message{Kind: Hello}
	if n := testing.AllocsPerRun(100, func() { _, _ = a.Seal(buf, 0, &msg) }); n != 0 {
		t.Errorf("sealing a hello: %v allocations", n)
	}
}

// Readers, the loop and an operator turning keys work at the same time; run
// with -race this also proves who may touch what.
func TestReadersLoopAndKeyTurnsRunConcurrently(t *testing.T) {
	const links, frames = 3, 300
	a, b := pairUp(t, links)
	rings := []*Keyring{ring(t, 1, 1, 2), ring(t, 2, 1, 2), ring(t, 2, 2, 1, 3)}
	a.SetKeys(rings[0])
	b.SetKeys(rings[0])
	var readers, operator sync.WaitGroup
	var in [links]chan []byte
	for l := range links {
		in[l] = make(chan []byte, frames)
		readers.Go(func() {
			var m Message
			for f := range in[l] {
				b.openers[l].Open(f, &m)
			}
		})
	}
	done := make(chan struct{})
	operator.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				b.SetKeys(rings[i%len(rings)])
			}
		}
	})
	for range frames {
		c := a.NextCounter()
		for l := range links {
			in[l] <- a.seal(t, l, Message{Kind: Beat, Counter: c})
			b.seal(t, l, Message{Kind: Hello})
		}
		b.Established()
	}
	for l := range links {
		close(in[l])
	}
	readers.Wait()
	close(done)
	operator.Wait()
	for l, o := range b.openers {
		n := o.Stats()
		// A slow reader may find a frame 64 counters behind another link's.
		if got := n[Accepted] + n[DropReplay]; got < frames {
			t.Errorf("link %d: %d of %d judged well, %v", l, got, frames, n)
		}
	}
}

func TestMisuseOfTheConstructorPanics(t *testing.T) {
	good := Config{Cluster: "c", Node: 1, Peer: 2, Keys: ring(t, 1, 1), Links: 1}
	cases := map[string]func(*Config){
		"node zero":      func(c *Config) { c.Node = 0 },
		"a peer too big": func(c *Config) { c.Peer = MaxNode + 1 },
		"one id":         func(c *Config) { c.Peer = 1 },
		"no cluster":     func(c *Config) { c.Cluster = "" },
		"no links":       func(c *Config) { c.Links = 0 },
		"nine links":     func(c *Config) { c.Links = 9 },
		"no keys":        func(c *Config) { c.Keys = nil },
	}
	NewEndpoint(good)
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			c := good
			change(&c)
			NewEndpoint(c)
		})
	}
}

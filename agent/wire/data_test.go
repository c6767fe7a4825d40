package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// randomData returns the frame of a DATA message, about half of them well
// formed.
func randomData(r *rand.Rand) []byte {
	b := []byte{version<<4 | byte(Data), 1, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, byte(r.IntN(8))}
	for range 1 + r.IntN(6) {
		n := r.IntN(24)
		if r.IntN(60) == 0 {
			n = r.IntN(256)
		}
		b = append(b, byte(r.IntN(40)), byte(n))
		b = append(b, make([]byte, n)...)
	}
	if r.IntN(8) == 0 {
		b = b[:r.IntN(len(b)-headerSize)+headerSize]
	}
	return b
}

// listed spells out what Each delivers.
func listed(t *Items) string {
	var out []string
	t.Each(func(kind uint8, value []byte) { out = append(out, fmt.Sprintf("%d:%s", kind, value)) })
	return strings.Join(out, " ")
}

func TestItemsComeInTheirOrder(t *testing.T) {
	var items Items
	if items.Len() != 0 || listed(&items) != "" {
		t.Fatal("the zero value is not empty")
	}
	for _, c := range []struct {
		kind  uint8
		value string
	}{{3, "abc"}, {255, ""}, {3, "d"}} {
		if err := items.Add(c.kind, []byte(c.value)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := listed(&items), "3:abc 255: 3:d"; got != want || items.Len() != 10 {
		t.Errorf("%d bytes: %q, want %q", items.Len(), got, want)
	}
	if err := items.Add(0, nil); err == nil || items.Len() != 10 {
		t.Errorf("type 0: %v, %d bytes", err, items.Len())
	}
}

// What does not fit is refused and changes nothing; what fits to the last byte
// is taken.
func TestAnItemThatDoesNotFitIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		sizes []int
		fits  bool
	}{
		{"the longest value", []int{MaxValue}, true},
		{"one byte more", []int{MaxValue + 1}, false},
		{"a value of 256 bytes", []int{256}, false},
		{"two halves", []int{94, 94}, true},
		{"two halves and a byte", []int{94, 95}, false},
		{"two halves and an empty one", []int{94, 94, 0}, false},
		{"no room but for a head", []int{MaxValue - 2, 0}, true},
		{"no room for a head", []int{MaxValue - 1, 0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var items Items
			for i, n := range c.sizes {
				before := items
				err := items.Add(1, bytes.Repeat([]byte{7}, n))
				last := i == len(c.sizes)-1
				if want := !last || c.fits; (err == nil) != want {
					t.Fatalf("value %d of %d bytes: %v", i, n, err)
				}
				if err != nil && (err != ErrItems || items != before) {
					t.Fatalf("%v; changed: %v", err, items != before)
				}
			}
		})
	}
}

// The format must not change by accident, see TestABeatLooksLikeTheDocumentation.
func TestDataLooksLikeTheDocumentation(t *testing.T) {
	a, _ := pairUp(t, 1)
	m := Message{Kind: Data}
	_ = m.Items.Add(7, []byte("hi"))
	_ = m.Items.Add(200, nil)
	f := a.seal(t, 0, m)
	if got, want := hex.EncodeToString(f[headerSize:len(f)-tagSize]), "00000001"+"0702"+"6869"+"c800"; f[0] != 0x19 || got != want {
		t.Errorf("%#x, got %s, want %s", f[0], got, want)
	}
}

func TestWhatDataTakesOnASerialLine(t *testing.T) {
	a, _ := pairUp(t, 1)
	for n := range MaxValue + 1 {
		m := Message{Kind: Data}
		if err := m.Items.Add(1, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if got, want := len(AppendSerial(nil, a.seal(t, 0, m))), SerialData+m.Items.Len(); got != want {
			t.Fatalf("%d bytes of items take %d bytes, want %d", m.Items.Len(), got, want)
		}
	}
}

func TestADataBodyIsRefusedFor(t *testing.T) {
	head := []byte{version<<4 | byte(Data), 1, 0x10, 0, 0, 0, 0, 1}
	for name, body := range map[string]string{
		"no items":                   "00000005",
		"half a head":                "00000005" + "01",
		"a length beyond the frame":  "00000005" + "0102" + "aa",
		"a byte after the last item": "00000005" + "0101" + "aa" + "bb",
		"a head after the last item": "00000005" + "0101" + "aa" + "0201",
		"type zero":                  "00000005" + "0000",
		"type zero after another":    "00000005" + "0100" + "0001aa",
		"counter zero":               "00000000" + "0100",
		"a counter beyond the last":  "80000000" + "0100",
		"more than a frame may have": "00000005" + "01bf" + strings.Repeat("aa", 191),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(body)
			if err != nil {
				t.Fatal(err)
			}
			var m Message
			if m.decode(append(bytes.Clone(head), b...)) {
				t.Errorf("accepted %s", body)
			}
		})
	}
	for _, good := range []string{"00000005" + "0100", "7fffffff" + "ff01aa" + "0100", "00000001" + "01be" + strings.Repeat("aa", 190)} {
		b, _ := hex.DecodeString(good)
		var m Message
		if !m.decode(append(bytes.Clone(head), b...)) {
			t.Errorf("refused %s: the cases above prove nothing", good)
		}
	}
}

// DATA has counters and windows of its own: a burst of it makes no heartbeat
// look old, and heartbeats none of it.
func TestDataAndBeatsDoNotAgeEachOther(t *testing.T) {
	a, b := pairUp(t, 2)
	beat, data := a.seal(t, 0, fullMessage(Beat)), a.seal(t, 0, fullMessage(Data))
	for range 3 * windowSize {
		for _, k := range []Kind{Beat, Data} {
			c := a.next(k)
			for l := range 2 {
				m := fullMessage(k)
				m.Counter = c
				f := a.seal(t, l, m)
				if k == Beat && c%2 == 0 {
					continue // half of the beats are lost
				}
				if d, _ := b.open(l, f); d != Accepted {
					t.Fatalf("%v %d on link %d: %v", k, c, l, d)
				}
			}
		}
	}
	for _, f := range [][]byte{beat, data} {
		if d, _ := b.open(0, f); d != DropReplay {
			t.Errorf("%v: %v", Kind(f[0]&15), d)
		}
	}
	// The other way round: one kind is silent, the other goes on.
	late := a.seal(t, 1, fullMessage(Beat))
	for range 3 * windowSize {
		b.open(1, a.seal(t, 1, fullMessage(Data)))
	}
	if d, _ := b.open(1, late); d != Accepted {
		t.Errorf("a beat after a burst of data: %v", d)
	}
}

func TestTheCountersOfDataAreIssuedApart(t *testing.T) {
	a, _ := pairUp(t, 1)
	for range 5 {
		a.NextCounter()
	}
	m := fullMessage(Data)
	m.Counter = 1
	if _, err := a.Seal(nil, 0, &m); err != ErrCounter {
		t.Errorf("a counter of heartbeats on data: %v", err)
	}
	if c := a.NextData(); c != 1 {
		t.Errorf("the first counter of data is %d", c)
	}
	if _, err := a.Seal(nil, 0, &m); err != nil {
		t.Error(err)
	}
	a.data = MaxCounter
	if c := a.NextData(); c != 0 {
		t.Errorf("after the last counter came %d", c)
	}
	m.Counter = 0
	if _, err := a.Seal(nil, 0, &m); err != ErrCounter {
		t.Errorf("counter zero: %v", err)
	}
}

// A session that is replaced takes the counters of DATA with it, and frames of
// the old one are still read while they are under way.
func TestDataSurvivesAReplacedSession(t *testing.T) {
	a, b := pairUp(t, 1)
	for range 9 {
		b.open(0, a.seal(t, 0, fullMessage(Data)))
	}
	old, under := a.session(), a.seal(t, 0, fullMessage(Data))
	a.Restart(nonce{77})
	meet(t, a, b)
	if a.session() == old {
		t.Fatal("the session was not replaced")
	}
	if d, _ := b.open(0, under); d != Accepted {
		t.Errorf("data of the session before: %v", d)
	}
	if c := a.NextData(); c != 1 {
		t.Errorf("the first counter of the new session is %d", c)
	}
	m := fullMessage(Data)
	m.Counter = 1
	if d, _ := b.open(0, a.seal(t, 0, m)); d != Accepted {
		t.Errorf("data of the new session: %v", d)
	}
}

func TestNothingIsAllocatedForData(t *testing.T) {
	a, b := pairUp(t, 1)
	good := a.seal(t, 0, fullMessage(Data))
	b.open(0, good)
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	malformed := append(bytes.Clone(good[:len(good)-tagSize]), 0)
	malformed = append(malformed, a.scratch.tag(a.state.Load().cur.keys[0].send, 1, 2, 0, malformed)...)
	var m Message
	for want, f := range map[Drop][]byte{
		DropDuplicate: good, DropMAC: forged, DropMalformed: malformed,
		DropLength: good[:minFrame-1], DropOwn: b.seal(t, 0, fullMessage(Data)),
	} {
		var got Drop
		if n := testing.AllocsPerRun(100, func() { got = b.openers[0].Open(f, &m) }); n != 0 || got != want {
			t.Errorf("%v: %v allocations (judged %v)", want, n, got)
		}
	}
	buf, msg, seen := make([]byte, 0, MaxFrame), fullMessage(Data), 0
	value := []byte("value")
	count := func(_ uint8, v []byte) { seen += len(v) }
	n := testing.AllocsPerRun(100, func() {
		msg.Counter, msg.Items = a.NextData(), Items{}
		if msg.Items.Add(1, value) != nil || msg.Items.Add(2, value) != nil {
			t.Fatal("no room")
		}
		f, err := a.Seal(buf, 0, &msg)
		if err != nil || b.openers[0].Open(f, &m) != Accepted {
			t.Fatal("good data was not accepted")
		}
		m.Items.Each(count)
	})
	if n != 0 || seen == 0 {
		t.Errorf("adding, sealing, opening and reading: %v allocations, %d bytes seen", n, seen)
	}
}

func TestABlindedDigestIsTheSameOnBothNodesAndInNoOtherSession(t *testing.T) {
	a, b := pairUp(t, 1)
	one, other := [32]byte{1}, [32]byte{2}
	blind := func(n *node, d *[32]byte) uint32 {
		v, ok := n.Blind(n.Active(), d)
		if !ok {
			t.Fatal("no number")
		}
		return v
	}
	first := blind(a, &one)
	if first != blind(b, &one) || first == blind(a, &other) {
		t.Errorf("%08x, %08x and %08x", first, blind(b, &one), blind(a, &other))
	}
	if _, ok := a.Blind(9, &one); ok {
		t.Error("blinded with a key that is not listed")
	}
	if _, ok := newNode(t, 1, 1, nonce{1}, ring(t, 1, 1)).Blind(1, &one); ok {
		t.Error("blinded without a session")
	}
	a.Restart(nonce{77})
	meet(t, a, b)
	if first == blind(a, &one) || blind(a, &one) != blind(b, &one) {
		t.Error("another session gives the same number, or two")
	}
	a.SetKeys(ring(t, 2, 1, 2)) // the nodes turn their keys one after the other
	b.SetKeys(ring(t, 1, 1, 2))
	v, _ := a.Blind(a.Active(), &one)
	w, ok := b.Blind(2, &one)
	if !ok || v != w || a.Active() != 2 || b.Active() != 1 {
		t.Errorf("while keys turn: %08x and %08x, active %d and %d", v, w, a.Active(), b.Active())
	}
}

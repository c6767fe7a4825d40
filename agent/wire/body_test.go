package wire

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"
	"time"
)

func TestEveryKindComesBackAsItWasSent(t *testing.T) {
	a, b := pairUp(t, 2)
	for k := Beat; k <= Data; k++ {
		m := fullMessage(k)
		m.Counter = a.next(k)
		f, err := a.Seal(nil, 1, &m)
		if err != nil {
			t.Fatal(err)
		}
		var got Message
		if d := b.openers[1].Open(f, &got); d != Accepted {
			t.Fatalf("%v: %v", k, d)
		}
		if got != m {
			t.Errorf("%v:\n got %+v\nwant %+v", k, got, m)
		}
		if got.Node != 1 || got.Link != 1 || got.KeyID != 1 || got.Session != a.session() {
			t.Errorf("%v: sender is not filled in: %+v", k, got)
		}
	}
}

func TestAHelloComesBackAsItWasSent(t *testing.T) {
	a, b := pairUp(t, 1)
	m := Message{Kind: Hello, Digest: 7, Version: 9}
	f, err := a.Seal(nil, 0, &m)
	if err != nil {
		t.Fatal(err)
	}
	var got Message
	if d := b.openers[0].Open(f, &got); d != Accepted {
		t.Fatal(d)
	}
	m.GroupIndex, m.TimeToCritical = AllGroups, NoTimeToCritical
	if got != m || got.BootID != 100 || got.Nonce == (nonce{}) {
		t.Errorf("got %+v\nwant %+v", got, m)
	}
}

// The format must not change by accident: two versions run side by side during
// an upgrade. The tag is computed here from the RFCs and the package doc.
func TestABeatLooksLikeTheDocumentation(t *testing.T) {
	a, b := pairUp(t, 1)
	m := fullMessage(Beat)
	m.NGroups, m.Counter = 1, a.NextCounter()
	f, err := a.Seal(nil, 0, &m)
	if err != nil {
		t.Fatal(err)
	}
	cluster := sha256.Sum256([]byte("twinbeat1 cluster office"))
	want := "12" + "01" + "10" + hex.EncodeToString(cluster[:2]) + hex.EncodeToString([]byte{
		byte(m.Session >> 16), byte(m.Session >> 8), byte(m.Session),
	}) + "00000002" + "0000004d" + "001f" + "12" + "78" + "03" + "a5" + "5d" + "64" +
		"8145" + "deadbeef" + "0102" + "51" + "00000029"
	if got := hex.EncodeToString(f[:len(f)-16]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cur := a.state.Load().cur
	info := "twinbeat1\x06office\x01" + string(cur.mine[:]) + "\x02" + string(cur.peer[:])
	s := secret(1)
	key, err := hkdf.Key(sha256.New, s[:], nil, info, 32)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, f := range map[[3]byte][]byte{
		{1, 2, 0}: f,
		{2, 1, 0}: b.seal(t, 0, fullMessage(Beat)),
	} {
		h := hmac.New(sha256.New, key)
		h.Write(prefix[:])
		h.Write(f[:len(f)-16])
		if got, want := f[len(f)-16:], h.Sum(nil)[:16]; !hmac.Equal(got, want) {
			t.Errorf("%v: tag %x, want %x", prefix, got, want)
		}
	}
}

func TestABeatOfOneGroupTakes57BytesOnTheLine(t *testing.T) {
	a, _ := pairUp(t, 1)
	for _, c := range []struct {
		kind                  Kind
		groups, payload, line int
	}{
		{Beat, 1, 53, 57},
		{Beat, 2, 58, 62},
		{Claim, 1, 54, 58},
		{Beat, MaxGroups, 88, 92},
		{Hello, 0, 67, 71},
		{Data, 0, 220, 224},
	} {
		m := fullMessage(c.kind)
		m.NGroups, m.GroupIndex = c.groups, AllGroups
		_ = m.Items.Add(9, make([]byte, MaxItems-m.Items.Len()-itemHead))
		f := a.seal(t, 0, m)
		s := AppendSerial(nil, f)
		t.Logf("%v with %d groups: %d bytes, %d on the line, %.0f/s at 115200 baud",
			c.kind, c.groups, len(f), len(s), 11520/float64(len(s)))
		if len(f) != c.payload || len(s) != c.line {
			t.Errorf("%v with %d groups: %d and %d bytes, want %d and %d", c.kind, c.groups, len(f), len(s), c.payload, c.line)
		}
	}
}

// randomBody returns a body that is well formed about half of the time.
func randomBody(r *rand.Rand) []byte {
	k := Kind(1 + r.IntN(9))
	if k == Hello {
		b := make([]byte, headerSize+helloSize)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0], b[len(b)-1] = version<<4|byte(k), byte(r.IntN(3))
		return b
	}
	if k == Data {
		return randomData(r)
	}
	n := r.IntN(MaxGroups + 2)
	b := make([]byte, headerSize+bodySize+n*groupSize)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] = version<<4 | byte(k)
	b[8] &= 0x7f
	b[12] &= 0x7f
	b[18] = byte(n)<<4 | b[18]&15
	if b[18]&15 == noLinkEcho {
		b[19] = 0
	}
	if k.hasIndex() {
		b = append(b, byte(r.IntN(9)))
	}
	return b
}

// reencode encodes what was decoded from a frame without its tag.
func reencode(m *Message, frame []byte) []byte {
	out := append([]byte(nil), frame[:headerSize]...)
	return m.appendRest(out)
}

func TestWhatDecodesEncodesToTheSameBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	good := 0
	for range 200_000 {
		b := randomBody(r)
		var m Message
		if !m.decode(b) {
			continue
		}
		good++
		if m.Kind != Hello {
			if err := m.check(); err != nil {
				t.Fatalf("decoded %x to what cannot be sealed: %v", b, err)
			}
		}
		if got := reencode(&m, b); string(got) != string(b) {
			t.Fatalf("decoded %x\nencoded %x", b, got)
		}
	}
	if good < 50_000 {
		t.Fatalf("only %d bodies decoded: the test does not test", good)
	}
}

func TestABodyIsRefusedFor(t *testing.T) {
	base := func(k Kind) []byte {
		m := fullMessage(k)
		m.Counter = 5
		return m.appendRest([]byte{version<<4 | byte(k), 1, 0x10, 0, 0, 0, 0, 1})
	}
	hello := (&Message{Kind: Hello, Nonce: nonce{1}}).appendHello(make([]byte, headerSize))
	hello[0] = version<<4 | byte(Hello)
	set := func(b []byte, at int, v ...byte) []byte {
		copy(b[at:], v)
		return b
	}
	cases := map[string][]byte{
		"a trailing byte":               append(base(Beat), 0),
		"a missing byte":                base(Beat)[:headerSize+bodySize+2*groupSize-1],
		"a missing group index":         base(Claim)[:headerSize+bodySize+2*groupSize],
		"a group index on a beat":       append(base(Beat), 0),
		"a group that is not there":     set(base(Claim), headerSize+bodySize+2*groupSize, 2),
		"nine groups":                   append(set(base(Beat), 18, 0x92), make([]byte, 7*groupSize)...),
		"counter zero":                  set(base(Beat), 8, 0, 0, 0, 0),
		"a counter beyond the last":     set(base(Beat), 8, 0x80, 0, 0, 0),
		"an echo beyond the last":       set(base(Beat), 12, 0x80, 0, 0, 0),
		"an age without an echo":        set(base(Beat), 12, 0, 0, 0, 0, 0, 1, 0x2f, 0),
		"a link echo without an echo":   set(base(Beat), 12, 0, 0, 0, 0, 0, 0, 0x20, 0),
		"a link echo of counter zero":   set(base(Beat), 12, 0, 0, 0, 2),
		"an age without a link echo":    set(base(Beat), 18, 0x2f, 1),
		"a time that cannot be written": set(base(Beat), 23, 240),
		"kind zero":                     set(base(Beat), 0, version<<4),
		"a beat called data":            set(base(Beat), 0, version<<4|byte(Data)),
		"data called a beat":            set(base(Data), 0, version<<4|byte(Beat)),
		"an unknown kind":               set(base(Beat), 0, version<<4|15),
		"a long hello":                  append(append([]byte(nil), hello...), 0),
		"a short hello":                 hello[:len(hello)-1],
		"a hello with flag 2":           set(append([]byte(nil), hello...), len(hello)-1, 2),
		"a hello without a nonce":       set(append([]byte(nil), hello...), headerSize, 0),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			var m Message
			if m.decode(b) {
				t.Errorf("accepted %x", b)
			}
		})
	}
	for _, good := range [][]byte{base(Beat), base(Claim), base(Data), hello} {
		var m Message
		if !m.decode(good) {
			t.Errorf("refused %x: the cases above prove nothing", good)
		}
	}
}

// An authentic frame that is not well formed is counted and moves no window.
func TestAnAuthenticButMalformedFrameIsDropped(t *testing.T) {
	a, b := pairUp(t, 1)
	m := fullMessage(Beat)
	m.Counter = a.NextCounter()
	good, err := a.Seal(nil, 0, &m)
	if err != nil {
		t.Fatal(err)
	}
	bad := append(append([]byte(nil), good[:len(good)-tagSize]...), 0)
	h := a.state.Load().cur.keys[0].send
	bad = append(bad, a.scratch.tag(h, 1, 2, 0, bad)...)
	if d, _ := b.open(0, bad); d != DropMalformed {
		t.Errorf("trailing byte: %v", d)
	}
	if d, _ := b.open(0, good); d != Accepted {
		t.Errorf("the good frame after it: %v", d)
	}
}

func TestSealRefusesWhatDoesNotFit(t *testing.T) {
	a, _ := pairUp(t, 1)
	cases := map[string]func(*Message){
		"kind zero":           func(m *Message) { m.Kind = 0 },
		"an unknown kind":     func(m *Message) { m.Kind = Data + 1 },
		"data of no items":    func(m *Message) { m.Kind, m.Counter = Data, 1 },
		"nine groups":         func(m *Message) { m.NGroups = 9 },
		"minus one group":     func(m *Message) { m.NGroups = -1 },
		"a mode of four":      func(m *Message) { m.Mode = 4 },
		"a state of sixteen":  func(m *Message) { m.Groups[1].State = 16 },
		"flags of sixteen":    func(m *Message) { m.Groups[1].Flags = 16 },
		"a long lease":        func(m *Message) { m.Lease = MaxLease + 1 },
		"a negative lease":    func(m *Message) { m.Lease = -1 },
		"an echo too large":   func(m *Message) { m.Echo = 1 << 31 },
		"a group of no index": func(m *Message) { m.Kind, m.GroupIndex = Claim, 2 },
		"counter zero":        func(m *Message) { m.Counter = 0 },
		"an unissued counter": func(m *Message) { m.Counter += 1 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			m := fullMessage(Beat)
			m.Counter = a.NextCounter()
			change(&m)
			f, err := a.Seal([]byte{1}, 0, &m)
			if err == nil || len(f) != 1 {
				t.Errorf("sealed %d bytes, error %v", len(f), err)
			}
		})
	}
	if _, err := a.Seal(nil, 1, &Message{Kind: Hello}); err == nil {
		t.Error("sealed for a link that is not there")
	}
}

func TestAgesAndLeasesNeverLookShorterThanTheyAre(t *testing.T) {
	a, b := pairUp(t, 1)
	for _, c := range []struct{ in, age, lease time.Duration }{
		{0, 0, 0},
		{1, time.Millisecond, time.Millisecond},
		{time.Millisecond, time.Millisecond, time.Millisecond},
		{time.Millisecond + 1, 2 * time.Millisecond, 2 * time.Millisecond},
		{16 * time.Second, 16 * time.Second, 16 * time.Second},
	} {
		m := fullMessage(Beat)
		m.EchoAge, m.Lease = c.in, c.in
		if d, _ := b.open(0, a.seal(t, 0, m)); d != Accepted {
			t.Fatal(d)
		}
		if b.msg.EchoAge != c.age || b.msg.Lease != c.lease {
			t.Errorf("%v: age %v, lease %v", c.in, b.msg.EchoAge, b.msg.Lease)
		}
	}
	m := fullMessage(Beat)
	m.EchoAge, m.LinkEchoAge = time.Hour, time.Hour
	b.open(0, a.seal(t, 0, m))
	if b.msg.EchoAge != MaxEchoAge || b.msg.LinkEchoAge != MaxLinkEchoAge {
		t.Errorf("an hour became %v and %v", b.msg.EchoAge, b.msg.LinkEchoAge)
	}
	m.EchoAge, m.LinkEchoAge = -1, -1
	b.open(0, a.seal(t, 0, m))
	if b.msg.EchoAge != 0 || b.msg.LinkEchoAge != 0 {
		t.Errorf("a negative age became %v and %v", b.msg.EchoAge, b.msg.LinkEchoAge)
	}
}

func TestALinkEchoThatIsFarBehindCountsAsNone(t *testing.T) {
	a, b := pairUp(t, 1)
	for _, c := range []struct{ echo, link, want uint32 }{
		{100, 100, 100},
		{100, 86, 86},
		{100, 85, 0},
		{100, 101, 0},
		{100, 0, 0},
		{3, 1, 1},
		{3, 0, 0},
		{0, 0, 0},
		{MaxCounter, MaxCounter, MaxCounter},
	} {
		m := fullMessage(Beat)
		m.Echo, m.LinkEcho = c.echo, c.link
		if d, _ := b.open(0, a.seal(t, 0, m)); d != Accepted {
			t.Fatalf("%+v: %v", c, d)
		}
		if b.msg.LinkEcho != c.want || b.msg.Echo != c.echo {
			t.Errorf("%+v: got %d", c, b.msg.LinkEcho)
		}
	}
}

func TestPackedNumbersAreRoundedDownByOneSixteenthAtMost(t *testing.T) {
	for c := range 256 {
		if got := pack(unpack(uint8(c))); got != uint8(c) {
			t.Fatalf("code %d comes back as %d", c, got)
		}
	}
	for v := range uint32(31744 + 1023) {
		got := unpack(pack(v))
		if got > v || v < 128 && got != v || v-got > v/16 {
			t.Fatalf("%d is written as %d", v, got)
		}
	}
	if pack(1<<32-1) != 255 {
		t.Fatal("the largest number does not saturate")
	}
	a, b := pairUp(t, 1)
	for _, s := range []uint16{0, 3, 4, 511, 3600, 65534, NoTimeToCritical} {
		b.open(0, a.seal(t, 0, Message{Kind: Beat, TimeToCritical: s}))
		got := b.msg.TimeToCritical
		if (s == NoTimeToCritical) != (got == NoTimeToCritical) || got > s || s-got > max(4, s/16+4) {
			t.Errorf("%d s became %d s", s, got)
		}
	}
}

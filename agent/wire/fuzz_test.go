package wire

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// FuzzOpen feeds frames as they are, and as if their sender had the key: what
// is accepted must encode to the same bytes, and nothing may panic.
func FuzzOpen(f *testing.F) {
	a, b := pairUp(f, 2)
	for k := Hello; k <= Data; k++ {
		f.Add(a.seal(f, int(k)%2, fullMessage(k)))
	}
	f.Add(b.seal(f, 0, fullMessage(Beat)))
	f.Fuzz(func(t *testing.T, p []byte) {
		a, b := pairUpSeed(t, 2, 2) // another session than that of the seeds
		var m Message
		for l := range uint8(2) {
			if d := b.openers[l].Open(p, &m); d == Accepted && Kind(p[0]&15) != Hello {
				t.Fatalf("a forged frame is accepted: %x", p)
			}
		}
		if len(p) < headerSize || len(p)+tagSize > MaxFrame {
			return
		}
		// Sign it, with the header of the session; the rest is the fuzzer's.
		p = bytes.Clone(p)
		good := a.seal(t, 1, fullMessage(Beat))
		copy(p[1:headerSize], good[1:headerSize])
		h := a.state.Load().cur.keys[0].send
		if Kind(p[0]&15) == Hello {
			h = a.state.Load().hello[0].send
		}
		signed := append(p, a.scratch.tag(h, 1, 2, 1, p)...)
		if b.openers[1].Open(signed, &m) != Accepted {
			return
		}
		if got := reencode(&m, p); !bytes.Equal(got, p) {
			t.Fatalf("decoded %x\nencoded %x", p, got)
		}
		var again Message
		if !again.decode(reencode(&m, p)) || again != m {
			t.Fatalf("decoded %+v\nagain   %+v", m, again)
		}
		b.Accept(&m)
		if m.Kind != Hello {
			if err := m.check(); err != nil {
				t.Fatalf("accepted what cannot be sealed: %v", err)
			}
		}
	})
}

// FuzzDeframe feeds a serial line of any bytes in two pieces: what comes out must encode to
// bytes that were in the line, and a good frame after it must come through.
func FuzzDeframe(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add(AppendSerial(nil, []byte("payload")), 3)
	f.Add(AppendSerial(AppendSerial(nil, make([]byte, 254)), bytes.Repeat([]byte{9}, MaxFrame)), 200)
	f.Add(bytes.Repeat([]byte{255}, 600), 5)
	f.Fuzz(func(t *testing.T, line []byte, cut int) {
		cut = max(0, min(cut, len(line)))
		var d Deframer
		check := func(p []byte) {
			if len(p) > MaxFrame || !bytes.Contains(line, AppendSerial(nil, p)) {
				t.Fatalf("emitted % x, which is not in the line", p)
			}
		}
		d.Write(line[:cut], check)
		d.Write(line[cut:], check)
		if n := uint64(bytes.Count(line, []byte{0})); d.Good+d.CRCErrors+d.Empty > n {
			t.Fatalf("%d delimiters, %+v", n, d)
		}
		good := 0
		d.Write([]byte{0}, func([]byte) {})
		d.Write(AppendSerial(nil, []byte("after")), func(p []byte) {
			if string(p) == "after" {
				good++
			}
		})
		if good != 1 {
			t.Fatal("the frame after the noise is lost")
		}
	})
}

// FuzzSeal seals messages with any values and opens them again: what was not
// refused says the same at the other end, and no single byte of it can be
// changed.
func FuzzSeal(f *testing.F) {
	f.Add([]byte{}, uint8(0), uint8(0), uint8(0))
	f.Add(bytes.Repeat([]byte{0xff}, 40), uint8(2), uint8(30), uint8(1))
	f.Add([]byte{5, 0, 0, 0, 77, 0, 31, 0, 75, 3, 0xa5, 93, 1, 0x90, 1, 0x45, 0xde, 0xad, 2, 0x51, 0, 0, 0, 9}, uint8(3), uint8(8), uint8(0x80))
	f.Fuzz(func(t *testing.T, fields []byte, kind, at, flip uint8) {
		a, b := pairUpSeed(t, 2, 3)
		m := messageOf(fields)
		m.Kind = Kind(kind%10) + Hello
		m.Counter = a.next(m.Kind)
		sent := m
		frame, err := a.Seal(nil, 1, &sent)
		if (err == nil) != (m.check() == nil) {
			t.Fatalf("%+v: %v", m, err)
		}
		if err != nil {
			return
		}
		if len(frame) > MaxFrame || sent.KeyID != 1 || sent.Node != 1 || sent.Link != 1 {
			t.Fatalf("%d bytes, %+v", len(frame), sent)
		}
		if flip != 0 {
			bad := bytes.Clone(frame)
			bad[int(at)%len(bad)] ^= flip
			if d, _ := b.open(1, bad); d == Accepted {
				t.Fatalf("accepted with byte %d changed: %x", int(at)%len(bad), bad)
			}
		}
		if d, _ := b.open(0, frame); d == Accepted {
			t.Fatal("accepted on another link")
		}
		if d, _ := b.open(1, frame); d != Accepted {
			t.Fatalf("%v: %+v", d, sent)
		}
		if m.Kind == Hello {
			return
		}
		said(t, &sent, &b.msg)
		if d, _ := b.open(1, frame); d != DropDuplicate {
			t.Fatalf("the same again: %v", d)
		}
	})
}

// messageOf fills a message with bytes as they come, in bounds or not.
func messageOf(p []byte) (m Message) {
	next := func(n int) (v uint64) {
		for range n {
			v <<= 8
			if len(p) > 0 {
				v |= uint64(p[0])
				p = p[1:]
			}
		}
		return v
	}
	m.NGroups = int(int8(next(1))) % 12
	m.Echo = uint32(next(4))
	m.EchoAge = time.Duration(int32(next(4))) * 100 * time.Microsecond
	m.LinkEcho = m.Echo - uint32(next(1))
	m.LinkEchoAge = time.Duration(int32(next(4))) * time.Millisecond
	m.HearsLinks, m.Flags, m.Health = uint8(next(1)), uint8(next(1)), uint8(next(1))
	m.TimeToCritical, m.Mode = uint16(next(2)), uint8(next(1))%5
	m.Lease = time.Duration(int16(next(2))) * 500 * time.Microsecond
	m.Digest, m.Version, m.GroupIndex = uint32(next(4)), uint16(next(2)), uint8(next(1))
	for i := range m.Groups {
		g := next(5)
		m.Groups[i] = Group{uint8(g>>36) % 17, uint8(g>>32) & 15, uint32(g)}
	}
	for len(p) > 1 { // type, length, value, in bounds or not
		value := p[2:][:min(int(p[1]), len(p)-2)]
		_ = m.Items.Add(p[0], value)
		p = p[2+len(value):]
	}
	return m
}

// said holds that a message arrived as it was sent, or rounded to the safe
// side: no age shorter by more than the format's grain, no lease shorter.
func said(t *testing.T, sent, got *Message) {
	t.Helper()
	if sent.Kind == Data {
		if *got != (Message{
			Kind: Data, Node: sent.Node, Link: sent.Link, KeyID: sent.KeyID, Session: sent.Session, Counter: sent.Counter,
			GroupIndex: AllGroups, TimeToCritical: NoTimeToCritical, Items: sent.Items,
		}) {
			t.Fatalf("sent %+v\ngot  %+v", *sent, *got)
		}
		return
	}
	same := sent.Kind == got.Kind && sent.Session == got.Session && sent.Counter == got.Counter && sent.Echo == got.Echo &&
		sent.HearsLinks == got.HearsLinks && sent.Flags == got.Flags && sent.Health == got.Health && sent.Mode == got.Mode &&
		sent.Digest == got.Digest && sent.Version == got.Version && sent.NGroups == got.NGroups
	for i := range max(sent.NGroups, 0) {
		same = same && sent.Groups[i] == got.Groups[i]
	}
	if sent.Kind.hasIndex() {
		same = same && sent.GroupIndex == got.GroupIndex
	}
	switch {
	case !same,
		sent.Echo != 0 && got.EchoAge < min(sent.EchoAge, MaxEchoAge),
		got.EchoAge > max(sent.EchoAge, 0)+time.Millisecond,
		got.Lease < sent.Lease || got.Lease > sent.Lease+time.Millisecond,
		got.LinkEcho != 0 && got.LinkEcho != sent.LinkEcho,
		got.TimeToCritical != NoTimeToCritical && got.TimeToCritical > sent.TimeToCritical:
		t.Fatalf("sent %+v\ngot  %+v", *sent, *got)
	}
}

// FuzzSerialLine reads bytes as a serial line with good frames and garbage on
// it, delivered in pieces of any size. What comes out does not depend on the
// pieces, good frames come out whole and in order, and each stretch of garbage
// costs one good frame at most.
func FuzzSerialLine(f *testing.F) {
	f.Add([]byte{1, 3, 1, 2, 3}, []byte{1, 2, 3})
	f.Add([]byte{0, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 7, 7, 7, 7, 1, 0}, []byte{})
	f.Add(append([]byte{1, 255}, bytes.Repeat([]byte{1}, 255)...), []byte{254, 1})
	f.Add(append([]byte{0, 255}, bytes.Repeat([]byte{5}, 600)...), []byte{7})
	f.Fuzz(func(t *testing.T, program, cuts []byte) {
		var whole, pieces Deframer
		var line []byte
		var want, got [][]byte
		lost, noise := 0, 0
		for p := program; len(p) > 1; {
			good, n := p[0]&1 == 1, min(int(p[1]), len(p)-2)
			part := p[2 : 2+n]
			p = p[2+n:]
			if !good {
				noise++
				line = append(line, part...)
				whole.Write(part, func(b []byte) { got = append(got, bytes.Clone(b)) })
				continue
			}
			framed := AppendSerial(nil, part)
			before := len(got)
			line = append(line, framed...)
			whole.Write(framed, func(b []byte) { got = append(got, bytes.Clone(b)) })
			switch {
			case len(got) == before+1 && bytes.Equal(got[before], part):
			case len(got) > before+1:
				t.Fatalf("%d payloads from one delimiter", len(got)-before)
			default:
				lost++
			}
			want = append(want, part)
		}
		if lost > noise {
			t.Fatalf("%d of %d good frames lost to %d stretches of garbage", lost, len(want), noise)
		}
		var again [][]byte
		for i := 0; len(line) > 0; i++ {
			n := len(line)
			if i < len(cuts) {
				n = min(int(cuts[i]), n)
			}
			pieces.Write(line[:n], func(b []byte) { again = append(again, bytes.Clone(b)) })
			line = line[n:]
		}
		if !slices.EqualFunc(got, again, bytes.Equal) {
			t.Fatalf("at once % x\nin pieces % x", got, again)
		}
		if whole.Good != pieces.Good || whole.CRCErrors != pieces.CRCErrors || whole.Overlong != pieces.Overlong || whole.Empty != pieces.Empty {
			t.Fatal("the counters depend on the pieces")
		}
	})
}

// FuzzKeys checks that a key file is either understood completely or refused
// with a reason that has a line, and that no line is lost silently.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("active 1\n" + GenerateKey(secret(1), 1)))
	f.Add([]byte("# c\nkey 2 " + b64(2) + " # d\r\nactive 2\nkey 3 " + b64(3)))
	f.Add([]byte("auth 1\n1 sha1 secret\n"))
	f.Add([]byte("active 1\nkey 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, problems := ParseKeys("keys", data)
		if (r == nil) != (len(problems) > 0) {
			t.Fatalf("keyring %v with problems %v", r, problems)
		}
		lines := bytes.Split(data, []byte{'\n'})
		for _, p := range problems {
			if p.Text == "" || p.Hint == "" || p.File != "keys" || p.Line < 0 || p.Line > len(lines) {
				t.Fatalf("%+v", p)
			}
		}
		if r == nil {
			return
		}
		said := 0
		for _, l := range lines {
			l, _, _ = bytes.Cut(l, []byte{'#'})
			if len(bytes.TrimSpace(l)) > 0 {
				said++
			}
		}
		if said != 1+len(r.keys) || len(r.keys) > MaxKeys {
			t.Fatalf("%d lines said something, %d keys came of them", said, len(r.keys))
		}
		for _, k := range r.keys {
			if k.id == 0 || len(k.secret) < MinSecret || len(k.secret) > MaxSecret {
				t.Fatalf("key %d of %d bytes", k.id, len(k.secret))
			}
		}
	})
}

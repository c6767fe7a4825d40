package wire

import (
	"bytes"
	"testing"
)

// FuzzOpen feeds frames as they are, and as if their sender had the key: what
// is accepted must encode to the same bytes, and nothing may panic.
func FuzzOpen(f *testing.F) {
	a, b := pairUp(f, 2)
	for k := Hello; k < Data; k++ {
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

// FuzzDeframe feeds a serial line in two pieces: what comes out must encode to
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

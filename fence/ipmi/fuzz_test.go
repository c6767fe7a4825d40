package ipmi

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/twinbeat/twinbeat/fence"
)

// FuzzUnpack holds that nothing but what the seal itself has packed for the
// session is unpacked, and that it then is the message unchanged.
func FuzzUnpack(f *testing.F) {
	keys, err := newSeal(suites[0], []byte("sik"))
	if err != nil {
		f.Fatal(err)
	}
	iv := bytes.Repeat([]byte{9}, 16)
	message := bmcAnswer(request(getChassisStatus, 2, nil), 0, []byte{0x21, 0, 0})
	good := keys.pack(7, 1, message, iv)
	f.Add(good)
	f.Add(good[:40])
	f.Add(legacy(message))
	f.Add(outside(payloadIPMI, message))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		_, _ = fromLegacy(packet)
		_, _ = fromOutside(packet, payloadRAKP2)
		got, err := keys.unpack(7, packet)
		if len(packet) > 2 { // reserved, and RMCP's own number, which nothing seals
			packet = bytes.Clone(packet)
			packet[1], packet[2] = rmcp[1], rmcp[2]
		}
		switch {
		case bytes.Equal(packet, good) && (err != nil || !bytes.Equal(got, message)):
			t.Fatalf("the good packet gives % x, %v", got, err)
		case !bytes.Equal(packet, good) && !errors.Is(err, errForeign):
			t.Fatalf("% x is taken for genuine: % x, %v", packet, got, err)
		}
	})
}

// FuzzMessage holds that messages of all lengths survive packing, and that an
// answer is read as what it was made of.
func FuzzMessage(f *testing.F) {
	f.Add([]byte{1, 2, 3}, byte(5), byte(0))
	f.Add(bytes.Repeat([]byte{0}, 200), byte(63), byte(0xff))
	f.Add([]byte{}, byte(0), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, n, code byte) {
		if len(data) > 800 || n > 63 {
			return
		}
		for _, s := range suites {
			keys, err := newSeal(s, data)
			if err != nil {
				t.Fatal(err)
			}
			message := bmcAnswer(request(getDeviceID, n, nil), code, data)
			got, err := keys.unpack(1, keys.pack(1, 2, message, make([]byte, 16)))
			if err != nil || !bytes.Equal(got, message) {
				t.Fatalf("% x became % x, %v", message, got, err)
			}
			c, d, err := answer(getDeviceID, n, got)
			if err != nil || c != code || !bytes.Equal(d, data) {
				t.Fatalf("code %#x data % x, %v", c, d, err)
			}
		}
		_, _, _ = answer(getDeviceID, n, data)
	})
}

// FuzzAnswers holds that no answer of a BMC, however odd, makes a power of
// anything but bit 0 of a status of three or four bytes, or text that is not
// text of an inventory.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0x20, 0, 0})
	f.Add([]byte{0x21, 0, 0, 0})
	f.Add([]byte{})
	f.Add([]byte{0x20, 0x81, 0x02, 0x57, 0x02, 0xdf, 0xa2, 0x02, 0x00, 0x00, 0x01})
	f.Add(fruOf("a", "b", "c"))
	f.Add(fruOf("a", "b", "c")[8:])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := chassis(data)
		want := fence.PowerUnknown
		if len(data) == 3 || len(data) == 4 {
			want = fence.PowerOff
			if data[0]%2 == 1 {
				want = fence.PowerOn
			}
		}
		if r.Power != want || (err == nil) != (want != fence.PowerUnknown) {
			t.Fatalf("% x is %v, %v; want %v", data, r, err, want)
		}
		_, _ = device(data)
		_, _, _ = areas(data)
		for _, skip := range []int{3, 6} {
			i := describe(data, skip)
			for kind := range byte(4) {
				i.maker += text(kind, data)
			}
			if !utf8.ValidString(i.maker + i.product + i.serial) {
				t.Fatalf("%+v is no text", i)
			}
		}
	})
}

func TestFieldsOfAnInventoryAreDecodedByTheirType(t *testing.T) {
	for _, c := range []struct {
		kind  byte
		field []byte
		want  string
	}{
		{0, []byte{0xde, 0xad}, "dead"},
		{0, []byte{0, 0}, ""},
		{1, []byte{0x12, 0x3b, 0x4c}, "123-4."},
		{2, []byte{0x29, 0xdc, 0xa6}, "IPMI"}, // the example of the specification, section 13.3
		{3, []byte("R210 \x00\xe9"), "R210 é"},
	} {
		if got := text(c.kind, c.field); got != c.want {
			t.Errorf("type %d % x is %q, want %q", c.kind, c.field, got, c.want)
		}
	}
}

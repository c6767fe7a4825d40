package announce

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

var (
	testMAC = MAC{0x02, 0x11, 0x22, 0x33, 0x44, 0x55}
	four    = netip.MustParseAddr("192.0.2.1")
	six     = netip.MustParseAddr("2001:db8::1")
)

// golden frames are written out by hand from the RFCs. CCCC stands for the
// checksum, which a second implementation works out.
var golden = map[string]struct {
	frame []byte
	want  string
}{
	"gratuitous ARP, request form": {
		appendGratuitousARP(nil, testMAC, four, arpRequest),
		"ffffffffffff 021122334455 0806 0001 0800 06 04 0001 021122334455 c0000201 000000000000 c0000201",
	},
	"gratuitous ARP, reply form": {
		appendGratuitousARP(nil, testMAC, four, arpReply),
		"ffffffffffff 021122334455 0806 0001 0800 06 04 0002 021122334455 c0000201 021122334455 c0000201",
	},
	"ARP probe": {
		appendARPProbe(nil, testMAC, four),
		"ffffffffffff 021122334455 0806 0001 0800 06 04 0001 021122334455 00000000 000000000000 c0000201",
	},
	"solicitation for rivals": {
		appendRivalSolicitation(nil, testMAC, six),
		"333300000001 021122334455 86dd 60000000 0018 3a ff 00000000000000000000000000000000 " +
			"ff020000000000000000000000000001 87 00 CCCC 00000000 20010db8000000000000000000000001",
	},
	"advertisement of a host": {
		appendAdvertisement(nil, testMAC, six, false),
		"333300000001 021122334455 86dd 60000000 0020 3a ff 20010db8000000000000000000000001 " +
			"ff020000000000000000000000000001 88 00 CCCC 20000000 20010db8000000000000000000000001 02 01 021122334455",
	},
	"advertisement of a router": {
		appendAdvertisement(nil, testMAC, six, true),
		"333300000001 021122334455 86dd 60000000 0020 3a ff 20010db8000000000000000000000001 " +
			"ff020000000000000000000000000001 88 00 CCCC a0000000 20010db8000000000000000000000001 02 01 021122334455",
	},
	"solicitation": {
		appendSolicitation(nil, testMAC, netip.MustParseAddr("2001:db8::ab:cdef")),
		"3333ffabcdef 021122334455 86dd 60000000 0018 3a ff 00000000000000000000000000000000 " +
			"ff0200000000000000000001ffabcdef 87 00 CCCC 00000000 20010db8000000000000000000abcdef",
	},
}

// checksum is the plain way of RFC 1071: one long number, modulo 65,535.
func checksum(frame []byte) uint16 {
	b := append([]byte{}, frame[22:54]...)                     // source, destination
	b = append(b, 0, 0, 0, byte(len(frame)-54), 0, 0, 0, 0x3a) // length, next header
	message := append([]byte{}, frame[54:]...)
	message[2], message[3] = 0, 0
	b = append(b, message...)
	var total uint64
	for i := 0; i < len(b); i += 2 {
		total += uint64(b[i])*256 + uint64(b[i+1])
	}
	return ^uint16(total % 65535)
}

func TestFramesAreAsTheRFCsSay(t *testing.T) {
	for name, g := range golden {
		got := hex.EncodeToString(g.frame)
		want := strings.ReplaceAll(g.want, " ", "")
		if at := strings.Index(want, "CCCC"); at >= 0 {
			sum := checksum(g.frame)
			want = want[:at] + hex.EncodeToString([]byte{byte(sum >> 8), byte(sum)}) + want[at+4:]
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	if n := len(golden["gratuitous ARP, request form"].frame); n != arpLength {
		t.Errorf("ARP frame has %d bytes", n)
	}
	if n := len(golden["advertisement of a host"].frame); n != naLength {
		t.Errorf("advertisement has %d bytes", n)
	}
}

func TestADamagedAdvertisementDoesNotVerify(t *testing.T) {
	frame := golden["advertisement of a host"].frame
	if sum(frame) != 0xffff {
		t.Errorf("the checksum does not verify: %#x", sum(frame))
	}
	frame = append([]byte{}, frame...)
	frame[70]++
	if sum(frame) == 0xffff {
		t.Error("a damaged frame verifies")
	}
}

func TestClaimsAreReadFromFramesAndOnlyFromGoodOnes(t *testing.T) {
	for name, g := range golden {
		c, ok := parseClaim(g.frame)
		if isClaim := !isProbe(name); ok != isClaim {
			t.Errorf("%s: claim %v", name, ok)
		} else if ok && (c.mac != testMAC || (c.ip != four && c.ip != six)) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	na := golden["advertisement of a host"].frame
	for what, change := range map[string]func(f []byte){
		"hop limit 254":     func(f []byte) { f[21] = 254 },
		"checksum":          func(f []byte) { f[57]++ },
		"option length 0":   func(f []byte) { f[79] = 0; setZero(f) },
		"option too long":   func(f []byte) { f[79] = 9; setZero(f) },
		"payload too long":  func(f []byte) { f[19] = 200 },
		"payload too short": func(f []byte) { f[19] = 8 },
	} {
		f := append([]byte{}, na...)
		change(f)
		if _, ok := parseClaim(f); ok {
			t.Errorf("an advertisement with bad %s is believed", what)
		}
	}
	for n := range na {
		if _, ok := parseClaim(na[:n]); ok {
			t.Errorf("an advertisement cut to %d bytes is believed", n)
		}
	}
	if c, ok := parseClaim(append(append([]byte{}, na...), 1, 2, 3)); !ok || c.ip != six {
		t.Error("padding disturbs")
	}
}

func isProbe(name string) bool {
	return strings.Contains(name, "probe") || strings.Contains(name, "solicitation")
}

func TestProbesAreToldFromClaimsAndQuestions(t *testing.T) {
	for name, g := range golden {
		c, ok := parseProbe(g.frame)
		if ok != isProbe(name) {
			t.Errorf("%s: probe %v", name, ok)
		} else if ok && (c.mac != testMAC || !(c.ip == four || c.ip == six || c.ip.String() == "2001:db8::ab:cdef")) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	for what, change := range map[string]func(f []byte){
		"a sender address": func(f []byte) { f[31] = 9 },
		"the reply form":   func(f []byte) { f[21] = arpReply },
		"no target":        func(f []byte) { clear(f[38:]) },
		"other hardware":   func(f []byte) { f[15] = 6 },
	} {
		if _, ok := parseProbe(changed("ARP probe", change)); ok {
			t.Errorf("an ARP probe with %s is believed", what)
		}
	}
	for what, change := range map[string]func(f []byte){
		"a source address":   func(f []byte) { f[37] = 1; setZero(f) },
		"hop limit 254":      func(f []byte) { f[21] = 254 },
		"a bad checksum":     func(f []byte) { f[57]++ },
		"a multicast target": func(f []byte) { f[62] = 0xff; setZero(f) },
		"a payload too long": func(f []byte) { f[19] = 200 },
	} {
		if _, ok := parseProbe(changed("solicitation", change)); ok {
			t.Errorf("a solicitation with %s is believed", what)
		}
	}
	// RFC 7527: Linux adds a nonce. RFC 4861 section 7.1.1: no link-layer address.
	for kind, want := range map[byte]bool{14: true, optionSource: false} {
		f := append(changed("solicitation", func([]byte) {}), kind, 1, 1, 2, 3, 4, 5, 6)
		f[19] += 8
		setZero(f)
		if _, ok := parseProbe(f); ok != want {
			t.Errorf("a solicitation with option %d: %v", kind, ok)
		}
	}
}

func changed(name string, change func(f []byte)) []byte {
	f := append([]byte{}, golden[name].frame...)
	change(f)
	return f
}

func setZero(f []byte) {
	f[56], f[57] = 0, 0
	setChecksum(f)
}

func FuzzParseClaim(f *testing.F) {
	for _, g := range golden {
		f.Add(g.frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if c, ok := parseClaim(frame); ok && (!c.ip.IsValid() || len(frame) < arpLength) {
			t.Errorf("claim %+v from %x", c, frame)
		}
		if c, ok := parseProbe(frame); ok && (!c.ip.IsValid() || len(frame) < arpLength) {
			t.Errorf("probe %+v from %x", c, frame)
		}
		if _, both := parseClaim(frame); both {
			if _, ok := parseProbe(frame); ok {
				t.Errorf("both a claim and a probe: %x", frame)
			}
		}
	})
}

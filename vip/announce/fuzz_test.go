package announce

import (
	"bytes"
	"net/netip"
	"testing"
)

// FuzzFrame makes every frame that we send, for any address and MAC, and reads
// it as a neighbour would: announcements claim the address for the MAC, probes
// are rivals and claim nothing. With any byte of the neighbour message changed
// its checksum gives it away.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, []byte{2, 0, 0, 0, 0, 7}, uint8(0), uint8(0))
	f.Add(netip.MustParseAddr("2001:db8::1").AsSlice(), []byte{2, 0, 0, 0, 0, 7}, uint8(30), uint8(1))
	f.Add(netip.MustParseAddr("fe80::ff:fe00:1").AsSlice(), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint8(41), uint8(0xff))
	f.Fuzz(func(t *testing.T, address, hardware []byte, at, flip uint8) {
		ip, ok := netip.AddrFromSlice(address)
		if !ok || len(hardware) != 6 || ip.IsUnspecified() || ip.IsMulticast() {
			return
		}
		mac := MAC(hardware)
		if ip.Is4() {
			for _, op := range []uint16{arpRequest, arpReply} {
				speaks(t, appendGratuitousARP(nil, mac, ip, op), claim{ip, mac})
			}
			asks(t, appendARPProbe(nil, mac, ip), claim{ip, mac})
			return
		}
		for _, router := range []bool{false, true} {
			frame := appendAdvertisement(nil, mac, ip, router)
			speaks(t, frame, claim{ip, mac})
			broken(t, frame, at, flip)
		}
		for _, frame := range [][]byte{appendSolicitation(nil, mac, ip), appendRivalSolicitation(nil, mac, ip)} {
			asks(t, frame, claim{ip, mac})
			broken(t, frame, at, flip)
		}
	})
}

func speaks(t *testing.T, frame []byte, want claim) {
	t.Helper()
	if to, ok := addressee(frame); ok {
		t.Fatalf("an announcement is meant for %v", to)
	}
	for n := range frame { // read to its own address, and cut anywhere
		cut := append([]byte{2}, frame[1:n+1]...)
		addressee(cut)
	}
	if got, ok := parseClaim(frame); !ok || got != want {
		t.Fatalf("%x claims %+v, %v; want %+v", frame, got, ok, want)
	}
	if got, ok := parseProbe(frame); ok {
		t.Fatalf("an announcement is read as a probe for %v", got.ip)
	}
}

func asks(t *testing.T, frame []byte, want claim) {
	t.Helper()
	if to, ok := addressee(frame); ok {
		t.Fatalf("a question to all is meant for %v", to)
	}
	if got, ok := parseProbe(frame); !ok || got != want {
		t.Fatalf("%x asks for %+v, %v; want %+v", frame, got, ok, want)
	}
	if got, ok := parseClaim(frame); ok {
		t.Fatalf("a probe claims %v", got.ip)
	}
}

// broken changes one byte that the checksum covers.
func broken(t *testing.T, frame []byte, at, flip uint8) {
	t.Helper()
	if flip == 0 {
		return
	}
	bad := bytes.Clone(frame)
	covered := len(bad) - (ipv6At + 8)
	bad[ipv6At+8+int(at)%covered] ^= flip
	if _, ok := parseClaim(bad); ok {
		t.Fatalf("believed although damaged: %x", bad)
	}
	if _, ok := parseProbe(bad); ok {
		t.Fatalf("believed although damaged: %x", bad)
	}
}

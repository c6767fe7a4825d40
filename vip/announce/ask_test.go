package announce

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// heardBy asks once and returns who answered for the address, or false if no
// question went out.
func heardBy(t *testing.T, a *Announcer, at, ip string) ([]string, bool) {
	t.Helper()
	got, err := a.Ask(ctx, parse(t, ip+"@"+at), 5, 100*time.Millisecond)
	if err != nil {
		t.Log(err)
	}
	h := got[netip.MustParseAddr(ip)]
	if h == nil {
		return nil, false
	}
	if len(h.Misled) > 0 {
		t.Errorf("misled: %v", h.Misled)
	}
	return texts(h.Answered), true
}

func texts(macs []MAC) (out []string) {
	for _, m := range macs {
		out = append(out, m.String())
	}
	return out
}

func TestTheNeighboursSayWhoHasAnAddress(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.1/24")
	client.add("2001:db8::1/64")
	a := newAnnouncer(t)
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		within(t, 5*time.Second, ip+" is answered for", func() bool {
			macs, asked := heardBy(t, a, dev, ip)
			return asked && len(macs) == 1 && macs[0] == client.mac()
		})
	}
	if got := client.neighbour("0.0.0.0"); got != "" {
		t.Errorf("the question left a trace: %s", got)
	}
}

func TestNobodyIsAnAnswerAndNoQuestionIsNone(t *testing.T) {
	dev, _ := newSpace(t)
	a := newAnnouncer(t)
	start := time.Now()
	if macs, asked := heardBy(t, a, dev, "192.0.2.77"); !asked || len(macs) > 0 {
		t.Errorf("a free address: asked %v, %v", asked, macs)
	}
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("listened for %v only", took)
	}
	must(t, netlink.LinkSetDown(byName(t, dev)))
	if macs, asked := heardBy(t, a, dev, "192.0.2.77"); asked || len(macs) > 0 {
		t.Errorf("a device that is down: asked %v, %v", asked, macs)
	}
	if _, err := a.Ask(ctx, parse(t, "192.0.2.77@"+dev), 1, time.Millisecond); err != nil {
		t.Errorf("a device that is down has an alarm of its own: %v", err)
	}
	_, err := a.Ask(ctx, parse(t, "192.0.2.77@tbnone", "192.0.2.78@"+dev), 1, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "tbnone") {
		t.Errorf("one that is not there: %v", err)
	}
	if _, asked := heardBy(t, a, "tbnone", "192.0.2.77"); asked {
		t.Error("asked on a device that is not there")
	}
	if _, err := a.Hardware(dev); err == nil {
		t.Error("a device that is down has a hardware address to speak with")
	}
}

// The owner and a stranger both answer: both are told, each once.
func TestAllWhoAnswerAreHeard(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.1/24")
	a := newAnnouncer(t)
	stranger := MAC{2, 0x77, 0, 0, 0, 1}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan struct{})
	go client.do(func() { // answers as the stranger, all the time
		defer close(done)
		fd, err := sender()
		if err != nil {
			return
		}
		defer unix.Close(fd)
		for ctx.Err() == nil {
			if p, err := lookup(fd, "eth0"); err == nil {
				_ = send(fd, p, appendGratuitousARP(nil, stranger, netip.MustParseAddr("192.0.2.1"), arpReply))
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	macs, asked := heardBy(t, a, dev, "192.0.2.1")
	stop()
	<-done
	seen := map[string]int{}
	for _, m := range macs {
		seen[m]++
	}
	if !asked || len(macs) != 2 || seen[client.mac()] != 1 || seen[stranger.String()] != 1 {
		t.Errorf("asked %v, %v; want %s and %s", asked, macs, client.mac(), stranger)
	}
}

func TestAQuestionThatIsBrokenOffIsNoAnswer(t *testing.T) {
	dev, _ := newSpace(t)
	a := newAnnouncer(t)
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	got, err := a.Ask(short, parse(t, "192.0.2.1@"+dev), 5, time.Second)
	if !errors.Is(err, context.DeadlineExceeded) || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := a.Ask(ctx, []vip.Address{}, 3, time.Millisecond); err != nil || len(got) > 0 {
		t.Errorf("no address: %v, %v", got, err)
	}
}

func TestTheHardwareAddressIsTheOneThatAnnouncementsCarry(t *testing.T) {
	dev, _ := newSpace(t)
	a := newAnnouncer(t)
	mac, err := a.Hardware(dev)
	if err != nil || mac.String() != byName(t, dev).Attrs().HardwareAddr.String() {
		t.Errorf("%v, %v", mac, err)
	}
}

// A host that believes in a former owner sends to this node what is for the
// address: packets, and the unicast questions of a neighbour table. Frames for
// other addresses, or to all, say nothing.
func TestWhoIsMisledIsHeard(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.50/24")
	client.add("2001:db8::50/64")
	a := newAnnouncer(t)
	mine := byName(t, dev).Attrs().HardwareAddr
	for _, c := range []struct {
		name, ip string
		frame    func() []byte
		want     bool
	}{
		{"an IPv4 packet", "192.0.2.1", func() []byte { return packet4(mine, "192.0.2.1") }, true},
		{"one for another address", "192.0.2.1", func() []byte { return packet4(mine, "192.0.2.2") }, false},
		{"one that the switch floods", "192.0.2.1", func() []byte { return packet4([]byte{2, 9, 9, 9, 9, 9}, "192.0.2.1") }, false},
		{"an IPv6 packet", "2001:db8::1", func() []byte { return packet6(mine, "2001:db8::1") }, true},
		{"one for another IPv6 address", "2001:db8::1", func() []byte { return packet6(mine, "2001:db8::2") }, false},
		{"a unicast ARP request", "192.0.2.1", func() []byte { return arpTo(mine, "192.0.2.1") }, true},
		{"an ARP request to all", "192.0.2.1", func() []byte { return arpTo([]byte{255, 255, 255, 255, 255, 255}, "192.0.2.1") }, false},
		{"a unicast ARP request for another", "192.0.2.1", func() []byte { return arpTo(mine, "192.0.2.2") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan struct{})
			sent := 0
			go client.do(func() {
				defer close(done)
				fd, err := sender()
				if err != nil {
					return
				}
				defer unix.Close(fd)
				for ctx.Err() == nil {
					if p, err := lookup(fd, "eth0"); err == nil {
						f := c.frame()
						copy(f[6:12], p.mac[:])
						if send(fd, p, f) == nil {
							sent++
						}
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
			got, err := a.Ask(ctx, parse(t, c.ip+"@"+dev), 3, 100*time.Millisecond)
			stop()
			<-done
			must(t, err)
			h := got[netip.MustParseAddr(c.ip)]
			if h == nil || sent == 0 {
				t.Fatalf("not asked, or %d frames sent", sent)
			}
			if misled := texts(h.Misled); c.want != (len(misled) == 1 && misled[0] == client.mac()) || !c.want && len(misled) > 0 || len(h.Answered) > 0 {
				t.Errorf("misled %v, answered %v", misled, h.Answered)
			}
		})
	}
}

func packet4(to []byte, ip string) []byte {
	f := make([]byte, 60)
	copy(f, to)
	copy(f[12:], []byte{8, 0, 0x45})
	copy(f[30:], netip.MustParseAddr(ip).AsSlice())
	return f
}

func packet6(to []byte, ip string) []byte {
	f := make([]byte, 60)
	copy(f, to)
	copy(f[12:], []byte{0x86, 0xdd, 0x60})
	copy(f[38:], netip.MustParseAddr(ip).AsSlice())
	return f
}

func arpTo(to []byte, ip string) []byte {
	f := appendARPProbe(nil, MAC{2, 0, 0, 0, 0, 5}, netip.MustParseAddr(ip))
	copy(f, to)
	return f
}

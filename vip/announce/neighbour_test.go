package announce

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func hosts(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestNeighboursAnswerByName(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.7/24")
	client.add("2001:db8::7/64")
	a := newAnnouncer(t)
	ips := hosts("192.0.2.7", "192.0.2.8", "2001:db8::7")
	within(t, 3*time.Second, "both answer", func() bool { // IPv6 may not be ready at once
		macs, err := a.Neighbours(ctx, dev, ips, 2, time.Second)
		must(t, err)
		return macs[0].String() == client.mac() && macs[1] == MAC{} && macs[2].String() == client.mac()
	})
	began := time.Now()
	macs, err := a.Neighbours(ctx, dev, ips, 3, 100*time.Millisecond)
	must(t, err)
	if took := time.Since(began); macs[1] != (MAC{}) || took < 100*time.Millisecond {
		t.Errorf("%v after %v", macs, took)
	}
}

// What is on the wire while we ask and is no answer to us: what another node asks
// for the same host, and what the host tells everybody though it does not hear us.
func TestWhatIsNoAnswerOfANeighbour(t *testing.T) {
	dev, client := newSpace(t)
	must(t, client.h.LinkSetARPOff(client.link("eth0"))) // it answers nothing by itself
	a := newAnnouncer(t)
	here, link := macOf(t, dev), client.link("eth0").Attrs()
	to := port{name: "eth0", index: link.Index, mac: MAC(link.HardwareAddr)}
	for name, frame := range map[string]func(src MAC, ip netip.Addr) []byte{
		"another node's probe":    func(src MAC, ip netip.Addr) []byte { return appendARPProbe(nil, src, ip) },
		"an announcement":         func(src MAC, ip netip.Addr) []byte { return appendGratuitousARP(nil, src, ip, arpRequest) },
		"an announcement's reply": func(src MAC, ip netip.Addr) []byte { return appendGratuitousARP(nil, src, ip, arpReply) },
		"a question of the host": func(src MAC, ip netip.Addr) []byte {
			return appendARP(nil, arp{op: arpRequest, sender: src, senderIP: ip.As4(), targetIP: [4]byte{192, 0, 2, 99}})
		},
		"an answer to another node": func(src MAC, ip netip.Addr) []byte {
			return appendARP(nil, arp{op: arpReply, sender: src, senderIP: ip.As4(), target: MAC{2, 0, 0, 0, 0, 9}})
		},
		"an answer of another host": func(src MAC, _ netip.Addr) []byte {
			return appendARP(nil, arp{op: arpReply, sender: src, senderIP: [4]byte{192, 0, 2, 9}, target: here})
		},
		"": func(src MAC, ip netip.Addr) []byte { // an answer indeed
			return appendARP(nil, arp{op: arpReply, sender: src, senderIP: ip.As4(), target: here})
		},
	} {
		ip := hosts("192.0.2.7")[0]
		ctx, cancel := context.WithCancel(ctx)
		var speaker sync.WaitGroup
		speak := func() {
			fd, err := sender()
			if err != nil {
				return
			}
			defer unix.Close(fd)
			for ctx.Err() == nil {
				_ = send(fd, to, frame(to.mac, ip))
				time.Sleep(5 * time.Millisecond)
			}
		}
		speaker.Go(func() { client.do(speak) })
		macs, err := a.Neighbours(ctx, dev, []netip.Addr{ip}, 1, 200*time.Millisecond)
		cancel()
		speaker.Wait()
		must(t, err)
		if answered := macs[0] != (MAC{}); answered != (name == "") {
			t.Errorf("%q: answered %v", name, answered)
		}
	}
}

func TestNeighboursSaysWhyItCouldNotAsk(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	must(t, client.h.LinkSetDown(client.link("eth0")))
	within(t, 3*time.Second, "the carrier goes", func() bool {
		_, err := a.Neighbours(ctx, dev, hosts("192.0.2.7"), 1, time.Millisecond)
		return errors.Is(err, ErrNoCarrier)
	})
	if _, err := a.Neighbours(ctx, "nosuch", hosts("192.0.2.7"), 1, time.Millisecond); err == nil || errors.Is(err, ErrNoCarrier) {
		t.Errorf("no such device: %v", err)
	}
}

func TestNeighboursEndsWithItsContext(t *testing.T) {
	dev, _ := newSpace(t)
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := newAnnouncer(t).Neighbours(ctx, dev, hosts("192.0.2.7"), 1, time.Minute)
	if took := time.Since(began); err == nil || took > 5*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

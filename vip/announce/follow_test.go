package announce

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// The time without an answer is seen from both of its ends.
func TestFollowSeesWhenTheOwnerGoesAndComesBack(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.1/24")
	a := newAnnouncer(t)
	following, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var heard []time.Time
	done := make(chan error, 1)
	go func() {
		done <- a.Follow(following, parse(t, "192.0.2.1@"+dev)[0], time.Millisecond, func(at time.Time, mac string) {
			mu.Lock()
			defer mu.Unlock()
			if mac != client.mac() {
				t.Errorf("%s answers", mac)
			}
			heard = append(heard, at)
		})
	}()
	newest := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		if len(heard) == 0 {
			return time.Time{}
		}
		return heard[len(heard)-1]
	}
	within(t, 5*time.Second, "answers", func() bool { return time.Since(newest()) < 50*time.Millisecond })
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	must(t, err)
	must(t, client.h.AddrDel(client.link("eth0"), addr))
	gone := time.Now()
	time.Sleep(300 * time.Millisecond)
	if last := newest(); last.After(gone.Add(50 * time.Millisecond)) {
		t.Errorf("an answer came %v after the address was gone", last.Sub(gone))
	}
	client.add("192.0.2.1/24")
	back := time.Now()
	within(t, 5*time.Second, "answers again", func() bool { return newest().After(back) })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFollowNeedsADevice(t *testing.T) {
	newSpace(t)
	a := newAnnouncer(t)
	err := a.Follow(ctx, parse(t, "192.0.2.1@none0")[0], time.Millisecond, nil)
	if err == nil || !strings.Contains(err.Error(), "none0") {
		t.Errorf("got %v", err)
	}
}

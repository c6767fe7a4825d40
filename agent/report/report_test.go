package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew; commit only what you understand")

func ms(v float64) *float64 { return &v }

var at = time.Date(2026, 8, 1, 12, 0, 0, 123e6, time.UTC)

// well is a pair without a fault, seen from the node that owns the group.
func well() Snapshot {
	return Snapshot{
		At: at, AgeMS: 12, Version: "0.1.0", Cluster: "office",
		Guarantee: Guarantee{
			Mode: "silence", Reason: "no fence device is configured",
			Safe:  "any pause, any clock, any link loss but the cut of all links while both nodes live",
			Price: "all links cut at once: the probe of the addresses is the last guard",
			Lease: "kernel gate (nft), 300 ms",
		},
		Self: NodeView{
			Name: "fw1", ID: 1, Alive: true, TwoWay: true, Session: "5f0c12aa", Version: "0.1.0",
			DigestOK: true, Digest: "9a3f00c1", UptimeMS: 273_600_000, LeaseMS: 300, Lines: "up (full null modem)",
		},
		Peer: NodeView{
			Name: "fw2", ID: 2, Alive: true, TwoWay: true, HeardAgoMS: ms(12.4), AckAgoMS: ms(31), Session: "77120b01",
			Version: "0.1.0", DigestOK: true, Digest: "9a3f00c1", UptimeMS: 5_400_000, LeaseMS: 325,
		},
		Links: []LinkView{
			{ID: 0, Name: "serial /dev/ttyS1", Type: "serial", Open: true, State: "up", HeardAgoMS: ms(12.4), RoundTripMS: ms(9.3), TxFrames: 100, RxFrames: 99},
			{ID: 1, Name: "multicast eth2 239.255.77.1:6940", Type: "multicast", Open: true, State: "up", HeardAgoMS: ms(13), RoundTripMS: ms(0.4), LossPercent: 1.56},
		},
		Groups: []Group{{
			Name: "gateway", State: "ACTIVE", PeerState: "ARMED", Owner: "fw1", Preferred: "fw1", Term: 7, SinceMS: 7_260_000,
			Evidence: "silence", GateOpen: true, LeaseLeftMS: 287.2, Addresses: []string{"192.0.2.1/24@eth0", "2001:db8::1/64@eth0"},
			AddressesUp: 2, Services: []string{"dnsmasq", "lighttpd"}, ServicesUp: true, CanTakeOver: true, Failback: "never", MovesInFlap: 1,
			LastTakeover: &Event{At: at.Add(-2 * time.Hour), Seen: "fw2 silent for 412 ms on 2 of 2 links, needed 400 ms; 3 probes unanswered", Decided: "take over", Done: "2 addresses up, gate open after 3 ms"},
		}},
	}
}

// sick is the other node's view while everything goes wrong at once.
func sick() Snapshot {
	s := well()
	s.Self, s.Peer = s.Peer, s.Self
	s.Self.Maintenance = &Maintenance{Reason: "new disk", By: "alice (uid 1000)", Since: at.Add(-time.Hour), LeftSec: 3600}
	s.Self.Fence = &FenceView{Device: "pdu", Power: "unknown", Error: "request timeout", AgoMS: 61_000, Last: "none in this boot"}
	s.Peer.Alive, s.Peer.TwoWay, s.Peer.HeardAgoMS, s.Peer.AckAgoMS, s.Peer.DigestOK = false, false, ms(95_000), nil, false
	s.Links[0] = LinkView{ID: 0, Name: "serial /dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A9XYZ-if00-port0", State: "closed", Error: "open /dev/ttyUSB0: no such file or directory", Reopens: 47}
	s.Links[1].State, s.Links[1].Drops = "one-way-in", map[string]uint64{"replay": 1, "mac": 12, "own": 0}
	s.Links[1].TxFrames, s.Links[1].TxDropped = 90, 10
	s.Groups[0] = Group{
		Name: "gateway", State: "FAILED", PeerState: "", Term: 8, SinceMS: 9000, Preferred: "fw1", WhyNot: "maintenance",
		Addresses: []string{"a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"}, Failback: "hold", MovesInFlap: 3, FlapFrozen: true,
		Unfit: "service dnsmasq: start: exit status 1: \x1b[31mbind: address in use\x1b[0m", Services: []string{"dnsmasq"},
	}
	s.Monitors = []Monitor{
		{Name: "lan", Type: "interface", State: "down", SinceMS: 12_300, Reason: "eth0 has no carrier", Weight: 40, Loss: 40, Critical: true},
		{Name: "gateway", Type: "ping", State: "up", SinceMS: 7_260_000, Reason: "192.0.2.254 answers", Weight: 30},
		{Name: "conntrack", Type: "command", State: "unknown", SinceMS: 900, Reason: "run /usr/local/sbin/conntrack-ok: no such file or directory", Weight: 20},
	}
	s.Alarms = []Alarm{{Name: "config-differs", Text: "fw1 has 9a3f00c1, this node has 9a3f00c2", Since: at.Add(-time.Minute)}}
	return s
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestStatusReadsAsTheGoldenFilesSay(t *testing.T) {
	golden(t, "well.txt", Render(well(), 80))
	golden(t, "sick.txt", Render(sick(), 80))
	golden(t, "wide.txt", Render(well(), 120))
}

func TestStatusFitsTheConsole(t *testing.T) {
	for _, s := range []Snapshot{well(), sick(), {}} {
		for _, width := range []int{60, 80, 100, 132} {
			for line := range strings.Lines(Render(s, width)) {
				n := utf8.RuneCountInString(strings.TrimRight(line, "\n"))
				if n > width && !strings.Contains(line, "usb-FTDI") { // one long word is not cut
					t.Errorf("width %d: %d columns: %q", width, n, line)
				}
			}
		}
	}
}

func TestTextFromOutsideCannotDriveTheTerminal(t *testing.T) {
	evil := "a\x1b]0;owned\x07b\u202ec\nd\xffe"
	s := sick()
	s.Self.Name, s.Peer.Name, s.Cluster, s.Groups[0].Name, s.Links[0].Name, s.Alarms[0].Text = evil, evil, evil, evil, evil, evil
	text := Render(s, 80) + RenderEvent(Event{Kind: evil, Group: evil, Seen: evil, Decided: evil})
	if strings.ContainsAny(text, "\x1b\x07\u202e") || !utf8.ValidString(text) {
		t.Errorf("control characters reach the terminal: %q", text)
	}
}

func TestEventsReadAsTheGoldenFileSays(t *testing.T) {
	events := []Event{
		{At: at, Kind: "agent", Seen: "started, boot 4", Seq: 1},
		{At: at, Kind: "role", Group: "gateway", From: "ARMED", To: "ACTIVE", Term: 8, Evidence: "silence", Seen: "fw1 silent for 412 ms on 2 of 2 links, needed 400 ms; 3 probes in 60 ms unanswered", Decided: "take over", Done: "2 addresses up, gate open after 3 ms"},
		{At: at, Kind: "link", Seen: strings.Repeat("very long ", 12)},
		{At: at, Kind: "operator", Group: "gateway", Decided: "hand over", Done: "gate closed"},
		{},
	}
	var text strings.Builder
	for _, e := range events {
		text.WriteString(RenderEvent(e))
	}
	golden(t, "events.txt", text.String())
}

func TestOneFaultIsEnoughToBeDegraded(t *testing.T) {
	if got := Reasons(well()); len(got) != 0 {
		t.Fatalf("a well pair is degraded: %q", got)
	}
	faults := map[string]func(*Snapshot){
		"alarm x":                            func(s *Snapshot) { s.Alarms = []Alarm{{Name: "x"}} },
		"link 1 (multicast":                  func(s *Snapshot) { s.Links[1].State = "one-way-out" },
		"no link is configured":              func(s *Snapshot) { s.Links = nil },
		"peer fw2 is not alive":              func(s *Snapshot) { s.Peer.Alive = false },
		"does not hear this node":            func(s *Snapshot) { s.Peer.TwoWay = false },
		"different configuration":            func(s *Snapshot) { s.Peer.DigestOK = false },
		"configuration: timing.beat, fence":  func(s *Snapshot) { s.Peer.DigestOK, s.Peer.Differs = false, []string{"timing.beat", "fence"} },
		"nobody owns it":                     func(s *Snapshot) { s.Groups[0].Owner = "" },
		"BOTH nodes say they own it":         func(s *Snapshot) { s.Groups[0].PeerState = "solo" },
		"its gate is closed":                 func(s *Snapshot) { s.Groups[0].GateOpen = false },
		"1 of 2 addresses are up":            func(s *Snapshot) { s.Groups[0].AddressesUp = 1 },
		"services are not all up":            func(s *Snapshot) { s.Groups[0].ServicesUp = false },
		"is unfit":                           func(s *Snapshot) { s.Groups[0].Unfit = "dnsmasq" },
		"moves are frozen":                   func(s *Snapshot) { s.Groups[0].FlapFrozen = true },
		"node fw2 is in maintenance":         func(s *Snapshot) { s.Peer.Maintenance = &Maintenance{} },
		"fence device of fw1":                func(s *Snapshot) { s.Self.Fence = &FenceView{Error: "timeout"} },
		"loop has not turned for 3.0 s":      func(s *Snapshot) { s.AgeMS = StaleAfterMS + 1 },
		"link 0 (serial /dev/ttyS1) is down": func(s *Snapshot) { s.Links[0].State = "down" },
	}
	for want, fault := range faults {
		s := well()
		fault(&s)
		got := Reasons(s)
		if len(got) != 1 || !strings.Contains(got[0], want) || !Degraded(s) {
			t.Errorf("want one reason with %q, got %q", want, got)
		}
	}
}

func TestSpansAreShort(t *testing.T) {
	for ms, want := range map[float64]string{
		0: "0.0 ms", 0.44: "0.4 ms", 9.94: "9.9 ms", 9.97: "10 ms", 287.4: "287 ms", 999.4: "999 ms", 999.6: "1.0 s",
		12_340: "12.3 s", 119_900: "119.9 s", 120_000: "2 min", 7_199_999: "119 min", 7_200_000: "2 h 0 min", 90_000_000: "1 d 1 h", -5: "-5.0 ms",
	} {
		if got := Span(ms); got != want {
			t.Errorf("Span(%v) = %q, want %q", ms, got, want)
		}
	}
}

// The ring against the dumbest thing that can be right: a slice.
func TestRingAgreesWithASlice(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	var ring Ring
	var all []Event
	for i := range 5 * RingSize {
		e := ring.Add(Event{Kind: fmt.Sprint(i)})
		all = append(all, e)
		if i%97 != 0 {
			continue
		}
		after := uint64(rng.Intn(i + 3))
		held := all[max(0, len(all)-RingSize):]
		want := slices.DeleteFunc(slices.Clone(held), func(e Event) bool { return e.Seq <= after })
		got := ring.After(after)
		if len(want) != len(got) || (len(want) > 0 && !cmp.Equal(want, got)) {
			t.Fatalf("after %d events, After(%d): %d events, want %d", i+1, after, len(got), len(want))
		}
		if ring.Last() != uint64(i+1) {
			t.Fatalf("last = %d, want %d", ring.Last(), i+1)
		}
	}
}

func TestSequenceNumbersGoOnOverARestart(t *testing.T) {
	var ring Ring
	ring.Restore([]Event{{Seq: 40}, {Seq: 41}, {Seq: 41}, {Seq: 7}, {}})
	var got []uint64
	ring.Add(Event{})
	for _, e := range ring.After(0) {
		got = append(got, e.Seq)
	}
	if want := []uint64{40, 41, 42, 43, 44, 45}; !slices.Equal(got, want) {
		t.Errorf("numbers %v, want %v", got, want)
	}
}

func TestSnapshotSurvivesJSON(t *testing.T) {
	for _, s := range []Snapshot{well(), sick()} {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Snapshot
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Errorf("snapshot changed on the way (-want +got):\n%s", diff)
		}
	}
}

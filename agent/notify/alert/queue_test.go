package alert

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/twinbeat/twinbeat/agent/report"
)

var everything = Filter{Severity: Info}

// raise and clear are alerts of one alarm.
func alarm(seq uint64, name string, on bool) *Alert {
	what := map[bool]string{true: "raise ", false: "clear "}[on]
	a := Of(report.Event{Seq: seq, At: noon, Kind: "alarm", Decided: what + name}, office)
	return &a
}

// drain delivers all that may go at this time.
func drain(q *Queue, now time.Duration) (got []string) {
	for range 1000 {
		a, ok, _ := q.Next(now, noon)
		if !ok {
			return got
		}
		text := fmt.Sprintf("%s %s", a.Name, a.State)
		if a.Kind == KindNotify {
			text = a.Seen
		}
		if a.Repeats > 0 {
			text += fmt.Sprintf(" +%d", a.Repeats)
		}
		got = append(got, text)
		q.Done(now, a, Delivered)
	}
	panic("a queue without end")
}

func TestEachStateIsToldOnceAnIntervalAndWhatCameLastIsToldLast(t *testing.T) {
	type step struct {
		at   time.Duration
		name string // empty: only look
		on   bool
		want []string
	}
	for name, steps := range map[string][]step{
		"once": {{0, "a", true, []string{"a raised"}}, {time.Hour, "", false, nil}},
		"its end is told at once": {
			{0, "a", true, []string{"a raised"}},
			{time.Second, "a", false, []string{"a cleared"}},
			{time.Hour, "", false, nil},
		},
		"flapping": {
			{0, "a", true, []string{"a raised"}},
			{1 * time.Second, "a", false, []string{"a cleared"}},
			{2 * time.Second, "a", true, nil},
			{3 * time.Second, "a", false, nil},
			{4 * time.Second, "a", true, nil},
			{10*time.Minute - 1, "", false, nil},
			{10 * time.Minute, "", false, []string{"a raised +2"}},
			{11 * time.Minute, "a", false, []string{"a cleared"}},
			{12 * time.Minute, "a", true, nil},
			{20 * time.Minute, "", false, []string{"a raised"}},
			{40 * time.Minute, "a", true, []string{"a raised"}},
		},
		"a state that is new is told at once, with what was held back": {
			{0, "a", true, []string{"a raised"}},
			{1 * time.Second, "a", true, nil},
			{2 * time.Second, "a", true, nil},
			{3 * time.Second, "a", false, []string{"a cleared +2"}},
			{time.Hour, "", false, nil},
		},
		"others are not held back": {
			{0, "a", true, []string{"a raised"}},
			{1, "b", true, []string{"b raised"}},
			{2, "a", true, nil},
			{3, "c", true, []string{"c raised"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := New("t", office, everything, Limits{Repeat: 10 * time.Minute})
			for i, s := range steps {
				if s.name != "" {
					q.Offer(s.at, alarm(uint64(i), s.name, s.on))
				}
				if diff := cmp.Diff(s.want, drain(q, s.at)); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestAQueueSaysWhenToAskAgain(t *testing.T) {
	q := New("t", office, everything, Limits{Repeat: 10 * time.Minute})
	if _, ok, wait := q.Next(0, noon); ok || wait != 0 {
		t.Errorf("an empty queue: %v, %v", ok, wait)
	}
	q.Offer(0, alarm(1, "a", true))
	a, _, _ := q.Next(0, noon)
	q.Done(0, a, Delivered)
	if _, ok, wait := q.Next(time.Minute, noon); ok || wait != 0 {
		t.Errorf("nothing is held back: %v, %v", ok, wait)
	}
	q.Offer(time.Minute, alarm(2, "a", true))
	if _, ok, wait := q.Next(time.Minute, noon); ok || wait != 9*time.Minute {
		t.Errorf("a repetition is held back: %v, %v", ok, wait)
	}
}

func TestWhatFailsIsTriedAgainLaterAndLater(t *testing.T) {
	q := New("t", office, everything, Limits{})
	q.Offer(0, alarm(1, "a", true))
	now, pauses := time.Duration(0), []time.Duration{}
	for range 10 {
		a, ok, _ := q.Next(now, noon)
		if !ok {
			t.Fatal("it gave up")
		}
		q.Done(now, a, Failed)
		_, ok, wait := q.Next(now, noon)
		if ok {
			t.Fatal("no pause")
		}
		pauses = append(pauses, wait)
		now += wait
	}
	s := time.Second
	if want := []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 300 * s, 300 * s}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	if got := drain(q, now); len(got) != 1 || q.Tries() != 0 {
		t.Errorf("told %v, %d tries", got, q.Tries())
	}
}

func TestAnAlertThatIsRefusedDoesNotBlockTheOthersForEver(t *testing.T) {
	q := New("t", office, everything, Limits{})
	q.Offer(0, alarm(1, "poison", true))
	q.Offer(0, alarm(2, "b", true))
	now := time.Duration(0)
	for range MaxRefusals {
		a, ok, _ := q.Next(now, noon)
		if !ok || a.Name != "poison" {
			t.Fatalf("%v %v", a.Name, ok)
		}
		q.Done(now, a, Refused)
		now += MaxRetry
	}
	if got := drain(q, now); !slices.Equal(got, []string{"b raised"}) {
		t.Errorf("told %v", got)
	}
	if _, _, _, lost := q.Counts(); lost != 1 {
		t.Errorf("%d given up", lost)
	}
}

func TestTheRateHoldsAndAnHourMayComeAtOnce(t *testing.T) {
	q := New("t", office, everything, Limits{Rate: 6})
	for i := range uint64(20) {
		q.Offer(0, alarm(i, fmt.Sprint("a", i), true))
	}
	var told []int
	for m := range 121 {
		told = append(told, len(drain(q, time.Duration(m)*time.Minute)))
	}
	if told[0] != 6 || told[10] != 1 || told[20] != 1 || told[11] != 0 {
		t.Errorf("told %v", told)
	}
	for m := range 60 {
		sum := 0
		for _, n := range told[m+1 : m+61] {
			sum += n
		}
		if sum > 6 {
			t.Errorf("%d in the hour from minute %d", sum, m+1)
		}
	}
	if n, _, _, _ := q.Counts(); n != 2 {
		t.Errorf("%d wait after two hours", n)
	}
}

func TestAnOverflowIsCountedAndToldFirst(t *testing.T) {
	q := New("t", office, everything, Limits{})
	for i := range uint64(MaxWaiting + 7) {
		q.Offer(0, alarm(i, fmt.Sprint("a", i), true))
	}
	got := drain(q, 0)
	if len(got) != MaxWaiting+1 || got[0] != "queue overflow: 7 dropped" || got[1] != "a7 raised" || got[MaxWaiting] != "a106 raised" {
		t.Errorf("told %d: %v ... %v", len(got), got[:2], got[len(got)-1])
	}
	if n := len(drain(q, time.Hour)); n != 0 {
		t.Errorf("then told %d more", n)
	}
}

func TestWhatIsUnderWayWhenItIsDroppedIsNotCountedAsLost(t *testing.T) {
	q := New("t", office, everything, Limits{})
	q.Offer(0, alarm(0, "a", true))
	a, _, _ := q.Next(0, noon)
	for i := range uint64(MaxWaiting) {
		q.Offer(0, alarm(i+1, fmt.Sprint("b", i), true))
	}
	q.Done(0, a, Delivered)
	if waiting, _, dropped, _ := q.Counts(); waiting != MaxWaiting || dropped != 0 {
		t.Errorf("%d wait, %d dropped", waiting, dropped)
	}
}

func TestATargetIsNotToldOfItself(t *testing.T) {
	q := New("mail", office, everything, Limits{})
	for _, name := range []string{"mail", "log"} {
		a := Of(report.Event{Kind: KindNotify, To: "failing", Done: "target " + name}, office)
		q.Offer(0, &a)
	}
	if got, _, _, _ := q.Counts(); got != 1 {
		t.Errorf("%d wait", got)
	}
}

func TestTopicsAreBoundedAndWhatTheyHeldBackIsTold(t *testing.T) {
	q := New("t", office, everything, Limits{Repeat: time.Hour})
	q.Offer(0, alarm(0, "a", true))
	q.Offer(0, alarm(1, "a", true)) // held back
	drain(q, 0)
	for i := range uint64(MaxTopics) {
		q.Offer(1, alarm(i, fmt.Sprint("b", i), true))
		drain(q, 1)
	}
	if len(q.windows) != MaxTopics {
		t.Errorf("%d topics", len(q.windows))
	}
	if _, held, _, _ := q.Counts(); held != 0 {
		t.Errorf("%d held back still", held)
	}
}

// Whatever comes, every alert is told, counted as a repetition that is told, or
// counted as dropped, in order and across restarts.
func TestNothingIsLostWithoutACount(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		limits := Limits{Repeat: time.Duration(r.IntN(3)) * time.Minute, Rate: r.IntN(3) * 100}
		q := New("t", office, everything, limits)
		var offered, told, dropped uint64
		now := time.Duration(0)
		for range 2000 {
			now += time.Duration(r.IntN(20)) * time.Second
			switch dice := r.IntN(100); {
			case dice >= 40:
				offered++
				q.Offer(now, alarm(offered, fmt.Sprint("a", r.IntN(200)), r.IntN(2) == 0))
			case dice == 0: // a restart
				b := roundTrip(t, q.Backlog(true))
				q = New("t", office, everything, limits)
				q.Restore(b)
			default:
				a, ok, _ := q.Next(now, noon)
				if !ok {
					continue
				}
				if r.IntN(3) == 0 {
					q.Done(now, a, Failed)
					continue
				}
				if a.Kind == KindNotify {
					var n uint64
					if _, err := fmt.Sscanf(a.Seen, "queue overflow: %d dropped", &n); err != nil {
						t.Fatal(err)
					}
					dropped += n
				} else {
					told += 1 + uint64(a.Repeats)
				}
				q.Done(now, a, Delivered)
			}
		}
		waiting, held, left, lost := q.Counts()
		inQueue := uint64(0)
		for _, a := range q.waiting {
			inQueue += 1 + uint64(a.Repeats)
		}
		// A summary that is dropped counts once, whatever it stands for.
		if sum := told + dropped + left + inQueue + uint64(held) + lost; sum > offered || waiting > MaxWaiting {
			t.Fatalf("seed %d: offered %d, told %d, dropped %d+%d, waiting %d, held back %d", seed, offered, told, dropped, left, inQueue, held)
		} else if sum < offered && dropped+left == 0 {
			t.Fatalf("seed %d: offered %d, accounted for %d without a drop", seed, offered, sum)
		}
	}
}

func roundTrip(t *testing.T, b Backlog) Backlog {
	t.Helper()
	text, err := Spool{Owed: []Backlog{b}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return s.Owed[0]
}

func TestASpoolIsWholeOrNothing(t *testing.T) {
	s := Spool{Boot: 3, Seq: 9, At: noon, Owed: []Backlog{
		{Name: "log", Dropped: 2, Waiting: []Alert{*alarm(1, "a", true), *alarm(2, "b", true)}},
		{Name: "mail", Waiting: []Alert{*alarm(2, "b", true), *alarm(1, "a", true)}},
		{Name: "page"},
	}}
	whole, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(whole)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Error(diff)
	}
	if n := bytes.Count(whole, []byte(`"raise a"`)); n != 1 {
		t.Errorf("an alert for two targets stands there %d times", n)
	}
	for i := range whole {
		if _, err := Decode(whole[:i]); err == nil {
			t.Fatalf("%d of %d bytes are taken", i, len(whole))
		}
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := Decode(bad); err == nil {
			t.Fatalf("a wrong byte %d is taken", i)
		}
	}
	if _, err := Decode(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte too many is taken")
	}
}

func FuzzDecode(f *testing.F) {
	s, _ := Spool{Seq: 1, Owed: []Backlog{{Name: "log", Waiting: []Alert{*alarm(1, "a", true)}}}}.Encode()
	const head = len(magic) + 4
	f.Add(s, false)
	f.Add(s[head:len(s)-crc32.Size], true)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal { // else the checksum stops nearly everything
			text := b
			b = binary.BigEndian.AppendUint32([]byte(magic), uint32(len(text)))
			b = append(b, text...)
			b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
		}
		s, err := Decode(b)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(again); err != nil || !cmp.Equal(s, got) {
			t.Fatalf("%v\n%s", err, cmp.Diff(s, got))
		}
	})
}

func TestWhatIsCriticalIsToldEachTime(t *testing.T) {
	q := New("t", office, everything, Limits{Repeat: time.Hour})
	for i := range uint64(3) {
		for _, to := range []string{"ACTIVE", "RELEASING", "STANDBY"} {
			e := report.Event{Seq: i, Kind: "role", Group: "gateway", To: to}
			if to == "ACTIVE" {
				e.Evidence = "silence"
			}
			a := Of(e, office)
			q.Offer(time.Duration(i), &a)
		}
	}
	var got []string
	for range 100 {
		a, ok, _ := q.Next(0, noon)
		if !ok {
			break
		}
		got = append(got, fmt.Sprint(a.To, " ", a.Repeats))
		q.Done(0, a, Delivered)
	}
	if want := []string{"ACTIVE 0", "RELEASING 0", "STANDBY 0", "ACTIVE 0", "ACTIVE 2"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if _, held, _, _ := q.Counts(); held != 2 {
		t.Errorf("%d held back", held)
	}
}

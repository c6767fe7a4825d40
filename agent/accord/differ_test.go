package accord

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// blind stands for wire.Endpoint.Blind; key 9 is listed nowhere.
func blind(keyID uint8, d *[32]byte) (uint32, bool) {
	h := hmac.New(sha256.New, []byte{keyID})
	h.Write(d[:])
	return binary.BigEndian.Uint32(h.Sum(nil)), keyID != 9
}

// config makes keys of "name=value" words.
func config(text string) []Key {
	var out []Key
	for _, w := range strings.Fields(text) {
		name, value, _ := strings.Cut(w, "=")
		out = append(out, Key{name, sha256.Sum256([]byte(value))})
	}
	return out
}

// A node compares, and loses what it hears with some probability.
type node struct {
	*Differ
	name string
	key  uint8
}

func pairOf(own, other string) (a, b *node) {
	a = &node{NewDiffer(config(own)), "fw1", 1}
	b = &node{NewDiffer(config(other)), "fw2", 1}
	a.Begin(Epoch{7, 100, 200})
	b.Begin(Epoch{7, 200, 100})
	return a, b
}

// talk lets both tell for so many frames of so much room.
func talk(t *testing.T, a, b *node, frames, room int, lost func() bool) {
	t.Helper()
	for range frames {
		for _, n := range [][2]*node{{a, b}, {b, a}} {
			item, _ := n[0].Next(room, n[0].key, blind)
			if len(item) > room {
				t.Fatalf("%d bytes in a room of %d", len(item), room)
			}
			if item != nil && !lost() {
				n[1].Hear(item, blind)
			}
		}
	}
}

func never() bool { return false }

func TestBothNodesNameTheKeysThatDiffer(t *testing.T) {
	const base = "cluster=a mode=fence timing.beat=50 timing.dead=250 group[0].name=x group[0].failback=never group[0].service[0].unit=dns link[0].type=serial"
	for _, c := range []struct{ name, own, other, want string }{
		{"a value", base, strings.Replace(base, "beat=50", "beat=60", 1), "timing.beat"},
		{"a value at the top", base, strings.Replace(base, "mode=fence", "mode=lease", 1), "mode"},
		{"two values of two tables", base, strings.NewReplacer("failback=never", "failback=auto", "=dns", "=dhcp").Replace(base), "group[0].failback group[0].service[0].unit"},
		{"a key of one node", base + " timing.lease=1", base, "timing.lease (only on fw1)"},
		{"a key of the other", base, base + " timing.lease=1", "timing.lease (only on fw2)"},
		{"a table of one node", base + " link[1].type=multicast link[1].port=1", base, "link[1] (only on fw1)"},
		{"a table of the other", base, base + " fence.retry=1", "fence (only on fw2)"},
		{"all at once", base + " zone.a=1", strings.NewReplacer("=50", "=51", "=x", "=y").Replace(base) + " fence.b=2", "fence (only on fw2) group[0].name timing.beat zone (only on fw1)"},
		{"nothing", base, base, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pairOf(c.own, c.other)
			talk(t, a, b, 12, 190, never)
			for i, n := range []*node{a, b} {
				r := n.Result([]string{"fw1", "fw2"}[i], []string{"fw2", "fw1"}[i], blind)
				if got := strings.Join(r.Names, " "); got != c.want || !r.Known || r.More != 0 {
					t.Errorf("%s: %q, known %v, %d more; want %q", n.name, got, r.Known, r.More, c.want)
				}
			}
		})
	}
}

// Configurations of random size that differ at random are told apart in frames
// of random room, half of which are lost.
func TestRandomConfigurationsAreToldApart(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		var own, other, want []string
		for i := range 1 + r.IntN(80) {
			name := fmt.Sprintf("table%d.key%d", r.IntN(6), i)
			switch r.IntN(30) {
			case 0:
				own, other, want = append(own, name+"=1"), append(other, name+"=2"), append(want, name)
			case 1: // its table may be on one node only: then that is named
				own = append(own, name+"=1")
				want = append(want, name+" (only on fw1)")
			default:
				own, other = append(own, name+"=1"), append(other, name+"=1")
			}
		}
		table := func(w string) string { return w[:strings.Index(w, ".")] }
		for i, w := range want {
			if has := slices.ContainsFunc(other, func(o string) bool { return table(o) == table(w) }); !has {
				want[i] = table(w) + " (only on fw1)"
			}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		a, b := pairOf(strings.Join(own, " "), strings.Join(other, " "))
		talk(t, a, b, 400, 60+r.IntN(130), func() bool { return r.IntN(2) == 0 })
		got := a.Result("fw1", "fw2", blind)
		if more := max(0, len(want)-MaxNamed); !got.Known || got.More != more || !slices.Equal(got.Names, want[:len(want)-more]) {
			t.Fatalf("seed %d: %+v\nwant %q", seed, got, want)
		}
	}
}

func TestNothingIsNamedBeforeItIsKnown(t *testing.T) {
	a, b := pairOf("x.a=1 x.b=2 y.c=3", "x.a=1 x.b=9 y.c=3")
	if r := a.Result("fw1", "fw2", blind); r.Known || len(r.Names) > 0 {
		t.Errorf("before a word: %+v", r)
	}
	first, last := b.Next(20, 1, blind) // the first table alone
	if last {
		t.Fatal("all fits into 20 bytes: the test does not test")
	}
	a.Hear(first, blind)
	if r := a.Result("fw1", "fw2", blind); r.Known || len(r.Names) > 0 {
		t.Errorf("after half of the tables: %+v", r)
	}
	rest, _ := b.Next(190, 1, blind)
	a.Hear(rest, blind)
	if r := a.Result("fw1", "fw2", blind); r.Known || len(r.Names) > 0 {
		t.Errorf("with the tables, without the keys: %+v", r)
	}
	if a.Told() <= b.Told() {
		t.Errorf("who knows the peer's tables has keys to tell: %d and %d", a.Told(), b.Told())
	}
}

func TestAnotherEpochStartsAnew(t *testing.T) {
	a, b := pairOf("x.a=1", "x.a=2")
	talk(t, a, b, 8, 190, never)
	if r := a.Result("fw1", "fw2", blind); !r.Known {
		t.Fatal("not known")
	}
	a.Begin(Epoch{7, 100, 200}) // the same
	if r := a.Result("fw1", "fw2", blind); !r.Known {
		t.Error("forgotten without a reason")
	}
	a.Begin(Epoch{7, 100, 201}) // the peer has another configuration now
	if r := a.Result("fw1", "fw2", blind); r.Known || len(r.Names) > 0 {
		t.Errorf("kept: %+v", r)
	}
	item, _ := b.Next(190, 1, blind) // of the one before
	a.Hear(item, blind)
	if r := a.Result("fw1", "fw2", blind); r.Known || len(r.Names) > 0 {
		t.Errorf("heard of the one before: %+v", r)
	}
}

// While keys turn, a list may come by two keys; sums of one are not compared
// with sums of the other.
func TestAnotherKeyInTheMiddleOfAListIsNoDifference(t *testing.T) {
	a, b := pairOf("x.a=1 y.b=2 z.c=3", "x.a=1 y.b=2 z.c=4")
	item, _ := b.Next(20, 1, blind)
	a.Hear(item, blind)
	b.key = 2
	talk(t, a, b, 10, 190, never)
	if r := a.Result("fw1", "fw2", blind); !r.Known || len(r.Names) != 1 || r.Names[0] != "z.c" {
		t.Errorf("%+v", r)
	}
}

func TestWithoutAKeyNothingIsToldOrConcluded(t *testing.T) {
	a, b := pairOf("x.a=1", "x.a=2")
	if item, _ := a.Next(190, 9, blind); item != nil {
		t.Errorf("told %x without a key", item)
	}
	item, _ := b.Next(190, 1, blind)
	item[1] = 9
	a.Hear(item, blind)
	if r := a.Result("fw1", "fw2", blind); len(r.Names) > 0 {
		t.Errorf("%+v", r)
	}
}

func TestNamesAreBounded(t *testing.T) {
	long := "t." + strings.Repeat("x", 300)
	var own []string
	for i := range 40 {
		own = append(own, fmt.Sprintf("a.k%02d=%d", i, i))
	}
	a, b := pairOf(long+"=1 "+strings.Join(own, " "), long+"=2 a.z=1")
	talk(t, a, b, 40, 190, never)
	r := b.Result("fw2", "fw1", blind)
	if !r.Known || len(r.Names) != MaxNamed || r.More != 42-MaxNamed || !strings.HasSuffix(r.String(), " and 26 more") {
		t.Errorf("%d names, %d more: %s", len(r.Names), r.More, r)
	}
}

// FuzzDiffer hears any items between good ones: it must not panic, keep more
// than its bound, nor forget how to come to the right answer.
func FuzzDiffer(f *testing.F) {
	_, b := pairOf("", "x.a=1 y.b=2")
	good, _ := b.Next(190, 1, blind)
	f.Add(good)
	f.Add([]byte{0, 1, 0, 0, 0, 200, 255, 255, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 1, 0, 0, 0, 200, 0, 2, 0, 1, 0, 0, 0, 1, 200})
	f.Add([]byte{0, 1, 0, 0, 0, 200, 0, 2, 0, 0, 1, 2, 3, 4, 1, 'x', 1, 2, 3, 4, 1, 'y'})
	f.Fuzz(func(t *testing.T, item []byte) {
		a, b := pairOf("x.a=1 y.b=2", "x.a=1 y.b=3")
		a.Hear(item, blind)
		for _, l := range a.peer {
			if len(l.names) > MaxKeys || l.left < 0 || l.left > len(l.names) {
				t.Fatalf("%d names, %d left", len(l.names), l.left)
			}
		}
		a.Result("fw1", "fw2", blind)
		a.Begin(Epoch{8, 100, 200})
		b.Begin(Epoch{8, 200, 100})
		talk(t, a, b, 12, 190, never)
		if r := a.Result("fw1", "fw2", blind); !r.Known || len(r.Names) != 1 || r.Names[0] != "y.b" {
			t.Fatalf("%+v", r)
		}
	})
}

package accord

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sort"
	"strings"
)

// Bounds of the comparison of two configurations.
const (
	MaxKeys  = 1 << 14 // entries of one list: more than a configuration can have
	MaxName  = 120     // bytes of a name; the rest of a longer one is not told
	MaxNamed = 16      // names that one answer spells out
)

// A Key is a key of the configuration, or a whole table, with a digest of its
// value. Of the digest only a blinded part is told: the value may be a secret.
type Key struct {
	Name string // as problems name it: group[0].failback
	Sum  [sha256.Size]byte
}

// A Blind turns a digest into the number that is told for it, by a key of the
// session; false: it cannot be made now.
type Blind func(keyID uint8, digest *[sha256.Size]byte) (uint32, bool)

// The lists that each node tells: all its tables first; then the keys of those
// tables that both have and that differ. So what is told depends on what
// differs and not on how long the configurations are.
const (
	tables = iota
	keys
	nLists
)

// A Differ compares this node's configuration with the peer's. The owner calls
// Begin whenever who compares what may have changed, sends what Next returns
// and hands on what it hears.
type Differ struct {
	all   []Key // tables and keys of this node, by name
	own   [nLists][]Key
	peer  [nLists]list
	epoch Epoch
	turn  int // the list that is being told
	at    int // the next of it
}

// An Epoch is what one comparison is about; with another one all starts anew.
type Epoch struct {
	Session   uint32
	Own, Peer uint32 // digests of the two configurations
}

// A list is what has been heard of a list of the peer.
type list struct {
	heard bool
	key   uint8 // by which the sums are blinded
	left  int   // entries that have not come yet
	names []string
	sums  []uint32
}

// NewDiffer returns a comparison of the keys of this node. A key's table is what
// stands before the last dot of its name.
func NewDiffer(all []Key) *Differ {
	d := &Differ{all: append([]Key(nil), all...)}
	for i := range d.all {
		d.all[i].Name = d.all[i].Name[:min(len(d.all[i].Name), MaxName)]
	}
	sort.Slice(d.all, func(i, j int) bool { return d.all[i].Name < d.all[j].Name })
	d.own[tables] = tablesOf(d.all)
	return d
}

// tableOf returns the table of a key; that of the keys at the top is "".
func tableOf(name string) string { return name[:max(0, strings.LastIndexByte(name, '.'))] }

// tablesOf makes the list of tables: the digest of each is over its keys.
func tablesOf(all []Key) []Key {
	sums := map[string][]byte{}
	for _, k := range all {
		t := tableOf(k.Name)
		sums[t] = append(append(append(sums[t], k.Name...), 0), k.Sum[:]...)
	}
	var out []Key
	for name, b := range sums {
		out = append(out, Key{name, sha256.Sum256(b)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out[:min(len(out), MaxKeys)]
}

// Begin says what is compared now. It forgets what was heard if that is new.
func (d *Differ) Begin(e Epoch) {
	if e != d.epoch {
		*d = Differ{all: d.all, own: [nLists][]Key{d.own[tables]}, epoch: e}
	}
}

// The head of an item: list (1), key id (1), digest of the configuration (4),
// length of the list (2), number of the first entry in it (2). An entry: sum (4),
// length of the name (1), name.
const (
	itemHead  = 10
	entryHead = 5
)

// Told returns how many entries this node tells in all, as far as it knows.
func (d *Differ) Told() int { return len(d.own[tables]) + len(d.own[keys]) }

// Next returns the next part of what the peer is told, in at most room bytes,
// and false for last when all was told once. It returns nil if there is no room.
func (d *Differ) Next(room int, keyID uint8, blind Blind) (item []byte, last bool) {
	own := d.own[d.turn]
	if room < itemHead || len(own) == 0 {
		return nil, d.advance()
	}
	b := binary.BigEndian.AppendUint32([]byte{uint8(d.turn), keyID}, d.epoch.Own)
	b = binary.BigEndian.AppendUint16(b, uint16(len(own)))
	b = binary.BigEndian.AppendUint16(b, uint16(d.at))
	for d.at < len(own) {
		k := &own[d.at]
		sum, ok := blind(keyID, &k.Sum)
		if !ok || len(b)+entryHead+len(k.Name) > room {
			break
		}
		b = append(append(binary.BigEndian.AppendUint32(b, sum), uint8(len(k.Name))), k.Name...)
		d.at++
	}
	if len(b) == itemHead {
		return nil, false
	}
	return b, d.at == len(own) && d.advance()
}

// advance goes on to the next list that has entries; it returns true after the
// last.
func (d *Differ) advance() bool {
	d.at = 0
	d.turn = (d.turn + 1) % nLists
	return d.turn == tables || len(d.own[d.turn]) == 0 && d.advance()
}

// Hear takes an item of the peer. What is not well formed, or about another
// configuration of it, is dropped.
func (d *Differ) Hear(item []byte, blind Blind) {
	if len(item) < itemHead || item[0] >= nLists || binary.BigEndian.Uint32(item[2:]) != d.epoch.Peer {
		return
	}
	total, from := int(binary.BigEndian.Uint16(item[6:])), int(binary.BigEndian.Uint16(item[8:]))
	l := &d.peer[item[0]]
	if total > MaxKeys || from >= total {
		return
	}
	if !l.heard || len(l.names) != total || l.key != item[1] {
		*l = list{heard: true, key: item[1], left: total, names: make([]string, total), sums: make([]uint32, total)}
	}
	l.take(item[itemHead:], from)
	if item[0] == tables && l.left == 0 && len(d.own[keys]) == 0 {
		d.own[keys] = d.keysOf(l, blind)
	}
}

// take fills in entries. A name is never empty but for the table at the top,
// so that an entry counts as new while its sum and its name are zero.
func (l *list) take(b []byte, at int) {
	for ; len(b) >= entryHead && at < len(l.names); at++ {
		sum, n := binary.BigEndian.Uint32(b), int(b[4])
		if b = b[entryHead:]; len(b) < n {
			return
		}
		if l.names[at] == "" && l.sums[at] == 0 {
			l.left--
		}
		l.names[at], l.sums[at] = string(b[:n]), max(sum, 1)
		b = b[n:]
	}
}

// keysOf lists this node's keys of the tables that both have and that differ.
func (d *Differ) keysOf(l *list, blind Blind) []Key {
	theirs := l.byName()
	differ := map[string]bool{}
	for i := range d.own[tables] {
		t := &d.own[tables][i]
		sum, has := theirs[t.Name]
		own, ok := blind(l.key, &t.Sum)
		differ[t.Name] = has && ok && max(own, 1) != sum
	}
	var out []Key
	for _, k := range d.all {
		if differ[tableOf(k.Name)] && len(out) < MaxKeys {
			out = append(out, k)
		}
	}
	return out
}

func (l *list) byName() map[string]uint32 {
	m := make(map[string]uint32, len(l.names))
	for i, n := range l.names {
		m[n] = l.sums[i]
	}
	return m
}

// A Difference is what the comparison has found.
type Difference struct {
	Names []string // keys that differ, or that only one node has; by name
	More  int      // how many beyond MaxNamed
	Known bool     // both lists of the peer are complete
}

// String writes the names, and how many are not written.
func (d Difference) String() string {
	s := strings.Join(d.Names, ", ")
	if d.More > 0 {
		s += fmt.Sprintf(" and %d more", d.More)
	}
	return s
}

// Result says what is known of the difference. self and peer are the names of
// the nodes.
func (d *Differ) Result(self, peer string, blind Blind) Difference {
	var names []string
	t := d.peer[tables]
	if !t.heard || t.left > 0 {
		return Difference{}
	}
	k := d.peer[keys]
	known := len(d.own[keys]) == 0 || k.heard && k.left == 0
	for i, l := range []list{t, k} {
		if !l.heard || l.left > 0 || len(d.own[i]) == 0 {
			continue
		}
		names = append(names, compare(d.own[i], &l, i == keys, self, peer, blind)...)
	}
	sort.Strings(names)
	n := min(len(names), MaxNamed)
	return Difference{names[:n], len(names) - n, known}
}

// compare names what only one of two lists has and, if values count, what both
// have with another value.
func compare(own []Key, l *list, values bool, self, peer string, blind Blind) []string {
	var out []string
	theirs := l.byName()
	for i := range own {
		k := &own[i]
		sum, has := theirs[k.Name]
		delete(theirs, k.Name)
		switch {
		case !has:
			out = append(out, k.Name+" (only on "+self+")")
		case values:
			if mine, ok := blind(l.key, &k.Sum); ok && max(mine, 1) != sum {
				out = append(out, k.Name)
			}
		}
	}
	for name := range theirs {
		out = append(out, name+" (only on "+peer+")")
	}
	return out
}

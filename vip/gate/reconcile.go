package gate

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// A table is what the kernel holds under our name.
type table struct {
	missing bool
	flags   uint32
	sets    map[string]setSpec
	chains  map[string]chainSpec
}

// readTable returns the table's flags, or ErrMissing.
func readTable(s *socket, name string) (uint32, error) {
	var flags uint32
	err := s.ask(unix.NFT_MSG_GETTABLE, false, attrs{}.text(unix.NFTA_TABLE_NAME, name), func(m message) error {
		_, _, a, _ := m.nft()
		flags = be32(attr(a, unix.NFTA_TABLE_FLAGS))
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return 0, ErrMissing
	}
	return flags, err
}

// read returns the table, or ErrMissing.
func read(s *socket, name string) (table, error) {
	t := table{sets: map[string]setSpec{}, chains: map[string]chainSpec{}}
	var err error
	if t.flags, err = readTable(s, name); err != nil {
		return t, err
	}
	err = s.ask(unix.NFT_MSG_GETSET, true, attrs{}.text(unix.NFTA_SET_TABLE, name), func(m message) error {
		if _, family, a, ok := m.nft(); ok && family == unix.NFPROTO_NETDEV && text(attr(a, unix.NFTA_SET_TABLE)) == name {
			set := decodeSet(a)
			t.sets[set.name] = set
		}
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("read sets: %w", err)
	}
	err = s.ask(unix.NFT_MSG_GETCHAIN, true, nil, func(m message) error {
		if _, family, a, ok := m.nft(); ok && family == unix.NFPROTO_NETDEV && text(attr(a, unix.NFTA_CHAIN_TABLE)) == name {
			chain := decodeChain(a)
			t.chains[chain.name] = chain
		}
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("read chains: %w", err)
	}
	return t, nil
}

// decodeSet leaves out what the kernel does not echo on all versions: the size
// and the interval of collection, which only matter to the set's maker.
func decodeSet(a []byte) setSpec {
	flags := be32(attr(a, unix.NFTA_SET_FLAGS))
	s := setSpec{
		name:    text(attr(a, unix.NFTA_SET_NAME)),
		keyType: be32(attr(a, unix.NFTA_SET_KEY_TYPE)), keyLen: be32(attr(a, unix.NFTA_SET_KEY_LEN)),
		timeouts: flags&unix.NFT_SET_TIMEOUT != 0,
	}
	s.verdicts = flags&unix.NFT_SET_MAP != 0 && be32(attr(a, unix.NFTA_SET_DATA_TYPE)) == unix.NFT_DATA_VERDICT
	if flags != s.flags() {
		s.keyLen = 0 // some flag we never set: matches no wanted set
	}
	return s
}

func decodeChain(a []byte) chainSpec {
	c := chainSpec{name: text(attr(a, unix.NFTA_CHAIN_NAME))}
	hook := attr(a, unix.NFTA_CHAIN_HOOK)
	if hook == nil {
		return c
	}
	c.hook = be32(attr(hook, unix.NFTA_HOOK_HOOKNUM))
	c.device = text(attr(hook, unix.NFTA_HOOK_DEV))
	p := int32(priority)
	if be32(attr(hook, unix.NFTA_HOOK_PRIORITY)) != uint32(p) {
		c.device = "" // not as we make them
	}
	return c
}

// readElements returns the static elements of a set.
func readElements(s *socket, table, set string) (map[element]bool, error) {
	have := map[element]bool{}
	body := attrs{}.text(unix.NFTA_SET_ELEM_LIST_TABLE, table).text(unix.NFTA_SET_ELEM_LIST_SET, set)
	err := s.ask(unix.NFT_MSG_GETSETELEM, true, body, func(m message) error {
		_, _, a, _ := m.nft()
		eachAttr(attr(a, unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(_ uint16, item []byte) {
			have[element{
				key:   string(attr(attr(item, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)),
				chain: text(attr(attr(attr(item, unix.NFTA_SET_ELEM_DATA), unix.NFTA_DATA_VERDICT), unix.NFTA_VERDICT_CHAIN)),
			}] = true
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read elements of %s: %w", set, err)
	}
	return have, nil
}

// apply makes the table what the configuration wants.
//
// Order: first the sets and the addresses that are new (what is not gated yet
// becomes gated, or waits for the rules), then all rules at once, last the
// addresses that go. Only a damaged table is replaced as a whole, in one
// transaction.
func (g *Gate) apply() error {
	g.present()
	want := newLayout(g.cfg, g.features, g.cookie)
	if !g.features.late {
		want.without(g.missing)
	}
	have, err := read(g.nl, g.cfg.Table)
	switch {
	case errors.Is(err, ErrMissing):
		have.missing = true
	case err != nil:
		return err
	}
	if have.damaged(want) {
		return g.rebuild(want)
	}
	if err := g.prepare(have, want); err != nil {
		return err
	}
	for _, set := range want.static() {
		if err := g.grow(set, want.content[set]); err != nil {
			return err
		}
	}
	if err := g.commitRules(have, want); err != nil {
		return err
	}
	for _, set := range want.static() {
		if err := g.fill(set, want.content[set]); err != nil {
			return err
		}
	}
	return g.remember()
}

// present notes which devices are there and which are missing.
func (g *Gate) present() {
	g.missing, g.indexes = nil, map[string]int{}
	for _, name := range g.cfg.devices() {
		d, err := index(g.speaker.fd, name)
		if err != nil {
			g.missing = append(g.missing, name)
			continue
		}
		g.indexes[name] = d.index
	}
}

// without leaves out the base chains of missing devices: most kernels take a
// chain only for a device that exists.
func (l *layout) without(missing []string) {
	gone := map[string]bool{}
	l.chains = slices.DeleteFunc(l.chains, func(c chainSpec) bool {
		gone[c.name] = c.device != "" && slices.Contains(missing, c.device)
		return gone[c.name]
	})
	l.rules = slices.DeleteFunc(l.rules, func(r rule) bool { return gone[r.chain] })
}

// static returns the names of the sets that only netlink fills.
func (l layout) static() (names []string) {
	for _, s := range l.sets {
		if !s.timeouts {
			names = append(names, s.name)
		}
	}
	return names
}

// damaged tells whether a set of ours is there but not as we make it.
func (t table) damaged(want layout) bool {
	for _, w := range want.sets {
		have, ok := t.sets[w.name]
		w.size, w.collectExpiredIn = 0, 0
		if ok && have != w {
			return true
		}
	}
	return false
}

// prepare claims the table and adds the sets that are missing, and the group
// chains that addresses point to. A group chain whose rules a stranger took is
// mended with all the other rules.
func (g *Gate) prepare(have table, want layout) error {
	b := newBatch(g.cfg.Table)
	flags := have.flags
	if g.features.owner && (have.missing || have.flags&tablePersist != 0) {
		flags = tableOwner | tablePersist
	}
	b.newTable(flags)
	for _, s := range want.sets {
		if _, ok := have.sets[s.name]; !ok {
			b.newSet(s)
		}
	}
	for id := range uint8(MaxGroups) {
		if _, ok := have.chains[groupChain(id)]; !ok {
			b.newChain(chainSpec{name: groupChain(id)})
			have.chains[groupChain(id)] = chainSpec{name: groupChain(id)}
		}
	}
	g.owned = flags&tableOwner != 0
	return claimError(g.nl.transact(b))
}

func claimError(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w (%v)", ErrOwned, err)
	}
	return err
}

// grow adds the elements that a set lacks. An address that moves to another
// group closes all gates: leases were granted for other addresses.
func (g *Gate) grow(set string, want []element) error {
	have, err := readElements(g.nl, g.cfg.Table, set)
	if err != nil {
		return err
	}
	chains := map[string]string{}
	for e := range have {
		chains[e.key] = e.chain
	}
	var add, moved []element
	for _, e := range want {
		if have[e] {
			continue
		}
		add = append(add, e)
		if chain, ok := chains[e.key]; ok {
			moved = append(moved, element{e.key, chain})
		}
	}
	if len(moved) > 0 {
		b := newBatch(g.cfg.Table)
		b.clearSet(setLease)
		b.delElements(set, moved)
		b.addElements(set, add)
		return g.nl.transact(b)
	}
	return g.inPieces(add, func(b *batch, part []element) { b.addElements(set, part) })
}

// fill makes the contents of a set exactly the wanted ones.
func (g *Gate) fill(set string, want []element) error {
	if err := g.grow(set, want); err != nil {
		return err
	}
	have, err := readElements(g.nl, g.cfg.Table, set)
	if err != nil {
		return err
	}
	for _, e := range want {
		delete(have, e)
	}
	var extra []element
	for e := range have {
		extra = append(extra, e)
	}
	return g.inPieces(extra, func(b *batch, part []element) { b.delElements(set, part) })
}

func (g *Gate) inPieces(list []element, do func(*batch, []element)) error {
	for len(list) > 0 {
		part := list[:min(len(list), elementsPerBatch)]
		list = list[len(part):]
		b := newBatch(g.cfg.Table)
		do(b, part)
		if err := g.nl.transact(b); err != nil {
			return err
		}
	}
	return nil
}

// commitRules replaces chains and rules in one transaction.
func (g *Gate) commitRules(have table, want layout) error {
	b := newBatch(g.cfg.Table)
	if len(have.chains) > 0 {
		b.clearRules()
	}
	keep := map[string]bool{}
	for _, c := range want.chains {
		if have.chains[c.name] == c {
			keep[c.name] = true
		}
	}
	for name := range have.chains {
		if !keep[name] {
			b.delChain(name)
		}
	}
	for _, c := range want.chains {
		if !keep[c.name] {
			b.newChain(c)
		}
	}
	for _, r := range want.rules {
		b.newRule(r.chain, r.exprs)
	}
	for name := range have.sets {
		if !slices.ContainsFunc(want.sets, func(s setSpec) bool { return s.name == name }) {
			b.delSet(name)
		}
	}
	return g.nl.transact(b)
}

// rebuild replaces a damaged table by a new one in one transaction; all gates
// are closed then.
func (g *Gate) rebuild(want layout) error {
	b := newBatch(g.cfg.Table)
	b.delTable()
	flags := uint32(0)
	if g.features.owner {
		flags = tableOwner | tablePersist
	}
	b.newTable(flags)
	for _, s := range want.sets {
		b.newSet(s)
	}
	for _, c := range want.chains {
		b.newChain(c)
	}
	for _, s := range want.sets {
		b.addElements(s.name, want.content[s.name])
	}
	for _, r := range want.rules {
		b.newRule(r.chain, r.exprs)
	}
	g.owned = flags&tableOwner != 0
	if err := claimError(g.nl.transact(b)); err != nil {
		return err
	}
	return g.remember()
}

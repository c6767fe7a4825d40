package gate

import (
	"errors"
	"fmt"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

// ErrAltered means that the table is in the kernel but not as we left it.
var ErrAltered = errors.New("the gate in the kernel was altered")

// A fingerprint tells whether the table is still as we left it.
type fingerprint struct {
	generation uint32 // of the whole ruleset: unchanged means nothing changed
	content    uint64 // sets, chains, rule handles and static elements
}

var fingerprintSeed = maphash.MakeSeed()

// remember notes the state of the table as the one that Verify compares with.
func (g *Gate) remember() error {
	f, err := g.fingerprint()
	if err != nil {
		return err
	}
	g.state = f
	return nil
}

// Verify checks that the table is in the kernel as we left it. It fails with
// ErrMissing or ErrAltered; Restore mends both. While nobody changes any
// nftables table it costs one netlink exchange.
func (g *Gate) Verify() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.verify(); err != nil {
		return fmt.Errorf("verify gate %s: %w", g.cfg.Table, err)
	}
	return nil
}

func (g *Gate) verify() error {
	if !g.features.late {
		if err := g.rebound(); err != nil {
			return err
		}
	}
	generation, err := readGeneration(g.nl)
	if err != nil || generation == g.state.generation {
		return err
	}
	f, err := g.fingerprint()
	switch {
	case err != nil:
		return err
	case f.content != g.state.content:
		return ErrAltered
	}
	g.state.generation = f.generation
	return nil
}

// rebound finds devices that came (back) after the last apply: on kernels that
// bind a chain to a device for its life, they are not gated.
func (g *Gate) rebound() error {
	for _, name := range g.cfg.devices() {
		if d, err := index(g.speaker.fd, name); err == nil && d.index != g.indexes[name] {
			return fmt.Errorf("%w: device %s is new", ErrAltered, name)
		}
	}
	return nil
}

func readGeneration(s *socket) (generation uint32, err error) {
	err = s.ask(unix.NFT_MSG_GETGEN, false, nil, func(m message) error {
		_, _, a, _ := m.nft()
		generation = be32(attr(a, unix.NFTA_GEN_ID))
		return nil
	})
	return generation, err
}

// fingerprint reads the table. The generation is read first: a change while we
// read makes it look older than it is, and the next Verify reads again.
func (g *Gate) fingerprint() (fingerprint, error) {
	generation, err := readGeneration(g.nl)
	if err != nil {
		return fingerprint{}, err
	}
	f := fingerprint{generation: generation}
	mix := func(item string) { f.content += maphash.String(fingerprintSeed, item) } // order must not matter
	t, err := read(g.nl, g.cfg.Table)
	if err != nil {
		return f, err
	}
	for _, s := range t.sets {
		mix(fmt.Sprintf("set %+v", s))
	}
	for _, c := range t.chains {
		mix(fmt.Sprintf("chain %+v", c))
	}
	for set, spec := range t.sets {
		if spec.timeouts {
			continue
		}
		have, err := readElements(g.nl, g.cfg.Table, set)
		if err != nil {
			return f, err
		}
		for e := range have {
			mix(set + " " + e.key + " " + e.chain)
		}
	}
	// A rule is never changed under its handle: replacing it makes a new one.
	err = g.nl.ask(unix.NFT_MSG_GETRULE, true, attrs{}.text(unix.NFTA_RULE_TABLE, g.cfg.Table), func(m message) error {
		_, family, a, ok := m.nft()
		if ok && family == unix.NFPROTO_NETDEV && text(attr(a, unix.NFTA_RULE_TABLE)) == g.cfg.Table {
			mix(fmt.Sprintf("rule %s %d", text(attr(a, unix.NFTA_RULE_CHAIN)), be64(attr(a, unix.NFTA_RULE_HANDLE))))
		}
		return nil
	})
	return f, err
}

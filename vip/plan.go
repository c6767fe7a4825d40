package vip

import (
	"slices"
	"time"
)

// A Change is the way from what is held to what is wanted.
type Change struct {
	Remove Set       // first: an address may move to another device or prefix length
	Add    Set       // then
	Renew  []Address // held as wanted: only their lifetime needs care
}

// Empty says that nothing has to be added or removed.
func (c Change) Empty() bool {
	return c.Add.size() == 0 && c.Remove.size() == 0
}

func (s Set) size() int { return len(s.Addresses) + len(s.Routes) + len(s.Rules) }

// Diff plans the way from held to want. An address that is held with another
// prefix length, label or scope is removed and added again, since the kernel
// changes none of these in place. The results are in canonical order.
func Diff(want, held Set) Change {
	want, held = want.withScopes().Canonical(), held.withScopes().Canonical()
	var c Change
	c.Add.Addresses, c.Remove.Addresses, c.Renew = part(want.Addresses, held.Addresses)
	c.Add.Routes, c.Remove.Routes, _ = part(want.Routes, held.Routes)
	c.Add.Rules, c.Remove.Rules, _ = part(want.Rules, held.Rules)
	return c
}

// withScopes spells the addresses' scopes out, so that "" and "global" are one.
func (s Set) withScopes() Set {
	s.Addresses = slices.Clone(s.Addresses)
	for i, a := range s.Addresses {
		s.Addresses[i].Scope = a.EffectiveScope()
	}
	return s
}

func part[T comparable](want, held []T) (add, remove, both []T) {
	has := make(map[T]bool, len(held))
	for _, h := range held {
		has[h] = true
	}
	for _, w := range want {
		if has[w] {
			both = append(both, w)
			delete(has, w)
		} else {
			add = append(add, w)
		}
	}
	for _, h := range held {
		if has[h] {
			remove = append(remove, h)
		}
	}
	return add, remove, both
}

// Renewals spreads the renewal of many addresses evenly over a period, so that
// no turn of the caller has to renew them all. The zero value starts at the
// first address. Time is the caller's monotonic clock.
type Renewals struct {
	next    int
	paid    time.Duration // renewals are done up to this instant
	started bool
}

// Due returns the half-open range of indices to renew now, out of n addresses
// that are each to be renewed once every period. A caller that is late by more
// than a period gets every address once, not several times. The range never
// wraps: what is left over comes with the next call.
func (r *Renewals) Due(now, period time.Duration, n int) (from, to int) {
	if n <= 0 || period <= 0 {
		*r = Renewals{}
		return 0, 0
	}
	if !r.started {
		r.started, r.paid = true, now
	}
	if r.next >= n {
		r.next = 0 // the set has shrunk
	}
	if now-r.paid > period {
		r.paid = now - period
	}
	due := int(int64(n) * int64(now-r.paid) / int64(period))
	from = r.next
	to = min(from+due, n)
	r.paid += time.Duration(int64(to-from) * int64(period) / int64(n))
	r.next = to % n
	return from, to
}

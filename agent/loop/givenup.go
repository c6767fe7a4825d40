//go:build !lite && !no_virtual

package loop

// tellGivenUp tells, once, of each group that this node had and the peer owns
// now, as it says itself. While nobody is known to own it a port is left alone:
// this node may have to take the group back.
func (l *Loop) tellGivenUp() {
	if l.o.GivenUp == nil {
		return
	}
	for _, g := range l.groups {
		if g.had && !g.opened && l.peerOwns(g) {
			g.had = false
			l.o.GivenUp(g.index)
		}
	}
}

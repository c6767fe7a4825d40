//go:build !lite

package monitor

// Inherit begins with what was said of another monitor of that name, by other
// settings. It stands until this one has looked often enough to say the same, or
// something else: that the settings changed makes no node better or worse.
func (m *Monitor) Inherit(said View) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view, m.judge.State, m.judge.Heir = said, said.State, true
}

// Follow goes on with what another monitor knows of the same interface, and for
// how long. That one must have ended, and this one not begun.
func (m *Monitor) Follow(old *Monitor) {
	is, was := m.port, old.port
	if is == nil || was == nil || is.cfg.Interface != was.cfg.Interface {
		return
	}
	is.began, is.wait = was.began, was.wait
	is.bounce.follow(was.bounce)
	is.excess.bounce.follow(was.excess.bounce)
	over := is.rate.Over
	is.rate = was.rate
	is.rate.Over = over
}

// follow takes over what another one has seen.
func (d *Debounce) follow(o Debounce) {
	o.Up, o.Down = d.Up, d.Down
	*d = o
}

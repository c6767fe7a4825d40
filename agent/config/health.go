package config

import "time"

// Health says when one node is so much better off that the service moves there.
type Health struct {
	Margin int
	Hold   time.Duration
	PerDay int
}

var healthKeys = []key{
	{path: "health", kind: section, doc: "When a service moves because one node is better off. A node's health is 100 points less what its monitors and sensors take; both nodes' health is compared over the heartbeat, and nothing moves while both are equally bad."},
	{path: "health.margin", kind: number, def: "20", min: 1, max: 100, doc: "The peer must be healthier by so many points."},
	{path: "health.hold", kind: duration, def: `"10s"`, orZero: true, min: 100 * ms, max: hour, doc: "For so long, before anything moves. A node that is about to fail does not wait. With [sensors] the default is 30s: two boxes in one room notice the same heat up to 20 s apart."},
	{path: "health.moves_per_day", kind: number, def: "6", min: 0, max: 32, doc: "Moves for health within 24 hours; 0: no bound but the groups' flap limits. A node that is about to fail moves in any case."},
}

// warmHold is the hold where sensors are read and the file does not say: two boxes
// notice the same heat up to 20 s apart.
const warmHold = 30 * time.Second

// health reads the section [health].
func (p *parser) health(t table, sensors bool) Health {
	h := Health{Margin: t.int31("margin"), Hold: t.duration("hold"), PerDay: t.int31("moves_per_day")}
	if sensors && !t.has("hold") {
		h.Hold = warmHold
	}
	return h
}

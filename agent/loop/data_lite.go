//go:build lite

package loop

import (
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// The lite build tells nothing beside heartbeats, and skips what it is told: a
// peer of the full build finds that the keys that differ stay unknown.
type (
	// A Talk is what the nodes may tell each other beside heartbeats.
	Talk      struct{}
	data      struct{}
	lan       struct{}
	differing struct{}
	ending    struct{}
)

func (*lan) forget()                                  {}
func newDiffering(Talk) differing                     { return differing{} }
func (*differing) names() []string                    { return nil }
func (l *Loop) tellPeer(pair.Instant)                 {}
func (l *Loop) heardData(pair.Instant, *wire.Message) {}
func (l *Loop) judgeKeys(pair.Instant)                {}
func (l *Loop) lookUpstream(pair.Instant)             {}
func (l *Loop) namedKeys() string                     { return "" }
func (l *Loop) seeLines(pair.Instant)                 {}
func (l *Loop) provenOff(FenceDone)                   {}
func (l *Loop) peerReturns(pair.Instant)              {}

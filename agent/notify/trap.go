//go:build !no_snmp

package notify

import (
	"context"
	"crypto/sha256"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/fence/snmp"
)

// A Trap sends alerts as notifications of TWINBEAT-MIB.
type Trap struct {
	trapper *snmp.Trapper
	inform  bool
}

// NewTrap checks the configuration. It does no I/O.
func NewTrap(c snmp.TrapConfig) (*Trap, error) {
	t, err := snmp.NewTrapper(c)
	return &Trap{t, c.Inform}, err
}

// Send sends one notification.
func (t *Trap) Send(ctx context.Context, a *alert.Alert) (string, error) {
	var objects []snmp.TrapObject
	for _, b := range a.Binds() {
		objects = append(objects, snmp.TrapObject(b))
	}
	if err := t.trapper.Send(ctx, a.Notification(), objects); err != nil {
		return "", err
	}
	if t.inform {
		return "the receiver acknowledged it", nil
	}
	return "sent; nobody says whether a trap arrived", nil
}

// EngineID is the snmpEngineID of a node's traps (RFC 3411 section 5): net-snmp's
// enterprise number as a placeholder, then format 5, octets, which tell this node
// from others.
func EngineID(cluster, node string) string {
	sum := sha256.Sum256([]byte(cluster + "\x00" + node))
	const octets = 12
	return "\x80\x00\x1f\x88\x05" + string(sum[:octets])
}

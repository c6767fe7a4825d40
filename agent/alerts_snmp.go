//go:build !lite && !no_snmp

package agent

import (
	"cmp"
	"encoding/hex"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/notify"
	"github.com/twinbeat/twinbeat/fence/snmp"
)

func init() {
	alertSenders["snmp"] = func(n *config.Notify, s alertSecrets, t teller) (notify.Sender, error) {
		c := snmp.TrapConfig{Inform: n.Inform, Engine: notify.EngineID(t.Cluster, t.Node), Boots: t.boots, Up: sinceBoot}
		c.Name, c.Address, c.Timeout = n.Name, n.Address, n.Timeout
		if c.Version, c.Community = "2c", s.community; n.User != "" {
			c.Version, c.Community, c.User = "3", "", n.User
			c.AuthProtocol, c.AuthPassword = cmp.Or(n.AuthProtocol, "sha"), s.auth
			if s.priv != "" {
				c.PrivProtocol, c.PrivPassword = cmp.Or(n.PrivProtocol, "aes"), s.priv
			}
		}
		return notify.NewTrap(c)
	}
	engineOf = func(c config.Config) string {
		return "0x" + hex.EncodeToString([]byte(notify.EngineID(c.Cluster, c.Me().Name)))
	}
}

// sinceBoot is the time since the kernel's boot, suspends included: together with
// the count of boots it never goes back while the journal is whole.
func sinceBoot() time.Duration {
	d, _ := clock(unix.CLOCK_BOOTTIME) // every kernel that has nftables has it
	return d
}

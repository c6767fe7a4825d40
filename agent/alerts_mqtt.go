//go:build mqtt && !lite

package agent

import (
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/notify"
)

func init() {
	alertSenders["mqtt"] = func(n *config.Notify, s alertSecrets, _ teller) (notify.Sender, error) {
		m := notify.MQTT{Address: n.Address, Topic: n.Topic, Retain: n.Retain, User: n.User, Password: s.password}
		if n.Transport == "tcp" {
			return m, nil
		}
		if secure == nil {
			return nil, errNoTLS
		}
		m.Secure = secure(n, s)
		return m, nil
	}
}

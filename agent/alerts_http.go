//go:build !lite && !no_http

package agent

import (
	"context"
	"net"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/notify"
	"github.com/twinbeat/twinbeat/fence/http"
)

func init() {
	alertSenders["webhook"] = func(n *config.Notify, s alertSecrets, _ teller) (notify.Sender, error) {
		return notify.NewWebhook(notify.WebhookConfig{
			URL: n.URL, Token: s.token, User: n.User, Password: s.password, Trust: trust(n, s), Timeout: n.Timeout,
		})
	}
	alertSenders["mail"] = func(n *config.Notify, s alertSecrets, t teller) (notify.Sender, error) {
		how := n.TLS
		if how == "" {
			how = "starttls"
		}
		return notify.Mail{
			Address: n.Address, TLS: how, Trust: trust(n, s), User: n.User, Password: s.password,
			Node: t.Node, From: n.From, To: n.To,
		}, nil
	}
	secure = func(n *config.Notify, s alertSecrets) func(context.Context, net.Conn, string) (net.Conn, error) {
		return notify.Secure(trust(n, s))
	}
}

func trust(n *config.Notify, s alertSecrets) http.Trust {
	return http.Trust{CA: s.ca, Fingerprint: n.TLSFingerprint, Insecure: n.Insecure}
}

//go:build !lite && !no_ipmi

package agent

import (
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/ipmi"
)

func init() {
	openers["ipmi"] = func(d config.FenceDevice, s secrets) (fence.Unit, error) {
		return ipmi.New(ipmi.Config{
			Name: d.Name, Address: d.Address, User: d.User, Password: s.password, CipherSuite: d.CipherSuite, Timeout: d.Timeout,
		})
	}
}

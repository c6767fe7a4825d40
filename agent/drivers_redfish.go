//go:build !lite && !no_redfish

package agent

import (
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/http"
	"github.com/twinbeat/twinbeat/fence/redfish"
)

func init() {
	openers["redfish"] = func(d config.FenceDevice, s secrets) (fence.Unit, error) {
		return redfish.New(redfish.Config{
			Name: d.Name, Address: d.Address, Timeout: d.Timeout, User: d.User, Password: s.password,
			Trust: http.Trust{CA: s.ca, Fingerprint: d.TLSFingerprint, Insecure: d.Insecure},
		})
	}
}

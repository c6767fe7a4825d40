//go:build !lite && !no_http

package agent

import (
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/http"
)

func init() {
	for _, family := range []string{http.DigitalLoggers, http.Tasmota, http.Shelly, http.Generic} {
		openers[family] = func(d config.FenceDevice, s secrets) (fence.Unit, error) {
			return http.New(http.Config{
				Name: d.Name, Family: family, Address: d.Address, Timeout: d.Timeout,
				Trust: http.Trust{CA: s.ca, Fingerprint: d.TLSFingerprint, Insecure: d.Insecure},
				User:  d.User, Password: s.password,
				OffURL: d.OffURL, OnURL: d.OnURL, StatusURL: d.StatusURL, Method: d.Method,
				OffBody: d.OffBody, OnBody: d.OnBody, Headers: d.Headers, OffMatch: d.OffMatch, OnMatch: d.OnMatch,
			})
		}
	}
}

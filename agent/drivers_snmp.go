//go:build !lite && !no_snmp

package agent

import (
	"cmp"
	"errors"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/snmp"
)

func init() {
	snmpDrivers = snmp.Vendors()
	for _, vendor := range snmpDrivers {
		openers[vendor] = func(d config.FenceDevice, s secrets) (fence.Unit, error) {
			c := snmp.Config{
				Name: d.Name, Address: d.Address, Timeout: d.Timeout, Vendor: vendor, Version: d.SNMPVersion, User: d.User,
			}
			if d.SNMPVersion != "3" && d.User == "" {
				c.Community = s.community
				return snmp.New(c)
			}
			if s.auth == "" { // the driver could, but then anybody may answer "off"
				return nil, errors.New("SNMP version 3 without a password")
			}
			c.AuthProtocol, c.AuthPassword = cmp.Or(d.AuthProtocol, "sha"), s.auth
			c.PrivProtocol, c.PrivPassword = d.PrivProtocol, s.priv
			if s.priv != "" {
				c.PrivProtocol = cmp.Or(d.PrivProtocol, "aes")
			}
			return snmp.New(c)
		}
	}
}

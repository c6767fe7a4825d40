package snmp_test

import (
	"os"

	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

// passArg marks a start of the test binary as the program of snmpd's
// pass_persist: its arguments are the shape and a folder for the relays' state.
const passArg = "snmptest-pass-persist"

func passPersist(shape, dir string) int {
	pdu := snmptest.New(snmptest.ShapeOf(shape), 8)
	pdu.OnPower = func(n int, on bool) { _ = dir }
	if err := snmptest.PassPersist(pdu, os.Stdin, os.Stdout); err != nil {
		return 1
	}
	return 0
}

package vm

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// A PDU is the APC power strip on the LAN that feeds both machines: its relays
// are the processes of QEMU.
type PDU struct {
	*snmptest.PDU
	pair  *Pair
	agent *snmptest.Agent

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
	errs   []error
	cuts   [2]int // how often it took a machine's power
}

func newPDU(p *Pair) (*PDU, error) {
	u := &PDU{PDU: snmptest.New(snmptest.ShapeOf("apc-rpdu"), 8), pair: p}
	u.OnPower = u.power
	err := p.Client.Do(func() (err error) {
		u.agent, err = snmptest.ServeAt(u.PDU, lab.ClientIP)
		return err
	})
	return u, err
}

// power is what a relay does.
func (u *PDU) power(outlet int, on bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || outlet > len(u.pair.Machines) {
		return
	}
	m := u.pair.Machines[outlet-1]
	if !on {
		u.cuts[outlet-1]++
		u.errs = append(u.errs, m.PowerOff())
		return
	}
	u.work.Go(func() {
		if err := m.PowerOn(); err != nil {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.errs = append(u.errs, err)
		}
	})
}

// Cuts counts how often it took the power of a machine.
func (u *PDU) Cuts(i int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cuts[i]
}

// Failed is what went wrong with the machines' power.
func (u *PDU) Failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return errors.Join(u.errs...)
}

func (u *PDU) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.agent.Stop()
	u.work.Wait()
}

// section is that of the configuration.
func (u *PDU) section() string {
	return fmt.Sprintf("\n[fence]\nretry = \"2s\"\nbudget = 0\nverified = \"waived\"\n[[fence.device]]\nname = \"pdu\"\ndriver = \"apc\"\naddress = %q\n"+
		"snmp_version = \"1\"\ncommunity = \"private\"\ntimeout = %q\nholdup = \"500ms\"\nrepower = \"never\"\noutlets = { fw1 = [\"1\"], fw2 = [\"2\"] }\n",
		u.agent.Address(), 2*time.Second)
}

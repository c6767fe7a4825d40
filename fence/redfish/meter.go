package redfish

import (
	"context"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/http"
)

// A meter is where the power that a system draws can be read.
type meter struct {
	sought bool     // whether there is one is known
	path   string   // of the resource; empty: there is none
	value  []string // where in it
	faults int      // in a row
}

// load reads the meter of the chassis that holds the system and nothing else.
// That there is none, or that it fails, is no error: the meter is evidence
// beside PowerState. What a server that is off draws goes to its BMC.
func (u *Unit) load(ctx context.Context, path string, t http.Tree) fence.Load {
	ctx, cancel := context.WithTimeout(ctx, meterTime)
	defer cancel()
	m := u.meters[path]
	if m == nil {
		m = &meter{}
		u.meters[path] = m
	}
	if m.faults >= maxMeterFaults || !m.sought && u.findMeter(ctx, m, t) != nil {
		m.faults++
		return fence.Load{}
	}
	if m.path == "" {
		return fence.Load{}
	}
	about, _, err := u.get(ctx, m.path)
	if err != nil {
		m.faults++
		return fence.Load{}
	}
	m.faults = 0
	watts, ok := about.At(m.value...).Number()
	if !ok {
		return fence.Load{} // iLO answers null while the server starts
	}
	return fence.Load{Scope: "device", Value: watts, Unit: "W"}
}

// findMeter follows the links to the chassis: PowerControl of its Power
// (Chassis before 2020.4), or PowerWatts of its EnvironmentMetrics.
func (u *Unit) findMeter(ctx context.Context, m *meter, t http.Tree) error {
	holds := t.At("Links", "Chassis").List()
	m.sought = true
	if u.legacy || len(holds) != 1 {
		return nil
	}
	path, err := u.client.Local(holds[0].At("@odata.id").Or(""))
	if err != nil {
		return nil
	}
	chassis, _, err := u.get(ctx, path)
	if err != nil {
		m.sought = false
		return err
	}
	if len(chassis.At("Links", "ComputerSystems").List()) > 1 {
		return nil // others draw by it, too
	}
	link := chassis.At("Power", "@odata.id").Or("")
	m.value = []string{"PowerControl", "0", "PowerConsumedWatts"}
	if link == "" {
		link = chassis.At("EnvironmentMetrics", "@odata.id").Or("")
		m.value = []string{"PowerWatts", "Reading"}
	}
	if path, err = u.client.Local(link); err == nil {
		m.path = path
	}
	return nil
}

package main

import (
	"fmt"
	"strings"
)

// A ctsCase is a case of Linux-HA's cluster test suite, and what stands for it
// here. Faults is empty where a pair of boxes knows nothing of the kind.
type ctsCase struct {
	name   string
	faults string
	note   string
}

// cts is the whole list of Linux-HA's and Pacemaker's CTS.
var cts = []ctsCase{
	{"Flip", "stop-owner stop-standby", "stop, then start again, whatever it was"},
	{"Start", "start-both restart-owner", ""},
	{"Stop", "stop-owner stop-standby stop-both", ""},
	{"Restart", "restart-owner restart-in-place restart-storm", ""},
	{"StartOnebyOne", "rolling-restart start-both", ""},
	{"StopOnebyOne", "stop-both rolling-restart", ""},
	{"RestartOnebyOne", "rolling-restart", "a rolling upgrade"},
	{"SimulStart, SimulStartLite", "start-both", "within 100 ms"},
	{"SimulStop, SimulStopLite", "stop-both", "within 100 ms"},
	{"PartialStart", "kill-during-boot restart-at-standby restart-at-armed restart-at-active restart-at-releasing restart-at-fencing restart-at-event", "killed at each recorded step"},
	{"Standby", "maintenance-owner maintenance-standby", ""},
	{"MaintenanceMode", "maintenance-owner maintenance-standby maintenance-both", ""},
	{"Reattach", "restart-in-place", "the agent goes and comes, the group stays"},
	{"ResourceRecover", "service-dies service-does-not-start service-starts-slowly service-hangs-at-stop service-status-hangs service-breaks", ""},
	{"SplitBrain", "cut-both one-way-all crossed-one-way cut-lan-owner cut-lan-standby", ""},
	{"Stonithd, RemoteStonithd", "fence-slow fence-dead fence-refuses fence-does-nothing fence-talks-nonsense fence-reads-wrong-outlet", ""},
	{"ComponentFail", "kill-owner kill-standby kill-both crash-owner freeze-short freeze-long freeze-standby freeze-both freeze-stutter no-memory", ""},
	{"ResyncCIB", "disk-lost disk-torn disk-rotten disk-older", "the state that a node keeps"},
	{"NearQuorumPoint", "flapping-links freeze-stutter", "around T_dead and T_takeover"},
	{"BandwidthTest", "ethernet-loss ethernet-delay ethernet-reorder ethernet-duplicate ethernet-storm noisy-serial noise-burst stalled-serial", ""},
	{"RedundantpathTest", "cut-serial cut-ethernet cut-ethernet-silently one-way-serial one-way-ethernet serial-vanishes ethernet-device-down", ""},
	{"RemoteDriver, RemoteBasic, RemoteMigrate, RemoteRscFailure", "", "there are no remote nodes"},
	{"Cibsecret", "keys-rotate keys-broken", "the only secret is the key file"},
	{"Audits: Log, Diskspace, File", "full-disk slow-disk", "after every iteration: no panic in a log; the disk is filled on purpose"},
	{"Audits: Primitive, Group, Clone, Colocation", "", "after every iteration: services, addresses and gate on one box, and only there"},
	{"Audits: ControllerState, Cib, Partition", "", "after every iteration: ACTIVE and ARMED, terms rise, evidence of each entry, no alarm"},
}

func (c ctsCase) list() []string { return strings.Fields(c.faults) }

// ctsTable prints the list.
func ctsTable() string {
	var b strings.Builder
	b.WriteString("\n## The cases of Linux-HA's CTS\n\n| CTS | here | |\n|---|---|---|\n")
	for _, c := range cts {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, strings.Join(c.list(), ", "), c.note)
	}
	return b.String()
}

package pair

// An alarmID is a bit of Machine.alarms.
type alarmID uint8

const (
	alarmSilent alarmID = iota
	alarmOneWay
	alarmSplit
	alarmFence
	alarmNotice
	alarmVeto
	alarmForeign
	alarmUnfit
	alarmStop
	alarmFlap
	alarmConfig
	alarmLease
	alarmIsolated
	alarmFailed
)

// The names of the alarms, as documented in the package comment.
var alarmNames = [...]string{
	alarmSilent: "peer-silent", alarmOneWay: "one-way", alarmSplit: "split", alarmFence: "fence-failed",
	alarmNotice: "fence-notice", alarmVeto: "probe-veto", alarmForeign: "foreign-mac", alarmUnfit: "unfit",
	alarmStop: "stop-failed", alarmFlap: "flap-frozen", alarmConfig: "config-mismatch", alarmLease: "lease-lost",
	alarmIsolated: "isolated", alarmFailed: "failed",
}

// AlarmNames returns the names of all alarms the machine can raise, in a fixed order.
func AlarmNames() []string { return append([]string(nil), alarmNames[:]...) }

// alarm raises or clears an alarm; it says nothing if that changes nothing.
func (m *Machine) alarm(id alarmID, on bool, text string) {
	bit := uint32(1) << id
	if (m.alarms&bit != 0) == on {
		return
	}
	m.alarms ^= bit
	if !on {
		text = ""
	}
	m.do(Alarm{Name: alarmNames[id], On: on, Text: text})
}

func (m *Machine) alarmed(id alarmID) bool { return m.alarms&(1<<id) != 0 }

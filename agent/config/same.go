package config

import (
	"fmt"
	"reflect"
)

// SameMonitor says whether two monitors mean the same, wherever they stand in
// their files.
func SameMonitor(a, b Monitor) bool {
	a.Line, b.Line = 0, 0
	return reflect.DeepEqual(a, b)
}

// SameNotify is SameMonitor for targets of alerts.
func SameNotify(a, b Notify) bool {
	a.Line, b.Line = 0, 0
	return reflect.DeepEqual(a, b)
}

// SameSensors is SameMonitor for the sensors; nil: none are read.
func SameSensors(a, b *Sensors) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.plain() == b.plain()
}

// plain is all of it in writing, without lines: a limit that is not given is no
// number, which equals nothing, not even itself.
func (s Sensors) plain() string {
	s.Line = 0
	s.Rules = append([]SensorRule(nil), s.Rules...)
	for i := range s.Rules {
		s.Rules[i].Line = 0
	}
	return fmt.Sprintf("%#v", s)
}

package agent

import (
	"context"
	"fmt"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
)

// senses read the sensors of this node and cast its votes.
type senses interface {
	// run goes on until ctx ends.
	run(ctx context.Context)
	// show tells what is known, as JSON.
	show() (string, error)
}

// openSenses makes them; nil in a build without.
var openSenses func(*agent, config.Sensors) senses

// examineSenses compares the configuration with this machine.
var examineSenses func(config.Config) []config.Problem

// ExamineSensors says what does not fit between the sensors of a configuration
// and this machine, of which it reads all. Problems have no file.
func ExamineSensors(c config.Config) []config.Problem {
	if c.Sensors == nil {
		return nil
	}
	if err := noSenses(); err != nil {
		return []config.Problem{{Line: c.Sensors.Line, Key: "sensors", Text: err.Error(), Hint: control.Hint(err)}}
	}
	return examineSenses(c)
}

// noSenses says why nobody reads sensors; nil if the build can.
func noSenses() error {
	if openSenses == nil {
		return &control.Error{
			Text: fmt.Sprintf("read sensors: this is the %s build, which has none", buildName), Advice: "use the full build, or leave out [sensors]",
		}
	}
	return nil
}

// openSensors prepares the reading of sensors, if the configuration asks for it.
func (a *agent) openSensors() error {
	if a.cfg.Sensors == nil {
		return nil
	}
	if err := noSenses(); err != nil {
		return err
	}
	a.senses = openSenses(a, *a.cfg.Sensors)
	return nil
}

// sensing is who reads sensors now; a reload may have somebody else do it.
func (a *agent) sensing() senses {
	a.parts.Lock()
	defer a.parts.Unlock()
	return a.senses
}

// showSensors answers the control socket.
func (a *agent) showSensors() (string, error) {
	if s := a.sensing(); s != nil {
		return s.show()
	}
	if err := noSenses(); err != nil {
		return "", err
	}
	return "", errNoSensors
}

var errNoSensors = &control.Error{Text: "read sensors: the agent reads none", Advice: "add a section [sensors] to the configuration, and reload it"}

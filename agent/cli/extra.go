//go:build !lite

package cli

// lacking are the commands that this build lacks.
var lacking []string

// extra are the commands that a small build leaves out.
func extra() []*command {
	return []*command{
		&notifyCommand, &sensorsCommand, &drillCommand, &cableCommand, &forecastCommand, &supportCommand, completionCommand(), &simulateCommand, &reloadCommand,
	}
}

// redactor shows values of a configuration without their secrets.
var redactor = redactValue

// first are those that come before all others: the way to a configuration.
func first() []*command { return []*command{initCommand()} }

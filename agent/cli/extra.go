//go:build !lite

package cli

// extra are the commands that a small build leaves out.
func extra() []*command {
	return []*command{&forecastCommand, &supportCommand, completionCommand(), &simulateCommand}
}

// first are those that come before all others: the way to a configuration.
func first() []*command { return []*command{initCommand()} }

// absent are the commands of other builds.
var absent []string

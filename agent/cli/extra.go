//go:build !lite

package cli

// lacking are the commands that this build lacks.
var lacking []string

// extra are the commands that a small build leaves out.
func extra() []*command {
	return []*command{&drillCommand, &cableCommand, &forecastCommand, &supportCommand, completionCommand(), &simulateCommand}
}

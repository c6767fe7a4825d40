//go:build !lite

package cli

// lacking are the commands that this build lacks, unless workshop has them.
var lacking = []string{"simulate"}

// workshop are the commands that no box needs: those of make simulate.
var workshop []*command

// extra are the commands that a small build leaves out.
func extra() []*command {
	return append([]*command{
		&notifyCommand, &sensorsCommand, &drillCommand, &cableCommand, &forecastCommand, &supportCommand, completionCommand(), &reloadCommand,
	}, workshop...)
}

// redactor shows values of a configuration without their secrets.
var redactor = redactValue

// first are those that come before all others: the way to a configuration.
func first() []*command { return []*command{initCommand()} }

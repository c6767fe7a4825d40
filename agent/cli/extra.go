//go:build !lite

package cli

// extra are the commands that a small build leaves out.
func extra() []*command {
	return []*command{&sensorsCommand, &forecastCommand, &supportCommand, completionCommand(), &simulateCommand}
}

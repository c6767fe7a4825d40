//go:build !lite

package cli

// extra are the commands that a small build leaves out.
func extra() []*command {
	return []*command{initCommand(), &forecastCommand, &supportCommand, completionCommand(), &simulateCommand}
}

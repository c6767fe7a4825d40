//go:build !lite

package cli

// extra are the commands that a small build leaves out.
func extra() []*command {
	return []*command{&forecastCommand, &notifyCommand, &supportCommand, completionCommand(), &simulateCommand}
}

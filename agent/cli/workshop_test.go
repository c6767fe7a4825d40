//go:build !lite && !simulate

package cli

// The tests have every command.
func init() { workshop = append(workshop, &simulateCommand) }

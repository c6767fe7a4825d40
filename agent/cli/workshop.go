//go:build simulate

package cli

func init() { workshop = append(workshop, &simulateCommand) }

//go:build lite

package cli

// extra are the commands that a small build leaves out: none of them here.
func extra() []*command { return nil }

func first() []*command { return nil }

// absent are the commands of other builds, to tell them from a slip.
var absent = []string{"init", "forecast", "support", "completion", "simulate"}

//go:build !lite

package agent

// buildName is how an error calls this build.
const buildName = "full"

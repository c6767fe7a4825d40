//go:build lite

package cli

// extra are the commands that a small build leaves out: none of them here.
func extra() []*command { return nil }

// redactor is for reload, which a small build leaves out.
var redactor func(key, value string) string

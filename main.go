// Command twinbeat keeps one of two boxes in service.
package main

import (
	"os"

	"github.com/twinbeat/twinbeat/agent/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

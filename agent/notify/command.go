package notify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/agent/service"
)

// A Command is a program that is run for each alert.
type Command struct {
	Argv    []string
	Timeout time.Duration
}

// refusedCode is EX_DATAERR of sysexits.h: it is the alert's fault.
const refusedCode = 65

// Send runs the program with the alert in its environment and on its standard input.
func (c Command) Send(ctx context.Context, a *alert.Alert) (string, error) {
	text, err := a.JSON()
	if err != nil {
		return "", err
	}
	r, err := service.Command{
		Argv: c.Argv, Env: a.Environment(), Timeout: c.Timeout, Stdin: string(text) + "\n", Sweep: true,
	}.Run(ctx)
	said := strings.TrimSpace(r.Output())
	switch {
	case err != nil:
		return "", err
	case r.Code == refusedCode:
		return "", fmt.Errorf("exit code %d: %s: %w", r.Code, said, ErrRefused)
	case r.Code != 0:
		return "", fmt.Errorf("exit code %d: %s", r.Code, said)
	}
	return strings.TrimSpace("exit code 0 " + said), nil
}

package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/service"
)

// Look runs a program that only looks, as a service's status command is run,
// and returns the end of what it printed, at most 64 KiB.
func Look(ctx context.Context, within time.Duration, argv ...string) (string, error) {
	r, err := service.Command{Argv: argv, Timeout: within, Keep: service.MaxKeep, Sweep: true}.Run(ctx)
	if err != nil {
		return "", err
	}
	text := r.Stdout
	if !r.Whole {
		text = fmt.Sprintf("(the end of it)\n%s", text)
	}
	if r.Code != 0 {
		return text, fmt.Errorf("exit code %d: %s", r.Code, r.Output())
	}
	return text, nil
}

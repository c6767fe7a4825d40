package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/twinbeat/twinbeat/agent/service"
)

func init() {
	kinds["command"] = func(m *Monitor, _ Neighbours) probe {
		c := &m.cfg
		return func(ctx context.Context) Look { return program(ctx, c) }
	}
}

// program runs the command: exit code 0 is good. Whatever it leaves in its
// process group is killed.
func program(ctx context.Context, c *Config) Look {
	r, err := service.Command{Argv: c.Command, Timeout: c.Timeout, Sweep: true}.Run(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return Look{Unknown, err.Error()}
	case err != nil:
		return Look{Bad, err.Error()}
	case r.Code != 0:
		return Look{Bad, fmt.Sprintf("%s: exit code %d: %s", c.Command[0], r.Code, r.Output())}
	}
	return Look{Good, c.Command[0] + " says well"}
}

//go:build !lite && !no_agent

package agent

import (
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/exec"
)

func init() {
	openers["agent"] = func(d config.FenceDevice, s secrets) (fence.Unit, error) {
		return exec.NewAgent(exec.AgentConfig{
			Name: d.Name, Program: d.Agent, Address: d.Address, User: d.User, Password: s.password,
			Options: d.AgentOptions, Timeout: d.Timeout,
		})
	}
}

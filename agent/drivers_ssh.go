//go:build !lite && !no_ssh

package agent

import (
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/ssh"
)

func init() {
	openers["ssh"] = func(d config.FenceDevice, s secrets) (fence.Unit, error) { return ssh.New(sshConfig(d, s)) }
	openers["racadm"] = func(d config.FenceDevice, s secrets) (fence.Unit, error) { return ssh.NewRacadm(sshConfig(d, s)) }
}

func sshConfig(d config.FenceDevice, s secrets) ssh.Config {
	return ssh.Config{
		Name: d.Name, Address: d.Address, User: d.User, Password: s.password, Identity: s.identity,
		HostKey: d.HostKey, Legacy: d.Legacy, Command: d.Command, Timeout: d.Timeout,
	}
}

package agent

import (
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/exec"
)

func init() {
	openers["exec"] = func(d config.FenceDevice, _ secrets) (fence.Unit, error) {
		sw, err := exec.NewSwitch(exec.Config{
			Name: d.Name, Off: d.Off, On: d.On, Status: d.Status,
			OffText: d.OffText, OnText: d.OnText, Timeout: d.Timeout,
		})
		return single{sw}, err
	}
}

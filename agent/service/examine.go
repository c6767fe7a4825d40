package service

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// A Finding is what does not fit between a Spec and this machine.
type Finding struct {
	Key     string // of [[group.service]], such as driver or params.ip
	Text    string
	Hint    string
	Warning bool // it may fit another machine, or work all the same
}

// Examine looks whether this machine has what a Spec names, and asks an OCF
// agent for its metadata. It starts, stops and asks the state of nothing.
func Examine(ctx context.Context, s Spec) []Finding {
	if _, err := New(s); err != nil {
		return []Finding{{Key: "driver", Text: err.Error(), Hint: "twinbeat run would refuse it, too"}}
	}
	if program, ok := programs[s.Driver]; ok {
		if _, err := exec.LookPath(program); err != nil {
			return elsewhere("driver", fmt.Sprintf("driver %s: this machine has no %s", s.Driver, program))
		}
	}
	switch s.Driver {
	case "sysv", "procd":
		return examineScript(inInitDir(s.Unit))
	}
	if e, ok := extras[s.Driver]; ok {
		return e.examine(ctx, s)
	}
	return nil
}

// elsewhere is what is missing here, and may be there on the nodes.
func elsewhere(key, text string) []Finding {
	return []Finding{{Key: key, Text: text, Hint: "is this one of the two nodes?", Warning: true}}
}

// programs are what drivers run that belongs to no service.
var programs = map[string]string{"systemd": "systemctl", "openrc": "rc-service", "procd": "ubus", "runit": "sv"}

func examineScript(path string) []Finding {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return elsewhere("unit", fmt.Sprintf("this machine has no %s", path))
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return []Finding{{Key: "unit", Text: path + " is no program", Hint: "chmod +x " + path, Warning: true}}
	}
	return nil
}

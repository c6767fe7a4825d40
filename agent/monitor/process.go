//go:build !lite

package monitor

import (
	"context"
	"os"
	"strconv"
	"strings"
)

const (
	// maxProcesses bounds one look through the table: 32,768 is the kernel's own
	// default for its size.
	maxProcesses = 1 << 15
	maxStat      = 4096
	commSize     = 15 // bytes that the kernel keeps of a name, proc_pid_comm(5)
)

func init() {
	kinds["process"] = func(m *Monitor, _ Neighbours) probe {
		p := &processes{want: m.cfg.Process, dir: "/proc"}
		return p.look
	}
}

// processes looks for one by its name, or by the full path of its program.
type processes struct {
	want, dir string
	last      string // the one that was found last, which is looked at first
}

func (p *processes) look(ctx context.Context) Look {
	if p.last != "" && p.runs(p.last) {
		return Look{Good, p.want + " runs as process " + p.last}
	}
	p.last = ""
	dir, err := os.Open(p.dir)
	if err != nil {
		return Look{Unknown, "list processes: " + err.Error()}
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxProcesses)
	if err != nil {
		return Look{Unknown, "list processes: " + err.Error()}
	}
	for _, name := range names {
		if _, err := strconv.Atoi(name); err != nil || ctx.Err() != nil {
			continue
		}
		if p.runs(name) {
			p.last = name
			return Look{Good, p.want + " runs as process " + name}
		}
	}
	return Look{Bad, "no process " + p.want + " runs"}
}

// runs says whether the process is the one, and no zombie: "12 (name) S 1 ...".
// A name may have brackets in it, too.
func (p *processes) runs(pid string) bool {
	b, err := readSome(p.dir+"/"+pid+"/stat", maxStat)
	stat := string(b)
	from, to := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if err != nil || from < 0 || to < from || len(stat) < to+3 || strings.IndexByte("ZXx", stat[to+2]) >= 0 {
		return false
	}
	if p.want[0] != '/' {
		return stat[from+1:to] == p.want[:min(len(p.want), commSize)]
	}
	program, err := os.Readlink(p.dir + "/" + pid + "/exe")
	return err == nil && strings.TrimSuffix(program, " (deleted)") == p.want // as after an upgrade
}

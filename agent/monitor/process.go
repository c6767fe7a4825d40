//go:build !lite

package monitor

import (
	"context"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
)

const (
	// maxProcesses bounds one look through the table: 32,768 is the kernel's own
	// default for its size.
	maxProcesses = 1 << 15
	maxStat      = 256 // bytes: the name and the state are at the beginning
	batch        = 16  // processes that are looked at in one go
	commSize     = 15  // bytes that the kernel keeps of a name, proc_pid_comm(5)
)

func init() {
	kinds["process"] = func(m *Monitor, _ Neighbours) probe {
		return newProcesses(m.cfg.Process, "/proc").look
	}
}

func newProcesses(want, dir string) *processes {
	return &processes{want: want, dir: dir, yield: runtime.Gosched}
}

// processes looks for one by its name, or by the full path of its program.
type processes struct {
	want, dir string
	yield     func()
	stat      [maxStat]byte // of the process that is looked at
	last      string        // the one that was found last, which is looked at first
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
	for range maxProcesses / batch {
		if ctx.Err() != nil {
			return Look{Unknown, "list processes: " + ctx.Err().Error()}
		}
		names, err := dir.Readdirnames(batch)
		if err == io.EOF {
			break
		}
		if err != nil {
			return Look{Unknown, "list processes: " + err.Error()}
		}
		for _, name := range names {
			if _, err := strconv.Atoi(name); err == nil && p.runs(name) {
				p.last = name
				return Look{Good, p.want + " runs as process " + name}
			}
		}
		p.yield() // with one processor the agent's beat waits for it
	}
	return Look{Bad, "no process " + p.want + " runs"}
}

// runs says whether the process is the one, and no zombie: "12 (name) S 1 ...".
// A name may have brackets in it, too.
func (p *processes) runs(pid string) bool {
	n, err := readHead(p.dir+"/"+pid+"/stat", p.stat[:])
	stat := string(p.stat[:n])
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

// readHead reads the beginning of a file of /proc, which comes at once.
func readHead(path string, head []byte) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Read(head)
}

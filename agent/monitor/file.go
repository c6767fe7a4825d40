//go:build !lite

package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const (
	// maxContent is how much of a file is searched.
	maxContent = 64 << 10
	// maxFuture is how far ahead of this node's clock a file may be dated: that
	// of a file server may differ.
	maxFuture = 10 * time.Second
)

func init() {
	kinds["file"] = func(m *Monitor, _ Neighbours) probe {
		f := &file{cfg: &m.cfg, now: time.Now}
		return f.look
	}
}

// A file is looked at aside: a dead disk or server holds who asks.
type file struct {
	cfg    *Config
	now    func() time.Time
	reader aside[Look]
}

func (f *file) look(ctx context.Context) Look {
	switch l, err := f.reader.ask(ctx, f.cfg.Timeout, f.read); err {
	case nil:
		return l
	case errLate:
		return Look{Bad, fmt.Sprintf("%s cannot be read within %v", f.cfg.Path, f.cfg.Timeout)}
	default:
		return Look{Why: err.Error()}
	}
}

func (f *file) read() Look {
	c := f.cfg
	st, err := os.Stat(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Look{Bad, c.Path + " is not there"}
	case err != nil:
		return Look{Unknown, err.Error()}
	}
	if c.MaxAge > 0 {
		switch age := f.now().Sub(st.ModTime()); {
		case age < -maxFuture:
			return Look{Unknown, c.Path + " is dated in the future: is the clock right?"}
		case age > c.MaxAge:
			return Look{Bad, fmt.Sprintf("%s was written %v ago, more than %v", c.Path, age.Round(time.Second), c.MaxAge)}
		}
	}
	if c.Contains == "" {
		return Look{Good, c.Path + " is there"}
	}
	data, err := readSome(c.Path, maxContent)
	switch {
	case err != nil:
		return Look{Unknown, err.Error()}
	case !bytes.Contains(data, []byte(c.Contains)):
		return Look{Bad, c.Path + " lacks what it shall contain"}
	}
	return Look{Good, c.Path + " has what it shall contain"}
}

package agent

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// keyFileMost bounds a key file: 255 keys of 256 bytes.
const keyFileMost = 64 << 10

// LoadKeys reads a key file. It refuses one that others than its owner may
// read, or that somebody else owns: who has the key can command the pair.
func LoadKeys(name string) (*wire.Keyring, error) {
	data, err := readPrivate("key file", name, keyFileMost)
	if err != nil {
		return nil, err
	}
	keys, problems := wire.ParseKeys(name, data)
	for _, p := range problems {
		err = errors.Join(err, p)
	}
	return keys, err
}

// keyPoll is how often the key file is looked at. A rotation is done by hand,
// step by step on two machines: seconds do not matter.
const keyPoll = 2 * time.Second

// watchKeys takes up a changed key file without a pause in the heartbeats. A
// bad file changes nothing and is an alarm.
func (a *agent) watchKeys(ctx context.Context) {
	name, last := a.cfg.KeyFile, a.keyInfo
	tick := time.NewTicker(keyPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		info, err := os.Stat(name)
		if err != nil {
			a.loop.Tell(loop.AlarmChanged{Name: "key-file", On: true, Text: err.Error()})
			last = nil
			continue
		}
		if last != nil && info.ModTime().Equal(last.ModTime()) && info.Size() == last.Size() && os.SameFile(info, last) {
			continue
		}
		last = info
		keys, err := LoadKeys(name)
		if err != nil {
			last = nil // chmod and chown mend it without a trace in size or time
			a.loop.Tell(loop.AlarmChanged{Name: "key-file", On: true, Text: err.Error() + "; the keys read before stay in use"})
			continue
		}
		a.wire.SetKeys(keys)
		a.loop.Tell(loop.AlarmChanged{Name: "key-file"})
		a.loop.Tell(loop.Notice{Event: report.Event{Kind: "agent", Seen: "the key file changed", Done: "its keys are in use"}})
	}
}

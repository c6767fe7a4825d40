package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent/wire"
)

// FuzzRotate does steps of a key rotation on any key file that the agent would
// accept. Each step yields a file that the agent accepts, with exactly the keys
// that it should have, and leaves every other line as it was.
func FuzzRotate(f *testing.F) {
	f.Add("# mine\nactive 1\n"+freshKey(1), uint8(0), uint8(0))
	f.Add(freshKey(7)+"\tactive   7 # now\r\n\n"+freshKey(9), uint8(1), uint8(9))
	f.Add("active 2\n"+strings.TrimSpace(freshKey(2))+" # old\n"+strings.TrimSpace(freshKey(255)), uint8(2), uint8(255))
	f.Add("active 1#now\n"+freshKey(1)+freshKey(2), uint8(1), uint8(2))
	f.Add("key 3 "+strings.Fields(freshKey(3))[2]+"\nactive 3", uint8(0), uint8(3))
	f.Fuzz(func(t *testing.T, data string, step, id uint8) {
		ring, problems := wire.ParseKeys("keys", []byte(data))
		if len(problems) > 0 {
			return
		}
		ids, active := ring.IDs(), ring.Active()
		var o options
		switch step % 3 {
		case 0:
			o.add, o.id = true, int(id)
		case 1:
			o.activate = max(int(id), 1)
			active = uint8(o.activate)
		case 2:
			o.remove = max(int(id), 1)
			ids = slices.DeleteFunc(ids, func(k uint8) bool { return int(k) == o.remove })
		}
		changed, done, err := rotate(data, ring, &o)
		if err != nil {
			return
		}
		now, problems := wire.ParseKeys("keys", []byte(changed))
		if len(problems) > 0 {
			if step%3 == 0 && len(ids) == wire.MaxKeys {
				return // one too many: keygen says so
			}
			t.Fatalf("%s: %q became %q: %v", done, data, changed, problems)
		}
		got := now.IDs()
		if step%3 == 0 {
			added := got[len(got)-1]
			if slices.Contains(ids, added) || id != 0 && added != id {
				t.Fatalf("added key %d to %v", added, ids)
			}
			got = got[:len(got)-1]
		}
		if !slices.Equal(got, ids) || now.Active() != active {
			t.Fatalf("%s: %q became %q: keys %v, active %d", done, data, changed, now.IDs(), now.Active())
		}
		for line := range strings.Lines(data) {
			words := strings.Fields(line)
			if len(words) > 0 && words[0] != "key" && words[0] != "active" && !strings.Contains(changed, strings.TrimSpace(line)) {
				t.Fatalf("the line %q is gone", line)
			}
		}
	})
}

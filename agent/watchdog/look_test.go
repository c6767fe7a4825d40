package watchdog

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLook(t *testing.T) {
	k := box(t, nil, nil, map[string]string{
		"dev/watchdog": "", "dev/watchdog0": "", "dev/watchdog1": "",
		class + "identity": "i6300ESB timer\n", class + "state": "active\n", class + "timeout": "5\n", class + "timeleft": "4\n",
		class + "nowayout": "1\n", class + "bootstatus": "32\n", class + "pretimeout_governor": "panic\n",
		"proc/12/comm": "twinbeat\n", "proc/12/fd/9": "-> /dev/watchdog",
	})
	want := []Seen{
		{
			Path: "/dev/watchdog0", Identity: "i6300ESB timer", State: "active", Timeout: 5 * time.Second, TimeLeft: 4 * time.Second,
			NoWayOut: yes, Governor: "panic", Boot: []string{"CARDRESET"}, Holder: "twinbeat (pid 12)",
		},
		{Path: "/dev/watchdog1", NoWayOut: unknown},
	}
	if diff := cmp.Diff(want, k.look()); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	const line = "/dev/watchdog0, identity i6300ESB timer, state active, timeout 5s, time left 4s, nowayout yes, governor panic, boot status CARDRESET, held by twinbeat (pid 12)"
	if got := want[0].String(); got != line {
		t.Errorf("got %s", got)
	}
	if old := box(t, nil, nil, map[string]string{"dev/watchdog": ""}).look(); len(old) != 1 || old[0].Path != "/dev/watchdog" {
		t.Errorf("a driver older than the class: %+v", old)
	}
	if none := box(t, nil, nil, nil).look(); none != nil {
		t.Errorf("none: %+v", none)
	}
}

package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/vital"
	"github.com/twinbeat/twinbeat/agent/watchdog"
)

func TestAnAbsentWatchdog(t *testing.T) {
	if _, err := os.Stat("/dev/watchdog-that-is-not"); err == nil {
		t.Fatal("it is there")
	}
	a := &agent{cfg: config.Config{Watchdog: &config.Watchdog{Device: "/dev/watchdog-that-is-not", Timeout: time.Second}}}
	if err := a.openWatchdog(); err != nil || a.noDog == nil || len(a.dogs) > 0 {
		t.Errorf("one that is not required: %v, %v", err, a.noDog)
	}
	a.cfg.Watchdog.Required = true
	if err := a.openWatchdog(); err == nil || !strings.Contains(err.Error(), "requires") {
		t.Errorf("one that is required: %v", err)
	}
	a.cfg.Watchdog = nil
	if err := a.openWatchdog(); err != nil {
		t.Errorf("none: %v", err)
	}
}

func TestTokensExistOnlyWhereThereIsSuchWork(t *testing.T) {
	links := []config.Link{{Name: "null modem", Type: "serial"}, {Name: "eth2", Type: "multicast"}, {Name: "eth3", Type: "unicast"}}
	group := config.Group{Services: []config.Service{{Name: "dns"}}}
	none := &agent{}
	for _, l := range links {
		if read, write := none.linkHooks(l); read != nil || write != nil {
			t.Error("a link proves something to nobody")
		}
	}
	if none.checkHook(group) != nil || len(none.roster.sources) > 0 {
		t.Error("there are sources without a watchdog")
	}
	a := &agent{dogs: dogs{nil}, cfg: config.Config{Watchdog: &config.Watchdog{Patience: 10 * time.Second}}}
	var hooks []func()
	for _, l := range links {
		read, write := a.linkHooks(l)
		hooks = append(hooks, read)
		if write != nil {
			hooks = append(hooks, write)
		}
	}
	check := a.checkHook(group)
	check("dns", true) // before the guard is there: nobody judges yet
	var names []string
	for _, s := range a.roster.sources {
		names = append(names, s.String())
	}
	want := []string{"serial-read null modem", "serial-write null modem", "multicast eth2", "multicast eth3", "health dns"}
	if !slices.Equal(names, want) {
		t.Fatalf("sources %q", names)
	}
	a.roster.guard = vital.New(time.Duration(monotonic()), time.Minute, a.roster.sources)
	g := a.roster.guard
	for i, hook := range hooks {
		if g.Ages(time.Duration(monotonic()))[i].Age >= 0 {
			t.Errorf("%s has worked already", names[i])
		}
		hook()
		if g.Ages(time.Duration(monotonic()))[i].Age < 0 {
			t.Errorf("%s did not prove itself", names[i])
		}
	}
	check("dns", true)
	if s := g.Judge(time.Duration(monotonic()) + time.Hour); s != vital.Failed || !strings.Contains(strings.Join(g.Stale(), " "), "health dns has not come back") {
		t.Errorf("a check that hangs: %v %v", s, g.Stale())
	}
}

func TestNewestDump(t *testing.T) {
	root := t.TempDir()
	if name, _ := newestDump(root); name != "" {
		t.Errorf("found %s", name)
	}
	for i, name := range []string{"sys/fs/pstore/dmesg-efi-1", "var/lib/systemd/pstore/7/dmesg.txt", "sys/fs/pstore/console-ramoops-0"} {
		path := filepath.Join(root, name)
		at := time.Unix(1_790_000_000+int64(i), 0)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("Panic#1"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if name, at := newestDump(root); name != "dmesg.txt of 2026-09-21T14:13:21Z" || at.Unix() != 1_790_000_001 {
		t.Errorf("found %s, %v", name, at)
	}
}

func TestPowerOn(t *testing.T) {
	root := t.TempDir()
	if got := powerOn(root); got != "" {
		t.Errorf("found %s", got)
	}
	for name, text := range map[string]string{"a": "unknown reason\n", "b": "watchdog timeout\n"} {
		dir := filepath.Join(root, "bus/platform/devices", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "power_on_reason"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := powerOn(root); got != "watchdog timeout" {
		t.Errorf("found %q", got)
	}
}

func TestADeviceIsShownAsItIs(t *testing.T) {
	v := deviceView(watchdog.Info{Path: "/dev/watchdog", Timeout: 5 * time.Second, Worst: 7 * time.Second, Handover: time.Minute, Boot: []string{"CARDRESET"}, Software: true})
	if v.TimeoutMS != 5000 || v.WorstMS != 7000 || v.HandoverMS != 60_000 || !v.Software || len(v.Boot) != 1 {
		t.Errorf("%+v", v)
	}
}

func TestADeviceDeniesAResetOnlyIfItOnceSaidSo(t *testing.T) {
	says := watchdog.Info{Identity: "i6300ESB timer", BootKnown: true, Boot: []string{"CARDRESET"}}
	silent := watchdog.Info{Identity: "i6300ESB timer", BootKnown: true}
	mute := watchdog.Info{Identity: "i6300ESB timer"}
	other := watchdog.Info{Identity: "iTCO_wdt", BootKnown: true}
	nameless := watchdog.Info{BootKnown: true}
	told := ""
	for i, c := range []struct {
		info   watchdog.Info
		told   string
		denied bool
	}{
		{silent, "", false},
		{nameless, "", false},
		{says, "i6300ESB timer", false},
		{silent, "i6300ESB timer", true},
		{mute, "i6300ESB timer", false},
		{other, "i6300ESB timer", false},
		{nameless, "i6300ESB timer", false},
		{silent, "i6300ESB timer", true},
	} {
		var denied bool
		if told, denied = learn(told, c.info, false); told != c.told || denied != c.denied {
			t.Errorf("boot %d: told %q, denied %v", i, told, denied)
		}
	}
}

func TestWhyABootBeganIsKeptForTheNextAgent(t *testing.T) {
	a := withJournal(t, t.TempDir())
	a.log = slog.New(slog.DiscardHandler)
	var o loop.Options
	a.judgeReset(&o)
	if o.Uptime() <= 0 {
		t.Error("the kernel's uptime is not known")
	}
	a.kick.Told = "i6300ESB timer"
	o.KeepReset("power-loss-or-reset: the peer saw it")
	a.group.Wait()
	if k, _, err := a.journal.LastFeed(); err != nil || k == nil || k.Reset != "power-loss-or-reset: the peer saw it" || k.Told != a.kick.Told || k.State != "none" {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestOnlyADeviceThatMayFailIsAnAlarm(t *testing.T) {
	for _, c := range []struct {
		info watchdog.Info
		want bool
	}{
		{watchdog.Info{Options: []string{"MAGICCLOSE"}, Warnings: []string{"timeout is 8s instead of 5s"}}, false},
		{watchdog.Info{Options: []string{"MAGICCLOSE"}, Software: true}, true},
		{watchdog.Info{}, true},
		{watchdog.Info{NoWayOut: "yes"}, false},
	} {
		if got := frail(c.info); got != c.want {
			t.Errorf("%+v: %v", c.info, got)
		}
	}
}

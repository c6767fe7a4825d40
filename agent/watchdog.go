package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/link"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/vital"
	"github.com/twinbeat/twinbeat/agent/watchdog"
)

// dogs are the devices that one gate feeds.
type dogs []*watchdog.Device

func (d dogs) each(do func(*watchdog.Device) error) error {
	var errs []error
	for _, one := range d {
		errs = append(errs, do(one))
	}
	return errors.Join(errs...)
}

// Feed feeds every device, also when one fails.
func (d dogs) Feed() error { return d.each((*watchdog.Device).Feed) }

// Leave gives the next process the hand-over time to open every device.
func (d dogs) Leave() error { return d.each((*watchdog.Device).Leave) }

// Disarm ends the watch of every device.
func (d dogs) Disarm() error { return d.each((*watchdog.Device).Disarm) }

// Devices describes them.
func (d dogs) Devices() []report.WatchdogDev {
	var out []report.WatchdogDev
	for _, one := range d {
		out = append(out, deviceView(one.Info()))
	}
	return out
}

func deviceView(i watchdog.Info) report.WatchdogDev {
	return report.WatchdogDev{
		Path: i.Path, Identity: i.Identity, Options: i.Options, TimeoutMS: i.Timeout.Milliseconds(),
		WorstMS: i.Worst.Milliseconds(), HandoverMS: i.Handover.Milliseconds(), Pretimeout: i.Pretimeout.Milliseconds(),
		Governor: i.Governor, NoWayOut: i.NoWayOut, Boot: i.Boot, BootKnown: i.BootKnown, Running: i.Running,
		Software: i.Software, Warnings: i.Warnings,
	}
}

// openWatchdog opens the devices before anything else that may take its time: a
// start that hangs is worth a reset, too. Only one that is required and missing
// is an error.
func (a *agent) openWatchdog() error {
	c := a.cfg.Watchdog
	if c == nil {
		return nil
	}
	var errs []error
	for _, path := range []string{c.Device, c.Second} {
		if path == "" {
			continue
		}
		d, err := watchdog.Open(watchdog.Config{
			Path: path, Timeout: c.Timeout, Pretimeout: c.Pretimeout, Governor: c.Governor, Handover: c.Handover,
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a.log.Info("watchdog", "device", d.Info().String(), "warnings", strings.Join(d.Info().Warnings, "; "))
		a.dogs = append(a.dogs, d)
	}
	a.noDog = errors.Join(errs...)
	if c.Required && a.noDog != nil {
		return fmt.Errorf("open the watchdog that the configuration requires: %w", a.noDog)
	}
	return nil
}

// leaveWatchdog prepares a clean end: the next agent has the hand-over time. The
// devices stay armed.
func (a *agent) leaveWatchdog() {
	if err := a.dogs.Leave(); err != nil {
		a.log.Warn("watchdog", "err", err)
	}
}

// How often the proofs come that cost something.
const (
	askEvery = 5 * time.Second
	// sourceSlack is what a worker's schedule may slip: what is due is looked at
	// once a second, and a link that is down is tried again so often.
	sourceSlack = link.BackoffMax + time.Second
)

// A roster collects the sources of vital work and who proves which.
type roster struct {
	sources []vital.Source
	guard   *vital.Guard // made when all are known
}

func (r *roster) add(s vital.Source) int {
	r.sources = append(r.sources, s)
	return len(r.sources) - 1
}

// did returns what a worker calls when its work came back.
func (r *roster) did(s vital.Source) func() {
	i := r.add(s)
	return func() {
		if r.guard != nil {
			r.guard.Done(i, time.Duration(monotonic()))
		}
	}
}

// linkHooks returns what a link's driver calls after each read and write.
func (a *agent) linkHooks(l config.Link) (read, write func()) {
	if len(a.dogs) == 0 {
		return nil, nil
	}
	s := vital.Source{Token: vital.Multicast, Name: l.Name, Every: sourceSlack, Takes: a.cfg.Watchdog.Patience}
	if l.Type != "serial" {
		return a.roster.did(s), nil
	}
	s.Token = vital.SerialRead
	read = a.roster.did(s)
	s.Token = vital.SerialWrite
	return read, a.roster.did(s)
}

// checkHook returns what a group's service checks call. A check has only a
// length, no schedule: none is made where the group is not.
func (a *agent) checkHook(g config.Group) func(name string, begun bool) {
	if len(a.dogs) == 0 {
		return nil
	}
	ids := map[string]int{}
	for _, s := range g.Services {
		takes := 2*s.StatusTimeout + 2*(s.StartTimeout+s.StopTimeout) + slowMargin + a.cfg.Watchdog.Patience
		ids[s.Name] = a.roster.add(vital.Source{Token: vital.Health, Name: s.Name, Takes: takes})
	}
	return func(name string, begun bool) {
		switch {
		case a.roster.guard == nil:
		case begun:
			a.roster.guard.Begin(ids[name], time.Duration(monotonic()))
		default:
			a.roster.guard.Done(ids[name], time.Duration(monotonic()))
		}
	}
}

// composeWatch gives the loop what it feeds the watchdog by.
func (a *agent) composeWatch(o *loop.Options) {
	a.judgeReset(o)
	c := a.cfg.Watchdog
	if len(a.dogs) == 0 {
		o.NoDog = &report.Watchdog{State: "none"}
		if c != nil {
			o.NoDog.State, o.NoDog.Error = "missing", a.noDog.Error()
		}
		return
	}
	every := watchdog.Period(a.dogs[0].Info().Timeout)
	for _, d := range a.dogs {
		every = min(every, watchdog.Period(d.Info().Timeout))
	}
	beat := vital.Source{Token: vital.Machine, Every: a.cfg.Timing.Beat, Takes: c.Patience}
	lease := vital.Source{Token: vital.Lease, Every: a.cfg.Timing.Beat, Takes: c.Patience}
	w := &loop.Watch{
		Dog: a.dogs, Every: every, NetlinkEvery: askEvery, JournalEvery: c.JournalEvery, Patience: c.Patience,
		Machine: a.roster.add(beat), Lease: a.roster.add(lease),
		Netlink: a.roster.add(vital.Source{Token: vital.Netlink, Every: askEvery + sourceSlack, Takes: c.Patience}),
		Journal: a.roster.add(vital.Source{Token: vital.Journal, Every: c.JournalEvery + sourceSlack, Takes: c.JournalTimeout}),
		Ask:     a.hands.kernel.Answers, Record: a.journal.Feed, Dump: a.dump, Kick: a.kick,
	}
	w.Kick.Timeout = a.dogs[0].Info().Timeout.Milliseconds()
	a.roster.guard = vital.New(time.Duration(monotonic()), c.Handover/2, a.roster.sources)
	w.Guard = a.roster.guard
	o.Watch = w
}

// bootWait lengthens the time that a booting node listens, if the devices reset a
// hung box later than the configuration reckons.
func (a *agent) bootWait(t config.Timing) time.Duration {
	wait := t.BootWait
	for _, d := range a.dogs {
		wait = max(wait, config.BootWait(t, d.Info().Worst))
	}
	return wait
}

// tellWatchdog raises the alarms of the start.
func (a *agent) tellWatchdog() {
	if a.noDog != nil {
		a.loop.Tell(loop.AlarmChanged{Name: "watchdog-missing", On: true, Text: a.noDog.Error()})
	}
	for _, d := range a.dogs {
		i := d.Info()
		if frail(i) { // the other warnings stand in status
			a.loop.Tell(loop.AlarmChanged{Name: "watchdog-device " + i.Path, On: true, Text: i.Path + ": " + strings.Join(i.Warnings, "; ")})
		}
	}
	if wait := a.bootWait(a.cfg.Timing); wait > a.cfg.Timing.BootWait {
		a.loop.Tell(loop.AlarmChanged{Name: "watchdog-timeout", On: true, Text: fmt.Sprintf(
			"a hung box is reset later than boot_wait %s reckons with: this node listens %s at boot", a.cfg.Timing.BootWait, wait.Round(time.Millisecond),
		)})
	}
}

// frail says whether a device may fail to reset the box when it is needed.
func frail(i watchdog.Info) bool {
	return i.Software || !slices.Contains(i.Options, "MAGICCLOSE") && i.NoWayOut != "yes"
}

// dump keeps every goroutine's stack, apart from the loop: the disk may be what
// hangs.
func (a *agent) dump(why string) {
	go func() {
		b := make([]byte, journal.MaxStack)
		b = b[:runtime.Stack(b, true)]
		fmt.Fprintf(os.Stderr, "twinbeat: %s\n%s\n", why, b)
		if err := a.journal.Dump(append([]byte(why+"\n\n"), b...)); err != nil {
			a.log.Error("dump stacks", "err", err)
		}
	}()
}

// judgeReset finds out why the box, or the agent, was started, and what the next
// one needs to find out.
func (a *agent) judgeReset(o *loop.Options) {
	last, _, err := a.journal.LastFeed()
	if err != nil {
		a.log.Warn("watchdog", "err", err)
	}
	t := report.Traces{
		First: a.journal.First(), SameBoot: a.journal.SameBoot(), Clean: a.state.Clean, FencedBy: a.state.FencedBy,
		Kick: last, PowerOn: powerOn("/sys"),
	}
	t.Dump, t.DumpAt = newestDump("/")
	told := ""
	if last != nil {
		told = last.Told
	}
	for _, d := range a.dogs {
		i := d.Info()
		t.Boot = append(t.Boot, i.Boot...)
		told, t.Denied = learn(told, i, t.Denied)
	}
	r := report.JudgeReset(t)
	o.LastReset = &r
	a.kick = report.Kick{At: time.Now(), State: "none", Dump: t.Dump, Told: told, Reset: r.Cause + ": " + r.Text}
	if t.SameBoot {
		a.kick.Reset = ""
		if last != nil {
			a.kick.Reset = last.Reset
		}
	}
	o.Uptime = uptime
	o.KeepReset = func(why string) {
		k := a.kick
		k.Reset = why
		a.group.Go(func() { a.keepKick(k) })
	}
}

// learn notes a watchdog that says that it reset this box, and says whether one
// that did so once denies it now. Many can say nothing, whatever their flags claim.
func learn(told string, i watchdog.Info, denied bool) (string, bool) {
	switch {
	case slices.Contains(i.Boot, "CARDRESET"):
		return i.Identity, false
	case i.BootKnown && i.Identity != "" && i.Identity == told:
		return told, true
	}
	return told, denied
}

// uptime is that of the kernel; zero: it does not say.
func uptime() time.Duration {
	up, _ := clock(unix.CLOCK_BOOTTIME)
	return up
}

// keepKick writes what judgeReset found into the journal, beside the loop: a
// restarted agent must be heard before a slow flash has synced. With a watchdog
// the loop does, at its first look at what comes once a second.
func (a *agent) keepKick(k report.Kick) {
	if err := a.journal.Feed(k); err != nil {
		a.log.Warn("watchdog", "err", err)
	}
}

// powerOn reads what the board says of its last start (power_on_reason of the
// kernel's ABI); few can.
func powerOn(sys string) string {
	for _, d := range entries(filepath.Join(sys, "bus/platform/devices")) {
		b, err := os.ReadFile(filepath.Join(d, "power_on_reason"))
		if text := strings.TrimSpace(string(b)); err == nil && text != "" && text != "unknown reason" {
			return text
		}
	}
	return ""
}

// entriesMost bounds what is looked at of a folder.
const entriesMost = 1000

// entries are the paths of what is in a folder; none if there is no such folder.
func entries(dir string) (paths []string) {
	all, _ := os.ReadDir(dir)
	for _, e := range all[:min(len(all), entriesMost)] {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}

// newestDump names the newest kernel dump in pstore, or where systemd-pstore
// moves it to.
func newestDump(root string) (name string, at time.Time) {
	files := slices.DeleteFunc(entries(filepath.Join(root, "sys/fs/pstore")), func(f string) bool {
		return !strings.HasPrefix(filepath.Base(f), "dmesg-")
	})
	moved := entries(filepath.Join(root, "var/lib/systemd/pstore"))
	files = append(files, moved...)
	for _, dir := range moved {
		files = append(files, entries(dir)...)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err == nil && st.Mode().IsRegular() && st.ModTime().After(at) {
			name, at = filepath.Base(f)+" of "+st.ModTime().UTC().Format(time.RFC3339), st.ModTime()
		}
	}
	return name, at
}

// Watchdogs lists the devices of this box without opening one.
func Watchdogs() []watchdog.Seen { return watchdog.Look() }

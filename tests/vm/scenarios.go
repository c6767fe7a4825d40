package vm

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// fenced is a pair in mode fence with the power strip.
var fenced = Options{Mode: "fence", PDU: true}

// guarded is a pair whose agents feed their watchdogs.
var guarded = Options{Guarded: true}

// scenarios are all that can befall the pair here, one after the other.
var scenarios = []scenario{
	{
		name: "power-cut", quick: true, owner: 1, by: "silence",
		fault: func(x *play) error { return x.Machines[0].PowerOff() },
		heal:  func(x *play) error { return x.powerOn(0) },
	},
	{
		name: "kernel-panic", quick: true, owner: 1, by: "silence",
		fault: func(x *play) error { return x.sysrq(0, "c") },
		heal:  func(x *play) error { return x.Machines[0].Booted(2, x.Timing.scaled(bootTime)) },
	},
	{
		name: "hang-and-late-resume", owner: 1, by: "silence",
		// All clocks of the frozen machine stood still, and with them its lease.
		// Mode silence is not safe under that; mode fence is.
		both:  lease + window,
		fault: func(x *play) error { return x.Machines[0].Freeze() },
		heal:  func(x *play) error { return x.Machines[0].Thaw() },
	},
	{
		name: "hang-fenced", quick: true, pair: fenced, owner: 1, by: "fence",
		fault: func(x *play) error { return x.Machines[0].Freeze() },
		heal:  func(x *play) error { return must(x.wasFenced(0), x.powersOf(1, 0)) },
	},
	{
		name: "agent-killed", owner: 1, by: "silence",
		fault: func(x *play) error { return x.signal(0, int(unix.SIGKILL)) },
		heal:  func(x *play) error { return x.startAgent(0) },
	},
	{
		name: "agent-stopped", quick: true, owner: 1, by: "silence",
		fault: func(x *play) error { return x.signal(0, int(unix.SIGSTOP)) },
		heal:  func(x *play) error { return x.signal(0, int(unix.SIGCONT)) },
	},
	{
		name: "agent-starved", owner: 1, by: "silence",
		fault: func(x *play) error {
			_, err := x.Machines[0].ask(talk.Request{Do: talk.Spin, Within: x.Timing.scaled(5 * takeover)}, askWait)
			return err
		},
		heal: func(*play) error { return nil }, // it ends by itself
	},
	{
		name: "agent-out-of-memory", owner: 1, by: "silence",
		fault: func(x *play) error {
			_, err := x.Machines[0].Shell("echo 1000 > /proc/$(pidof twinbeat)/oom_score_adj && echo f > /proc/sysrq-trigger")
			return err
		},
		heal: func(x *play) error { return x.startAgent(0) },
	},
	{
		name: "serial-noise", owner: 0, tells: "serial",
		fault: func(x *play) error { x.Serial.Corrupt(1e-3, 1); return nil },
		heal:  func(x *play) error { return must(x.countsDrops(0), x.restoreSerial) },
	},
	{
		name: "serial-cut", quick: true, owner: 0, tells: "link/serial",
		fault: func(x *play) error { return x.cutSerial() },
		heal:  func(x *play) error { return x.restoreSerial() },
	},
	{
		name: "ethernet-cut", owner: 0, tells: "link/multicast",
		fault: func(x *play) error { x.CutEthernet(); return nil },
		heal:  func(x *play) error { x.HealEthernet(); return nil },
	},
	{
		name: "ethernet-one-way", owner: 0, tells: "link/multicast",
		fault: func(x *play) error { x.Ether.Cut(true, false); return nil },
		heal:  func(x *play) error { x.Ether.Cut(false, false); return nil },
	},
	{
		name: "both-cut-fence", quick: true, pair: fenced, owner: 0, tells: "fence",
		fault: func(x *play) error { return must(x.cutAll, x.wasFenced(1)) },
		heal: func(x *play) error {
			x.HealEthernet()
			return must(x.restoreSerial, x.powersOf(0, 1))
		},
	},
	{
		name: "both-cut-silence", owner: 0, // the probe on the LAN is the last guard
		fault: func(x *play) error { return x.cutAll() },
		heal:  func(x *play) error { x.HealEthernet(); return x.restoreSerial() },
	},
	{
		name: "both-cut-lease", quick: true, pair: Options{Mode: "lease"}, owner: 1, by: "lease",
		fault: func(x *play) error { return x.cutAll() },
		heal:  func(x *play) error { x.HealEthernet(); return x.restoreSerial() },
	},
	{
		name: "pdu-slow", pair: fenced, owner: 1, by: "fence",
		fault: func(x *play) error {
			x.PDU.Behave(snmptest.Lies{Lag: 3 * time.Second, Delay: 200 * time.Millisecond})
			return x.Machines[0].Freeze()
		},
		heal: func(x *play) error { x.PDU.Behave(snmptest.Lies{}); return must(x.wasFenced(0), x.powersOf(1, 0)) },
	},
	{
		name: "pdu-dead", pair: fenced, owner: nobody, tells: "fence-device",
		fault: func(x *play) error { x.PDU.Behave(snmptest.Lies{Deaf: true}); return x.Machines[0].Freeze() },
		heal: func(x *play) error {
			x.PDU.Behave(snmptest.Lies{})
			return must(x.takesBy("fence"), x.wasFenced(0), x.powersOf(1, 0))
		},
	},
	{
		name: "pdu-lies", pair: fenced, owner: nobody, tells: "fence", // it takes the order and does nothing
		fault: func(x *play) error { x.PDU.Behave(snmptest.Lies{Dead: true}); return x.Machines[0].Freeze() },
		heal: func(x *play) error {
			x.PDU.Behave(snmptest.Lies{})
			return must(x.takesBy("fence"), x.wasFenced(0), x.powersOf(1, 0))
		},
	},
	{
		name: "one-boots-alone", quick: true, pair: Options{Boot: "fw2"}, owner: 1, by: "silence",
		fault: func(x *play) error { return nil },
		heal:  func(x *play) error { return x.startAgent(0) },
	},
	{
		name: "console-on-the-serial-port", owner: 0,
		pair: Options{
			Append: [2]string{"", "console=ttyS1,115200 loglevel=8"},
			Early:  [2]string{"", "while :; do echo; echo fw2 login:; usleep 300000; done > /dev/ttyS1 &"},
		},
		fault: func(x *play) error { x.CutEthernet(); return nil },
		heal:  func(x *play) error { x.HealEthernet(); return nil },
	},
	{
		// The node that comes back in time is preferred and takes the group anew.
		name: "reboot-faster-than-dead", owner: either,
		pair:  Options{Slow: 3},
		fault: func(x *play) error { return x.Machines[0].Reset() },
		heal:  func(x *play) error { return x.Machines[0].Booted(2, x.Timing.scaled(bootTime)) },
	},
	{
		name: "clock-at-1970-and-jumping", owner: 0, pair: Options{Early: [2]string{"date -s @0", "date -s @0"}},
		fault: func(x *play) error {
			for _, at := range []string{"@4000000000", "@1000", "@1900000000"} {
				if _, err := x.Machines[0].Shell("date -s " + at); err != nil {
					return err
				}
				if err := x.stays("fw1 owns the group", func() bool { return x.keeps(0) }); err != nil {
					return err
				}
			}
			return nil
		},
		heal: func(x *play) error {
			return must(x.Machines[0].PowerOff, x.takesBy("silence"), func() error { return x.powerOn(0) })
		},
	},
	{
		name: "full-disk", owner: 1, by: "silence", tells: "journal",
		fault: func(x *play) error { return must(x.fill(0), x.fill(1), x.Machines[0].PowerOff) },
		heal: func(x *play) error {
			_, err := x.Machines[1].Shell("rm /var/lib/twinbeat/fill.*")
			return must(func() error { return err }, func() error { return x.powerOn(0) })
		},
	},
	{
		name: "read-only-disk", owner: 1, by: "silence", tells: "journal", pair: Options{ReadOnly: [2]bool{true, true}},
		fault: func(x *play) error { return x.Machines[0].PowerOff() },
		heal:  func(x *play) error { return x.powerOn(0) },
	},
	{
		name: "9600-baud", owner: 1, by: "silence", pair: Options{Baud: 9600},
		fault: func(x *play) error {
			x.CutEthernet()
			return must(func() error { return x.stays("fw1 owns the group", func() bool { return x.keeps(0) }) }, x.Machines[0].PowerOff)
		},
		heal: func(x *play) error { x.HealEthernet(); return x.powerOn(0) },
	},
	{
		// The device alone: something opened it, and does not feed it. It starts at 30 s.
		name: "watchdog-device", owner: 1, by: "silence",
		fault: func(x *play) error {
			_, err := x.Machines[0].Shell("echo > /dev/watchdog")
			return err
		},
		heal: func(x *play) error { return x.wasReset(0) },
	},
	{
		name: "handover-and-back", quick: true, owner: 1, by: "released",
		fault: func(x *play) error { return x.order(0, "handover") },
		heal:  func(x *play) error { return x.order(1, "handover") },
	},
	{
		// A pair of two builds: with the Ethernet cut, what they know of each other came by the null modem.
		name: "arm64", owner: 1, by: "silence", pair: Options{Guarded: true, Slow: 2, Arch: [2]string{"amd64", "arm64"}},
		fault: func(x *play) error {
			if _, err := x.Machines[1].Shell("test $(uname -m) = aarch64"); err != nil {
				return err
			}
			x.CutEthernet()
			return must(func() error { return x.stays("fw1 owns the group", func() bool { return x.keeps(0) }) }, x.Machines[0].PowerOff)
		},
		heal: func(x *play) error {
			x.HealEthernet()
			return must(
				func() error { return x.powerOn(0) }, x.handsOver(1), x.handsOver(0),
				func() error { _, err := x.bites(1, stopped); return err })
		},
	},
}

// handsOver lets an owner give the group away as soon as the peer would take it.
func (x *play) handsOver(i int) func() error {
	return func() error {
		return must(
			func() error { return x.await(names[1-i]+" would take over", func() bool { return x.well(i) }) },
			func() error { return x.order(i, "handover") },
			func() error { return x.await(names[1-i]+" owns the group", func() bool { return x.owns(1 - i) }) })
	}
}

// everything are the scenarios with those of watchdogs: one for each cause of a
// reset, and one for each kind of device.
func everything() []scenario {
	all := slices.Clone(scenarios)
	for _, c := range causes {
		all = append(all, scenario{
			name: "watchdog-" + c.name, quick: c.name == "agent-stopped" || c.name == "serial-read",
			pair: guarded, owner: either, // bites says whose it is, and by what
			fault: func(x *play) error { _, err := x.bites(0, c); return err },
		})
	}
	for _, dog := range []string{"itco", "ib700", "softdog"} {
		all = append(all, scenario{
			name: "watchdog-" + dog, pair: Options{Guarded: true, Watchdog: dog}, owner: 1, by: "silence",
			fault: func(x *play) error { return x.stoppedUntilReset(0) },
			heal:  func(*play) error { return nil }, // its init has started it
		})
	}
	return all
}

// powerOn gives a machine its power back and waits until it is up.
func (x *play) powerOn(i int) error {
	if err := x.Machines[i].PowerOn(); err != nil {
		return err
	}
	return x.Machines[i].Booted(1, x.Timing.scaled(bootTime))
}

func (x *play) cutSerial() error { x.Serial.Cut(linktest.Both); return nil }

func (x *play) restoreSerial() error { x.Serial.Restore(); return nil }

// cutAll cuts both heartbeat links.
func (x *play) cutAll() error { x.CutEthernet(); return x.cutSerial() }

// wasFenced waits until the power strip has taken a machine's power, once, and
// the other's never.
func (x *play) wasFenced(i int) func() error {
	return func() error {
		if err := x.await(names[i]+" has no power", func() bool { return x.PDU.Cuts(i) > 0 && !x.Machines[i].Powered() }); err != nil {
			return err
		}
		if a, b := x.PDU.Cuts(i), x.PDU.Cuts(1-i); a != 1 || b != 0 {
			return fmt.Errorf("the power of %s was cut %d times, of %s %d times", names[i], a, names[1-i], b)
		}
		return x.PDU.Failed()
	}
}

// powersOf lets a node give a machine its power back through the power strip.
func (x *play) powersOf(by, i int) func() error {
	return func() error {
		if _, err := x.Machines[by].Shell("twinbeat fence on --force --node " + names[i]); err != nil {
			return err
		}
		return must(
			func() error { return x.await(names[i]+" has power", x.Machines[i].Powered) },
			func() error { return x.Machines[i].Booted(1, x.Timing.scaled(bootTime)) },
			x.PDU.Failed)
	}
}

// takesBy waits until fw2 owns the group by some evidence.
func (x *play) takesBy(evidence string) func() error {
	return func() error {
		return x.await("fw2 owns the group by "+evidence, func() bool {
			_, s := x.state(1)
			return x.owns(1) && s.Groups[0].Evidence == evidence
		})
	}
}

// countsDrops holds that a node counts damaged frames on its serial line.
func (x *play) countsDrops(i int) func() error {
	return func() error {
		return x.await(names[i]+" counts damaged frames", func() bool {
			_, s := x.state(i)
			for _, l := range s.Links {
				for _, n := range l.Drops {
					if l.Type == "serial" && n > 0 {
						return true
					}
				}
			}
			return false
		})
	}
}

// cardReset is WDIOF_CARDRESET of linux/watchdog.h, as sysfs has it.
const cardReset = "32"

// wasReset holds that a machine's watchdog reset it, once, and says so.
func (x *play) wasReset(i int) error {
	m := x.Machines[i]
	if err := m.Booted(2, x.Timing.scaled(bootTime)); err != nil {
		return err
	}
	got, err := m.Shell("cat /sys/class/watchdog/watchdog0/bootstatus")
	if n := len(m.Times(bite)); err != nil || got != cardReset || n != 1 {
		return fmt.Errorf("%s: boot status %q, want %s; %d resets, want 1: %w", m.Name, got, cardReset, n, err)
	}
	return nil
}

// bite is QEMU's event when a watchdog resets its machine.
const bite = "WATCHDOG"

// stoppedUntilReset stops an agent and holds that its machine is reset within the
// time that its device says, after its peer served. Not every device says
// afterwards that it did it.
func (x *play) stoppedUntilReset(i int) error {
	m := x.Machines[i]
	_, s := x.state(i)
	if s.Watchdog == nil || len(s.Watchdog.Devices) != 1 {
		return fmt.Errorf("%s has no watchdog: %+v", m.Name, s.Watchdog)
	}
	worst := time.Duration(s.Watchdog.Devices[0].WorstMS) * time.Millisecond
	if err := x.signal(i, int(unix.SIGSTOP)); err != nil {
		return err
	}
	stopped, boots := time.Now(), m.Boots()
	if err := x.await(names[1-i]+" serves", func() bool { return x.serves() == 1-i }); err != nil {
		return err
	}
	if m.Boots() > boots {
		return fmt.Errorf("%s was reset before its peer served", m.Name)
	}
	if err := m.Booted(boots+1, worst+x.Timing.scaled(usualBoot+biteLate)); err != nil {
		return err
	}
	x.say("%s: at work again %.1f s after its agent stood still, reset within %s as it says", x.Watchdog, time.Since(stopped).Seconds(), worst)
	return nil
}

// fill leaves no room on a machine's disk.
func (x *play) fill(i int) func() error {
	return func() error {
		// What a sync gives back is filled, too.
		_, err := x.Machines[i].Shell("for n in 1 2 3; do dd if=/dev/zero of=/var/lib/twinbeat/fill.$n bs=1k; sync; done; true")
		return err
	}
}

// order gives an order as an operator does.
func (x *play) order(i int, words string) error {
	_, err := x.Machines[i].Shell("twinbeat " + words)
	return err
}

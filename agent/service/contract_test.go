//go:build !lite

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// liars makes one unit of each driver whose program does what two snippets of
// shell say: act for start, stop and restart, look for what asks the state.
// Each driver's call is in the file NAME.calls.
func liars(t *testing.T, act, look string) (units map[string]Unit, dir string) {
	t.Helper()
	dir = t.TempDir()
	for driver, program := range map[string]string{"openrc": "rc-service", "procd": "ubus", "runit": "sv", "ocf": "agent", "heartbeat": "resource", "init": "script"} {
		name := driver
		if driver == "init" {
			name = "procd"
		}
		body := fmt.Sprintf(`#!/bin/sh
USE_PROCD=1
dir=%[1]s me=%[2]s
echo "$(basename $0) $*" >>$dir/$me.calls
case " $* " in
*" meta-data "*) exit 3 ;;
*" status "*|*" monitor "*|*" list "*)
	%[3]s
	;;
*)
	%[4]s
	;;
esac
`, dir, name, look, act)
		plant(t, filepath.Join(dir, program), body, 0o755)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return map[string]Unit{
		"openrc":    unit(t, Spec{Driver: "openrc", Unit: "x"}),
		"procd":     &procd{script: dir + "/script"},
		"runit":     unit(t, Spec{Driver: "runit", Unit: "x"}),
		"ocf":       unit(t, Spec{Driver: "ocf", Unit: dir + "/agent"}),
		"heartbeat": unit(t, Spec{Driver: "heartbeat", Unit: dir + "/resource", Args: []string{"a", "b c"}}),
	}, dir
}

// each runs a check of every unit at once: most of them wait.
func each(units map[string]Unit, check func(driver string, u Unit)) {
	var all sync.WaitGroup
	for driver, u := range units {
		all.Go(func() { check(driver, u) })
	}
	all.Wait()
}

// says prints, in each driver's own words, that the service is as it is in $dir/$me.
const says = `case $me:$(cat $dir/$me 2>/dev/null) in
openrc:up) echo " * status: started" ;;
openrc:) echo " * status: stopped"; exit 3 ;;
procd:up) echo '{"script":{"instances":{"instance1":{"running":true,"pid":7}}}}' ;;
procd:) echo '{ }' ;;
runit:up) echo 'run: x: (pid 7) 3s' ;;
runit:) echo 'down: x: 3s' ;;
ocf:up) exit 0 ;;
ocf:) exit 7 ;;
heartbeat:up) echo "INFO: Running OK" ;;
heartbeat:) echo "INFO: Resource is stopped"; exit 7 ;;
esac; exit 0`

func TestEveryDriverStartsStopsAndRestartsAsItsContractSays(t *testing.T) {
	units, dir := liars(t, `case " $* " in *stop*) rm $dir/$me ;; *start*) echo up >$dir/$me ;; esac`, says)
	each(units, func(driver string, u Unit) {
		is(t, u, Stopped, "")
		must(t, u.Start)
		is(t, u, Running, "")
		must(t, u.Restart)
		is(t, u, Running, "")
		must(t, u.Stop)
		is(t, u, Stopped, "")
		if r, ok := u.(reloader); ok {
			must(t, r.Reload)
		}
	})
	for driver, want := range map[string]string{
		"openrc":    "rc-service x status, rc-service x start, rc-service x restart, rc-service x stop, rc-service x reload",
		"procd":     `ubus -S call service list {"name":"script"}, script start, script restart, script stop, script reload`,
		"runit":     "sv status x, sv -w 10 start x, sv -w 10 force-restart x, sv -w 10 force-stop x, sv -w 10 reload x",
		"ocf":       "agent monitor, agent meta-data, agent start, agent stop",
		"heartbeat": "resource a b c status, resource a b c start, resource a b c stop",
	} {
		b, err := os.ReadFile(dir + "/" + driver + ".calls")
		if err != nil {
			t.Error(err)
		}
		var first []string // of each call
		for line := range strings.Lines(string(b)) {
			line = strings.Replace(strings.TrimSpace(line), "-w 9 ", "-w 10 ", 1) // half of just below 20 s
			if !strings.Contains(strings.Join(first, ", ")+", ", line+", ") {
				first = append(first, line)
			}
		}
		if got := strings.Join(first, ", "); got != want {
			t.Errorf("%s: %q, want %q", driver, got, want)
		}
	}
}

func TestALieIsNeverTakenForStopped(t *testing.T) {
	for name, c := range map[string]struct {
		look string
		want map[string]State // all others are Unknown
	}{
		"unknown code":           {look: "exit 99"},
		"killed":                 {look: "kill -9 $$"},
		"nothing, and well":      {look: "exit 0", want: map[string]State{"openrc": Running, "ocf": Running}},
		"running in an error":    {look: `echo "ERROR: cannot tell if it is running"`, want: map[string]State{"openrc": Running, "ocf": Running}},
		"stopped, and 126":       {look: `echo stopped; exit 126`},
		"usage":                  {look: `echo "Usage: $0 {start|stop}"; exit 2`},
		"floods":                 {look: "yes stopped | head -c 3000000; exit 0", want: map[string]State{"openrc": Running, "ocf": Running}},
		"floods the other way":   {look: "yes running | head -c 3000000; exit 99"},
		"says it on the wrong":   {look: `echo "down: x: 3s" >&2; echo "stopped" >&2; echo "{}" >&2; exit 99`},
		"others, and no service": {look: `echo "stopped: y"; exit 1`, want: map[string]State{"ocf": Failed, "heartbeat": Stopped}}, // which is what its text says
	} {
		t.Run(name, func(t *testing.T) {
			units, _ := liars(t, "exit 0", c.look)
			each(units, func(driver string, u Unit) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				got, err := u.Status(ctx)
				if got != c.want[driver] || (err == nil) != (got == Running || got == Stopped) {
					t.Errorf("%s: %v, %v; want %v", driver, got, err, c.want[driver])
				}
				if err != nil && len(err.Error()) > 2*MaxOutput+500 {
					t.Errorf("%s: an error of %d bytes", driver, len(err.Error()))
				}
			})
		})
	}
}

func TestAStatusThatHangsIsUnknown(t *testing.T) {
	units, _ := liars(t, "exit 0", "exec sleep 30")
	each(units, func(driver string, u Unit) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if got, err := u.Status(ctx); got != Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, %v", driver, got, err)
		}
	})
}

// child ignores SIGTERM; what started it may end or not.
const child = `sh -c 'trap "" TERM; echo $$ >'$dir/$me.pid'; exec sleep 1000' & `

// hangs ignores SIGTERM and has a child that does, too.
const hangs = `trap '' TERM; ` + child + `while :; do sleep 1; done`

func TestAnActionThatHangsIsKilledWithAllThatItStarted(t *testing.T) {
	for name, act := range map[string]string{"ignores SIGTERM": hangs, "ends at SIGTERM": child + "wait"} {
		t.Run(name, func(t *testing.T) {
			units, dir := liars(t, act, says)
			each(units, func(driver string, u Unit) {
				const deadline = 2 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				began := time.Now()
				err := u.Start(ctx)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > deadline+TermGrace+ReapWait+2*time.Second {
					t.Errorf("%s: %v after %v", driver, err, time.Since(began))
				}
				if pid := pidIn(t, dir+"/"+driver+".pid"); !diesSoon(pid) {
					t.Errorf("%s: the child %d lives on", driver, pid)
				}
			})
		})
	}
}

func TestAStopThatDidNothingOrTimedOutIsNotStopped(t *testing.T) {
	for name, act := range map[string]string{"says it did": "exit 0", "hangs": hangs, "fails": "echo no luck; exit 1"} {
		t.Run(name, func(t *testing.T) {
			units, dir := liars(t, act, says)
			each(units, func(driver string, u Unit) {
				plant(t, dir+"/"+driver, "up\n", 0o600)
				g, err := NewGroup([]Spec{{Name: "s", Driver: "sysv", Unit: "x", StopTimeout: 500 * time.Millisecond}},
					Options{Group: "g", Unit: func(Spec) (Unit, error) { return u, nil }})
				if err != nil {
					t.Error(err)
					return
				}
				if err := g.Stop(t.Context()); !NeedsFence(err) {
					t.Errorf("%s: %v", driver, err)
				}
				if s := g.Status()[0].State; s != Running && s != Unknown { // the last look may have been cut off
					t.Errorf("%s: shown as %v", driver, s)
				}
			})
		})
	}
}

func TestAStopWhoseOutcomeNobodyCanReadIsNotStopped(t *testing.T) {
	units, _ := liars(t, "exit 0", "echo no idea; exit 99")
	each(units, func(driver string, u Unit) {
		g, err := NewGroup([]Spec{{Name: "s", Driver: "sysv", Unit: "x", StopTimeout: 300 * time.Millisecond}},
			Options{Group: "g", Unit: func(Spec) (Unit, error) { return u, nil }})
		if err != nil {
			t.Error(err)
			return
		}
		if err := g.Stop(t.Context()); !NeedsFence(err) || !strings.Contains(err.Error(), "its state is unknown") {
			t.Errorf("%s: %v", driver, err)
		}
	})
}

func TestAProgramThatIsNotHereIsAnErrorAndNoState(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for driver, u := range map[string]Unit{
		"OpenRC": unit(t, Spec{Driver: "openrc", Unit: "x"}),
		"runit":  unit(t, Spec{Driver: "runit", Unit: "x"}),
		"procd":  &procd{script: script(t, "USE_PROCD=1")},
	} {
		if st, err := u.Status(t.Context()); st != Unknown || err == nil || !strings.Contains(err.Error(), driver+" is not installed here") {
			t.Errorf("%s: %v, %v", driver, st, err)
		}
	}
	for _, u := range []Unit{unit(t, Spec{Driver: "ocf", Unit: "heartbeat:NoSuch"}), unit(t, Spec{Driver: "procd", Unit: "no-such-script"})} {
		if st, err := u.Status(t.Context()); st != Unknown || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v, %v", st, err)
		}
		if err := does(t, u.Stop); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("stop: %v", err)
		}
	}
	for driver, program := range programs {
		found := Examine(t.Context(), Spec{Name: "s", Driver: driver, Unit: "x"})
		if len(found) == 0 || !found[0].Warning || !strings.Contains(found[0].Text, "this machine has no "+program) {
			t.Errorf("check of %s: %+v", driver, found)
		}
	}
}

// An agent that says what it was given.
const tellingAgent = `#!/bin/sh
env | grep ^OCF_ | sort >%[1]s.$1
case $1 in
meta-data) echo '<parameter name="ip"><content type="string"/></parameter><action name="start" timeout="33s"/><action name="promote" timeout="4s"/><action name="demote"/>' ;;
monitor) exit 7 ;;
esac
`

func TestAnOCFAgentIsGivenWhatTheAPISays(t *testing.T) {
	dir := t.TempDir()
	agent := dir + "/ocf/resource.d/acme/Teller"
	plant(t, agent, fmt.Sprintf(tellingAgent, dir+"/env"), 0o755)
	u := unit(t, Spec{Name: "web", Group: "g", Driver: "ocf", Unit: agent, Params: map[string]string{"ip": "192.0.2.1 x"}, Promote: true, Depth: 10})
	must(t, u.Start)
	is(t, u, Stopped, "")
	if got := u.(adviser).advise(t.Context(), "start"); got != 37*time.Second {
		t.Errorf("start may take %v; want start and promote", got)
	}
	for action, want := range map[string][]string{
		"start": {
			"OCF_ROOT=" + dir + "/ocf", "OCF_RESKEY_ip=192.0.2.1 x", "OCF_RESOURCE_INSTANCE=g.web", "OCF_RESOURCE_TYPE=Teller",
			"OCF_RESOURCE_PROVIDER=acme", "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1", "OCF_CHECK_LEVEL=10", "OCF_RESKEY_CRM_meta_timeout=",
		},
		"monitor":   {"OCF_RESKEY_CRM_meta_interval=10000"}, // started: no probe
		"meta-data": {"OCF_ROOT="},
		"promote":   {"OCF_RESKEY_ip="},
	} {
		b, _ := os.ReadFile(dir + "/env." + action)
		for _, line := range want {
			if !strings.Contains("\n"+string(b), "\n"+line) {
				t.Errorf("%s lacks %s:\n%s", action, line, b)
			}
		}
	}
	must(t, u.Stop)
	is(t, u, Stopped, "")
	if b, _ := os.ReadFile(dir + "/env.monitor"); !strings.Contains(string(b), "OCF_RESKEY_CRM_meta_interval=0\n") {
		t.Errorf("after the stop monitor is a probe:\n%s", b)
	}
	if _, err := os.Stat(dir + "/env.demote"); err != nil {
		t.Error(err)
	}
}

func TestMonitorOfAnAdoptedAgentIsNoProbe(t *testing.T) {
	u := unit(t, Spec{Driver: "ocf", Unit: script(t, `[ "$OCF_RESKEY_CRM_meta_interval" = 0 ] || exit 5`)})
	is(t, u, Running, "")              // a probe: lenient
	is(t, u, Unknown, "not installed") // it ran, so its program cannot be missing
}

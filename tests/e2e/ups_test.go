package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// upsPatience is for what a UPS says to get through its driver, its daemon and
// the agent, each of which looks once a second.
const upsPatience = 15 * time.Second

// watching gives each node one UPS by a daemon, looked at each second, and a
// hold that a test can wait for. Without files there is no other sensor.
func watching(t *testing.T, daemon, lines string) lab.Options {
	return lab.Options{Extra: fmt.Sprintf("[health]\nhold = %q\n[sensors]\ninterval = \"1s\"\nroot = %q\n"+
		"[[sensors.ups]]\nname = \"rack\"\ndaemon = %q\nevery = \"1s\"\ntimeout = \"500ms\"\n%s", upsHold, t.TempDir(), daemon, lines)}
}

const upsHold = 4 * time.Second

// A nut is a real upsd with the driver dummy-ups, whose UPS is a file.
type nut struct {
	*testing.T
	space        *lab.Space
	dir          string
	env          []string
	upsd, driver []string
	server       *os.Process
	feeder       *os.Process
	files        int // written
}

// newNUT starts upsd on a host, at an address, with a UPS in a state.
func newNUT(t *testing.T, space *lab.Space, listen, status string) *nut {
	t.Helper()
	upsd, env := lab.Unpacked(t, "nut-server/lib/nut/upsd", "libupsclient6")
	driver, _ := lab.Unpacked(t, "nut-server/lib/nut/dummy-ups", "libupsclient6")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	u := &nut{
		T: t, space: space, dir: dir, env: append(env, "NUT_CONFPATH="+dir, "NUT_STATEPATH="+dir, "NUT_ALTPIDPATH="+dir),
		upsd: []string{upsd, "-u", "root", "-D", "-F"}, driver: []string{driver, "-a", "rack", "-u", "root", "-D", "-F"},
	}
	u.set(status)
	u.write("ups.conf", "pollinterval = 1\n[rack]\ndriver = dummy-ups\nport = rack.dev\n")
	u.write("upsd.conf", "LISTEN "+listen+" 3493\nMAXAGE 3\n")
	u.write("upsd.users", "")
	u.feeder = u.run(u.driver)
	u.server = u.run(u.upsd)
	return u
}

func (u *nut) write(name, text string) {
	u.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o600); err != nil {
		u.Fatal(err)
	}
}

// set makes the UPS say a status. The driver reads the file again when it is
// newer by a second.
func (u *nut) set(status string) {
	u.Helper()
	u.files++
	u.write("rack.new", "ups.status: "+status+"\nbattery.charge: 42\nbattery.runtime: 600\n")
	when := time.Now().Add(time.Duration(u.files) * time.Second)
	path := filepath.Join(u.dir, "rack.new")
	if err := os.Chtimes(path, when, when); err != nil {
		u.Fatal(err)
	}
	if err := os.Rename(path, filepath.Join(u.dir, "rack.dev")); err != nil {
		u.Fatal(err)
	}
}

// run starts a program on the host until end or the end of the test.
func (u *nut) run(args []string) *os.Process {
	u.Helper()
	return launch(u.T, u.space, u.dir, u.env, args)
}

// launch starts a program of a host, and ends it with the test at the latest.
func launch(t *testing.T, space *lab.Space, dir string, env, args []string) *os.Process {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(dir, filepath.Base(args[0])+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, log, log
	if err := space.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if b, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(args[0]), b)
		}
	})
	return cmd.Process
}

// ups is what a node knows of its UPS.
func (r *rig) ups(node int) sensors.View {
	text, err := r.Nodes[node].Order(control.Order{Command: control.OrderSensors, By: "test"})
	var report struct {
		Sensors []sensors.View `json:"sensors"`
	}
	if err != nil || json.Unmarshal([]byte(text), &report) != nil {
		return sensors.View{}
	}
	for _, v := range report.Sensors {
		if v.ID == "ups/rack/state" {
			return v
		}
	}
	return sensors.View{}
}

// upsIs waits until a node knows its UPS in a state, with a verdict that
// contains a text; an empty one is none.
func (r *rig) upsIs(node int, state, verdict string) {
	r.Helper()
	var v sensors.View
	ok := func() bool {
		v = r.ups(node)
		return v.State == state && strings.Contains(v.Verdict, verdict) && (verdict == "") == (v.Verdict == "")
	}
	if !lab.Until(upsPatience, ok) {
		r.Fatalf("fw%d: its UPS is not %s, %q, but %+v", node+1, state, verdict, v)
	}
}

// rests waits for as long as a difference of health must last, and then some.
func (r *rig) rests(since mark) {
	r.Helper()
	time.Sleep(upsHold + 3*time.Second)
	r.unmoved(since)
}

const upsAlarm = "sensor ups/rack/state"

func TestTheNodeOnTheMainsHasTheService(t *testing.T) {
	r := boot(t, watching(t, "nut", ""))
	u := [2]*nut{newNUT(t, r.Nodes[0].Space, "127.0.0.1", "OL CHRG"), newNUT(t, r.Nodes[1].Space, "127.0.0.1", "OL")}
	r.upsIs(0, "ok", "")
	r.upsIs(1, "ok", "")

	u[0].set("OB DISCHRG")
	took := r.await("fw2 owns the group", 2*upsPatience, func() bool { return r.owns(1, 0) })
	r.moved(1)
	r.took(1, "released")
	t.Logf("fw2 took over %v after the mains of fw1 went", took)
	if text := r.story(0); !strings.Contains(text, "UPS is on battery, 10m0s left") {
		t.Errorf("the events do not say why:\n%s", text)
	}
	if !r.alarmed(0, upsAlarm) || r.alarmed(1, upsAlarm) {
		t.Error("fw1 alone is to be alarmed")
	}
	since := r.mark()
	u[0].set("OB DISCHRG LB")
	r.upsIs(0, "ok", "the battery is low")
	u[0].set("OL CHRG LB") // and recharges
	r.upsIs(0, "ok", "")
	r.await("fw1 is well", soon, func() bool { return !r.alarmed(0, upsAlarm) && r.states(0, "ARMED", "ACTIVE") })
	r.rests(since)

	u[1].set("OB DISCHRG LB")
	r.await("fw1 owns the group", 2*upsPatience, func() bool { return r.owns(0, 0) })
	r.moved(0)
	if text := r.story(1); !strings.Contains(text, "UPS is on battery, and the battery is low") {
		t.Errorf("the events do not say why:\n%s", text)
	}
}

// Two UPSs on battery are even, until one of them is about to end.
func TestBothOnBatteryMovesNothingUntilOneIsLow(t *testing.T) {
	r := boot(t, watching(t, "nut", ""))
	u := [2]*nut{newNUT(t, r.Nodes[0].Space, "127.0.0.1", "OL"), newNUT(t, r.Nodes[1].Space, "127.0.0.1", "OL")}
	r.upsIs(0, "ok", "")
	r.upsIs(1, "ok", "")
	since := r.mark()
	u[0].set("OB")
	u[1].set("OB")
	r.upsIs(0, "ok", "on battery")
	r.upsIs(1, "ok", "on battery")
	r.rests(since)
	u[0].set("OB LB")
	r.await("fw2 owns the group", 2*upsPatience, func() bool { return r.owns(1, 0) })
	r.moved(1)
	since = r.mark()
	u[1].set("OB LB")
	r.upsIs(1, "ok", "the battery is low")
	r.rests(since)
}

// One UPS for both: the nodes learn of it one after the other, whatever it says.
func TestOneUPSForBothMovesNothing(t *testing.T) {
	const every = 2 * time.Second
	o := watching(t, "nut", fmt.Sprintf("address = %q\n", lab.ClientIP))
	o.Extra = strings.Replace(o.Extra, `every = "1s"`, fmt.Sprintf("every = %q", every), 1)
	r := boot(t, o)
	u := newNUT(t, r.Client, lab.ClientIP, "OL")
	r.upsIs(0, "ok", "")
	r.Nodes[1].Keep()
	time.Sleep(every/2 - time.Since(r.ups(0).At)%every + every) // fw1 looks, and half of the time later fw2
	r.start(1)
	r.upsIs(1, "ok", "")
	r.await("fw2 is ARMED", 2*soon, func() bool { return r.states(0, "ACTIVE", "ARMED") })
	since := r.mark()
	for _, c := range []struct{ status, verdict string }{
		{"OB LB", "the battery is low"}, {"OL", ""}, {"FSD OB LB", "shut down"},
	} {
		u.set(c.status)
		r.upsIs(0, "ok", c.verdict)
		r.upsIs(1, "ok", c.verdict)
		r.rests(since)
	}
	t.Logf("fw2 looks %v after fw1", r.ups(1).At.Sub(r.ups(0).At).Round(10*time.Millisecond)%every)
}

// A daemon that dies, hangs or loses its UPS is a named state, and no reason to move. A UPS that fell silent on battery is on battery.
func TestAUPSThatCannotBeAskedMovesNothing(t *testing.T) {
	r := boot(t, watching(t, "nut", ""))
	r.upsIs(0, "unreadable", "") // nobody listens yet
	u := [2]*nut{newNUT(t, r.Nodes[0].Space, "127.0.0.1", "OL"), newNUT(t, r.Nodes[1].Space, "127.0.0.1", "OL")}
	r.upsIs(0, "ok", "")
	r.upsIs(1, "ok", "")
	since := r.mark()
	tells := func(says string) { // and nothing else since
		t.Helper()
		const is = "sensor rack state (ups/rack/state) is "
		r.await("the newest event: "+says, upsPatience, func() bool {
			story := r.story(0)
			at := strings.LastIndex(story, is)
			return at >= 0 && strings.HasPrefix(story[at+len(is):], says)
		})
	}
	r.try(u[0].server.Signal(syscall.SIGSTOP))
	r.upsIs(0, "unreadable", "")
	tells("unreadable: ")
	r.try(u[0].server.Signal(syscall.SIGCONT))
	r.upsIs(0, "ok", "")
	tells("ok")
	r.try(u[0].feeder.Kill())
	tells("unreadable: the daemon has no contact with the UPS")
	u[0].feeder = u[0].run(u[0].driver)
	r.upsIs(0, "ok", "")
	tells("ok")

	u[1].set("OB DISCHRG")
	r.upsIs(1, "ok", "on battery")
	r.try(u[1].server.Kill())
	r.upsIs(1, "ok", "ago it fell silent")
	r.try(u[0].server.Kill())
	tells("unreadable: dial tcp 127.0.0.1:3493: connect: connection refused")
	r.upsIs(0, "unreadable", "")
	r.upsIs(1, "ok", "ago it fell silent")
	r.rests(since)
	u[0].server = u[0].run(u[0].upsd)
	r.upsIs(0, "ok", "")
}

// A real apcupsd whose UPS is another apcupsd (UPSTYPE net), which is ours: it has
// no driver without a UPS.
func TestTheNodeWhoseAPCUPSDIsOnTheMainsHasTheService(t *testing.T) {
	program, env := lab.Unpacked(t, "apcupsd/sbin/apcupsd", "libusb-0.1-4")
	r := boot(t, watching(t, "apcupsd", ""))
	var status [2]atomic.Pointer[string]
	var daemons [2]*os.Process
	for i, n := range r.Nodes {
		mains := "ONLINE"
		status[i].Store(&mains)
		dir := t.TempDir()
		for name, text := range map[string]string{
			"apccontrol": "#!/bin/sh\nexit 0\n", // or it would shut this machine down
			"apcupsd.conf": "## apcupsd.conf v1.1 ##\nUPSNAME rack\nUPSCABLE ether\nUPSTYPE net\nDEVICE " + master(t, n.Space, &status[i]) + "\nPOLLTIME 1\n" +
				strings.ReplaceAll("LOCKFILE @\nSCRIPTDIR @\nPWRFAILDIR @\nNOLOGINDIR @\nEVENTSFILE @/events\n", "@", dir) +
				"ONBATTERYDELAY 1\nBATTERYLEVEL -1\nMINUTES -1\nTIMEOUT 0\nNETSERVER on\nNISIP 127.0.0.1\nNISPORT 3551\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		daemons[i] = launch(t, n.Space, dir, env, []string{program, "-b", "-f", dir + "/apcupsd.conf"})
	}
	r.upsIs(0, "ok", "")
	r.upsIs(1, "ok", "")
	battery := "ONBATT"
	status[0].Store(&battery)
	r.await("fw2 owns the group", 2*upsPatience, func() bool { return r.owns(1, 0) })
	r.moved(1)
	if text := r.story(0); !strings.Contains(text, "UPS is on battery, 45m0s left") {
		t.Errorf("the events do not say why:\n%s", text)
	}
	since := r.mark()
	r.try(daemons[1].Kill())
	r.upsIs(1, "unreadable", "")
	r.rests(since)
}

// flags are STATFLAG of what our apcupsd says: by its bits the real one goes.
var flags = map[string]string{"ONLINE": "0x05000008", "ONBATT": "0x05060010"}

// master is apcupsd's network server on a host, for one that takes it for its UPS.
func master(t *testing.T, space *lab.Space, status *atomic.Pointer[string]) (address string) {
	t.Helper()
	var l net.Listener
	if err := space.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for question := make([]byte, len("\x00\x06status")); ; {
					if _, err := io.ReadFull(conn, question); err != nil {
						return
					}
					now := *status.Load()
					for _, s := range []string{
						"UPSNAME  : rack\n", "STATUS   : " + now + "\n", "LINEV    : 230.0 Volts\n", "LOADPCT  : 24.0 Percent\n", "BCHARGE  : 90.0 Percent\n",
						"TIMELEFT : 45.0 Minutes\n", "STATFLAG : " + flags[now] + "\n", "",
					} {
						_, _ = conn.Write(append([]byte{0, byte(len(s))}, s...))
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

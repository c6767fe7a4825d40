package ups

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// freePort returns a port of the loopback device.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// start runs a program until the test ends, and shows what it said if that failed.
func start(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(args[0])+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", filepath.Base(args[0]), b)
		}
	})
	return cmd
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// patienceForReal is for a daemon to notice: dummy-ups looks at its file each 2 s.
const patienceForReal = 30 * time.Second

// await asks until the answer is as wanted.
func await(t *testing.T, c *client, what string, want func(Status, error) bool) {
	t.Helper()
	var s Status
	var err error
	for end := time.Now().Add(patienceForReal); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if s, err = c.status(); want(s, err) {
			return
		}
	}
	t.Fatalf("%s: %+v, %v", what, s, err)
}

func TestRealUPSD(t *testing.T) {
	upsd, env := lab.Unpacked(t, "nut-server/lib/nut/upsd", "libupsclient6")
	driver, _ := lab.Unpacked(t, "nut-server/lib/nut/dummy-ups", "libupsclient6")
	dir, port := t.TempDir(), freePort(t)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	values := func(status string) map[string]string {
		return map[string]string{"rack.dev": "ups.status: " + status + "\nups.model: Test \\\"quoted\\\"\nbattery.charge: 42\nbattery.runtime: 600\n"}
	}
	write(t, dir, values("OL CHRG"))
	write(t, dir, map[string]string{
		"ups.conf":  "[rack]\ndriver = dummy-ups\nport = rack.dev\n",
		"upsd.conf": "LISTEN 127.0.0.1 " + port + "\nMAXAGE 5\n", "upsd.users": "",
	})
	env = append(env, "NUT_CONFPATH="+dir, "NUT_STATEPATH="+dir, "NUT_ALTPIDPATH="+dir)
	drives := start(t, dir, env, driver, "-a", "rack", "-u", "root", "-D", "-F")
	start(t, dir, env, upsd, "-u", "root", "-D", "-F")

	c, err := newClient(Config{Name: "rack", Daemon: "nut", Address: "127.0.0.1:" + port})
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, "on the mains", func(s Status, err error) bool {
		return err == nil && s.Words == "OL CHRG" && s.Charge == 42 && s.Runtime == 600 && s.Model == `Test "quoted"` && !s.OnBattery
	})
	write(t, dir, values("OB DISCHRG LB"))
	await(t, c, "on battery, low", func(s Status, err error) bool { return err == nil && s.OnBattery && s.Low })
	c.UPS = "nobody"
	if _, err := c.status(); err == nil || !strings.Contains(err.Error(), "no UPS of that name") {
		t.Errorf("%v", err)
	}
	c.UPS = "rack"
	_ = drives.Process.Kill()
	await(t, c, "driver killed", func(_ Status, err error) bool { return err != nil && strings.Contains(err.Error(), errStale.Error()) })
}

// apcupsd has no driver without a UPS, but one that takes another apcupsd for its
// UPS (UPSTYPE net). The other one is ours: so the real one judges what our
// side believes of the protocol, as a client and as a server.
func TestRealAPCUPSD(t *testing.T) {
	program, env := lab.Unpacked(t, "apcupsd/sbin/apcupsd", "libusb-0.1-4")
	dir, port := t.TempDir(), freePort(t)
	var battery atomic.Bool
	master, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	go serve(master, func() string {
		if battery.Load() {
			return nis(status...)
		}
		text := strings.Join(status, "\x00")
		text = strings.NewReplacer("ONBATT LOWBATT", "ONLINE", "0x05060050", "0x05000008").Replace(text)
		return nis(strings.Split(text, "\x00")...)
	})
	write(t, dir, map[string]string{
		"apccontrol": "#!/bin/sh\nexit 0\n", // or it would shut this machine down
		"apcupsd.conf": fmt.Sprintf(`## apcupsd.conf v1.1 ##
UPSNAME rack
UPSCABLE ether
UPSTYPE net
DEVICE %s
POLLTIME 1
LOCKFILE %[2]s
SCRIPTDIR %[2]s
PWRFAILDIR %[2]s
NOLOGINDIR %[2]s
ONBATTERYDELAY 1
BATTERYLEVEL -1
MINUTES -1
TIMEOUT 0
NETSERVER on
NISIP 127.0.0.1
NISPORT %[3]s
EVENTSFILE %[2]s/events
`, master.Addr(), dir, port),
	})
	start(t, dir, env, program, "-b", "-f", dir+"/apcupsd.conf")
	c, err := newClient(Config{Name: "rack", Daemon: "apcupsd", Address: "127.0.0.1:" + port})
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, "on the mains", func(s Status, err error) bool {
		return err == nil && strings.HasPrefix(s.Words, "ONLINE") && s.Charge == 90 && s.Input == 123 && !s.OnBattery
	})
	battery.Store(true)
	await(t, c, "on battery", func(s Status, err error) bool { return err == nil && s.OnBattery })
}

// serve answers each request for the status, as apcupsd's network server does.
func serve(l net.Listener, status func() string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for {
				if text, err := record(conn); err != nil || text != "status" {
					return
				}
				if _, err := io.WriteString(conn, status()); err != nil {
					return
				}
			}
		}()
	}
}

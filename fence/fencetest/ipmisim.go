package fencetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// simConf is OpenIPMI's simulator as one BMC on loopback; %[1]d is its port and
// %[2]s a folder with the relay.
const simConf = `name "box"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %[1]d
    priv_limit admin
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%[2]s/chassis 0x20"
  user 2 true "admin" "secret" admin 10 none md2 md5 straight
  user 3 true "oper" "secret" operator 10 none md2 md5 straight
`

// simChassis is the program behind Chassis Control: MC get NAME... or MC set
// NAME VALUE...
const simChassis = `#!/bin/sh
dir=%s; op=$2; shift 2
while [ $# -gt 0 ]; do
  case $op:$1 in
  get:power) echo "power:$(cat "$dir/power")" ;;
  get:*) echo "$1:0" ;;
  set:power) echo "$2" >"$dir/power"; shift ;;
  set:*) shift ;;
  esac
  shift
done
`

// An IPMISim is a running ipmi_sim (Debian's package openipmi) with cipher
// suite 3, the users admin and oper, and the password "secret".
type IPMISim struct {
	Port int // of 127.0.0.1
	dir  string
}

// StartIPMISim starts a simulator whose box has power and this inventory (FRU
// device 0). It ends with the test, which is skipped where there is none.
func StartIPMISim(t *testing.T, fru []byte) IPMISim {
	t.Helper()
	program, err := exec.LookPath("ipmi_sim")
	if err != nil {
		t.Skip("ipmi_sim (package openipmi) is not installed")
	}
	free, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := IPMISim{dir: t.TempDir(), Port: free.LocalAddr().(*net.UDPAddr).Port}
	_ = free.Close()
	emu := fmt.Sprintf("mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_add_fru_data 0x20 0 %d data", len(fru))
	for _, b := range fru {
		emu += fmt.Sprintf(" %#02x", b)
	}
	for name, text := range map[string]string{
		"lan.conf": fmt.Sprintf(simConf, s.Port, s.dir), "box.emu": emu + "\nmc_enable 0x20\n",
		"chassis": fmt.Sprintf(simChassis, s.dir), "power": "1\n",
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-c", "lan.conf", "-f", "box.emu", "-s", filepath.Join(s.dir, "state"), "-n")
	cmd.Dir = s.dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("ipmi_sim: %s", out.String())
		}
	})
	for range 50 {
		if s.answers() {
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("ipmi_sim does not answer")
	return s
}

// answers sends an RMCP presence ping (IPMI 2.0 section 13.2.3).
func (s IPMISim) answers() bool {
	conn, err := net.Dial("udp", s.Address())
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = conn.Write([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0})
	n, err := conn.Read(make([]byte, 64))
	return err == nil && n > 8
}

// Address returns host and port.
func (s IPMISim) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// HasPower tells the truth.
func (s IPMISim) HasPower() bool {
	b, _ := os.ReadFile(filepath.Join(s.dir, "power"))
	return strings.TrimSpace(string(b)) == "1"
}

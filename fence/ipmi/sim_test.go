package ipmi

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

func startSim(t *testing.T) fencetest.IPMISim {
	t.Helper()
	return fencetest.StartIPMISim(t, fruOf("MontaVista", "Simulator", "SIM-0815"))
}

func TestARealSimulatorIsSwitchedBesideIpmitoolAndFenceIpmilan(t *testing.T) {
	s := startSim(t)
	box := outlet(t, unit(t, s.Address(), nil))
	others := map[string][]string{
		"ipmitool":      {"-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", fmt.Sprint(s.Port), "-U", "admin", "-P", "secret", "chassis", "power", "status"},
		"fence_ipmilan": {"-P", "-a", "127.0.0.1", "-u", fmt.Sprint(s.Port), "-l", "admin", "-p", "secret", "-C", "3", "-o", "status"},
	}
	both := func(want fence.Power) {
		t.Helper()
		read(t, box, want)
		for name, args := range others {
			path, err := exec.LookPath(name)
			if err != nil {
				t.Logf("%s is not installed", name)
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			began := time.Now()
			out, _ := exec.CommandContext(ctx, path, args...).CombinedOutput() // fence_ipmilan says 2 for off
			cancel()
			t.Logf("%s took %v", name, time.Since(began).Round(time.Millisecond))
			if !strings.Contains(strings.ToLower(string(out)), want.String()+"\n") {
				t.Errorf("%s says %q, want %v", name, out, want)
			}
		}
	}
	both(fence.PowerOn)
	began := time.Now()
	if err := box.SwitchOff(t.Context()); err != nil || s.HasPower() {
		t.Fatalf("off: %v, power %v", err, s.HasPower())
	}
	t.Logf("off took %v", time.Since(began).Round(time.Millisecond))
	both(fence.PowerOff)
	if err := box.SwitchOn(t.Context()); err != nil || !s.HasPower() {
		t.Fatalf("on: %v, power %v", err, s.HasPower())
	}
	both(fence.PowerOn)
}

func TestARealSimulatorSaysWhatItIsAndWhoMay(t *testing.T) {
	s := startSim(t)
	id, err := unit(t, s.Address(), nil).Identify(t.Context())
	want := fence.Identity{Family: "ipmi", Model: "MontaVista Simulator", Serial: "SIM-0815", Firmware: "9.08", Outlets: 1}
	if err != nil || id != want {
		t.Errorf("identity %+v, %v; want %+v", id, err, want)
	}
	read(t, outlet(t, unit(t, s.Address(), func(c *Config) { c.User = "oper" })), fence.PowerOn)
	for user, password := range map[string]string{"admin": "wrong", "nobody": "secret"} {
		read(t, outlet(t, unit(t, s.Address(), func(c *Config) { c.User, c.Password = user, password })), fence.PowerUnknown, "user or password is wrong")
	}
	// Sessions are few: thirty operations in a row leave none behind.
	box := outlet(t, unit(t, s.Address(), nil))
	for range 30 {
		read(t, box, fence.PowerOn)
	}
}

// sealed says whether a packet is of an open session. Damage to others passes
// no UDP checksum, and a forger who makes it can only keep us from logging in.
func sealed(p []byte) bool { return len(p) > rmcpSize+1 && p[rmcpSize+1]&payloadEncrypted != 0 }

// badRoad passes datagrams on to a BMC and back, and loses, holds up, doubles
// and damages some.
func badRoad(t *testing.T, to string, seed uint64) string {
	t.Helper()
	road, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = road.Close() })
	dice := rand.New(rand.NewPCG(seed, 1))
	send := func(p []byte, out func([]byte)) {
		switch n := dice.IntN(100); {
		case n < 10: // lost
		case n < 20:
			time.AfterFunc(time.Duration(dice.IntN(1500))*time.Millisecond, func() { out(p) })
		case n < 30:
			out(p)
			out(p)
		case n < 40 && sealed(p):
			bad := append([]byte(nil), p...)
			bad[dice.IntN(len(bad))] ^= byte(1 + dice.IntN(255))
			out(bad)
			out(p[:dice.IntN(len(p))])
			out(p)
		default:
			out(p)
		}
	}
	go func() {
		backs := map[string]net.Conn{}
		defer func() {
			for _, c := range backs {
				_ = c.Close()
			}
		}()
		buf := make([]byte, 2048)
		for {
			n, from, err := road.ReadFromUDP(buf)
			if err != nil {
				return
			}
			back := backs[from.String()]
			if back == nil {
				if back, err = net.Dial("udp", to); err != nil {
					return
				}
				backs[from.String()] = back
				go func() {
					buf := make([]byte, 2048)
					for {
						n, err := back.Read(buf)
						if err != nil {
							return
						}
						_, _ = road.WriteToUDP(buf[:n], from)
					}
				}()
			}
			send(append([]byte(nil), buf[:n]...), func(p []byte) { _, _ = back.Write(p) })
		}
	}()
	return road.LocalAddr().String()
}

// On a road that spoils four datagrams in ten, whatever is read is true, and
// most of it is read in the end.
func TestABadRoadMakesNoFalseReading(t *testing.T) {
	b := startBMC(t)
	dice := rand.New(rand.NewPCG(7, 7))
	b.set(func(b *bmc) {
		b.tamper = func(_ command, p []byte) [][]byte {
			bad := append([]byte(nil), p...)
			switch n := dice.IntN(100); {
			case n < 10:
				return [][]byte{}
			case n < 20 && sealed(p):
				bad[dice.IntN(len(bad))] ^= byte(1 + dice.IntN(255))
				return [][]byte{bad, bad[:dice.IntN(len(bad))], p}
			}
			return nil
		}
	})
	s := outlet(t, unit(t, badRoad(t, b.address(), 3), nil))
	good := 0
	for i := range 6 {
		on := i%2 == 0
		b.set(func(b *bmc) { b.on = on })
		r, err := s.Read(t.Context())
		switch {
		case r.Power == fence.PowerUnknown:
			t.Log(err)
		case (r.Power == fence.PowerOn) != on:
			t.Fatalf("reads %v, and power is %v", r, on)
		default:
			good++
		}
	}
	if good < 4 {
		t.Errorf("%d of 6 readings came through", good)
	}
}

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/fence"
)

func strip(level int, outlets ...string) config.FenceDevice {
	return config.FenceDevice{
		Name: "pdu", Driver: "apc", Level: level, Address: "192.0.2.20", Outlets: outlets, Idle: len(outlets) == 0,
		Community: "private", Timeout: time.Second, Pin: config.FencePin{Serial: "ZA1", OutletNames: make([]string, len(outlets))},
	}
}

func program(level int) config.FenceDevice {
	return config.FenceDevice{Name: "script", Driver: "exec", Level: level, Off: []string{"/bin/false"}, Status: []string{"/bin/false"}, Timeout: time.Second}
}

// needs skips a test in a build that lacks the driver; the full build has all.
func needs(t *testing.T, driver string) {
	t.Helper()
	if err := HasFenceDriver(driver); err != nil && buildName != "full" {
		t.Skip(err)
	}
}

func TestDevicesAreMadeByLevelAndOutlet(t *testing.T) {
	needs(t, "apc")
	for _, tt := range []struct {
		devices []config.FenceDevice
		want    string // empty: no device
	}{
		{nil, ""},
		{[]config.FenceDevice{strip(1)}, ""}, // feeds only the other node
		{[]config.FenceDevice{program(1)}, "script"},
		{[]config.FenceDevice{strip(1, "1", "fw2 PSU")}, "pdu:1+pdu:fw2 PSU"},
		{[]config.FenceDevice{program(2), strip(1, "1", "2")}, "pdu:1+pdu:2, then script"},
		{[]config.FenceDevice{strip(1), program(3)}, "script"}, // a level that is empty for this peer is none
	} {
		d, err := FenceLevels(tt.devices, nil)
		name := ""
		if d != nil {
			name = d.Name()
		}
		if err != nil || name != tt.want {
			t.Errorf("%d devices: %q, want %q; %v", len(tt.devices), name, tt.want, err)
		}
	}
}

func TestEverySwitchIsWrapped(t *testing.T) {
	needs(t, "apc")
	var names []string
	_, err := FenceLevels([]config.FenceDevice{strip(1, "1", "2"), program(2)}, func(sw fence.Switch) fence.Switch {
		names = append(names, sw.Name())
		return sw
	})
	if err != nil || !slices.Equal(names, []string{"pdu:1", "pdu:2", "script"}) {
		t.Errorf("%q, %v", names, err)
	}
}

func TestFeedsCarryThePinsOfTheirOutlet(t *testing.T) {
	needs(t, "apc")
	d := strip(1, "1", "2")
	d.Pin = config.FencePin{ObjectID: "1.3", Model: "AP", Serial: "ZA1", Outlets: 8, OutletNames: []string{"a", "b"}}
	u, err := OpenFenceUnit(d)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	feeds, err := u.Feeds()
	if err != nil || len(feeds) != 2 {
		t.Fatal(feeds, err)
	}
	if want := (fence.Pin{ObjectID: "1.3", Model: "AP", Serial: "ZA1", Outlets: 8, Name: "b"}); feeds[1].Pin != want || feeds[1].Unit != "192.0.2.20" {
		t.Errorf("%+v, want %+v", feeds[1], want)
	}
}

func TestADriverThatTheBuildLacksIsNamedWithThoseItHas(t *testing.T) {
	d := program(1)
	d.Driver = "telepathy"
	_, err := OpenFenceUnit(d)
	var missing *MissingDriverError
	has := strings.Join(FenceDrivers(), ", ")
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), `fence driver "telepathy" is not in this build (`+buildName+": "+has+")") || control.Hint(err) == "" {
		t.Errorf("%v, hint %q", err, control.Hint(err))
	}
}

func TestTheFullBuildHasEveryDriverAndLiteHasExec(t *testing.T) {
	want := map[string][]string{"lite": {"exec"}, "full": {
		"agent", "apc", "cyberpower", "digitalloggers", "eaton", "exec", "http", "ibm", "ipmi", "racadm", "raritan",
		"redfish", "sentry", "shelly", "snmp", "ssh", "tasmota", "tripplite",
	}}[buildName]
	if want == nil {
		t.Skipf("a %s build has what its tags leave", buildName)
	}
	if got := FenceDrivers(); !slices.Equal(got, want) {
		t.Errorf("%s build has %q, want %q", buildName, got, want)
	}
}

func TestCertificatesThatAreTooLongAreRefusedInWords(t *testing.T) {
	_, err := readSecrets(config.FenceDevice{CAFile: tooLongCA(t)})
	refusedInWords(t, err)
}

func tooLongCA(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(file, make([]byte, maxCA+1), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func refusedInWords(t *testing.T, err error) {
	t.Helper()
	if err == nil || strings.Contains(err.Error(), "%!") || !strings.Contains(err.Error(), "not a file of certificates") {
		t.Errorf("%v", err)
	}
}

func TestSecretsComeFromPrivateFilesOrTheEnvironment(t *testing.T) {
	needs(t, "apc")
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		_ = os.Remove(file)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	d := strip(1, "1")
	d.Community, d.CommunityFile = "", file
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string // of the error; empty: none
	}{
		{"s3cret\n", 0o600, ""},
		{"s3cret\n", 0o400, ""},
		{"s3cret\n", 0o640, "has mode 0640: others can read it; run: chmod 600 " + file},
		{"s3cret\n", 0o604, "has mode 0604"},
		{"\n", 0o600, "is empty"},
		{"a\nb\n", 0o600, "has more than one line"},
		{strings.Repeat("x", maxSecret+1), 0o600, "is longer than"},
	} {
		write(tt.text, tt.mode)
		s, err := readSecrets(d)
		switch {
		case tt.want == "" && (err != nil || s.community != "s3cret"):
			t.Errorf("mode %o: %q, %v", tt.mode, s.community, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("mode %o: %v, want %s", tt.mode, err, tt.want)
		}
	}
	d.CommunityFile = ""
	t.Setenv(envCommunity, "from outside")
	if s, err := readSecrets(d); err != nil || s.community != "from outside" {
		t.Errorf("%q, %v", s.community, err)
	}
	t.Setenv(envCommunity, "")
	if _, err := OpenFenceUnit(d); err == nil || !strings.Contains(control.Hint(err), envCommunity) {
		t.Errorf("%v, hint %q", err, control.Hint(err))
	}
	d.SNMPVersion, d.User = "3", "twinbeat"
	if _, err := OpenFenceUnit(d); err == nil || !strings.Contains(control.Hint(err), envAuth) {
		t.Errorf("unsigned SNMP 3: %v, hint %q", err, control.Hint(err))
	}
	t.Setenv(envAuth, "12345678")
	if _, err := OpenFenceUnit(d); err != nil {
		t.Error(err)
	}
}

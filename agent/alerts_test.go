//go:build !lite

package agent

import (
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/journal"
)

// withTargets is a configuration of node fw1 with some targets.
func withTargets(targets ...config.Notify) config.Config {
	c := config.Config{Cluster: "office", Nodes: [2]config.Node{{ID: 1, Name: "fw1"}, {ID: 2, Name: "fw2"}}}
	for i := range targets {
		targets[i].Timeout = 2 * time.Second
	}
	c.Notify = targets
	return c
}

func TestATestAlertTellsWhatEachTargetAnswered(t *testing.T) {
	if buildName != "full" {
		t.Skip("this build has not every type of target")
	}
	loopbackUp(t)
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, q *nethttp.Request) {
		if q.Header.Get("Authorization") != "Bearer t0ken" {
			w.WriteHeader(401)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	token, open := filepath.Join(dir, "token"), filepath.Join(dir, "open")
	for name, mode := range map[string]os.FileMode{token: 0o600, open: 0o644} {
		if err := os.WriteFile(name, []byte("t0ken\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	c := withTargets(
		config.Notify{Name: "hook", Type: "webhook", URL: server.URL + "/hidden", TokenFile: token},
		config.Notify{Name: "careless", Type: "webhook", URL: server.URL, TokenFile: open},
		config.Notify{Name: "anonymous", Type: "webhook", URL: server.URL},
		config.Notify{Name: "program", Type: "command", Command: []string{"/bin/true"}},
		config.Notify{Name: "log", Type: "syslog", Address: filepath.Join(dir, "absent")},
		config.Notify{Name: "moon", Type: "moon"},
	)
	c.StateDir = dir
	tested, err := TestNotify(t.Context(), c, "")
	if err != nil || len(tested) != 6 {
		t.Fatalf("%v, %v", tested, err)
	}
	for i, want := range []struct{ answer, fails string }{
		{"HTTP 200", ""},
		{"", "has mode 0644: others can read it; run: chmod 600"},
		{"", "HTTP 401"},
		{"exit code 0", ""},
		{"", "no such file"},
		{"", `type "moon" is not in this build (full)`},
	} {
		got := tested[i]
		if got.Answer != want.answer || (got.Error == "") != (want.fails == "") || !strings.Contains(got.Error, want.fails) || strings.Contains(got.Where, "hidden") {
			t.Errorf("%s: %+v", got.Name, got)
		}
	}
	if one, err := TestNotify(t.Context(), c, "program"); err != nil || len(one) != 1 {
		t.Errorf("one: %v, %v", one, err)
	}
	if _, err := TestNotify(t.Context(), c, "nobody"); err == nil {
		t.Error("a target that there is not")
	}
	found := ExamineNotify(c)
	if len(found) != 2 || !found[0].Warning || !strings.Contains(found[0].Text, "target careless: ") || !strings.Contains(found[1].Text, "moon") {
		t.Errorf("check says %v", found)
	}
}

func TestTrapsOfVersion3TellTheirEngineAndBoots(t *testing.T) {
	if buildName != "full" {
		t.Skip("this build has not every type of target")
	}
	c := withTargets(config.Notify{Name: "nms", Type: "snmp", User: "u", Inform: true})
	if got := TrapEngine(c); got != "" {
		t.Errorf("informs need no engine of ours: %s", got)
	}
	c.Notify[0].Inform = false
	if got := TrapEngine(c); len(got) != 2+2*17 || !strings.HasPrefix(got, "0x80001f8805") {
		t.Errorf("engine %s", got)
	}
	dir := t.TempDir()
	j, state, errs := journal.Open(dir)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	defer j.Close()
	if got := bootsOnRecord(dir); got != state.Boot || got == 0 {
		t.Errorf("%d boots on record, want %d", got, state.Boot)
	}
	if now := sinceBoot(); now < time.Second {
		t.Errorf("booted %v ago", now)
	}
}

// loopbackUp gives the network that TestMain made a loopback.
func loopbackUp(t *testing.T) {
	t.Helper()
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

func TestAlertCertificatesThatAreTooLongAreRefusedInWords(t *testing.T) {
	_, _, err := readAlertSecrets(&config.Notify{CAFile: tooLongCA(t)})
	refusedInWords(t, err)
}

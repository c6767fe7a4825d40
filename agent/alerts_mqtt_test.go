//go:build mqtt && !lite && !no_http

package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/notify"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// mqttTime bounds each step of a real broker on a busy machine.
const mqttTime = 60 * time.Second

// A mosquitto is a real broker in the tests' own network.
type mosquitto struct {
	t    *testing.T
	dir  string
	proc *exec.Cmd
}

// newMosquitto writes a broker's configuration: FILE stands for a path in its folder.
func newMosquitto(t *testing.T, conf string) *mosquitto {
	t.Helper()
	for _, name := range []string{"mosquitto", "mosquitto_sub", "mosquitto_passwd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s of Debian's packages mosquitto and mosquitto-clients is not installed", name)
		}
	}
	loopbackUp(t)
	b := &mosquitto{t: t, dir: t.TempDir()}
	b.write("conf", "user root\nlog_dest file FILE/log\nlog_type all\n"+conf)
	t.Cleanup(func() { b.stop(syscall.SIGKILL) })
	return b
}

func (b *mosquitto) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(strings.ReplaceAll(text, "FILE", b.dir)), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// start runs the broker and waits until it listens on each port.
func (b *mosquitto) start(ports ...string) {
	b.t.Helper()
	b.proc = exec.Command("mosquitto", "-c", filepath.Join(b.dir, "conf"))
	if err := b.proc.Start(); err != nil {
		b.t.Fatal(err)
	}
	for _, port := range ports {
		mqttWait(b.t, "the broker to listen on "+port, func() bool {
			c, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
}

func (b *mosquitto) stop(by syscall.Signal) {
	if b.proc != nil {
		_ = b.proc.Process.Signal(by)
		_ = b.proc.Wait()
		b.proc = nil
	}
}

// subscribe starts a subscriber, which prints into a file what it gets, and waits
// until it is one.
func (b *mosquitto) subscribe(id string, more ...string) (file string) {
	b.t.Helper()
	file = filepath.Join(b.dir, id)
	out, err := os.Create(file)
	if err != nil {
		b.t.Fatal(err)
	}
	c := exec.Command("mosquitto_sub", append([]string{"-h", "127.0.0.1", "-i", id, "-q", "1", "-t", "twinbeat/#"}, more...)...)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait(); out.Close() })
	mqttWait(b.t, id+" to subscribe", func() bool {
		log, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		return strings.Contains(string(log), "Sending SUBACK to "+id)
	})
	return file
}

func mqttWait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(mqttTime); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// mqttCertificate makes one for 127.0.0.1 that signs itself.
func mqttCertificate(t *testing.T) (cert, key, fingerprint string) {
	t.Helper()
	cert, key, err := lab.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	der, _ := pem.Decode([]byte(cert))
	sum := sha256.Sum256(der.Bytes)
	return cert, key, hex.EncodeToString(sum[:])
}

func TestMQTTWithMosquitto(t *testing.T) {
	b := newMosquitto(t, `per_listener_settings true
listener 1883 127.0.0.1
allow_anonymous true
acl_file FILE/acl
listener 8883 127.0.0.1
allow_anonymous false
password_file FILE/users
certfile FILE/cert
keyfile FILE/key
`)
	cert, key, fingerprint := mqttCertificate(t)
	for name, text := range map[string]string{
		"acl": "topic readwrite twinbeat/#\n", "users": "", "cert": cert, "key": key, "password": "s3cret\n", "other": "wr0ng\n",
	} {
		b.write(name, text)
	}
	if out, err := exec.Command("mosquitto_passwd", "-b", filepath.Join(b.dir, "users"), "tb", "s3cret").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.start("1883", "8883")
	got := b.subscribe("watcher", "-v")
	const acked = "the broker acknowledged it"
	other := strings.Repeat("0", len(fingerprint))
	password, wrong, ca := filepath.Join(b.dir, "password"), filepath.Join(b.dir, "other"), filepath.Join(b.dir, "cert")
	var targets []config.Notify
	tests := []struct {
		n             config.Notify
		answer, fails string
	}{
		{config.Notify{Name: "plain", Transport: "tcp"}, acked, ""},
		{config.Notify{Name: "kept", Transport: "tcp", Retain: true}, acked, ""},
		{config.Notify{Name: "ca", User: "tb", PasswordFile: password, CAFile: ca}, acked, ""},
		{config.Notify{Name: "pin", User: "tb", PasswordFile: password, TLSFingerprint: fingerprint, Address: "127.0.0.1:8883"}, acked, ""},
		{config.Notify{Name: "system", User: "tb", PasswordFile: password}, "", "certificate"},
		{config.Notify{Name: "otherpin", User: "tb", PasswordFile: password, TLSFingerprint: other}, "", "not the pinned one"},
		{config.Notify{Name: "password", User: "tb", PasswordFile: wrong, CAFile: ca}, "", "not authorized"},
		{config.Notify{Name: "nobody", CAFile: ca}, "", "not authorized"},
		{config.Notify{Name: "public", User: "tb", PasswordFile: filepath.Join(b.dir, "absent"), CAFile: ca}, "", "password_file"},
		{config.Notify{Name: "tlsforplain", Address: "127.0.0.1:1883", CAFile: ca}, "", "TLS"},
		{config.Notify{Name: "plainfortls", Transport: "tcp", Address: "127.0.0.1:8883"}, "", "CONNACK"},
		// MQTT 3.1.1 section 3.3.5: a broker that lets nobody publish there has no way to say so.
		{config.Notify{Name: "forbidden", Transport: "tcp", Topic: "other"}, acked, ""},
		{config.Notify{Name: "last", Transport: "tcp"}, acked, ""},
	}
	for _, tt := range tests {
		n := tt.n
		n.Type = "mqtt"
		if n.Address == "" {
			n.Address = "127.0.0.1"
		}
		if n.Topic == "" {
			n.Topic = "twinbeat/" + n.Name
		}
		targets = append(targets, n)
	}
	tested, err := TestNotify(t.Context(), withTargets(targets...), "")
	if err != nil || len(tested) != len(tests) {
		t.Fatalf("%v, %v", tested, err)
	}
	for i, tt := range tests {
		if r := tested[i]; r.Answer != tt.answer || (r.Error == "") != (tt.fails == "") || !strings.Contains(r.Error, tt.fails) {
			t.Errorf("%+v, want %q, %q", r, tt.answer, tt.fails)
		}
	}
	mqttWait(t, "the last alert", func() bool { out, _ := os.ReadFile(got); return strings.Contains(string(out), "twinbeat/last ") })
	out, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	var topics []string
	for line := range strings.Lines(string(out)) {
		topic, body, _ := strings.Cut(line, " ")
		topics = append(topics, strings.TrimPrefix(topic, "twinbeat/"))
		if !strings.HasPrefix(body, `{"version":1,`) || !strings.Contains(body, `"kind":"test"`) {
			t.Errorf("%s got %s", topic, body)
		}
	}
	if all := strings.Join(topics, " "); all != "plain kept ca pin last" {
		t.Errorf("the subscriber got %s", all)
	}
	late := b.subscribe("late", "-v")
	mqttWait(t, "what was retained", func() bool { out, _ := os.ReadFile(late); return strings.HasPrefix(string(out), "twinbeat/kept ") })
}

// A broker that is stopped at any moment, or killed, and started again costs no
// event: what it did not acknowledge is sent again.
func TestMQTTLosesNothingWhenTheBrokerIsRestarted(t *testing.T) {
	b := newMosquitto(t, `listener 1883 127.0.0.1
allow_anonymous true
persistence true
persistence_location FILE/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
`)
	b.start("1883")
	got := b.subscribe("watcher", "-c", "-F", "%p")
	c := withTargets(config.Notify{Name: "broker", Type: "mqtt", Severity: "info", Address: "127.0.0.1", Transport: "tcp", Topic: "twinbeat/office"})
	target := openTarget(&c.Notify[0], teller{Pair: pairOf(c)})
	if target.err != nil {
		t.Fatal(target.err)
	}
	board := control.NewBoard(nil)
	office, err := notify.Open(notify.Options{
		Targets: []notify.Target{target.Target}, Board: board, Pair: pairOf(c), Boot: 1, Log: slog.New(slog.DiscardHandler),
		Disk: filepath.Join(b.dir, "disk"), Memory: filepath.Join(b.dir, "memory"), Tell: func(report.Event) bool { return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { office.Run(ctx) })
	defer func() { cancel(); work.Wait() }()
	events := 0
	happen := func(n int) {
		for range n {
			events++
			board.Add(report.Event{At: time.Now(), Kind: "fence", Decided: "proven off", Seen: "n" + strconv.Itoa(events) + "."})
			time.Sleep(5 * time.Millisecond)
		}
	}
	for _, by := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGKILL} {
		happen(20)
		if by == syscall.SIGKILL { // what a broker lost that it had acknowledged would be its own
			mqttWait(t, "all alerts", func() bool { return len(untold(t, got, events)) == 0 })
		}
		b.stop(by)
		happen(10)
		b.start("1883")
	}
	mqttWait(t, "all alerts", func() bool { return len(untold(t, got, events)) == 0 })
	v := office.View().Targets[0]
	if v.Delivered != uint64(events) || v.Waiting != 0 || v.Dropped != 0 || v.Refused != 0 || v.FailedAgoMS == nil {
		t.Errorf("%+v after %d events", v, events)
	}
	out, _ := os.ReadFile(got)
	t.Logf("%d events, 3 restarts, %d alerts arrived", events, strings.Count(string(out), `"seen":"n`))
}

// untold names the events that no alert in the file tells of.
func untold(t *testing.T, file string, events int) (out []int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= events; i++ {
		if !strings.Contains(string(b), fmt.Sprintf(`"seen":"n%d."`, i)) {
			out = append(out, i)
		}
	}
	return out
}

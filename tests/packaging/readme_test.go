package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
)

// A page is what README tells a person with two boxes to type, and what comes
// of it.
type page struct {
	steps   []string // "BOX COMMAND", for a box with init scripts
	answers []string // at init
	dialog  string
	config  string
}

var (
	typed  = regexp.MustCompile(`^(fw1|fw2|both)# (.*)$`)
	answer = regexp.MustCompile(`^[A-Z].*[^:]: (.*)$`)
)

func readme(t *testing.T) (p page) {
	t.Helper()
	text, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```console\n")
	session, rest, _ := strings.Cut(rest, "```\n")
	_, rest, _ = strings.Cut(rest, "```toml\n")
	p.config, _, _ = strings.Cut(rest, "```\n")
	for line := range strings.Lines(session) {
		line = strings.TrimSuffix(line, "\n")
		if m := typed.FindStringSubmatch(line); m != nil {
			command := m[2]
			if _, other, ok := strings.Cut(command, "# or: "); ok {
				command = other
			}
			for box, names := range map[string]string{"1": "fw1 both", "2": "fw2 both"} {
				if strings.Contains(names, m[1]) {
					p.steps = append(p.steps, box+" "+command)
				}
			}
			continue
		}
		m := answer.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("README: neither typed nor answered: %s", line)
		}
		p.answers, p.dialog = append(p.answers, m[1]), p.dialog+line+"\n"
	}
	if len(p.steps) < 9 || len(p.answers) < 9 || p.config == "" {
		t.Fatalf("README: %d steps, %d answers", len(p.steps), len(p.answers))
	}
	return p
}

// TestREADMEShowsTheDialogueAsItIs compares it with the transcript.
func TestREADMEShowsTheDialogueAsItIs(t *testing.T) {
	p := readme(t)
	text, err := os.ReadFile(root + "/agent/cli/testdata/init/plain.txt")
	if err != nil {
		t.Fatal(err)
	}
	transcript := strings.ReplaceAll(string(text), "Write it to twinbeat/", "Write it to /etc/twinbeat/")
	for line := range strings.Lines(p.dialog) {
		if !strings.Contains(transcript, "\n"+line) {
			t.Errorf("init does not say: %s", line)
		}
	}
	if !strings.Contains(transcript, p.config) {
		t.Errorf("init does not write:\n%s", p.config)
	}
}

// TestREADMELeadsFromNothingToAServedAddress does line by line what README says
// on two boxes that have a null modem, a cable and a LAN, until a client on the
// LAN is served, and the other box serves it when the first is gone.
func TestREADMELeadsFromNothingToAServedAddress(t *testing.T) {
	need(t, "start-stop-daemon", "update-rc.d", "sshd", "scp", "ssh-keygen", "nsenter", "busybox", "ping", "dnsmasq")
	unpacked(t, "dnsmasq")
	p := readme(t)
	modem, err := linktest.NewNullModem()
	if err != nil {
		t.Skipf("no ptys: %v", err)
	}
	defer modem.Close()
	modem.SetBaud(115200)
	dir := box(t, "readme.sh", nil, func(dir string) []string {
		for name, lines := range map[string][]string{"steps": p.steps, "answers": p.answers} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return []string{modem.Device(0), modem.Device(1)}
	})
	if t.Failed() {
		return
	}
	made, err := os.ReadFile(filepath.Join(dir, "made.toml"))
	if err != nil {
		t.Fatal(err)
	}
	// The boxes here run init scripts, README's systemd.
	want := strings.NewReplacer(`"systemd"`, `"sysv"`, "dnsmasq.service", "dnsmasq").Replace(p.config)
	if !strings.HasSuffix(string(made), want) {
		t.Errorf("init wrote:\n%s\nREADME says:\n%s", made, want)
	}
}

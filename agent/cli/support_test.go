//go:build !lite

package cli

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent/report"
)

// canary is in every secret of leaky; each has a number of its own.
const canary = "c4naryBird"

// leaky is a configuration with a secret wherever somebody may have put one,
// right or wrong.
const leaky = `# the password is c4naryBird00
cluster = "office" # c4naryBird01
key_file = "@KEYS@"
state_dir = "@STATE@"
control_socket = "@SOCK@"
colour = "c4naryBird02"
pasword = 'c4naryBird03'
[[node]]
name = "fw1"
[[node]]
name = "fw2"
[[link]]
type = "multicast" # c4naryBird04
interface = "eth2"
group = "239.255.77.1"
[[group]]
name = "gateway"
addresses = [
  "192.0.2.1/24@eth0", # c4naryBird05
]
[[group.service]]
name = "vpn"
driver = "command"
start = ["/usr/sbin/vpn", "--password=c4naryBird06", "-p", "c4naryBird07", """
c4naryBird08""", 'c4naryBird09']
stop = [ # c4naryBird10
  "/usr/sbin/vpn", "down", "http://user:c4naryBird11@192.0.2.9/"]
status = ["/usr/sbin/vpn", "token=c4naryBird12"]
[[fence.device]]
name = "plug"
driver = "http"
address = "https://admin:c4naryBird13@192.0.2.40"
outlets = { fw1 = ["1"], fw2 = ["2"] }
user = "admin"
password_file = "@PASSWORD@"
url = "https://hooks.example.org/c4naryBird90/path"
off_url = "http://user:c4naryBird14@192.0.2.40/off?key=c4naryBird15"
on_url = "/c4naryBird16/on"
status_url = "/status"
off_body = "pw=c4naryBird17"
headers = ["Authorization: Basic c4naryBird18", "X-Key: c4naryBird19"]
[[fence.device]]
name = "strip"
driver = "apc"
community = "c4naryBird20"
community_file = "@COMMUNITY@"
[[fence.device]]
driver = "agent"
agent_options = { passwd = "c4naryBird21", "snmp-priv" = "c4naryBird22" }
off = { fw1 = ["/etc/off", "c4naryBird23"], fw2 = ["/etc/off", "c4naryBird24"] }
command = "poweroff c4naryBird25"
host_key = "ssh-ed25519 c4naryBird26"
secret = 4711c4naryBird28
"c4naryBird29
nonsense c4naryBird30
`

// unpack reads a support file.
func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if h.Mode != 0o600 || len(text) > supportMost {
			t.Errorf("%s: mode %o, %d bytes", h.Name, h.Mode, len(text))
		}
		files[name] = string(text)
	}
}

// leakyBox writes leaky and the files that it names, with secrets.
func leakyBox(t *testing.T) (dir, config string) {
	t.Helper()
	dir = t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("TWINBEAT_FENCE_AUTH", canary+"40")
	text := strings.NewReplacer(
		"@KEYS@", put("keys", "key 1 "+canary+"41\nactive 1\n"), "@PASSWORD@", put("password", canary+"42\n"),
		"@COMMUNITY@", put("community", canary+"43"), "@STATE@", state, "@SOCK@", filepath.Join(dir, "sock"),
	).Replace(leaky)
	var events strings.Builder
	for _, i := range []int{2, 3, 6, 7, 8, 9, 11, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 29, 30, 40, 41, 42, 43} { // what a program said, in the journal
		fmt.Fprintf(&events, `{"seq":%d,"seen":"vpn: exit status 1: bad login %s%02d"}`+"\n", i, canary, i)
	}
	events.WriteString(`{"seen":"GET http://u:unknownBird@192.0.2.1/ password=unknownBird --secret: unknownBird"}` + "\n")
	put("state/events.jsonl", events.String())
	return dir, put("twinbeat.toml", text)
}

func TestSupportHoldsNoSecret(t *testing.T) {
	dir, config := leakyBox(t)
	s := well()
	s.Alarms = append(s.Alarms, report.Alarm{Name: "x", Text: "community " + canary + "43 refused, \"" + canary + "42\""})
	stop, err := newDesk(s).serve(filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	file := filepath.Join(dir, "out.tar")
	var out, errs bytes.Buffer
	if code := Main([]string{"support", "-o", file, "--config", config, "--socket", filepath.Join(dir, "sock")}, nil, &out, &errs); code != exitWell {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	files := unpack(t, file)
	for name, text := range files {
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("%s holds a secret: ...%q", name, text[max(0, i-60):min(len(text), i+20)])
		}
		if strings.Contains(text, "unknownBird") {
			t.Errorf("%s holds what looks like a secret", name)
		}
	}
	for _, name := range []string{"twinbeat.toml", "check.txt", "version.txt", "status.json", "status.txt", "journal/events.jsonl", "README.txt", "kernel/proc-version"} {
		if files[name] == "" {
			t.Errorf("%s is not in it", name)
		}
	}
	for _, kept := range []string{`cluster = "office"`, `"192.0.2.1/24@eth0"`, `"/usr/sbin/vpn"`, `driver = "apc"`, `community_file = "`} {
		if !strings.Contains(files["twinbeat.toml"], kept) {
			t.Errorf("the configuration lost %s:\n%s", kept, files["twinbeat.toml"])
		}
	}
	text, _ := os.ReadFile(config)
	if a, b := strings.Count(string(text), "\n"), strings.Count(files["twinbeat.toml"], "\n"); a != b {
		t.Errorf("%d lines became %d", a, b)
	}
	if strings.Contains(out.String()+errs.String(), canary) {
		t.Errorf("printed: %s%s", out.String(), errs.String())
	}
}

func TestSupportWorksWithoutAgentOrConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "out.tar")
	args := []string{"support", "-o", file, "--config", filepath.Join(dir, "none.toml"), "--socket", filepath.Join(dir, "none")}
	var out, errs bytes.Buffer
	if code := Main(args, nil, &out, &errs); code != exitWell || out.String() != file+"\n" {
		t.Fatalf("exit code %d: %s%s", code, out.String(), errs.String())
	}
	files := unpack(t, file)
	for name, want := range map[string]string{"status.txt": "the agent does not answer", "README.txt": "not in it: twinbeat.toml"} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s does not say %q: %s", name, want, files[name])
		}
	}
	if !strings.Contains(errs.String(), "not in it: status.txt") {
		t.Errorf("not told: %s", errs.String())
	}
	before, _ := os.ReadFile(file)
	if code := Main(args, nil, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "hint: -o names another file") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
		t.Error("an old file was written over")
	}
}

func FuzzRedactKeepsNoSecret(f *testing.F) {
	f.Add(leaky)
	for _, text := range []string{"a = \"\"\"\n", "a = [", "= \"x\"", "[a\nb = 1", "a = '''x\n'''\nb = \"\\\"\"", "start = [[\"a\"], [\"b\"]]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		clean, _ := redact(text + "\n")
		if a, b := strings.Count(text+"\n", "\n"), strings.Count(clean, "\n"); a != b {
			t.Errorf("%d lines became %d: %q, %q", a, b, text, clean)
		}
		const secret = "\npassword = \"c4naryBird\"\n"
		if clean, _ := redact(secret + text); strings.Contains(strings.TrimPrefix(clean, text), canary) && !strings.Contains(text, canary) {
			t.Errorf("%q", clean)
		}
	})
}

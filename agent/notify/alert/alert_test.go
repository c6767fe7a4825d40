package alert

import (
	"encoding/json"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/twinbeat/twinbeat/agent/report"
)

var (
	office = Pair{Cluster: "office", Node: "fw1", Groups: []string{"gateway"}}
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)
)

func TestAnEventIsWorthWhatItMeans(t *testing.T) {
	for _, tt := range []struct {
		name         string
		event        report.Event
		severity     Severity
		alarm, state string
		group, title string
	}{
		{"takeover", report.Event{Kind: "role", Group: "gateway", From: "ARMED", To: "ACTIVE", Evidence: "silence", Term: 7}, Critical, "", "ACTIVE", "gateway", "group gateway: ARMED -> ACTIVE"},
		{"handover", report.Event{Kind: "role", Group: "gateway", From: "ARMED", To: "ACTIVE", Evidence: "released"}, Warning, "", "ACTIVE", "gateway", "group gateway: ARMED -> ACTIVE"},
		{"gave up", report.Event{Kind: "role", Group: "gateway", From: "ACTIVE", To: "RELEASING"}, Warning, "", "RELEASING", "gateway", "group gateway: ACTIVE -> RELEASING"},
		{"failed", report.Event{Kind: "role", Group: "gateway", From: "ACTIVE", To: "FAILED"}, Critical, "", "FAILED", "gateway", "group gateway: ACTIVE -> FAILED"},
		{"boot", report.Event{Kind: "role", Group: "gateway", From: "BOOT", To: "STANDBY"}, Info, "", "STANDBY", "gateway", "group gateway: BOOT -> STANDBY"},
		{"no change", report.Event{Kind: "role", Group: "gateway", To: "STANDBY"}, Info, "", "STANDBY", "gateway", "group gateway is STANDBY"},
		{"no change of a bad state", report.Event{Kind: "role", Group: "gateway", To: "ISOLATED"}, Info, "", "ISOLATED", "gateway", "group gateway is ISOLATED"},
		{"alarm", report.Event{Kind: "alarm", Decided: "raise link/serial", Seen: "down"}, Warning, "link/serial", Raised, "", "alarm link/serial raised"},
		{"over", report.Event{Kind: "alarm", Decided: "clear link/serial"}, Warning, "link/serial", Cleared, "", "alarm link/serial cleared"},
		{"of a group", report.Event{Kind: "alarm", Decided: "raise gateway/foreign"}, Error, "gateway/foreign", Raised, "gateway", "alarm gateway/foreign raised"},
		{"of no group", report.Event{Kind: "alarm", Decided: "raise other/foreign"}, Warning, "other/foreign", Raised, "", "alarm other/foreign raised"},
		{"starved", report.Event{Kind: "alarm", Decided: "raise watchdog-starved"}, Error, "watchdog-starved", Raised, "", "alarm watchdog-starved raised"},
		{"link", report.Event{Kind: "link", From: "up", To: "down", Done: "serial"}, Info, "serial", "down", "", "link serial is down"},
		{"fence", report.Event{Kind: "fence", Decided: "proven off", Group: "gateway"}, Critical, "", "", "gateway", "group gateway, fence: proven off"},
		{"service", report.Event{Kind: "service", Seen: "dnsmasq died"}, Error, "", "", "", "service: dnsmasq died"},
		{"operator", report.Event{Kind: "operator", Decided: "handover"}, Notice, "", "", "", "operator: handover"},
		{"reset", report.Event{Kind: "agent", Decided: "last end: watchdog-reset"}, Error, "", "", "", "agent: last end: watchdog-reset"},
		{"restart", report.Event{Kind: "agent", Decided: "last end: agent-restart"}, Notice, "", "", "", "agent: last end: agent-restart"},
		{"starving", report.Event{Kind: "agent", Decided: "gates closed, GOODBYE said; the watchdog is not fed again"}, Critical, "", "", "", "agent: gates closed, GOODBYE said; the watchdog is not fed again"},
		{"target", report.Event{Kind: KindNotify, To: "failing", Done: "target mail"}, Error, "mail", "failing", "", "notify: target mail"},
		{"health", report.Event{Kind: "health", Seen: "fan2: 62 % of its usual speed", Decided: "health 74, was 90"}, Warning, "fan2", "health 70 to 79", "", "health: health 74, was 90"},
		{"well again", report.Event{Kind: "health", Seen: "fan2 is well", Decided: "health 100, was 74"}, Warning, "fan2", "health 100 to 100", "", "health: health 100, was 74"},
		{"about to fail", report.Event{Kind: "health", Seen: "fw1 has 40, fw2 100", Decided: "peer is healthier, and this node is about to fail"}, Critical, "", "", "", "health: peer is healthier, and this node is about to fail"},
		{"kind of later", report.Event{Kind: "moon", Seen: "full"}, Notice, "", "", "", "moon: full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := Of(tt.event, office)
			if a.Severity != tt.severity || a.Name != tt.alarm || a.State != tt.state || a.Group != tt.group || a.Title() != tt.title {
				t.Errorf("%v name %q state %q group %q title %q", a.Severity, a.Name, a.State, a.Group, a.Title())
			}
		})
	}
}

func TestAFilterPassesWhatItSays(t *testing.T) {
	of := func(e report.Event) *Alert { a := Of(e, office); return &a }
	gateway := of(report.Event{Kind: "alarm", Decided: "raise gateway/foreign"})
	dmz := of(report.Event{Kind: "role", Group: "dmz", From: "ARMED", To: "ACTIVE", Evidence: "lease"})
	node := of(report.Event{Kind: "alarm", Decided: "raise journal"})
	for _, tt := range []struct {
		name   string
		filter Filter
		want   []bool // gateway error, dmz critical, node warning
	}{
		{"all", Filter{Severity: Info}, []bool{true, true, true}},
		{"errors", Filter{Severity: Error}, []bool{true, true, false}},
		{"critical", Filter{Severity: Critical}, []bool{false, true, false}},
		{"a group and the node", Filter{Severity: Info, Groups: []string{"dmz"}}, []bool{false, true, true}},
		{"a kind", Filter{Severity: Info, Kinds: []string{"alarm"}}, []bool{true, false, true}},
		{"both", Filter{Severity: Error, Kinds: []string{"alarm"}, Groups: []string{"dmz"}}, []bool{false, false, false}},
	} {
		if got := []bool{tt.filter.Wants(gateway), tt.filter.Wants(dmz), tt.filter.Wants(node)}; !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// nasty tries to become more than text, wherever it is put.
const nasty = "x\r\nBcc: all@example.org\r\n\r\n.\r\nDATA\x00\x1b[31m\u202e é \n<14>1 - - - "

func nastyAlert() Alert {
	return Of(report.Event{
		Seq: 1, At: noon, Kind: nasty, Group: nasty, From: nasty, To: nasty, Evidence: nasty,
		Seen: strings.Repeat(nasty, 20), Decided: nasty, Done: nasty,
	}, Pair{Cluster: "office", Node: nasty})
}

func TestTextOfStrangersStaysText(t *testing.T) {
	a := nastyAlert()
	for _, s := range []string{a.Title(), a.Line(), string(a.Syslog(3, "7")), string(a.Local(3, "7"))} {
		if strings.ContainsAny(s, "\r\n\x00\x1b\u202e") || !utf8.ValidString(s) {
			t.Errorf("%q", s)
		}
	}
	for _, b := range a.Binds() {
		if len(b.Text) > 255 || strings.ContainsAny(b.Text, "\r\n\x00\x1b") {
			t.Errorf("%s: %q", b.OID, b.Text)
		}
	}
	for _, v := range a.Environment() {
		if strings.ContainsAny(v, "\x00\n") {
			t.Errorf("%q", v)
		}
	}
}

func TestAMailHasTheHeadersItShouldAndNoOthers(t *testing.T) {
	a := nastyAlert()
	raw := string(a.Mail(Letter{From: "tb@example.org", To: []string{"a@example.org", "b@example.org"}, ID: "1@example.org"}))
	for line := range strings.SplitSeq(raw, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") || strings.ContainsFunc(line, func(r rune) bool { return r > 0x7e }) {
			t.Errorf("line %q", line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for h := range m.Header {
		if !strings.Contains(" From To Subject Date Message-Id Auto-Submitted Mime-Version Content-Type Content-Transfer-Encoding ", " "+h+" ") {
			t.Errorf("header %s", h)
		}
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Address != "b@example.org" {
		t.Errorf("to %v, %v", to, err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "[twinbeat office] NOTICE x  Bcc: all@example.org") || len(subject) > maxSubject {
		t.Errorf("subject %q, %v", subject, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil || !strings.Contains(string(body), "seen      x Bcc: all@example.org . DATA??[31m? é") {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestSyslogIsThatOfTheStandard(t *testing.T) {
	a := Of(report.Event{Seq: 9, At: noon, Kind: "role", Group: "gateway", From: "ARMED", To: "ACTIVE", Evidence: "lease", Term: 3, Seen: "silence of 400 ms", Decided: "take", Done: "addresses"}, office)
	const want = "<26>1 2026-03-01T12:00:00.250000Z fw1 twinbeat 77 role - office fw1: group gateway: ARMED -> ACTIVE; seen: silence of 400 ms; decided: take; done: addresses; evidence: lease; term: 3"
	if got := string(a.Syslog(3, "77")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a.Seen = "Lüfter"
	if got := string(a.Syslog(16, "")); !strings.HasPrefix(got, "<130>1 2026-03-01T12:00:00.250000Z fw1 twinbeat - role - \ufeffoffice") {
		t.Errorf("not ASCII: %q", got)
	}
	a.Seen, a.Decided, a.Done, a.Evidence = strings.Repeat("é", 900), strings.Repeat("é", 900), "", "" // of later, longer alerts
	if got := a.Syslog(3, "77"); len(got) > maxSyslog || len(got) < maxSyslog-2 || !utf8.Valid(got) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestJSONIsOneObjectThatReadsAsTheAlert(t *testing.T) {
	a := nastyAlert()
	b, err := a.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version     int
		Title, Text string
		Alert
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, got.Alert); diff != "" || got.Version != 1 || got.Text != a.Line() || got.Title != a.Title() {
		t.Errorf("%s\n%s", b, diff)
	}
}

// The MIB is what receivers have: its numbers, types and order are those of the
// traps.
func TestTheMIBSaysWhatIsSent(t *testing.T) {
	text, err := os.ReadFile("../../../packaging/TWINBEAT-MIB.txt")
	if err != nil {
		t.Fatal(err)
	}
	mib := string(text)
	objects := regexp.MustCompile(`(?s)(twinbeat\w+) OBJECT-TYPE\s+SYNTAX\s+(\w+).*?::= \{ twinbeatObjects (\d+) \}`).FindAllStringSubmatch(mib, -1)
	a := Test(office, noon)
	binds := a.Binds()
	if len(objects) != len(binds) {
		t.Fatalf("%d objects in the MIB, %d sent", len(objects), len(binds))
	}
	var names []string
	for i, b := range binds {
		syntax := map[bool]string{true: "Unsigned32", false: "SnmpAdminString"}[b.Is]
		if b.Signed {
			syntax = "INTEGER"
		}
		if objects[i][2] != syntax || b.OID != Enterprise+".1."+objects[i][3]+".0" {
			t.Errorf("%s is %s %s in the MIB, sent as %s %s", objects[i][1], objects[i][2], objects[i][3], syntax, b.OID)
		}
		names = append(names, objects[i][1])
	}
	kinds := map[string]string{
		"role": "twinbeatRoleChanged", "link": "twinbeatLinkChanged", "operator": "twinbeatOperatorActed", "fence": "twinbeatFenceActed",
		"service": "twinbeatServiceFailed", "address": "twinbeatAddressChanged", "agent": "twinbeatAgentChanged", "health": "twinbeatHealthChanged",
		KindNotify: "twinbeatNotifyTrouble", KindTest: "twinbeatTest", "moon": "twinbeatOther",
	}
	numbers := map[string]string{}
	for _, n := range regexp.MustCompile(`(?s)(twinbeat\w+) NOTIFICATION-TYPE\s+OBJECTS\s+\{(.*?)\}.*?::= \{ twinbeatNotifications (\d+) \}`).FindAllStringSubmatch(mib, -1) {
		numbers[n[1]] = n[3]
		if got := strings.Fields(strings.ReplaceAll(n[2], ",", " ")); !cmp.Equal(got, names) {
			t.Errorf("%s carries %v", n[1], got)
		}
	}
	check := func(a Alert, name string) {
		if got := a.Notification(); numbers[name] == "" || got != Enterprise+".0."+numbers[name] {
			t.Errorf("%s %s is sent as %s, %s is %s", a.Kind, a.State, got, name, numbers[name])
		}
	}
	for kind, name := range kinds {
		check(Alert{Kind: kind}, name)
	}
	check(Alert{Kind: "alarm", State: Raised}, "twinbeatAlarmRaised")
	check(Alert{Kind: "alarm", State: Cleared}, "twinbeatAlarmCleared")
	if len(numbers) != len(kinds)+2 {
		t.Errorf("%d notifications in the MIB, %d are sent", len(numbers), len(kinds)+2)
	}
	for _, s := range Severities() {
		if want := s + "(" + strconv.Itoa(int(SeverityNamed(s))) + ")"; !strings.Contains(mib, want) {
			t.Errorf("the MIB lacks %s", want)
		}
	}
}

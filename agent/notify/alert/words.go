package alert

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twinbeat/twinbeat/agent/report"
)

// Title is what happened, in a few words.
func (a *Alert) Title() string {
	title := ""
	switch a.Kind {
	case "role":
		title = fmt.Sprintf("group %s is %s", a.Group, a.To)
		if a.From != "" {
			title = fmt.Sprintf("group %s: %s -> %s", a.Group, a.From, a.To)
		}
	case "alarm":
		title = "alarm " + a.Name + " " + a.State
	case "link":
		title = fmt.Sprintf("link %s is %s", a.Name, a.To)
	case KindTest:
		title = "test alert"
	default:
		title = a.Kind + ": " + cmp.Or(a.Decided, a.Done, a.Seen, "an event")
		if a.Group != "" {
			title = "group " + a.Group + ", " + title
		}
	}
	if a.Repeats > 0 {
		title += fmt.Sprintf(" (%d more were not told one by one)", a.Repeats)
	}
	return title
}

// facts are what was seen, decided and done, and what proves it, by name.
func (a *Alert) facts() [][2]string {
	out := [][2]string{}
	for _, f := range [][2]string{{"seen", a.Seen}, {"decided", a.Decided}, {"done", a.Done}, {"evidence", a.Evidence}} {
		if f[1] != "" {
			out = append(out, f)
		}
	}
	if a.Term > 0 {
		out = append(out, [2]string{"term", strconv.FormatUint(uint64(a.Term), 10)})
	}
	return out
}

// Line is the whole alert in one line.
func (a *Alert) Line() string {
	parts := []string{fmt.Sprintf("%s %s: %s", a.Cluster, a.Node, a.Title())}
	for _, f := range a.facts() {
		parts = append(parts, f[0]+": "+f[1])
	}
	return strings.Join(parts, "; ")
}

// maxSyslog is the longest message, in bytes: RFC 5424 section 6.1 asks every
// receiver to take that much.
const maxSyslog = 2048

// Syslog writes the alert as RFC 5424 has it. What is not ASCII begins with a
// byte order mark there.
func (a *Alert) Syslog(facility int, process string) []byte {
	text := a.Line()
	if strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		text = "\ufeff" + text
	}
	head := fmt.Sprintf("<%d>1 %s %s twinbeat %s %s - ", facility*8+int(a.Severity),
		a.At.UTC().Format("2006-01-02T15:04:05.000000Z"), word(a.Node, 255), word(process, 128), word(a.Kind, 32))
	return []byte(head + clip(text, maxSyslog-len(head)))
}

// word is what may stand in the header of RFC 5424 section 6: printable ASCII
// without blanks.
func word(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return '?'
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// Local writes the alert as syslog(3) writes to /dev/log, which every daemon
// there reads; RFC 5424 few of them do.
func (a *Alert) Local(facility int, process string) []byte {
	head := fmt.Sprintf("<%d>%s twinbeat[%s]: ", facility*8+int(a.Severity), a.At.Local().Format(time.Stamp), process)
	return []byte(head + clip(a.Line(), maxSyslog-len(head)))
}

// JSON writes the alert as one object, with its title and its line.
func (a *Alert) JSON() ([]byte, error) {
	b, err := json.Marshal(struct {
		Version int    `json:"version"`
		Title   string `json:"title"`
		Text    string `json:"text"`
		*Alert
	}{1, a.Title(), a.Line(), a})
	if err != nil {
		return nil, fmt.Errorf("encode alert: %w", err)
	}
	return b, nil
}

// Environment is the alert for a program: NAME=value.
func (a *Alert) Environment() []string {
	var out []string
	for _, v := range [][2]string{
		{"TITLE", a.Title()},
		{"TEXT", a.Line()},
		{"SEVERITY", a.Severity.String()},
		{"KIND", a.Kind},
		{"NAME", a.Name},
		{"STATE", a.State},
		{"GROUP", a.Group},
		{"FROM", a.From},
		{"TO", a.To},
		{"TERM", strconv.FormatUint(uint64(a.Term), 10)},
		{"EVIDENCE", a.Evidence},
		{"SEEN", a.Seen},
		{"DECIDED", a.Decided},
		{"DONE", a.Done},
		{"CLUSTER", a.Cluster},
		{"NODE", a.Node},
		{"TIME", a.At.Format(time.RFC3339Nano)},
		{"SEQ", strconv.FormatUint(a.Seq, 10)},
		{"REPEATS", strconv.Itoa(a.Repeats)},
	} {
		out = append(out, "TWINBEAT_ALERT_"+v[0]+"="+strings.ReplaceAll(v[1], "\x00", "?"))
	}
	return out
}

// A Letter says who writes to whom.
type Letter struct {
	From string
	To   []string
	ID   string // of the message, without the angle brackets
}

// maxSubject is the longest subject, in bytes, before it is encoded.
const maxSubject = 150

// Mail writes the alert as RFC 5322 has it: nothing of the alert's text gets into
// a header but in encoded words, and the body is quoted-printable.
func (a *Alert) Mail(l Letter) []byte {
	var b bytes.Buffer
	subject := clip(fmt.Sprintf("[twinbeat %s] %s %s: %s", a.Cluster, strings.ToUpper(a.Severity.String()), a.Node, a.Title()), maxSubject)
	for _, h := range [][2]string{
		{"From", l.From},
		{"To", strings.Join(l.To, ",\r\n ")},
		{"Subject", mime.QEncoding.Encode("utf-8", report.Clean(subject))},
		{"Date", a.At.Format(time.RFC1123Z)},
		{"Message-ID", "<" + l.ID + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: no holiday replies
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b) // a buffer takes everything
	_, _ = body.Write([]byte(a.letter()))
	_ = body.Close()
	return b.Bytes()
}

// letter is the body: one fact a line.
func (a *Alert) letter() string {
	var b strings.Builder
	b.WriteString(a.Title() + "\n\n")
	facts := append(a.facts(), [][2]string{
		{"severity", a.Severity.String()},
		{"kind", a.Kind},
		{"told by", a.Node + " of " + a.Cluster},
		{"at", a.At.Format(report.TimeLayout)},
		{"event", strconv.FormatUint(a.Seq, 10)},
	}...)
	for _, f := range facts {
		b.WriteString(report.Paragraph(f[0], 10, f[1]))
	}
	return b.String()
}

// Enterprise is where TWINBEAT-MIB hangs: an arc that net-snmp gives to
// experiments (netSnmpPlaypen), until a number of its own is assigned.
const Enterprise = "1.3.6.1.4.1.8072.9999.9999.6940"

// notifications of TWINBEAT-MIB, by kind; an alarm that is over has its own.
var notifications = map[string]int{
	"role": 1, "link": 2, "alarm": 3, "operator": 5, "fence": 6, "service": 7, "address": 8, "agent": 9,
	"health": 10, KindNotify: 11, KindTest: 12,
}

// Numbers of notifications that no kind has.
const (
	cleared = 4
	other   = 13
)

// Notification is the object identifier of the alert's trap.
func (a *Alert) Notification() string {
	n, ok := notifications[a.Kind]
	switch {
	case !ok:
		n = other
	case a.Kind == "alarm" && a.State == Cleared:
		n = cleared
	}
	return Enterprise + ".0." + strconv.Itoa(n)
}

// A Bind is one object of a trap: a text, or a number.
type Bind struct {
	OID    string
	Text   string
	Number uint32
	Is     bool // a number
	Signed bool // an INTEGER, not an Unsigned32
}

// Binds are the objects of the trap, in the order of TWINBEAT-MIB.
func (a *Alert) Binds() []Bind {
	texts := func(from int, all ...string) (out []Bind) {
		for i, s := range all {
			out = append(out, Bind{OID: object(from + i), Text: clip(s, maxText)})
		}
		return out
	}
	out := texts(1, a.Cluster, a.Node)
	out = append(out, Bind{OID: object(3), Number: uint32(a.Severity), Signed: true, Is: true})
	out = append(out, texts(4, a.Kind, a.Name, a.State, a.Group, a.From, a.To)...)
	out = append(out, Bind{OID: object(10), Number: a.Term, Is: true})
	out = append(out, texts(11, a.Evidence, a.Seen, a.Decided, a.Done, a.At.Format(time.RFC3339))...)
	out = append(out, Bind{OID: object(16), Number: uint32(a.Seq), Is: true}, Bind{OID: object(17), Number: uint32(a.Repeats), Is: true})
	return append(out, texts(18, a.Title())...)
}

func object(n int) string { return Enterprise + ".1." + strconv.Itoa(n) + ".0" }

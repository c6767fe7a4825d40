package ups

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// A script is a daemon that says what it was told to, whatever it is asked.
type script struct {
	says  string
	asked strings.Builder
	r     *strings.Reader
}

func (s *script) Write(b []byte) (int, error) { return s.asked.Write(b) }

func (s *script) Read(b []byte) (int, error) {
	if s.r == nil {
		s.r = strings.NewReader(s.says)
	}
	return s.r.Read(b)
}

// transcript is what upsd 2.8.0 of Debian said of a dummy-ups.
const transcript = `BEGIN LIST VAR rack
VAR rack battery.charge "100"
VAR rack battery.runtime "1800"
VAR rack device.model "Test \\\"quoted\\\""
VAR rack driver.version.internal "0.15"
VAR rack input.voltage "230.4"
VAR rack ups.load "23"
VAR rack ups.model "Test \"quoted\""
VAR rack ups.status "OB LB"
END LIST VAR rack
`

func TestUPSDIsUnderstood(t *testing.T) {
	d := &script{says: transcript}
	got, err := askNUT(d, "rack")
	want := unknown()
	want.OnBattery, want.Low, want.Words, want.Model = true, true, "OB LB", `Test "quoted"`
	want.Charge, want.Runtime, want.Load, want.Input = 100, 1800, 23, 230.4
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if d.asked.String() != "LIST VAR rack\nLOGOUT\n" {
		t.Errorf("asked %q", d.asked.String())
	}
	d = &script{says: "BEGIN LIST UPS\nUPS rack \"in the cellar\"\nEND LIST UPS\n" + transcript}
	if got, err = askNUT(d, ""); err != nil || got.Words != "OB LB" {
		t.Errorf("the only UPS: %+v, %v", got, err)
	}
}

func TestUPSDThatDoesNotAnswerSoIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		says, want string
	}{
		"driver gone":       {"ERR DRIVER-NOT-CONNECTED\n", errStale.Error()},
		"stale":             {"ERR DATA-STALE\n", errStale.Error()},
		"no such UPS":       {"ERR UNKNOWN-UPS\n", errUnknown.Error()},
		"denied":            {"ERR ACCESS-DENIED\n", errDenied.Error()},
		"another error":     {"ERR FEATURE-NOT-CONFIGURED\n", "FEATURE-NOT-CONFIGURED"},
		"an HTTP server":    {"HTTP/1.1 400 Bad Request\r\n\r\n", errProtocol.Error()},
		"escape sequences":  {"\x1b[2J\x1b[31m\n", `"[2J [31m" instead of a list`},
		"silence":           {"", io.EOF.Error()},
		"cut in the middle": {transcript[:120], io.EOF.Error()},
		"a line for ever":   {"BEGIN LIST VAR rack\nVAR rack a \"" + strings.Repeat("x", 2000), "more than 1024 bytes"},
		"a list for ever":   {"BEGIN LIST VAR rack\n" + strings.Repeat("VAR rack a \"1\"\n", 2000), "more than 1024 lines"},
		"quotes left open":  {"BEGIN LIST VAR rack\nVAR rack ups.status \"OL\nEND LIST VAR rack\n", "quotes"},
		"of another UPS":    {"BEGIN LIST VAR rack\nVAR other ups.status \"OL\"\nEND LIST VAR rack\n", "no ups.status"},
		"without a status":  {"BEGIN LIST VAR rack\nVAR rack ups.load \"1\"\nEND LIST VAR rack\n", "no ups.status"},
	} {
		if _, err := askNUT(&script{says: c.says}, "rack"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	two := "BEGIN LIST UPS\nUPS a \"\"\nUPS b \"\"\nEND LIST UPS\n"
	if _, err := askNUT(&script{says: two}, ""); err == nil || !strings.Contains(err.Error(), "has 2 UPSs: name one") {
		t.Errorf("two: %v", err)
	}
}

func TestWordsOfUPSDMeanWhatItsDocumentsSay(t *testing.T) {
	for words, c := range map[string]struct {
		level predict.Level
		ends  bool
		loss  int
		text  string
	}{
		"OL":                   {predict.Well, false, 0, ""},
		"OL CHRG":              {predict.Well, false, 0, ""},
		"OL CHRG LB":           {predict.Well, false, 0, ""}, // recharges
		"OL TRIM":              {predict.Well, false, 0, ""},
		"OB DISCHRG":           {predict.Alert, false, lossOnBattery, "on battery, 20m0s left"},
		"OB DISCHRG LB":        {predict.Move, true, lossEnding, "the battery is low, 20m0s left"},
		"LB OB":                {predict.Move, true, lossEnding, "low"},
		"CAL OB LB":            {predict.Well, false, 0, ""}, // runs its battery down on purpose
		"OL RB":                {predict.Alert, false, lossReplace, "replacement"},
		"OB RB":                {predict.Alert, false, lossOnBattery, "on battery"},
		"FSD OB":               {predict.Move, true, lossEnding, "shut down"},
		"FSD OL":               {predict.Move, true, lossEnding, "shut down"},
		"ALARM OL":             {predict.Alert, false, lossReplace, "UPS says Fan failure!"},
		"ALARM OB":             {predict.Alert, false, lossOnBattery, "on battery"},
		"OL OVER":              {predict.Alert, false, lossReplace, "overloaded"},
		"BYPASS":               {predict.Alert, false, lossReplace, "bypass"},
		"OFF":                  {predict.Alert, false, lossReplace, "off"},
		"OLD OBJECT ALBATROSS": {predict.Well, false, 0, ""}, // words, not parts of them
	} {
		s, err := ParseNUT(map[string]string{"ups.status": words, "battery.runtime": "1200", "ups.alarm": "Fan failure!"})
		if v := s.verdict(); err != nil || v.Level != c.level || v.ends != c.ends || v.loss != c.loss || !strings.Contains(v.Text, c.text) {
			t.Errorf("%s: %+v, %v", words, v, err)
		}
	}
}

func TestMeasurementsThatCannotBeAreNone(t *testing.T) {
	s, err := ParseNUT(map[string]string{
		"ups.status": "OL", "battery.charge": "140", "battery.runtime": "-1", "ups.load": "much", "input.voltage": "NaN",
		"battery.voltage": "1e300", "ups.temperature": "-273",
	})
	for _, v := range []float64{s.Charge, s.Runtime, s.Load, s.Input, s.Battery, s.Temperature} {
		if err != nil || !math.IsNaN(v) {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// nis frames records as apcupsd does.
func nis(records ...string) string {
	var b strings.Builder
	for _, r := range append(records, "") {
		b.WriteByte(byte(len(r) >> 8))
		b.WriteByte(byte(len(r)))
		b.WriteString(r)
	}
	return b.String()
}

// status is that of a Back-UPS in the manual of apcupsd, on battery.
var status = []string{
	"APC      : 001,037,0914\n", "DATE     : 2026-11-22 13:00:00 +0000  \n", "HOSTNAME : mail.kroptech.com\n",
	"VERSION  : 3.14.14 (31 May 2016) debian\n", "UPSNAME  : ups0\n", "CABLE    : USB Cable\n", "MODEL    : Back-UPS RS 1500 \n",
	"STATUS   : ONBATT LOWBATT \n", "LINEV    : 123.0 Volts\n", "LOADPCT  :  24.0 Percent\n", "BCHARGE  :  90.0 Percent\n",
	"TIMELEFT :  68.1 Minutes\n", "ITEMP    : 29.2 C\n", "BATTV    :  26.8 Volts\n", "STATFLAG : 0x05060050\n", "END APC  : 2026-11-22 13:00:01 +0000  \n",
}

func TestAPCUPSDIsUnderstood(t *testing.T) {
	d := &script{says: nis(status...)}
	got, err := askAPC(d)
	want := unknown()
	want.OnBattery, want.Low, want.Words, want.Model = true, true, "ONBATT LOWBATT", "Back-UPS RS 1500"
	want.Charge, want.Load, want.Battery, want.Temperature, want.Input, want.Runtime = 90, 24, 26.8, 29.2, 123, 4086
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-6)); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if d.asked.String() != "\x00\x06status" {
		t.Errorf("asked %q", d.asked.String())
	}
	for words, want := range map[string]predict.Level{
		"ONLINE": predict.Well, "ONLINE SLAVE": predict.Well, "ONBATT": predict.Alert, "CAL ONBATT": predict.Well, "ONLINE REPLACEBATT": predict.Alert,
		"ONLINE LOWBATT": predict.Well, "SHUTTING DOWN": predict.Move, "ONLINE OVERLOAD": predict.Alert, "TRIM ONLINE": predict.Well,
	} {
		s, err := ParseAPC(map[string]string{"STATUS": words})
		if v := s.verdict(); err != nil || v.Level != want {
			t.Errorf("%s: %+v, %v", words, v, err)
		}
	}
}

func TestAPCUPSDThatDoesNotAnswerSoIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ says, want string }{
		"silence":          {"", "EOF"},
		"cut":              {nis(status...)[:40], "unexpected EOF"},
		"an HTTP server":   {"HTTP/1.1 400", "a record of 18516 bytes"},
		"for ever":         {strings.Repeat("\x00\x03A:B", 300), "more than 256 records"},
		"without a status": {nis("LINEV : 1\n"), "no STATUS"},
	} {
		if _, err := askAPC(&script{says: c.says}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// daemon answers each connection with what says returns; nil refuses it.
func daemon(t *testing.T, kind string, says func() *string) *client {
	t.Helper()
	c, err := newClient(Config{Name: "rack", Daemon: kind, UPS: "rack"})
	if err != nil {
		t.Fatal(err)
	}
	c.dial = func(context.Context, string, string) (net.Conn, error) {
		text := says()
		if text == nil {
			return nil, errors.New("connection refused")
		}
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		go func() {
			_, _ = io.WriteString(theirs, *text)
			_ = theirs.Close()
		}()
		return ours, nil
	}
	return c
}

var at = time.Unix(1_800_000_000, 0)

func TestAUPSBecomesReadings(t *testing.T) {
	text := transcript
	c := daemon(t, "nut", func() *string { return &text })
	r, _ := c.ask(at)
	var names []string
	for _, x := range r {
		names = append(names, strings.TrimPrefix(x.ID, "ups/rack/")+" "+x.State.String())
	}
	want := []string{"state ok", "charge ok", "runtime ok", "load ok", "battery absent", "input ok", "temperature absent"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if s := r[0]; s.Value != 1 || s.Finding.Level != predict.Move || s.Fatal || !s.Sure || !s.Named {
		t.Errorf("%+v", s)
	}
	if r[2].Value != 1800 || r[2].Unit != "s" || r[2].Kind != sensors.Context {
		t.Errorf("%+v", r[2])
	}
}

// By the third look a peer on the same UPS has found the same.
func TestAUPSThatIsAboutToEndIsCriticalAfterThreeLooks(t *testing.T) {
	text := transcript
	says := &text
	c, j := daemon(t, "nut", func() *string { return says }), sensors.NewJudge(sensors.Config{})
	look := 0
	vote := func() (most sensors.Vote) {
		look++
		r, _ := c.ask(at.Add(time.Duration(look) * DefaultEvery))
		j.Take(at.Add(time.Duration(look)*DefaultEvery), r)
		for _, v := range j.Votes() {
			if v.Loss > most.Loss {
				most = v
			}
		}
		return most
	}
	for n := range 2 * agreed {
		if n == agreed+1 {
			says = nil // its daemon goes down with the rest
		}
		if v := vote(); v.Loss != lossEnding || v.Critical != (n+1 >= agreed) {
			t.Errorf("look %d: %+v", n+1, v)
		}
	}
	mains := strings.Replace(transcript, "OB LB", "OL LB", 1)
	says = &mains
	for range agreed - 1 {
		if v := vote(); v.Loss != lossEnding || v.Critical || !strings.Contains(v.Reason, "on the mains, and was about to end a moment ago") {
			t.Errorf("on the mains: %+v", v)
		}
	}
	if v := vote(); v.Loss != 0 {
		t.Errorf("on the mains for long: %+v", v)
	}
	says = &text
	if v := vote(); v.Critical {
		t.Errorf("low again, seen once: %+v", v)
	}
}

func TestAUPSThatFellSilentOnBatteryIsStillOnBattery(t *testing.T) {
	text := strings.Replace(transcript, "OB LB", "OB", 1)
	says := &text
	c := daemon(t, "nut", func() *string { return says })
	c.ask(at)
	says = nil
	r, _ := c.ask(at.Add(time.Minute))
	if s := r[0]; s.State != sensors.OK || s.Finding.Level != predict.Alert || !strings.Contains(s.Finding.Text, "1m0s ago it fell silent") || s.Loss != lossOnBattery {
		t.Errorf("%+v", s)
	}
	if r[1].State != sensors.Unreadable {
		t.Errorf("its charge is still known: %+v", r[1])
	}
	r, _ = c.ask(at.Add(holds + time.Minute))
	if s := r[0]; s.State != sensors.Absent || s.Finding.Level != predict.Well || !strings.Contains(s.Why, "refused") {
		t.Errorf("for ever: %+v", s)
	}
	mains := strings.Replace(transcript, "OB LB", "OL", 1)
	says = &mains
	c.ask(at.Add(holds + 2*time.Minute))
	says = nil
	if r, _ = c.ask(at.Add(holds + 3*time.Minute)); r[0].State != sensors.Unreadable || r[0].Finding.Level != predict.Well {
		t.Errorf("silent on the mains: %+v", r[0])
	}
}

func TestTheVoteOfAUPSThatFellSilentOnBatteryStandsForTenMinutes(t *testing.T) {
	text := strings.Replace(transcript, "OB LB", "OB", 1)
	says := &text
	c, j := daemon(t, "nut", func() *string { return says }), sensors.NewJudge(sensors.Config{})
	lost := func(after time.Duration) (most int) {
		r, _ := c.ask(at.Add(after))
		j.Take(at.Add(after), r)
		for _, v := range j.Votes() {
			most = max(most, v.Loss)
		}
		return most
	}
	if got := lost(0); got != lossOnBattery {
		t.Fatalf("on battery: %d", got)
	}
	says = nil
	for after := 30 * time.Second; after <= holds+time.Minute; after += 30 * time.Second {
		want := lossOnBattery
		if after >= holds {
			want = 0
		}
		if got := lost(after); got != want {
			t.Errorf("silent for %v: %d, want %d", after, got, want)
		}
	}
}

func TestADaemonWithoutItsUPSIsNoGoodNews(t *testing.T) {
	lost := nis("STATUS   : COMMLOST \n")
	c := daemon(t, "apcupsd", func() *string { return &lost })
	if r, _ := c.ask(at); r[0].State != sensors.Unreadable || r[0].Why != errStale.Error() {
		t.Errorf("%+v", r[0])
	}
}

func TestAddressesGetTheirPort(t *testing.T) {
	for _, c := range []struct{ daemon, address, want string }{
		{"nut", "", "127.0.0.1:3493"},
		{"apcupsd", "ups.example.org", "ups.example.org:3551"},
		{"nut", "2001:db8::5", "[2001:db8::5]:3493"},
		{"nut", "192.0.2.5:4000", "192.0.2.5:4000"},
	} {
		k, err := newClient(Config{Daemon: c.daemon, Address: c.address})
		if err != nil || k.Address != c.want {
			t.Errorf("%+v: %v, %v", c, k.Address, err)
		}
	}
	if _, err := New(Config{Daemon: "upsd"}); err == nil {
		t.Error("upsd is no daemon")
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(transcript)
	f.Add(nis(status...))
	f.Fuzz(func(t *testing.T, says string) {
		for _, ask := range []func(io.ReadWriter) (Status, error){askAPC, func(rw io.ReadWriter) (Status, error) { return askNUT(rw, "rack") }} {
			s, err := ask(&script{says: says})
			if err == nil && (s.Charge > 100 || s.Runtime < 0 || strings.ContainsAny(s.Words+s.verdict().Text, "\x00\x1b\n")) {
				t.Errorf("%+v", s)
			}
		}
	})
}

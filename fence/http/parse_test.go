package http

import (
	"io"
	"log"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

var quiet = log.New(io.Discard, "", 0)

func tree(t *testing.T, text string) Tree {
	t.Helper()
	v, err := ParseTree([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestAValueIsTakenOnlyIfItIsExact(t *testing.T) {
	v := tree(t, `{"a": true, "A": false, "b": {"c": ["x", null, 1.5]}, "t": 1, "t": 2, "s": "x", "s": "x", "o": {}, "o": {}, "": 7, "a/b": {"~": 8}}`)
	if is, ok := v.At("a").Bool(); !ok || !is {
		t.Error("names differ in case alone and are taken for one")
	}
	if _, ok := v.At("t").Number(); ok || v.At("t").Absent() {
		t.Error("a name with two values has one")
	}
	if v.At("s").Or("") != "x" {
		t.Error("a name that is given twice with one value has none")
	}
	if v.At("o").Has("x") || v.At("o").Absent() {
		t.Errorf("two objects of one name: %v", v.At("o"))
	}
	for _, gone := range [][]string{{"x"}, {"a", "b"}, {"b", "c", "3"}, {"b", "c", "-1"}, {"b", "c", "00"}, {"b", "c", "1"}} {
		if !v.At(gone...).Absent() {
			t.Errorf("%q is %v", gone, v.At(gone...))
		}
	}
	for pointer, want := range map[string]string{"/b/c/2": "1.5", "/": "7", "/a~1b/~0": "8", "/a": "true", "/b": "an object", "/b/c": "a list of 3", "/zz": "nothing", "/t": "two values"} {
		if got := v.Pointer(pointer).String(); got != want {
			t.Errorf("%q is %s, want %s", pointer, got, want)
		}
	}
	if _, ok := v.At("a").Text(); ok {
		t.Error("true is a text")
	}
	if _, ok := v.At("b", "c", "0").Bool(); ok {
		t.Error("a text is true or false")
	}
}

func TestWhatIsNotOneWholeJSONValueIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "{", `{"a":1`, `{"a":1}}`, `{"a":1}{"a":1}`, `{"a":01}`, `{"a":}`, `[1 2]`, "<html>", `{"a":1}<html>`, "nul", `{'a':1}`,
		strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2),
	} {
		if v, err := ParseTree([]byte(text)); err == nil {
			t.Errorf("%.40q is %v", text, v)
		}
	}
}

func TestAnAnswerMatchesExactlyOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		body, off, on string
		want          fence.Power
	}{
		{"off\n", "off", "on", fence.PowerOff},
		{" on ", "off", "on", fence.PowerOn},
		{"OFF", "off", "on", fence.PowerUnknown},
		{"off off", "off", "on", fence.PowerUnknown},
		{"", "off", "on", fence.PowerUnknown},
		{"<html>off</html>", "off", "on", fence.PowerUnknown},
		{`{"POWER":"OFF"}`, "/POWER=OFF", "/POWER=ON", fence.PowerOff},
		{`{"POWER":"ON"}`, "/POWER=OFF", "/POWER=ON", fence.PowerOn},
		{`{"power":"OFF"}`, "/POWER=OFF", "/POWER=ON", fence.PowerUnknown},
		{`{"POWER":"OFF","POWER":"ON"}`, "/POWER=OFF", "/POWER=ON", fence.PowerUnknown},
		{`{"POWER":"OFF"`, "/POWER=OFF", "/POWER=ON", fence.PowerUnknown},
		{`{"on":false}`, "/on=false", "/on=true", fence.PowerOff},
		{`{"on":"false"}`, "/on=false", "/on=true", fence.PowerUnknown},
		{`{"on":"false"}`, `/on="false"`, `/on="true"`, fence.PowerOff},
		{`{"on":null}`, "/on=false", "/on=true", fence.PowerUnknown},
		{`{}`, "/on=false", "/on=true", fence.PowerUnknown},
		{`{"on":0}`, "/on=0", "/on=1", fence.PowerOff},
		{`{"on":0.0}`, "/on=0", "/on=1", fence.PowerOff},
		{`{"on":""}`, "/on=0", "/on=1", fence.PowerUnknown},
		{`[{"s":"a=b"}]`, "/0/s=a=b", "/0/s=c", fence.PowerOff},
		{`{"a":"x","b":"y"}`, "/a=x", "/b=y", fence.PowerUnknown}, // both
		{`{"on":[]}`, "/on=[]", "/on=1", fence.PowerUnknown},
	} {
		got, raw, err := match([]byte(c.body), c.off, c.on)
		if got != c.want || (err == nil) != (c.want != fence.PowerUnknown) {
			t.Errorf("%s with %s, %s is %v (%q, %v), want %v", c.body, c.off, c.on, got, raw, err, c.want)
		}
	}
}

func TestShellyReadingsThatAreNotWholeAreUnknown(t *testing.T) {
	for _, c := range []struct {
		text    string
		power   fence.Power
		pending fence.Pending
		watts   float64
	}{
		{`{"relays":[{"ison":false,"has_timer":false}],"meters":[{"power":0,"is_valid":true}]}`, fence.PowerOff, fence.PendingNone, 0},
		{`{"relays":[{"ison":false,"has_timer":true}]}`, fence.PowerOff, fence.PendingYes, -1},
		{`{"relays":[{"ison":false}]}`, fence.PowerOff, fence.PendingUntold, -1},
		{`{"relays":[{"ison":false,"has_timer":null}]}`, fence.PowerOff, fence.PendingUnknown, -1},
		{`{"relays":[{"ison":true,"has_timer":false}],"meters":[{"power":12.5,"is_valid":false}]}`, fence.PowerOn, fence.PendingNone, -1},
		{`{"relays":[{"ison":false,"has_timer":false,"is_valid":false}]}`, fence.PowerUnknown, fence.PendingNone, -1},
		{`{"relays":[{"ison":"false","has_timer":false}]}`, fence.PowerUnknown, fence.PendingNone, -1},
		{`{"relays":[{"ison":0,"has_timer":false}]}`, fence.PowerUnknown, fence.PendingNone, -1},
		{`{"relays":[]}`, fence.PowerUnknown, fence.PendingUntold, -1},
		{`{"ison":false}`, fence.PowerUnknown, fence.PendingUntold, -1},
	} {
		r, err := relay1(tree(t, c.text), 0, false)
		checkReading(t, c.text, r, err, c.power, c.pending, c.watts)
	}
	if r, err := relay1(tree(t, `{"relays":[{"ison":true}],"meters":[{"power":40,"is_valid":true}]}`), 0, true); err != nil || r.Load.Metered() {
		t.Errorf("a number that the owner entered is a meter: %v (%v)", r.Load, err)
	}
	r, err := relay1(tree(t, `{"relays":[{"ison":true},{"ison":false}],"meters":[{"power":40,"is_valid":true}]}`), 1, false)
	if err != nil || r.Load.Scope != "device" {
		t.Errorf("one meter for two relays: %v (%v)", r.Load, err)
	}
	for _, c := range []struct {
		text    string
		power   fence.Power
		pending fence.Pending
		watts   float64
	}{
		{`{"id":1,"output":false,"apower":0.0}`, fence.PowerOff, fence.PendingNone, 0},
		{`{"id":1,"output":true,"apower":-33.5}`, fence.PowerOn, fence.PendingNone, 33.5},
		{`{"id":1,"output":false,"timer_started_at":1700000000.1,"timer_duration":60}`, fence.PowerOff, fence.PendingYes, -1},
		{`{"id":1,"output":false,"errors":["overtemp"]}`, fence.PowerOff, fence.PendingNone, -1},
		{`{"id":1,"output":false,"errors":["undervoltage"]}`, fence.PowerOff, fence.PendingYes, -1},
		{`{"id":0,"output":false}`, fence.PowerUnknown, fence.PendingUntold, -1},
		{`{"output":false}`, fence.PowerUnknown, fence.PendingUntold, -1},
		{`{"id":1,"output":null}`, fence.PowerUnknown, fence.PendingNone, -1},
		{`{"id":1,"Output":false}`, fence.PowerUnknown, fence.PendingNone, -1},
		{`{"code":-105,"message":"Argument 'id', value 9 not found!"}`, fence.PowerUnknown, fence.PendingUntold, -1},
		{`[]`, fence.PowerUnknown, fence.PendingUntold, -1},
	} {
		r, err := relay2(tree(t, c.text), 1)
		checkReading(t, c.text, r, err, c.power, c.pending, c.watts)
	}
}

// checkReading compares; watts less than 0 means no meter.
func checkReading(t *testing.T, what string, r fence.Reading, err error, power fence.Power, pending fence.Pending, watts float64) {
	t.Helper()
	if r.Power != power || r.Pending != pending || (err == nil) != (power != fence.PowerUnknown) {
		t.Errorf("%s is %v, %v (%v), want %v, %v", what, r.Power, r.Pending, err, power, pending)
	}
	if r.Load.Metered() != (watts >= 0) || watts >= 0 && r.Load.Value != watts {
		t.Errorf("%s has load %v, want %v", what, r.Load, watts)
	}
}

func TestTasmotaReadingsThatAreNotWholeAreUnknown(t *testing.T) {
	for _, c := range []struct {
		text  string
		relay int
		want  fence.Power
	}{
		{`{"POWER":"OFF"}`, 1, fence.PowerOff},
		{`{"POWER1":"OFF"}`, 1, fence.PowerOff},
		{`{"POWER":"ON","POWER1":"OFF"}`, 1, fence.PowerUnknown},
		{`{"POWER":"ON","POWER1":"ON"}`, 1, fence.PowerOn},
		{`{"POWER":"OFF"}`, 2, fence.PowerUnknown},
		{`{"POWER1":"OFF","POWER11":"ON"}`, 11, fence.PowerOn},
		{`{"POWER1":"off"}`, 1, fence.PowerUnknown},
		{`{"POWER1":0}`, 1, fence.PowerUnknown},
		{`{"POWER1":"Aus"}`, 1, fence.PowerUnknown}, // StateText1
		{`{}`, 1, fence.PowerUnknown},
		{`"OFF"`, 1, fence.PowerUnknown},
	} {
		got, raw, err := relay(tree(t, c.text), c.relay)
		if got != c.want || (err == nil) != (c.want != fence.PowerUnknown) {
			t.Errorf("relay %d of %s is %v (%q, %v), want %v", c.relay, c.text, got, raw, err, c.want)
		}
	}
}

func TestThePageOfAnOldSwitchIsReadOnlyIfItIsWholeAndAgreesWithItself(t *testing.T) {
	relays := fencetest.NewRelays(8)
	relays.Tell(2, false)
	page := dliIndex(relays)
	p, err := parseDLI(page)
	if err != nil || len(p.outlets) != 8 || p.outlets[2].Power != fence.PowerOff || p.outlets[3].Power != fence.PowerOn || p.locked != 0x80 {
		t.Fatalf("%+v (%v)", p, err)
	}
	if p, err := parseDLI(strings.ReplaceAll(page, "<!-- state=fb lock=80 -->", "")); err != nil || p.outlets[2].Power != fence.PowerOff {
		t.Errorf("without the comment, as older ones: %v", err)
	}
	for name, change := range map[string][2]string{
		"the comment disagrees":  {"state=fb", "state=ff"},
		"the comment is cut":     {"lock=80 -->", ""},
		"the link disagrees":     {"outlet?3=ON", "outlet?3=OFF"},
		"the link is another's":  {"outlet?3=ON", "outlet?4=ON"},
		"another word":           {">OFF<", ">OF<"},
		"small letters":          {">OFF<", ">off<"},
		"a row is missing":       {"<td align=center>2</td>", "<td>2</td>"},
		"a row comes twice":      {"<td align=center>4</td>", "<td align=center>3</td>"},
		"the end is missing":     {"</html>", ""},
		"no row at all":          {"<td align=center>", "<td>"},
		"another page":           {"", "<html></html>"},
		"the number is none":     {"<td align=center>1</td>", "<td align=center>1a</td>"},
		"the state has no color": {"<font color=red>OFF</font>", "OFF"},
	} {
		bad := strings.ReplaceAll(page, change[0], change[1])
		if change[0] == "" {
			bad = change[1]
		}
		if p, err := parseDLI(bad); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestABadConfigIsRefused(t *testing.T) {
	good := Config{Family: Generic, Address: "pdu", OffURL: "/off", OnURL: "/on", StatusURL: "/status", OffMatch: "off", OnMatch: "on"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no family":                   func(c *Config) { c.Family = "" },
		"no status":                   func(c *Config) { c.StatusURL = "" },
		"no off":                      func(c *Config) { c.OffURL = "" },
		"no match":                    func(c *Config) { c.OffMatch = "" },
		"one match for both":          func(c *Config) { c.OnMatch = "off" },
		"a pointer and a text":        func(c *Config) { c.OnMatch = "/on=true" },
		"a URL of another host":       func(c *Config) { c.OffURL = "http://other/off" },
		"a URL with a password":       func(c *Config) { c.OffURL = "http://u:p@pdu/off" },
		"a URL without a path":        func(c *Config) { c.OffURL = "http://pdu" },
		"a relative URL":              func(c *Config) { c.OffURL = "off" },
		"status for all of them":      func(c *Config) { c.OffURL, c.OnURL = "/{outlet}/off", "/{outlet}/on" },
		"off for all of them":         func(c *Config) { c.OnURL, c.StatusURL = "/{outlet}/on", "/{outlet}" },
		"a header that is none":       func(c *Config) { c.Headers = []string{"nothing"} },
		"a header with a line end":    func(c *Config) { c.Headers = []string{"A: b\r\nX: y"} },
		"a method that is none":       func(c *Config) { c.Method = "GET /" },
		"a certificate without https": func(c *Config) { c.Trust.Insecure = true },
		"a negative timeout":          func(c *Config) { c.Timeout = -1 },
		"an address with a path":      func(c *Config) { c.Address = "pdu/x" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	u, err := New(Config{Family: Generic, OffURL: "https://pdu:8443/off", StatusURL: "https://pdu:8443/s", OffMatch: "off", OnMatch: "on"})
	if err != nil || u.client.Host() != "pdu:8443" || u.client.base.Scheme != "https" {
		t.Fatalf("whole URLs: %v", err)
	}
	for selector, want := range map[string]bool{"1": true, "2": false, "": false, "name": false} {
		if _, err := u.Outlet(selector); (err == nil) != want {
			t.Errorf("outlet %q of a unit with one: %v", selector, err)
		}
	}
	shelly, err := New(Config{Family: Shelly, Address: "plug"})
	if err != nil {
		t.Fatal(err)
	}
	for selector, want := range map[string]bool{"0": true, "64": true, "65": false, "-1": false, "name": true, "01": true, "": false} {
		if _, err := shelly.Outlet(selector); (err == nil) != want {
			t.Errorf("outlet %q of a Shelly: %v", selector, err)
		}
	}
}

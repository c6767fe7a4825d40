package exec

import (
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/fence"
)

// FuzzReading holds that only the exact text, whole and with exit code 0, is a
// power: a wrong "off" makes two owners.
func FuzzReading(f *testing.F) {
	f.Add("off\n", "", 0, true, "off", "on")
	f.Add("on", "", 0, true, "off", "on")
	f.Add(" off \r\n", "warning", 0, true, "", "")
	f.Add("off\noff", "", 0, true, "off", "on")
	f.Add("offon", "", 0, true, "o", "off")
	f.Add("off", "", 1, true, "off", "on")
	f.Add("off", "", 0, false, "off", "on")
	f.Add("\u00a0off\u0085", "", 0, true, "\u2003off", "on")
	f.Fuzz(func(t *testing.T, out, errs string, code int, whole bool, offText, onText string) {
		c := Config{Name: "pdu", Off: []string{"off"}, Status: []string{"status"}, OffText: offText, OnText: onText}
		if _, err := New(c); err != nil {
			return
		}
		c.OffText, c.OnText = orDefault(offText, DefaultOffText), orDefault(onText, DefaultOnText)
		power, err := (&device{c}).judge(service.Result{Stdout: out, Stderr: errs, Code: code, Whole: whole})
		want := fence.PowerUnknown
		switch text := strings.TrimSpace(out); {
		case code != 0 || !whole:
		case text == c.OffText:
			want = fence.PowerOff
		case text == c.OnText:
			want = fence.PowerOn
		}
		if power != want || (err == nil) != (want != fence.PowerUnknown) {
			t.Fatalf("%q with code %d is %v (%v), want %v", out, code, power, err, want)
		}
	})
}

// orDefault is what New makes of a configured text.
func orDefault(text, def string) string {
	if text = strings.TrimSpace(text); text == "" {
		return def
	}
	return text
}

// FuzzAgentStatus holds that a power is only what code and text both say.
func FuzzAgentStatus(f *testing.F) {
	f.Add("Status: OFF\n", 2, true)
	f.Add("Status: ON", 0, true)
	f.Add("Status: OFF\nStatus: ON", 2, true)
	f.Add(" Status: OFF\r\n", 2, true)
	f.Add("Status: OFF\naStatus: ON", 2, true)
	f.Add("", 2, true)
	f.Fuzz(func(t *testing.T, out string, code int, whole bool) {
		r, err := agentStatus(service.Result{Stdout: out, Code: code, Whole: whole})
		off := whole && code == 2 && strings.Contains(out, "Status: OFF") && !strings.Contains(out, "Status: ON")
		on := whole && code == 0 && strings.Contains(out, "Status: ON") && !strings.Contains(out, "Status: OFF")
		if r.Power == fence.PowerOff && !off || r.Power == fence.PowerOn && !on || (err == nil) != (r.Power != fence.PowerUnknown) {
			t.Fatalf("%q with code %d is %+v, %v", out, code, r, err)
		}
	})
}

// FuzzMetadata holds that reading metadata and lists ends, stays within its
// bounds, and makes no power of anything but the words ON and OFF.
func FuzzMetadata(f *testing.F) {
	f.Add(contractMetadata)
	f.Add("1,a,ON\n2,b,c,OFF\n,,\nN/A")
	f.Add("<parameter name=\"a\" required=\"1\"><action name=\"off\"/>")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := readMetadata(text); err == nil {
			_ = m.check(map[string]string{"ip": "x"})
			if len(m.parameters)+len(m.actions) > maxParameters {
				t.Fatalf("%d parameters", len(m.parameters))
			}
		}
		all := readList(text, true)
		if len(all) > maxAgentOutlets {
			t.Fatalf("%d outlets", len(all))
		}
		for _, o := range all {
			if o.Power != agentPowers[o.Raw] || o.Power != fence.PowerUnknown && o.Raw != "ON" && o.Raw != "OFF" {
				t.Fatalf("%+v", o)
			}
		}
	})
}

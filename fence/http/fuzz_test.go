package http

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

// FuzzTree holds that what is read is what encoding/json reads, but for names
// that come twice, and that every way to "off" needs the exact value.
func FuzzTree(f *testing.F) {
	f.Add([]byte(`{"POWER":"OFF","relays":[{"ison":false}],"id":1,"output":false}`))
	f.Add([]byte(`{"a":{"b":[1,2.5,null,true,"x"]}}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`[[[[]]]]`))
	f.Add([]byte(`{"StatusSTS":{"POWER1":"OFF"},"PowerState":"Off"`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := ParseTree(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatal("read from what is not JSON")
		}
		if clean(v.v) {
			var want any
			d := json.NewDecoder(strings.NewReader(string(body)))
			d.UseNumber()
			if err := d.Decode(&want); err != nil || !reflect.DeepEqual(want, v.v) {
				t.Fatalf("read %#v, encoding/json %#v (%v)", v.v, want, err)
			}
		}
		r, err := relay2(v, 1)
		if is, ok := v.At("output").Bool(); r.Power == fence.PowerOff && (err != nil || !ok || is) {
			t.Fatalf("%s is off", body)
		}
		r, err = relay1(v, 0, false)
		if is, ok := v.At("relays", "0", "ison").Bool(); r.Power == fence.PowerOff && (err != nil || !ok || is) {
			t.Fatalf("%s is off", body)
		}
		if is, _, err := relay(v, 1); is == fence.PowerOff && (err != nil || v.At("POWER").Or("OFF") != "OFF" || v.At("POWER1").Or("OFF") != "OFF") {
			t.Fatalf("%s is off", body)
		}
	})
}

// clean says that no name comes twice: two scalars that are equal count as one.
func clean(v any) bool {
	switch v := v.(type) {
	case twice:
		return false
	case map[string]any:
		for _, one := range v {
			if !clean(one) {
				return false
			}
		}
	case []any:
		for _, one := range v {
			if !clean(one) {
				return false
			}
		}
	}
	return true
}

// FuzzDLIPage holds that an outlet is off only if its own row says so in the
// word and in the link.
func FuzzDLIPage(f *testing.F) {
	relays := fencetest.NewRelays(3)
	relays.Tell(1, false)
	f.Add(dliIndex(relays))
	f.Add(`<!-- state=0 lock=0 --><td align=center>1</td><td>x</td><font>OFF</font>outlet?1=ON</tr></html>`)
	f.Add(`<td align=center>1</td><td align=center>2</td></html>`)
	f.Fuzz(func(t *testing.T, page string) {
		p, err := parseDLI(page)
		if err != nil {
			return
		}
		if len(p.outlets) == 0 || len(p.outlets) > maxOutlet {
			t.Fatalf("%d outlets", len(p.outlets))
		}
		for i, o := range p.outlets {
			link := "outlet?" + o.Index + map[fence.Power]string{fence.PowerOff: "=ON", fence.PowerOn: "=OFF"}[o.Power]
			if o.Power == fence.PowerUnknown || !strings.Contains(page, link) {
				t.Fatalf("outlet %d reads %v without %s", i, o.Power, link)
			}
		}
	})
}

// FuzzChallenge holds that an answer to whatever challenge is one line whose
// parameters are those that the challenge gave.
func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="a", qop="auth", nonce="b", opaque="c\"d", algorithm=SHA-256`)
	f.Add(`Basic realm="x", Digest nonce=b, realm=r, stale=TRUE`)
	f.Add(`Negotiate abc==, Digest realm="unclosed`)
	f.Add("Digest nonce=\"a\r\nX: y\"")
	f.Fuzz(func(t *testing.T, line string) {
		d := choose(challenges([]string{line}), true)
		if d == nil || d.basic {
			return
		}
		answer, err := d.answer("admin", `p"w`, "GET", "/x?y=z")
		if err != nil || strings.ContainsAny(answer, "\r\n") {
			t.Fatalf("answer %q (%v)", answer, err)
		}
		back := challenges([]string{answer})
		if len(answer) < maxChallenge && (len(back) != 1 || back[0].params["nonce"] != d.nonce || back[0].params["realm"] != d.realm || back[0].params["opaque"] != d.opaque) {
			t.Fatalf("%q is read back as %q", answer, back)
		}
	})
}

package accord

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	mine, other, third := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}, MAC{2, 0, 0, 0, 0, 3}
	told := Holder{1, 5, mine}
	for _, c := range []struct {
		name     string
		answered []MAC
		misled   []MAC
		want     Verdict
		mac      MAC
	}{
		{"the owner", []MAC{mine}, nil, Right, mine},
		{"nobody", nil, nil, Nobody, MAC{}},
		{"another", []MAC{other}, nil, Foreign, other},
		{"the owner and another", []MAC{mine, other}, nil, Foreign, other},
		{"another and the owner", []MAC{other, mine}, nil, Foreign, other},
		{"two others", []MAC{other, third}, nil, Foreign, other},
		{"a misled host", []MAC{mine}, []MAC{third, other}, Misled, third},
		{"a misled host, and nobody answers", nil, []MAC{third}, Nobody, MAC{}},
		{"a misled host, and another answers", []MAC{other}, []MAC{third}, Foreign, other},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Judge(told, c.answered, c.misled)
			if f.Verdict != c.want || f.MAC != c.mac || f.Group != 1 || f.Index != 5 {
				t.Errorf("%+v, want verdict %d and %v", f, c.want, c.mac)
			}
		})
	}
}

func TestItemsComeBackAsTheyWere(t *testing.T) {
	h := Holder{7, 4095, MAC{1, 2, 3, 4, 5, 6}}
	if got, ok := ParseHolder(h.Append(nil)); !ok || got != h {
		t.Errorf("%+v, %v", got, ok)
	}
	for v := Right; v <= Foreign; v++ {
		f := Finding{h, 200, v}
		if got, ok := ParseFinding(f.Append(nil)); !ok || got != f {
			t.Errorf("%+v, %v", got, ok)
		}
	}
	good := Finding{h, 200, Right}.Append(nil)
	for name, b := range map[string][]byte{
		"nothing": nil, "a byte less": good[:len(good)-1], "a byte more": append(good[:len(good):len(good)], 0),
		"verdict zero": append(good[:len(good)-1:len(good)-1], 0), "an unknown verdict": append(good[:len(good)-1:len(good)-1], 5),
	} {
		if _, ok := ParseFinding(b); ok {
			t.Errorf("finding of %s", name)
		}
	}
	for _, b := range [][]byte{nil, h.Append(nil)[:8], append(h.Append(nil), 0)} {
		if _, ok := ParseHolder(b); ok {
			t.Errorf("holder of %d bytes", len(b))
		}
	}
}

func TestTheTextSaysWhoAskedAndWhatCame(t *testing.T) {
	f := Finding{Holder{MAC: MAC{2, 0, 0, 0, 0, 0xee}}, 1, Foreign}
	for v, want := range map[Verdict]string{
		Nobody: "fw2 asked the LAN for 192.0.2.1/24 and nobody answered", Foreign: "02:00:00:00:00:ee answered, which is not", Misled: "02:00:00:00:00:ee still sends to fw2 what is for 192.0.2.1/24", Right: "02:00:00:00:00:ee answers for 192.0.2.1/24",
	} {
		f.Verdict = v
		if got := f.Text("192.0.2.1/24", "fw2"); !strings.Contains(got, want) {
			t.Errorf("%q", got)
		}
	}
}

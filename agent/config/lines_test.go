package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func TestLineIndexFindsKeysTablesAndElements(t *testing.T) {
	src := `# head
a = 1
"quoted key" = """
two # not a comment
lines\""""
b.c = 'x' # comment = 3
[[t]]
k = [ # one
  "x]",
  { p = 1,
    q = [2,
      3] },
]
[[t]] # second
[[t.u]]
v = { w = "=", 'x' = '''
''' }
[t.s."d.e"]
z = 1
`
	want := map[string]int{
		"a": 2, "quoted key": 3, "b": 6, "b.c": 6,
		"t": 7, "t[0]": 7, "t[0].k": 8, "t[0].k[0]": 9, "t[0].k[1]": 10, "t[0].k[1].p": 10,
		"t[0].k[1].q": 11, "t[0].k[1].q[0]": 11, "t[0].k[1].q[1]": 12,
		"t[1]": 14, "t[1].u": 15, "t[1].u[0]": 15, "t[1].u[0].v": 16, "t[1].u[0].v.w": 16, "t[1].u[0].v.x": 16,
		"t[1].s": 18, "t[1].s.d.e": 18, "t[1].s.d.e.z": 19,
	}
	if diff := cmp.Diff(want, indexLines(src).at); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestALineIsThatOfTheNearestThingKnown(t *testing.T) {
	x := indexLines("\n[a]\n\nb = [1]\n")
	for path, want := range map[string]int{"a.b": 4, "a.b[0]": 4, "a.b[7].c": 4, "a.missing": 2, "nothing.at.all": 1, "": 1} {
		if got := x.line(path); got != want {
			t.Errorf("line of %q is %d, want %d", path, got, want)
		}
	}
}

// located reports every key of a decoded document that the index lacks.
func located(t *testing.T, x lineIndex, path string, v any) {
	t.Helper()
	if _, ok := x.at[path]; path != "" && !ok {
		t.Errorf("no line for %q", path)
	}
	if m, ok := v.(map[string]any); ok {
		for k, e := range m {
			located(t, x, join(path, k), e)
		}
		return
	}
	if elements, ok := asArray(v); ok {
		for i, e := range elements {
			located(t, x, element(path, i), e)
		}
	}
}

// plain keeps documents whose keys stand in the file as they are: escapes
// within quoted keys are the TOML library's business.
func plain(src string) bool { return !strings.Contains(src, `\`) }

func FuzzLineIndex(f *testing.F) {
	for _, s := range []string{base, Example, "a.b = {c=[1,{d='''x'''}]}\n[[e]]\n[e.f]\n[[e.g]]\n", "'a' = 1\n[ b . \"c\" ]\nd=2", "x = \"\"\"\"q\"\"\"\"\"\ny=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 1<<16 {
			return
		}
		x := indexLines(src)
		if x.tooDeep != 0 {
			return
		}
		var document map[string]any
		if _, err := toml.Decode(src, &document); err != nil || !plain(src) {
			return
		}
		located(t, x, "", document)
		for path, line := range x.at {
			if line < 1 || line > strings.Count(src, "\n")+1 {
				t.Errorf("%q on line %d", path, line)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(base)
	f.Add(Example)
	f.Add(strings.ReplaceAll(base, `"`, `'`))
	f.Add("cluster = [[[]]]\nnode = {}\nlink = [1, {}]\ngroup = [{addresses=[1,{}],routes={},rules=[{}],service=[{}]}]\nfence = {device=[{off=1}]}")
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 1<<16 {
			return
		}
		c, problems := Parse("t.toml", []byte(src), "fw1")
		complete(t, src, problems)
		if !Refused(problems) {
			accepted(t, src, c)
		}
	})
}

// accepted holds what must be true of every configuration that may be used.
func accepted(t *testing.T, src string, c Config) {
	t.Helper()
	if strings.Contains(Explain(c), "WRONG") {
		t.Errorf("accepted with a broken inequality:\n%s", Explain(c))
	}
	peer, problems := Parse("t.toml", []byte(src), c.Peer().Name)
	if Refused(problems) {
		return // what the other node lacks is told there
	}
	if peer.Digest != c.Digest || peer.Mode != c.Mode || peer.Timing != c.Timing || len(peer.Links) != len(c.Links) || len(peer.Groups) != len(c.Groups) {
		t.Errorf("the nodes read one file differently:\n%+v\n%+v", c, peer)
	}
	for i := range c.Groups {
		if a, b := c.Groups[i], peer.Groups[i]; a.Name != b.Name || a.Preferred != b.Preferred {
			t.Errorf("group %d: %+v and %+v", i, a, b)
		}
	}
}

package config

import (
	"strings"
	"testing"
)

// names are the keys of a document, and of those the ones whose digests differ
// from another document's.
func differing(t *testing.T, one, other string) (differ []string, n int) {
	t.Helper()
	has := map[string][32]byte{}
	for _, s := range Sums([]byte(other)) {
		has[s.Name] = s.Sum
	}
	all := Sums([]byte(one))
	for _, s := range all {
		if sum, ok := has[s.Name]; !ok || sum != s.Sum {
			differ = append(differ, s.Name)
		}
	}
	return differ, len(all)
}

func TestSumsNameTheKeysThatDiffer(t *testing.T) {
	const tail = "\n[[group]]\nname = \"dmz\"\naddresses = [\"192.0.2.9/24@eth0\"]\n[[group.service]]\ndriver = \"ocf\"\nagent = \"a\"\nparams = { ip = \"1\", port = \"2\" }\n"
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"a comment and the order of keys", "[[group.service]]\ndriver = \"ocf\"\nagent = \"a\"\n", "[[group.service]] # more\nagent = \"a\"\ndriver = \"ocf\"\n", ""},
		{"an interval", `boot_wait = "10s"`, `boot_wait = "11s"`, "timing.boot_wait"},
		{"an address of a list", "192.0.2.9/24", "192.0.2.8/24", "group[1].addresses"},
		{"a key of a table that is no section", `port = "2"`, `port = "3"`, "group[1].service[0].params"},
		{"a key of an element", `agent = "a"`, `agent = "b"`, "group[1].service[0].agent"},
		{"another type", `name = "dmz"`, "name = 7", "group[1].name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			other := base + tail
			if c.from != "" {
				if !strings.Contains(other, c.from) {
					t.Fatalf("%q is not there", c.from)
				}
				other = strings.Replace(other, c.from, c.to, 1)
			}
			differ, n := differing(t, base+tail, other)
			if got := strings.Join(differ, " "); got != c.want || n < 10 {
				t.Errorf("of %d keys %q differ, want %q", n, got, c.want)
			}
		})
	}
}

func TestSumsOfWhatIsNoDocument(t *testing.T) {
	if s := Sums([]byte("= nonsense")); s != nil {
		t.Errorf("%v", s)
	}
}

func TestUpstream(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"", "off"},
		{"[upstream]\n", "30s"},
		{"[upstream]\nevery = \"1m\"\n", "1m0s"},
		{"[upstream]\nevery = \"1s\"\n", "refused"},
		{"[upstream]\noften = true\n", "refused"},
	} {
		cfg, problems := Parse("t.toml", []byte(base+c.src), "fw1")
		got := "off"
		if cfg.Upstream != nil {
			got = cfg.Upstream.Every.String()
		}
		if len(problems) > 0 {
			got = "refused"
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s: %v", c.src, got, c.want, problems)
		}
	}
}

package config

import (
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var write = flag.Bool("write", false, "write reference.toml from the table of keys")

const referenceFile = "../../reference.toml"

// reference renders the table of keys as a file that documents each of them.
func reference() string {
	var b strings.Builder
	b.WriteString("# Every key of twinbeat, with its meaning and its default. This file is made\n" +
		"# from the parser's own table: go test ./agent/config -run Reference -write\n" +
		"# The same file belongs on both nodes.\n")
	pending := map[string]string{}
	var open []string
	for _, k := range keys {
		parent, name := "", k.path
		if cut := strings.LastIndexByte(name, '.'); cut >= 0 {
			parent, name = name[:cut], name[cut+1:]
		}
		for len(open) > 0 && !strings.HasPrefix(k.path, open[len(open)-1]+".") {
			flush(&b, pending, open[len(open)-1])
			open = open[:len(open)-1]
		}
		switch {
		case k.kind == section || k.kind == sections:
			b.WriteString("\n")
			paragraph(&b, k.doc)
			b.WriteString(header(&k) + "\n")
			open, pending[k.path] = append(open, k.path), k.more
		case rules[parent] != nil && rules[parent].kind != section && rules[parent].kind != sections:
			continue // documented with its array
		default:
			entry(&b, k, name)
		}
	}
	for i := len(open) - 1; i >= 0; i-- {
		flush(&b, pending, open[i])
	}
	return b.String()
}

// flush ends a section with its further examples.
func flush(b *strings.Builder, pending map[string]string, path string) {
	if more := pending[path]; more != "" {
		b.WriteString("\n" + more + "\n")
	}
	pending[path] = ""
}

func entry(b *strings.Builder, k key, name string) {
	b.WriteString("\n")
	paragraph(b, k.doc)
	for _, member := range children(k.path) {
		m := rules[k.path+"."+member]
		paragraph(b, "  "+member+": "+m.doc+" ("+facts(*m)+")")
	}
	b.WriteString("# " + facts(k) + "\n")
	value := k.show
	if value == "" {
		value = k.def
	}
	if value == byProfile {
		value = `"` + profileValue(name) + `"`
	}
	if k.hidden {
		b.WriteString("# ")
	}
	b.WriteString(name + " = " + value + "\n")
}

// facts are a key's type, limits and default.
func facts(k key) string {
	out := map[kind]string{
		text: "text", number: "number", decimal: "number", boolean: "true or false", duration: "duration", list: "array of text",
		textByNode: "text, or a table by node", listByNode: "table by node", addressByNode: "table by node",
		namesByNode: "table by node", texts: "array of text", textTable: "table of text",
		inline: "array of tables", addresses: "array of text or tables",
	}[k.kind]
	switch {
	case k.oneOf != nil:
		out = "one of " + strings.TrimPrefix(strings.Join(k.oneOf, ", "), ", ")
	case k.kind == number:
		out += " from " + strconv.FormatInt(k.min, 10) + " to " + strconv.FormatInt(k.max, 10)
	case k.kind == duration:
		out += " from " + show(time.Duration(k.min)) + " to " + show(time.Duration(k.max)) + map[bool]string{true: ", or 0s"}[k.orZero]
	}
	switch {
	case k.required:
		out += "; required"
	case k.def == byProfile:
		out += "; default by profile"
	case k.def != "" && k.def != `""`:
		out += "; default " + k.def
	}
	return out
}

func profileValue(name string) string {
	t := profiles["default"].Timing
	return show(map[string]time.Duration{
		"beat": t.Beat, "dead": t.Dead, "lease": t.Lease, "window": t.Window,
		"takeover": t.Takeover, "probe": t.Probe, "reserve": t.Reserve,
	}[name])
}

// paragraph writes a comment wrapped at 80 columns.
func paragraph(b *strings.Builder, s string) {
	indent := s[:len(s)-len(strings.TrimLeft(s, " "))]
	line := "#" + indent
	for word := range strings.FieldsSeq(s) {
		if len(line)+1+len(word) > 79 {
			b.WriteString(line + "\n")
			line = "#" + indent + map[bool]string{true: "  "}[indent != ""]
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

func TestReferenceIsMadeFromTheTableOfKeys(t *testing.T) {
	want := reference()
	if *write {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("reference.toml differs from the table of keys (-want +got); go test ./agent/config -run Reference -write\n%s", diff)
	}
}

func TestReferenceHasNoProblemOnEitherNode(t *testing.T) {
	data, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"fw1", "fw2"} {
		c, problems := Parse("reference.toml", data, node)
		for _, p := range problems {
			t.Errorf("%s: %s", node, p)
		}
		if c.Me().Name != node {
			t.Errorf("the node %s took itself for %s", node, c.Me().Name)
		}
	}
}

func TestReferenceShowsEveryKeyLiveOrInAComment(t *testing.T) {
	data, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	live := map[string]bool{}
	for path := range indexLines(string(data)).at {
		live[unindexed(path)] = true
	}
	lines := strings.Split(string(data), "\n")
	for _, k := range keys {
		name := k.path[strings.LastIndexByte(k.path, '.')+1:]
		inComment := slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "# "+name+" = ") || strings.HasPrefix(l, "#   "+name+": ")
		})
		if !live[k.path] && !inComment {
			t.Errorf("%s is not in reference.toml", k.path)
		}
		if k.doc == "" {
			t.Errorf("%s has no documentation", k.path)
		}
	}
}

// unindexed takes the array indices out of a path.
func unindexed(path string) string {
	var b strings.Builder
	in := false
	for _, r := range path {
		switch {
		case r == '[':
			in = true
		case r == ']':
			in = false
		case !in:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func TestDefaultsOfTheTableAreValidUnderItsOwnLimits(t *testing.T) {
	for _, k := range keys {
		if k.def == "" || k.def == byProfile {
			continue
		}
		cut := strings.LastIndexByte(k.path, '.')
		section, name := k.path[:max(0, cut)], k.path[cut+1:]
		p := &parser{lines: indexLines("")}
		table := table{parser: p, rule: section}
		switch k.kind {
		case text:
			table.text(name)
		case number:
			table.number(name)
		case boolean:
			table.boolean(name)
		case duration:
			table.duration(name)
		default:
			t.Errorf("%s: no default is possible for kind %d", k.path, k.kind)
		}
		for _, problem := range p.problems {
			t.Errorf("%s: %s", k.path, problem)
		}
	}
}

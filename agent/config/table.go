package config

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A table is one section of the file under the rules of the key table. Each
// reader reports what is wrong with its key and then returns the zero value,
// so that one reading finds all faults.
type table struct {
	*parser
	path   string // in the file: group[1].service[0]
	rule   string // in the key table: group.service
	values map[string]any
}

// rules finds a row of the key table by its path.
var rules = func() map[string]*key {
	m := make(map[string]*key, len(keys))
	for i := range keys {
		m[keys[i].path] = &keys[i]
	}
	return m
}()

// children returns the names that may stand in a section, in the order of the key table.
func children(section string) []string {
	var names []string
	for i := range keys {
		parent, name := "", keys[i].path
		if cut := strings.LastIndexByte(name, '.'); cut >= 0 {
			parent, name = name[:cut], name[cut+1:]
		}
		if parent == section {
			names = append(names, name)
		}
	}
	return names
}

func (t table) key(name string) *key {
	k, ok := rules[join(t.rule, name)]
	if !ok {
		panic("config: key " + join(t.rule, name) + " is not in the table of keys")
	}
	return k
}

func (t table) has(name string) bool { _, ok := t.values[name]; return ok }

func (t table) report(name, text, hint string) { t.parser.report(join(t.path, name), text, hint) }

// second reports a name that a section before has; first is where each stands.
func (t table) second(what, name string, first map[string]string) {
	if at, twice := first[name]; twice && name != "" {
		t.report("name", fmt.Sprintf("a second %s is called %q", what, name), fmt.Sprintf("the first is on line %d", t.parser.lines.line(at)))
	}
	first[name] = join(t.path, "name")
}

// checked reports names that the section does not know, and required ones that it lacks.
func (t table) checked() table {
	known := children(t.rule)
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(known, name) {
			continue
		}
		hint := "known here: " + strings.Join(known, ", ")
		if guess, ok := closest(name, known); ok {
			hint = "did you mean " + guess + "?"
		} else if place, ok := elsewhere(name); ok {
			hint = "it belongs to " + place
		}
		t.report(name, "unknown key", hint)
	}
	for _, name := range known {
		if k := t.key(name); k.required && !t.has(name) {
			t.parser.report(t.path, "lacks "+name, "add "+k.example(name))
		}
	}
	return t
}

// elsewhere finds the section that a misplaced key belongs to.
func elsewhere(name string) (string, bool) {
	for i := range keys {
		if parent, ok := strings.CutSuffix(keys[i].path, "."+name); ok {
			return header(rules[parent]), true
		}
	}
	return "", false
}

func header(k *key) string {
	switch k.kind {
	case section:
		return "[" + k.path + "]"
	case sections:
		return "[[" + k.path + "]]"
	default:
		return k.path
	}
}

// example shows how a key is written, for hints.
func (k *key) example(name string) string {
	value := k.show
	if value == "" {
		value = k.def
	}
	switch {
	case k.kind == section || k.kind == sections:
		return "a section " + header(k)
	case value != "" && value != byProfile:
		value, _, cut := strings.Cut(value, "\n")
		if cut {
			return name + " = " + value + " ... ]"
		}
		return name + " = " + value
	case k.kind == duration:
		return name + ` = "50ms"`
	case k.kind == number:
		return name + " = " + strconv.FormatInt(max(k.min, 100), 10)
	default:
		return name + ` = "..."`
	}
}

// value returns the raw value of a key, or its default.
func (t table) value(name string) (any, *key) {
	k := t.key(name)
	if v, ok := t.values[name]; ok {
		return v, k
	}
	switch {
	case k.def == "" || k.def == byProfile:
		return nil, k
	case k.def[0] == '"':
		return strings.Trim(k.def, `"`), k
	case k.kind == boolean:
		return k.def == "true", k
	default:
		n, _ := strconv.ParseInt(k.def, 10, 64)
		return n, k
	}
}

func (t table) wrongType(name string, k *key, v any, want string) {
	t.report(name, fmt.Sprintf("is %s, not %s", describe(v), want), "write "+k.example(name))
}

func describe(v any) string {
	switch v := v.(type) {
	case string:
		return "text"
	case int64:
		return fmt.Sprintf("the number %d", v)
	case float64:
		return fmt.Sprintf("the number %v", v)
	case bool:
		return fmt.Sprintf("%v", v)
	case []any, []map[string]any:
		return "an array"
	case map[string]any:
		return "a table"
	default:
		return "a date"
	}
}

func (t table) text(name string) string {
	v, k := t.value(name)
	s, ok := v.(string)
	switch {
	case v == nil:
	case !ok:
		t.wrongType(name, k, v, "text in quotes")
	case k.oneOf != nil && !slices.Contains(k.oneOf, s):
		hint := "one of: " + strings.TrimPrefix(strings.Join(k.oneOf, ", "), ", ")
		if guess, ok := closest(s, k.oneOf); ok {
			hint = "did you mean " + guess + "? " + hint
		}
		t.report(name, fmt.Sprintf("%q is not possible", s), hint)
		return ""
	case strings.ContainsAny(s, "\x00\n\r"):
		t.report(name, "text has a line end or a zero byte", "write it on one line")
		return ""
	case s == "" && (k.required || k.def != "" && k.def != `""`):
		t.report(name, "is empty", "write "+k.example(name))
	}
	return s
}

// absolute reads a path.
func (t table) absolute(name string) string {
	s := t.text(name)
	if s != "" && s[0] != '/' {
		t.report(name, fmt.Sprintf("%q is not a full path", s), "start it with /")
	}
	return s
}

func (t table) boolean(name string) bool {
	v, k := t.value(name)
	b, ok := v.(bool)
	if v != nil && !ok {
		t.wrongType(name, k, v, "true or false")
	}
	return b
}

func (t table) number(name string) int64 {
	v, k := t.value(name)
	n, ok := v.(int64)
	switch {
	case v == nil:
		return 0
	case !ok:
		t.wrongType(name, k, v, "a whole number")
	case n < k.min || n > k.max:
		t.report(name, fmt.Sprintf("%d is out of range", n), fmt.Sprintf("from %d to %d", k.min, k.max))
		return 0
	}
	return n
}

// int32 reads a number whose rule keeps it within 31 bits on every machine.
func (t table) int31(name string) int { return int(min(t.number(name), math.MaxInt32)) }

func (t table) duration(name string) time.Duration {
	v, k := t.value(name)
	if v == nil {
		return 0
	}
	s, ok := v.(string)
	if n, isNumber := v.(int64); isNumber {
		t.report(name, fmt.Sprintf("%d has no unit", n), fmt.Sprintf(`write %s = "%dms" for milliseconds; units are ms, s, m and h`, name, n))
		return 0
	}
	if !ok {
		t.wrongType(name, k, v, "a duration in quotes")
		return 0
	}
	d, err := time.ParseDuration(s)
	low, high := time.Duration(k.min), time.Duration(k.max)
	switch {
	case err != nil:
		t.report(name, fmt.Sprintf("%q is not a duration", s), `a number with its unit, such as "50ms"; units are ms, s, m and h`)
		return 0
	case d == 0 && k.orZero:
	case d < low || d > high:
		hint := fmt.Sprintf("from %s to %s", show(low), show(high))
		if k.orZero {
			hint += ", or 0s"
		}
		t.report(name, fmt.Sprintf("%s is out of range", s), hint)
		return 0
	}
	return d
}

// list reads an array of strings: a program and its arguments.
func (t table) list(name string) []string {
	v, k := t.value(name)
	if v == nil {
		return nil
	}
	words, ok := v.([]any)
	if !ok {
		t.wrongType(name, k, v, "an array of text")
		return nil
	}
	return t.command(name, words)
}

// command checks a program and its arguments.
func (t table) command(name string, words []any) []string {
	if len(words) == 0 || len(words) > maxWords {
		t.report(name, fmt.Sprintf("has %d elements", len(words)), fmt.Sprintf("a program and its arguments, %d in all at most", maxWords))
		return nil
	}
	var out []string
	for i, w := range words {
		s, ok := w.(string)
		switch {
		case !ok:
			t.report(element(name, i), "is "+describe(w)+", not text", "put each argument in quotes")
		case strings.ContainsRune(s, 0):
			t.report(element(name, i), "has a zero byte", "no program can be given one")
		case i == 0 && !strings.HasPrefix(s, "/"):
			t.report(element(name, i), fmt.Sprintf("program %q has no full path", s), "start it with /; no shell and no PATH are used")
		}
		out = append(out, s)
	}
	return out
}

// maxWords bounds a command line; longer ones belong into a script.
const maxWords = 64

// table opens [name]; on a section that is absent or not a table it returns
// an empty one and false.
func (t table) table(name string) (table, bool) {
	sub := table{parser: t.parser, path: join(t.path, name), rule: join(t.rule, name)}
	v, ok := t.values[name]
	if !ok {
		return sub, false
	}
	sub.values, ok = v.(map[string]any)
	if !ok {
		t.report(name, "is "+describe(v)+", not a table", "write it as a section ["+sub.rule+"]")
		return sub, false
	}
	return sub.checked(), true
}

// tables opens [[name]], or an array of inline tables.
func (t table) tables(name string) []table {
	v, ok := t.values[name]
	if !ok {
		return nil
	}
	k := t.key(name)
	hint := "write it as sections [[" + k.path + "]]"
	if k.kind != sections {
		hint = "write " + k.example(name)
	}
	if one, ok := v.(map[string]any); ok && k.kind == sections {
		t.report(name, "is one table, not a list of them", hint)
		_ = one
		return nil
	}
	elements, ok := asArray(v)
	if !ok {
		t.report(name, "is "+describe(v)+", not an array of tables", hint)
		return nil
	}
	var subs []table
	for i, e := range elements {
		sub := table{parser: t.parser, path: element(join(t.path, name), i), rule: k.path}
		if sub.values, ok = e.(map[string]any); !ok {
			t.report(element(name, i), "is "+describe(e)+", not a table", hint)
			continue
		}
		subs = append(subs, sub.checked())
	}
	return subs
}

func asArray(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case []map[string]any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out, true
	default:
		return nil, false
	}
}

// byNode opens a table that has one entry for each node, and nothing else.
func (t table) byNode(name string, v any) (map[string]any, bool) {
	k := t.key(name)
	values, ok := v.(map[string]any)
	if !ok {
		t.wrongType(name, k, v, "a table by node name")
		return nil, false
	}
	names := []string{t.config.Nodes[0].Name, t.config.Nodes[1].Name}
	for _, n := range slices.Sorted(maps.Keys(values)) {
		if slices.Contains(names, n) {
			continue
		}
		hint := "the nodes are " + strings.Join(names, " and ")
		if guess, isLike := closest(n, names); isLike {
			hint = "did you mean " + guess + "? " + hint
		}
		t.report(join(name, n), "no node is called so", hint)
		ok = false
	}
	for _, n := range names {
		if _, has := values[n]; !has {
			t.report(name, "lacks node "+n, "give one value for each node")
			ok = false
		}
	}
	return values, ok
}

// perNode reads text that may differ between the nodes and checks both.
func (t table) perNode(name string, valid func(string) (hint string, ok bool)) [2]string {
	v, k := t.value(name)
	var out [2]string
	if v == nil {
		return out
	}
	check := func(at string, v any) string {
		s, ok := v.(string)
		if !ok {
			t.wrongType(at, k, v, "text in quotes")
			return ""
		}
		if hint, ok := valid(s); !ok {
			t.report(at, fmt.Sprintf("%q is not possible", s), hint)
			return ""
		}
		return s
	}
	if _, isText := v.(string); isText {
		s := check(name, v)
		return [2]string{s, s}
	}
	values, ok := t.byNode(name, v)
	if !ok {
		return out
	}
	for i, n := range t.config.Nodes {
		out[i] = check(join(name, n.Name), values[n.Name])
	}
	return out
}

// listPerNode reads a command for each node.
func (t table) listPerNode(name string) [2][]string { return t.arrayPerNode(name, t.command) }

// arrayPerNode reads an array for each node, by read.
func (t table) arrayPerNode(name string, read func(at string, list []any) []string) [2][]string {
	v, k := t.value(name)
	var out [2][]string
	if v == nil {
		return out
	}
	values, ok := t.byNode(name, v)
	if !ok {
		return out
	}
	for i, n := range t.config.Nodes {
		at := join(name, n.Name)
		list, ok := values[n.Name].([]any)
		if !ok {
			t.wrongType(at, k, values[n.Name], "an array of text")
			continue
		}
		out[i] = read(at, list)
	}
	return out
}

// textsPerNode reads an array for both nodes, or one for each, by read, and
// returns that of this node.
func (t table) textsPerNode(name string, read func(at string, list []any) []string) []string {
	v, k := t.value(name)
	switch v := v.(type) {
	case nil:
	case []any:
		return read(name, v)
	case map[string]any:
		return t.arrayPerNode(name, read)[t.config.Self]
	default:
		t.wrongType(name, k, v, "an array of text, or a table by node")
	}
	return nil
}

// address parses an IP address without a zone.
func (t table) address(name, s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		t.report(name, fmt.Sprintf("%q is not an IP address", s), "such as 192.0.2.1 or 2001:db8::1, without a prefix length")
	case a.Zone() != "":
		t.report(name, fmt.Sprintf("%q has a zone", s), "the interface is a key of its own: leave out %"+a.Zone())
		return netip.Addr{}
	case a.Is4In6():
		t.report(name, fmt.Sprintf("%q is an IPv4 address in IPv6 clothes", s), "write "+a.Unmap().String())
		return netip.Addr{}
	}
	return a
}

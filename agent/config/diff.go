package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// A Change is one key that two configurations say differently. An entry of a
// list that came or went is a change of its own.
type Change struct {
	Key  string // as a person finds it: group[gateway].service[dnsmasq].unit
	Rule string // in the table of keys: group.service.unit
	Old  string // as TOML; empty: not set
	New  string
}

// Diff lists what differs between two files that Parse has accepted, in the
// order of their keys. Sections with a name are compared by it, links by their
// place. Values are shown as they stand, secrets too.
func Diff(before, after []byte) ([]Change, error) {
	var was, is map[string]any
	if _, err := toml.Decode(string(before), &was); err != nil {
		return nil, fmt.Errorf("compare configurations: %w", err)
	}
	if _, err := toml.Decode(string(after), &is); err != nil {
		return nil, fmt.Errorf("compare configurations: %w", err)
	}
	var d differ
	d.tables("", "", was, is)
	return d.found, nil
}

type differ struct{ found []Change }

func (d *differ) add(path, rule, old, new string) {
	if old != new {
		d.found = append(d.found, Change{Key: path, Rule: rule, Old: old, New: new})
	}
}

func (d *differ) tables(path, rule string, was, is map[string]any) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		at, by := join(path, name), join(rule, name)
		k := rules[by]
		old, hadOld := was[name]
		new, hasNew := is[name]
		switch {
		case k != nil && k.kind == section:
			a, _ := old.(map[string]any)
			b, _ := new.(map[string]any)
			d.tables(at, by, a, b)
			if len(a)+len(b) == 0 { // an empty section says something, too
				d.add(at, by, headerIf(hadOld, k), headerIf(hasNew, k))
			}
		case k != nil && k.kind == sections:
			d.sections(at, by, asTables(old), asTables(new))
		case k != nil && (k.kind == addresses || k.kind == inline):
			d.entries(at, by, old, new)
		default:
			d.add(at, by, valueIf(hadOld, old), valueIf(hasNew, new))
		}
	}
}

// sections compares lists of sections, element by element.
func (d *differ) sections(path, rule string, was, is []map[string]any) {
	old, oldOrder := byName(was)
	new, newOrder := byName(is)
	names := slices.Concat(oldOrder, newOrder)
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		d.tables(path+"["+name+"]", rule, old[name], new[name])
	}
	stays := func(order []string, there map[string]map[string]any) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(order), func(n string) bool { return there[n] == nil }), ", ")
	}
	d.add(path, rule, stays(oldOrder, new), stays(newOrder, old)) // their order
}

// byName indexes sections by their name, else by their place, from 0.
func byName(list []map[string]any) (map[string]map[string]any, []string) {
	m := map[string]map[string]any{}
	var order []string
	for i, e := range list {
		name, ok := e["name"].(string)
		if !ok || m[name] != nil {
			name = strconv.Itoa(i)
		}
		m[name] = e
		order = append(order, name)
	}
	return m, order
}

func asTables(v any) []map[string]any {
	switch v := v.(type) {
	case []map[string]any:
		return v
	case []any:
		var out []map[string]any
		for _, e := range v {
			if t, ok := e.(map[string]any); ok {
				out = append(out, t)
			}
		}
		return out
	}
	return nil
}

// entries compares lists whose order does not matter.
func (d *differ) entries(path, rule string, old, new any) {
	was, before := entriesOf(old)
	is, after := entriesOf(new)
	for _, e := range was {
		if !after[e] {
			d.add(path, rule, e, "")
		}
	}
	for _, e := range is {
		if !before[e] {
			d.add(path, rule, "", e)
		}
	}
}

// entriesOf returns the entries of a list, in order and as a set: there may be
// thousands.
func entriesOf(v any) (out []string, set map[string]bool) {
	list, _ := asArray(v)
	set = make(map[string]bool, len(list))
	for _, e := range list {
		text := value(e)
		out, set[text] = append(out, text), true
	}
	return out, set
}

func headerIf(set bool, k *key) string {
	if !set {
		return ""
	}
	return header(k)
}

func valueIf(set bool, v any) string {
	if !set {
		return ""
	}
	return value(v)
}

// value writes a value as TOML, tables with their keys in order.
func value(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+" = "+value(v[k]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, value(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

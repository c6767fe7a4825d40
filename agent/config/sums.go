package config

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/BurntSushi/toml"
)

// A Sum is a key of a document with a digest of its value.
type Sum struct {
	Name string // as problems name it: group[0].failback
	Sum  [sha256.Size]byte
}

// Sums lists every key of a document that Parse accepts, with digests by which
// two nodes find out where their documents differ. What is not a section of its
// own is one key, however long. It returns nil for a document that is not TOML.
func Sums(data []byte) []Sum {
	var document map[string]any
	if _, err := toml.Decode(string(data), &document); err != nil {
		return nil
	}
	return sums(nil, sectionPaths(), "", "", document)
}

// sectionPaths are the keys, without array indices, whose values are sections, so
// that their keys are listed one by one.
func sectionPaths() map[string]bool {
	m := map[string]bool{}
	for _, k := range keys {
		if k.kind == section || k.kind == sections {
			m[k.path] = true
		}
	}
	return m
}

// sums appends the keys of a table; rule is its path without array indices.
func sums(out []Sum, isSection map[string]bool, path, rule string, t map[string]any) []Sum {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		at, rule := join(path, name), join(rule, name)
		v := t[name]
		if !isSection[rule] {
			out = append(out, Sum{at, sumOf(v)})
			continue
		}
		switch v := v.(type) {
		case map[string]any:
			out = sums(out, isSection, at, rule, v)
		case []map[string]any:
			for i, e := range v {
				out = sums(out, isSection, element(at, i), rule, e)
			}
		default:
			out = append(out, Sum{at, sumOf(v)})
		}
	}
	return out
}

func sumOf(v any) (sum [sha256.Size]byte) {
	h := sha256.New()
	writeValue(h, v)
	copy(sum[:], h.Sum(nil))
	return sum
}

// writeValue writes a value by what it says: comments, layout and the order of keys
// do not count.
func writeValue(h hash.Hash, v any) {
	switch v := v.(type) {
	case map[string]any:
		fmt.Fprintf(h, "table %d\n", len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(h, "%q\n", k)
			writeValue(h, v[k])
		}
	case []map[string]any:
		fmt.Fprintf(h, "array %d\n", len(v))
		for _, e := range v {
			writeValue(h, e)
		}
	case []any:
		fmt.Fprintf(h, "array %d\n", len(v))
		for _, e := range v {
			writeValue(h, e)
		}
	default:
		fmt.Fprintf(h, "%T %q\n", v, fmt.Sprint(v))
	}
}

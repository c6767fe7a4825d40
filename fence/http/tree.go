package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxDepth bounds how deep the values of an answer may nest.
const maxDepth = 32

// A Tree is a value of a JSON answer in which nothing is guessed: names are
// compared exactly, a value that is absent is not false, and a name that is
// given twice with two values has none. The zero Tree is absent or null.
type Tree struct{ v any }

// twice stands for a name that was given two values.
type twice struct{}

// ParseTree reads one JSON value with nothing before or behind it.
func ParseTree(body []byte) (Tree, error) {
	if !json.Valid(body) {
		return Tree{}, fmt.Errorf("answer is not JSON: %s", Shown(body))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return Tree{}, fmt.Errorf("read JSON: %w", err)
	}
	return Tree{v}, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case depth > maxDepth:
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch t {
	case json.Delim('{'):
		return object(d, depth)
	case json.Delim('['):
		return list(d, depth)
	}
	return t, nil
}

func object(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if old, known := out[name]; known && !equal(old, v) {
			v = twice{}
		}
		out[name] = v
	}
	_, err := d.Token() // the brace
	return out, err
}

func list(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token() // the bracket
	return out, err
}

// equal compares two values that are neither object nor list.
func equal(a, b any) bool {
	switch a.(type) {
	case map[string]any, []any, twice:
		return false
	}
	switch b.(type) {
	case map[string]any, []any, twice:
		return false
	}
	return a == b
}

// At walks down names of objects and indexes of lists.
func (t Tree) At(path ...string) Tree {
	for _, step := range path {
		switch v := t.v.(type) {
		case map[string]any:
			t = Tree{v[step]}
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != step {
				return Tree{}
			}
			t = Tree{v[i]}
		default:
			return Tree{}
		}
	}
	return t
}

// Pointer walks down a JSON pointer (RFC 6901); "" is the whole.
func (t Tree) Pointer(pointer string) Tree {
	if pointer == "" {
		return t
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	steps := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, s := range steps {
		steps[i] = unescape.Replace(s)
	}
	return t.At(steps...)
}

// Absent says that there is no value, or null.
func (t Tree) Absent() bool { return t.v == nil }

// Text returns a string.
func (t Tree) Text() (string, bool) {
	s, ok := t.v.(string)
	return s, ok
}

// Or returns a string, or what is given if there is none.
func (t Tree) Or(other string) string {
	if s, ok := t.v.(string); ok {
		return s
	}
	return other
}

// Bool returns true or false; ok is false for anything else.
func (t Tree) Bool() (value, ok bool) {
	value, ok = t.v.(bool)
	return value, ok
}

// Number returns a number that a float64 can hold.
func (t Tree) Number() (float64, bool) {
	n, ok := t.v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

// List returns the members of a list.
func (t Tree) List() []Tree {
	v, _ := t.v.([]any)
	out := make([]Tree, len(v))
	for i := range v {
		out[i] = Tree{v[i]}
	}
	return out
}

// Has says whether an object has the name, with whatever value.
func (t Tree) Has(name string) bool {
	v, _ := t.v.(map[string]any)
	_, ok := v[name]
	return ok
}

// Names returns the names of an object's values, in no order.
func (t Tree) Names() []string {
	v, _ := t.v.(map[string]any)
	out := make([]string, 0, len(v))
	for name := range v {
		out = append(out, name)
	}
	return out
}

// String shows the value as the device wrote it, cut to a line.
func (t Tree) String() string {
	switch v := t.v.(type) {
	case nil:
		return "nothing"
	case twice:
		return "two values"
	case string:
		return Shown([]byte(v))
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	default:
		return "an object"
	}
}

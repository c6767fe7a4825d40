//go:build !lite

package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxOCFNames bounds what is taken from one agent's metadata; of
// resource-agents 4.12 the richest has 32 parameters and 12 actions.
const maxOCFNames = 512

// An ocfMetadata is what an agent says of itself.
type ocfMetadata struct {
	params  map[string]ocfParam
	actions []ocfAction
}

type ocfParam struct {
	required bool // and has no default
	kind     string
}

type ocfAction struct {
	name    string
	depth   int
	timeout time.Duration // zero: it says none that can be read
}

// parseOCF reads the tags of the text that meta-data prints, and no more of
// XML than that: encoding/xml would cost a small box 300 KB.
func parseOCF(text string) (*ocfMetadata, error) {
	m := &ocfMetadata{params: map[string]ocfParam{}}
	current := "" // parameter that a content belongs to
	for range 2 * maxOCFNames * 8 {
		tag, rest, ok := nextTag(text)
		if !ok {
			break
		}
		text = rest
		word, attributes, _ := strings.Cut(strings.Join(strings.Fields(tag), " "), " ")
		value := func(name string) string { return attribute(attributes, name) }
		switch name := value("name"); {
		case len(m.params)+len(m.actions) >= maxOCFNames:
			return nil, fmt.Errorf("it names more than %d parameters and actions", maxOCFNames)
		case word == "parameter" && name != "":
			current = name
			m.params[name] = ocfParam{required: ocfTrue(value("required"))}
		case word == "/parameter":
			current = ""
		case word == "content" && current != "":
			p := m.params[current]
			p.kind = value("type")
			p.required = p.required && value("default") == ""
			m.params[current] = p
		case word == "action" && name != "":
			depth, _ := strconv.Atoi(value("depth"))
			m.actions = append(m.actions, ocfAction{name, depth, ocfTime(value("timeout"))})
		}
	}
	if len(m.actions) == 0 {
		return nil, errors.New("it names no actions")
	}
	return m, nil
}

// nextTag returns what stands between the next < and its >, comments left out.
func nextTag(text string) (tag, rest string, ok bool) {
	for {
		if _, text, ok = strings.Cut(text, "<"); !ok {
			return "", "", false
		}
		if comment, isComment := strings.CutPrefix(text, "!--"); isComment {
			if _, text, ok = strings.Cut(comment, "-->"); !ok {
				return "", "", false
			}
			continue
		}
		return strings.Cut(text, ">")
	}
}

// attribute returns the value of one attribute, or nothing.
func attribute(attributes, name string) string {
	_, rest, ok := strings.Cut(" "+attributes, " "+name+"=")
	if !ok || rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return ""
	}
	value, _, ok := strings.Cut(rest[1:], rest[:1])
	if !ok {
		return ""
	}
	return value
}

func ocfTrue(s string) bool { return s == "1" || s == "true" || s == "yes" }

// ocfTime reads a time as Pacemaker does: seconds, unless a unit says else.
func ocfTime(s string) time.Duration {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.ParseUint(digits, 10, 31)
	unit, ok := map[string]time.Duration{
		"": time.Second, "s": time.Second, "sec": time.Second, "ms": time.Millisecond, "msec": time.Millisecond,
		"m": time.Minute, "min": time.Minute, "h": time.Hour, "hr": time.Hour,
	}[s[len(digits):]]
	if err != nil || !ok {
		return 0
	}
	return min(time.Duration(n)*unit, MaxAdvised)
}

// timeout returns the longest of an action's timeouts at this depth or less.
func (m *ocfMetadata) timeout(action string, depth int) time.Duration {
	var most time.Duration
	for _, a := range m.actions {
		if a.name == action && a.depth <= depth {
			most = max(most, a.timeout)
		}
	}
	return most
}

func (m *ocfMetadata) has(action string) bool {
	return slices.ContainsFunc(m.actions, func(a ocfAction) bool { return a.name == action })
}

// check says what does not fit between the metadata and what is configured.
func (m *ocfMetadata) check(params map[string]string, promote bool) []Finding {
	var out []Finding
	for _, name := range slices.Sorted(maps.Keys(params)) {
		p, known := m.params[name]
		switch {
		case !known:
			out = append(out, Finding{
				Key: "params." + name, Text: "the agent has no such parameter",
				Hint: "it has: " + strings.Join(slices.Sorted(maps.Keys(m.params)), ", "),
			})
		case p.kind == "integer" && !isInteger(params[name]):
			out = append(out, Finding{Key: "params." + name, Text: fmt.Sprintf("%.80q is no integer", params[name]), Hint: "the agent's metadata asks for one"})
		case p.kind == "boolean" && !isOneOf(strings.ToLower(params[name]), "true false yes no on off 1 0 y n"):
			out = append(out, Finding{Key: "params." + name, Text: fmt.Sprintf("%.80q is neither true nor false", params[name]), Hint: "the agent's metadata asks for one of them"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.params)) {
		if _, given := params[name]; m.params[name].required && !given {
			out = append(out, Finding{Key: "params", Text: fmt.Sprintf("lacks %s, which the agent needs", name), Hint: fmt.Sprintf("add %s = \"...\" to params", name)})
		}
	}
	if promote && (!m.has("promote") || !m.has("demote")) {
		out = append(out, Finding{Key: "promote", Text: "the agent cannot be promoted", Hint: "leave promote out"})
	}
	return out
}

// refuse is check as one error.
func (m *ocfMetadata) refuse(params map[string]string, promote bool) error {
	var errs []error
	for _, f := range m.check(params, promote) {
		errs = append(errs, fmt.Errorf("%s: %s (%s)", f.Key, f.Text, f.Hint))
	}
	return errors.Join(errs...)
}

func isInteger(s string) bool {
	_, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return err == nil
}

func examineOCF(ctx context.Context, s Spec) []Finding {
	o := newOCF(s)
	if found := examineScript(o.agent); len(found) > 0 {
		return found
	}
	m, err := readOCF(ctx, o.agent, o.env)
	if err != nil {
		return []Finding{{Key: "unit", Text: err.Error(), Hint: "its parameters could not be checked", Warning: true}}
	}
	return m.check(s.Params, s.Promote)
}

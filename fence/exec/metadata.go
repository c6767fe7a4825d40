package exec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxParameters bounds what is taken from one program's metadata; those of
// Debian have 70 at most.
const maxParameters = 512

// metadata is what a program of fence-agents says of itself.
type metadata struct {
	parameters map[string]parameter
	actions    map[string]bool
	plug       string // its name for an outlet; empty: it drives one box
	needsPlug  bool
}

// A parameter is one option of a program.
type parameter struct {
	required  bool
	old       bool   // kept for old configurations
	obsoletes string // the old name
}

// readMetadata finds the names in the text that the action metadata prints. It
// reads tags and their attributes, and no more of XML than that: encoding/xml
// would cost a small box 300 KB.
func readMetadata(text string) (metadata, error) {
	m := metadata{parameters: map[string]parameter{}, actions: map[string]bool{}}
	for len(m.parameters)+len(m.actions) < maxParameters {
		_, rest, ok := strings.Cut(text, "<")
		if !ok {
			break
		}
		inside, after, ok := strings.Cut(rest, ">")
		if !ok {
			break
		}
		text = after
		tag, attributes, _ := strings.Cut(inside, " ")
		name := attribute(attributes, "name")
		switch {
		case name == "":
		case tag == "parameter":
			m.parameters[name] = parameter{
				required: attribute(attributes, "required") == "1", old: attribute(attributes, "deprecated") == "1",
				obsoletes: attribute(attributes, "obsoletes"),
			}
		case tag == "action":
			m.actions[name] = true
		}
	}
	if len(m.actions) == 0 {
		return m, errors.New("it names no actions")
	}
	for _, name := range []string{"plug", "port"} {
		if p, ok := m.parameters[name]; ok && m.plug == "" {
			m.plug, m.needsPlug = name, p.required
		}
	}
	return m, nil
}

// attribute returns the value of one attribute, or nothing.
func attribute(attributes, name string) string {
	_, rest, ok := strings.Cut(" "+attributes, " "+name+`="`)
	if !ok {
		return ""
	}
	value, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return ""
	}
	return value
}

// check refuses a program whose off could not be read back, options that it
// does not know, and a lack of those that it needs.
func (m metadata) check(options map[string]string) error {
	for _, action := range []string{"off", "status"} {
		if !m.actions[action] {
			return fmt.Errorf("it has no action %q, so off could not be proven", action)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if _, ok := m.parameters[name]; !ok {
			return fmt.Errorf("there is no option %q; there are: %s", name, strings.Join(m.names(), ", "))
		}
	}
	for name, p := range m.parameters {
		_, given := options[name]
		_, byOldName := options[p.obsoletes]
		if p.required && !p.old && !given && !byOldName && name != "action" && name != m.plug {
			return fmt.Errorf("option %q is needed", name)
		}
	}
	return nil
}

// names are the options that are not old ones.
func (m metadata) names() []string {
	var all []string
	for name, p := range m.parameters {
		if !p.old {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

package config

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile is the largest file that Parse looks at: room for eight groups of
// MaxAddresses addresses. A larger one is refused.
const maxFile = 2 << 20

// Parse turns the bytes of a configuration file into what the given node
// needs to know. The name of the file goes into the problems, which are in
// the order of its lines. If Refused says so, the Config must not be used.
//
// A node with a domain ("fw1.example.org") also finds itself by its first
// label ("fw1").
func Parse(name string, data []byte, node string) (Config, []Problem) {
	p := &parser{file: name}
	if len(data) > maxFile {
		p.report("", fmt.Sprintf("file of %d bytes is larger than %d", len(data), maxFile), "is this the configuration?")
		return Config{}, p.problems
	}
	src := string(data)
	p.lines = indexLines(src)
	if p.lines.tooDeep != 0 {
		p.problems = []Problem{{
			File: name, Line: p.lines.tooDeep, Text: fmt.Sprintf("nested deeper than %d", maxDepth),
			Hint: "no key of ours nests deeper than six",
		}}
		return Config{}, p.problems
	}
	var document map[string]any
	if _, err := toml.Decode(src, &document); err != nil {
		p.syntax(err)
		return Config{}, p.problems
	}
	p.pair(table{parser: p, values: document}.checked(), node)
	p.config.Digest = digest(document)
	return p.config, sortProblems(p.problems)
}

// A parser collects a Config and what is wrong with it.
type parser struct {
	file     string
	lines    lineIndex
	problems []Problem
	errors   int  // problems that are not warnings
	alone    bool // one device of a command line: there is no pair

	config Config
	owned  map[string]string // address, route or rule: path of the first that named it
}

func (p *parser) report(path, text, hint string) {
	p.errors++
	p.problems = append(p.problems, Problem{File: p.file, Line: p.lines.line(path), Key: path, Text: text, Hint: hint})
}

func (p *parser) warn(path, text, hint string) {
	p.problems = append(p.problems, Problem{
		File: p.file, Line: p.lines.line(path), Key: path, Text: text, Hint: hint, Warning: true,
	})
}

// syntax reports the one error that the TOML library stopped at.
func (p *parser) syntax(err error) {
	problem := Problem{File: p.file, Line: 1, Text: err.Error(), Hint: "reference.toml shows the form of each key"}
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		problem.Line = max(1, parse.Position.Line)
		problem.Key = parse.LastKey
		problem.Text = parse.Message
		problem.Hint = syntaxHint(parse.Message)
	}
	p.problems = append(p.problems, problem)
}

func syntaxHint(message string) string {
	for _, h := range []struct{ part, hint string }{
		{"expected value", `text and durations stand in quotes: beat = "50ms"`},
		{"already", "each key and each [table] may stand once; repeated sections are written [[link]]"},
		{"newlines", "close the quotes on the line that opens them"},
		{"escape", `write \\ for a backslash, or use single quotes`},
	} {
		if strings.Contains(message, h.part) {
			return h.hint
		}
	}
	return "reference.toml shows the form of each key"
}

// digest names a document by what it says: comments, layout and the order of
// keys do not count, so that two nodes agree if their files mean the same.
func digest(document map[string]any) uint32 {
	h := sha256.New()
	writeValue(h, document)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// pair reads the whole document, then checks what spans sections.
func (p *parser) pair(t table, node string) {
	c := &p.config
	p.owned = map[string]string{}
	p.basics(t)
	nodes := p.nodes(t, node)
	if fence, ok := t.table("fence"); ok {
		c.Fence = p.fence(fence, nodes)
	}
	if dog, ok := t.table("watchdog"); ok && nodes {
		c.Watchdog = p.watchdog(dog)
	}
	if s, ok := t.table("sensors"); ok && nodes {
		c.Sensors = p.sensors(s)
	}
	judged, _ := t.table("health")
	c.Health = p.health(judged, c.Sensors != nil)
	if up, ok := t.table("upstream"); ok {
		c.Upstream = p.upstream(up)
	}
	before := p.errors
	p.mode(t)
	intervals, _ := t.table("timing")
	if c.Profile != "" && c.Mode != "" {
		p.timing(intervals)
	}
	if nodes {
		p.links(t)
	}
	judge := nodes && p.errors == before && c.Profile != ""
	p.groups(t, nodes)
	if nodes {
		p.monitors(t)
		if bounce, ok := t.table("bounce"); ok {
			c.Bounce = p.bounce(bounce)
		}
	}
	p.notify(t)
	if judge {
		p.inequalities()
	}
	if nodes {
		p.contradictions()
	}
	if p.errors == 0 {
		p.warnings()
	}
}

// basics reads what the file says outside of any section, but for the mode.
func (p *parser) basics(t table) {
	c := &p.config
	if c.Cluster = t.text("cluster"); c.Cluster != "" && !isName(c.Cluster, "-") {
		t.report("cluster", fmt.Sprintf("%q is not a cluster name", c.Cluster), "use 1 to 32 of a-z, 0-9 and dash")
	}
	c.Profile = t.text("profile")
	c.KeyFile, c.StateDir = t.absolute("key_file"), t.absolute("state_dir")
	c.ControlSocket = t.absolute("control_socket")
	if len(c.ControlSocket) > maxSocketPath {
		t.report("control_socket", fmt.Sprintf("path of %d bytes is longer than %d", len(c.ControlSocket), maxSocketPath),
			"the kernel allows no longer path for a unix socket: unix(7)")
	}
	c.ControlGroup = t.text("control_group")
	if strings.ContainsAny(c.ControlGroup, " \t\n:,/") {
		t.report("control_group", fmt.Sprintf("%q is not a group name", c.ControlGroup), "one name from /etc/group")
	}
	c.Realtime = t.boolean("realtime")
	if !t.has("realtime") {
		c.Realtime = c.Profile == "fast" // 5 ms heartbeats are not kept on time without
	}
}

// maxSocketPath is sun_path of unix(7), less its final zero.
const maxSocketPath = 107

// mode resolves what a takeover needs.
func (p *parser) mode(t table) {
	c := &p.config
	c.Mode = t.text("mode")
	switch {
	case !t.has("mode") && c.Fence != nil:
		c.Mode = "fence"
	case !t.has("mode"):
		c.Mode = "silence"
	case c.Mode == "fence" && c.Fence == nil:
		t.report("mode", "mode fence has no [fence] section", "add a [[fence.device]], or choose mode silence or lease")
	}
}

// nodes reads the two nodes and finds the one that reads. It returns false if
// the names are not known, so that nothing else can be keyed by them.
func (p *parser) nodes(t table, self string) bool {
	before := p.errors
	tables := t.tables("node")
	if t.has("node") && len(tables) != 2 {
		t.report("node", fmt.Sprintf("%d nodes", len(tables)), "a pair has exactly two [[node]] sections")
	}
	for i, n := range tables[:min(2, len(tables))] {
		name := n.text("name")
		p.config.Nodes[i] = Node{ID: uint8(i + 1), Name: name}
		switch {
		case name == "":
		case !isHostName(name):
			n.report("name", fmt.Sprintf("%q is not a host name", name), "letters, digits, dots and dashes, as `hostname` prints it")
		case i == 1 && name == p.config.Nodes[0].Name:
			n.report("name", fmt.Sprintf("both nodes are called %q", name), "each node finds itself by its host name")
		}
	}
	if p.errors > before || len(tables) != 2 {
		return false
	}
	first, second := p.config.Nodes[0].Name, p.config.Nodes[1].Name
	label, _, _ := strings.Cut(self, ".")
	for _, name := range []string{self, label} {
		if i := slices.Index([]string{first, second}, name); i >= 0 {
			p.config.Self = i
			return true
		}
	}
	t.report("node", fmt.Sprintf("no node is called %q", self),
		fmt.Sprintf("the nodes are %s and %s: rename one, or say which this is with --node", first, second))
	return true // the rest can be checked all the same
}

package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/wire"
)

var checkCommand = command{
	name: "check", args: "[--config FILE] [--node NAME] [--json]", summary: "check the configuration and the key file",
	text: `Check the configuration as both nodes see it, and the key file, with the code
that run uses; nothing is touched. Problems read file:line: key: what is wrong.
Services are compared with this machine: what it lacks is a warning, what an
OCF agent's metadata contradicts is refused. If there is no problem, the
arithmetic of the timing rules follows, and the fence plan: which outlets of
which device, at which level, go off for which node.`,
	examples: []string{"twinbeat check", "twinbeat check --config new.toml && mv new.toml /etc/twinbeat/twinbeat.toml"},
	flags:    []string{"config", "node", "json"},
	run:      (*shell).check,
}

// A finding is what check tells a program.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Key     string `json:"key,omitempty"`
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning,omitempty"`
}

// A verdict is the answer of check.
type verdict struct {
	File     string    `json:"file"`
	Well     bool      `json:"well"`
	Nodes    []string  `json:"nodes"`
	Keys     string    `json:"keys,omitempty"`
	Problems []finding `json:"problems"`
	Explain  string    `json:"explain,omitempty"`
	Fence    []planned `json:"fence,omitempty"`
}

func (sh *shell) check(o *options, _ []string) error {
	data, err := os.ReadFile(o.config)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	v := examine(o, data)
	if o.json {
		err = sh.printJSON(v)
	} else {
		err = sh.print(v.text())
	}
	if err != nil {
		return err
	}
	if !v.Well {
		return &control.Error{Text: fmt.Sprintf("%s is refused", o.config), Advice: "reference.toml documents every key"}
	}
	return nil
}

// examine looks at the file with the eyes of both nodes.
func examine(o *options, data []byte) verdict {
	v := verdict{File: o.config, Nodes: []string{}, Problems: []finding{}}
	names, seenBy := nodesOf(o, data)
	if o.node != "" && len(names) == 2 && !slices.Contains(names, o.node) {
		seenBy = append(seenBy, o.node) // the parser says what is wrong with it
	}
	var views []config.Config
	var problems []config.Problem
	for _, name := range seenBy {
		c, found := config.Parse(o.config, data, name)
		views = append(views, c)
		for _, p := range found {
			if !slices.Contains(problems, p) {
				problems = append(problems, p)
			}
		}
	}
	sort.SliceStable(problems, func(i, k int) bool { return problems[i].Line < problems[k].Line })
	for _, p := range problems {
		v.Problems = append(v.Problems, finding(p))
	}
	v.Nodes = append(v.Nodes, names...)
	refused := config.Refused(problems)
	if file := views[0].KeyFile; file != "" {
		keys, found := examineKeys(file, o.keysText)
		v.Keys = keys
		v.Problems = append(v.Problems, found...)
		refused = refused || len(found) > 0
	}
	if !refused {
		view := views[max(0, slices.Index(seenBy, o.node))]
		found := examineFence(o.config, view.Fence)
		services := slices.Concat(agent.ExamineServices(context.Background(), view), agent.ExamineBuild(view), agent.ExamineSensors(view), agent.ExamineNotify(view))
		for _, p := range services {
			p.File = o.config
			v.Problems = append(v.Problems, finding(p))
		}
		v.Problems = append(v.Problems, found...)
		refused = len(found) > 0 || config.Refused(services)
	}
	if refused {
		return v
	}
	v.Well = true
	self := max(0, slices.Index(names, o.node))
	if host := hostName(); o.node == "" {
		if _, found := config.Parse(o.config, data, host); config.Refused(found) {
			v.Problems = append(v.Problems, finding{
				File: o.config, Warning: true, Text: fmt.Sprintf("this host, %s, is neither %s", host, strings.Join(names, " nor ")),
				Hint: "run needs --node here",
			})
		}
		self = max(0, slices.Index(names, strings.SplitN(host, ".", 2)[0]))
	}
	v.Explain = config.Explain(views[self])
	if len(names) == 2 && len(views) >= 2 {
		v.Fence = fencePlan(names, views)
	}
	return v
}

// nodesOf returns the names of both nodes, and those to parse the file as: the
// same, or the host's if the file does not tell.
func nodesOf(o *options, data []byte) (names, seenBy []string) {
	c, _ := config.Parse(o.config, data, "")
	if c.Nodes[0].Name != "" && c.Nodes[1].Name != "" {
		names = []string{c.Nodes[0].Name, c.Nodes[1].Name}
		return names, slices.Clone(names)
	}
	if o.node != "" {
		return nil, []string{o.node}
	}
	return nil, []string{hostName()}
}

// hostName is a variable for the sake of tests.
var hostName = func() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// examineKeys loads the key file as run does, and where that fails looks for
// the lines that are wrong. A text stands for a file that is not written yet.
func examineKeys(file, text string) (keys string, problems []finding) {
	if text != "" {
		ring, wrong := wire.ParseKeys(file, []byte(text))
		if len(wrong) == 0 {
			return file + ": " + ring.String(), nil
		}
		return "", []finding{{File: file, Key: "key_file", Text: wrong[0].Error()}}
	}
	ring, err := agent.LoadKeys(file)
	if err == nil {
		return file + ": " + ring.String(), nil
	}
	if data, readErr := os.ReadFile(file); readErr == nil {
		_, wrong := wire.ParseKeys(file, data)
		for _, p := range wrong {
			problems = append(problems, finding{File: p.File, Line: p.Line, Key: p.Key, Text: p.Text, Hint: p.Hint})
		}
	}
	if len(problems) == 0 {
		problems = []finding{{File: file, Key: "key_file", Text: err.Error(), Hint: "twinbeat keygen makes one; both nodes need the same"}}
	}
	return "", problems
}

func (v verdict) text() string {
	var b strings.Builder
	for _, f := range v.Problems {
		b.WriteString(f.File + ":")
		if f.Line > 0 {
			fmt.Fprintf(&b, "%d:", f.Line)
		}
		if f.Warning {
			b.WriteString(" warning:")
		}
		if f.Key != "" {
			b.WriteString(" " + f.Key + ":")
		}
		b.WriteString(" " + f.Text + "\n")
		if f.Hint != "" {
			b.WriteString("  hint: " + f.Hint + "\n")
		}
	}
	if v.Well {
		fmt.Fprintf(&b, "%s: well, as %s see it\n%s\n\n%s", v.File, strings.Join(v.Nodes, " and "), v.Keys, v.Explain+planText(v.Fence))
	}
	return b.String()
}

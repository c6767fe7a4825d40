//go:build !lite

package cli

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/survey"
)

// Limits of the dialogue.
const (
	maxTries  = 4    // times one question is asked; then nothing is written
	maxAnswer = 1024 // bytes of a line
)

// thisBox is where init looks. Tests put another one in its place.
var thisBox = survey.This()

// initCommand is made anew for the sake of the initialisation order, as the
// completion's is.
func initCommand() *command {
	return &command{
		name: "init", args: "[--output DIR] [--yes] [--force] [FLAGS] | --detect [--json]", summary: "write the first configuration and key of a pair",
		text: `Write twinbeat.toml and the key file for a new pair, the same for both boxes,
and say how to copy them. What no flag tells is asked, with what was found on
this box as the proposal; --yes takes the proposals and asks nothing. Nothing is
written before all is answered and the result is what run accepts: ctrl-C leaves
everything as it was. A configuration that is there is not replaced without
--force, which keeps it under another name; a key file that is there is kept.

A path that has different names on the two boxes is written by node:
fw1=/dev/ttyS0 fw2=/dev/ttyUSB0. --detect shows what was found, and writes
nothing; no device is opened for it.`,
		examples: []string{
			"twinbeat init", "twinbeat init --detect",
			"twinbeat init --yes --nodes 'fw1 fw2' --vip 192.0.2.1/24 --output new",
			"twinbeat init --fence shelly --fence-address 'fw1=192.0.2.31 fw2=192.0.2.32'",
		},
		flags: append(questionFlags(), "output", "yes", "force", "detect", "json"),
		run:   (*shell).initialise,
	}
}

// questionPrefix keeps the flags of init apart from those of other commands.
const questionPrefix = "init-"

func questionFlags() (names []string) {
	for _, q := range questions() {
		names = append(names, questionPrefix+q.flag)
	}
	return names
}

// init enters the flags, one for each question.
func init() {
	for _, q := range questions() {
		flagTable[questionPrefix+q.flag] = func(fs *flag.FlagSet, o *options) {
			fs.Func(q.flag, q.usage, func(text string) error {
				if o.answers == nil {
					o.answers = map[string][]string{}
				}
				o.answers[q.flag] = append(o.answers[q.flag], text)
				return nil
			})
		}
	}
	flagTable["output"] = func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.out, "output", "", "write into this `DIR` (default "+filepath.Dir(defaultConfig)+")")
	}
	flagTable["yes"] = func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.yes, "yes", false, "take the proposals, ask nothing")
	}
	flagTable["detect"] = func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.detect, "detect", false, "only show what this box has")
	}
}

// A setup is one run of init.
type setup struct {
	*shell
	o     *options
	in    *bufio.Reader
	host  string
	facts survey.Facts
	plan  plan
	old   config.Config   // that is replaced; this box may hold its addresses
	said  map[string]bool // cautions that were shown
}

func (sh *shell) initialise(o *options, _ []string) error {
	facts, err := thisBox.Look()
	if err != nil {
		return err
	}
	if o.detect && o.json {
		return sh.printJSON(facts)
	}
	if o.detect {
		return sh.print(factsText(facts))
	}
	if o.json {
		return &usageError{text: "init: --json goes with --detect"}
	}
	dir := o.out
	if dir == "" {
		dir = filepath.Dir(defaultConfig)
	}
	files, err := newPairFiles(dir, o.force)
	if err != nil {
		return err
	}
	s := &setup{
		shell: sh, o: o, in: bufio.NewReaderSize(sh.stdin, maxAnswer), said: map[string]bool{},
		host: strings.SplitN(hostName(), ".", 2)[0], facts: facts, old: files.old(),
	}
	if !o.yes {
		fmt.Fprint(sh.stderr, "Found on this box:\n\n"+factsText(facts)+"\n"+
			"Enter takes what stands in brackets. Nothing is written before the end;\nctrl-C leaves everything as it is.\n\n")
	}
	for _, q := range questions() {
		if err := s.answer(q); err != nil {
			return err
		}
	}
	return s.finish(files)
}

// explainHead is how much of the timing is shown before the last question: the
// arithmetic would drive all else off a screen of 24 lines. check has it.
const explainHead = 2

// head returns the first n lines.
func head(text string, n int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if n--; n >= 0 {
			b.WriteString(line)
		}
	}
	return b.String()
}

// finish shows what would be written, and writes it.
func (s *setup) finish(t *pairFiles) error {
	text := s.plan.draft()
	v := examine(&options{config: t.config, keysText: t.keysText}, []byte(text))
	v.Explain = head(v.Explain, explainHead)
	if !s.o.yes {
		fmt.Fprint(s.stderr, "\n"+text+"\n")
	}
	fmt.Fprint(s.stderr, v.text()+"\n")
	if !s.o.yes {
		word, err := s.choose("Write it to "+t.config, "yes", []string{"yes", "no"})
		if err != nil {
			return err
		}
		if word == "no" {
			return errors.New("init: nothing was written")
		}
	}
	if err := t.place(text, s.plan.nodes[0]); err != nil {
		return err
	}
	return s.print(t.done() + s.next(t))
}

// answer settles one question: by its flag, by the proposal, or by asking.
func (s *setup) answer(q question) error {
	given := strings.Join(s.o.answers[q.flag], " ")
	if q.skip != nil && q.skip(s) {
		if given != "" {
			return &usageError{text: fmt.Sprintf("init: --%s does not go with the other answers", q.flag)}
		}
		return nil
	}
	offer := ""
	if q.offer != nil {
		offer = q.offer(s)
	}
	switch {
	case given != "":
		if err := s.take(q, given); err != nil {
			return &usageError{text: fmt.Sprintf("init: --%s %s: %v", q.flag, given, err), hint: control.Hint(err)}
		}
	case s.o.yes && offer == "":
		return &usageError{text: "init: --yes cannot guess: --" + q.flag + " is missing", hint: q.usageText()}
	case s.o.yes:
		if err := s.take(q, offer); err != nil {
			return &usageError{text: fmt.Sprintf("init: %s as found here: %v", offer, err), hint: "say it by --" + q.flag}
		}
	default:
		return s.ask(q, offer)
	}
	s.warn()
	return nil
}

// ask asks until an answer will do, at most maxTries times.
func (s *setup) ask(q question, offer string) error {
	for range maxTries {
		text, err := s.line(q.ask, offer)
		if err != nil {
			return err
		}
		if err = s.take(q, text); err == nil {
			s.warn()
			return nil
		}
		fmt.Fprint(s.stderr, report.Paragraph("  no:", 6, report.Clean(err.Error())))
		if hint := control.Hint(err); hint != "" {
			fmt.Fprint(s.stderr, report.Paragraph("  hint:", 8, report.Clean(hint)))
		}
	}
	return &control.Error{Text: fmt.Sprintf("init: %d answers that cannot be: nothing was written", maxTries), Advice: "--" + q.flag + ": " + q.usageText()}
}

// choose asks for one of some words.
func (s *setup) choose(what, offer string, words []string) (string, error) {
	for range maxTries {
		text, err := s.line(what, offer)
		if err != nil {
			return "", err
		}
		for _, w := range words {
			if text != "" && strings.HasPrefix(w, strings.ToLower(text)) {
				return w, nil
			}
		}
		fmt.Fprintln(s.stderr, "  "+strings.Join(words, " or "))
	}
	return "", errors.New("init: nothing was written")
}

// line shows a prompt and reads a line; an empty one is the offer.
func (s *setup) line(what, offer string) (string, error) {
	if offer != "" {
		what += " [" + offer + "]"
	}
	fmt.Fprint(s.stderr, report.Clean(what)+": ")
	raw, err := s.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("init: a line of more than %d bytes: nothing was written", maxAnswer)
	case errors.Is(err, io.EOF):
		fmt.Fprintln(s.stderr)
		return "", &control.Error{Text: "init: the answers ended: nothing was written", Advice: "--yes takes the proposals; flags tell the rest"}
	case err != nil:
		return "", fmt.Errorf("read answer: %w", err)
	}
	if text := strings.TrimSpace(string(raw)); text != "" {
		return text, nil
	}
	return offer, nil
}

// take enters an answer into the plan if the loader accepts the plan with it.
func (s *setup) take(q question, text string) error {
	if text == "" {
		return &control.Error{Text: "there is no proposal", Advice: q.usageText()}
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }); i >= 0 {
		return errors.New("a character that none of these names can have")
	}
	before := s.plan
	err := q.set(s, text)
	if err == nil {
		err = s.plan.judge()
	}
	if err != nil {
		s.plan = before
	}
	return err
}

// judge is the loader's opinion of what is known so far.
func (p plan) judge() error {
	p = p.withStandIns()
	_, problems := config.Parse("init", []byte(p.draft()), p.nodes[0])
	for _, found := range problems {
		if !found.Warning {
			return &control.Error{Text: found.Text, Advice: found.Hint}
		}
	}
	return nil
}

// warn shows the cautions that the newest answer brought.
func (s *setup) warn() {
	for _, c := range s.cautions() {
		if !s.said[c] {
			s.said[c] = true
			fmt.Fprint(s.stderr, report.Paragraph("  note:", 8, report.Clean(c)))
		}
	}
}

// isHere says whether this box is one of the pair, and which.
func (s *setup) isHere() (index int, ok bool) {
	for i, n := range s.plan.nodes {
		if n == s.host || n == hostName() {
			return i, true
		}
	}
	return 0, false
}

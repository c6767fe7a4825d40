//go:build !lite

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/notify"
	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/agent/report"
)

// alertSecrets of one target, read.
type alertSecrets struct {
	token, password, community, auth, priv string
	ca                                     string // PEM; no secret, but a file, too
}

// A teller is what a Sender needs to know beside its target.
type teller struct {
	alert.Pair
	boots uint32 // kernel boots so far
}

// What only some builds have; nil: this one has it not.
var (
	secure   func(*config.Notify, alertSecrets) func(context.Context, net.Conn, string) (net.Conn, error)
	engineOf func(config.Config) string
)

var errNoTLS = fmt.Errorf("transport tls is not in this build (%s)", buildName)

// alertSenders are the types of targets in this build.
var alertSenders = map[string]func(*config.Notify, alertSecrets, teller) (notify.Sender, error){
	"syslog": func(n *config.Notify, s alertSecrets, _ teller) (notify.Sender, error) {
		out := notify.Syslog{Address: n.Address, Transport: n.Transport, Facility: n.Facility}
		if n.Transport != "tls" {
			return out, nil
		}
		if secure == nil {
			return nil, errNoTLS
		}
		out.Secure = secure(n, s)
		return out, nil
	},
	"command": func(n *config.Notify, _ alertSecrets, _ teller) (notify.Sender, error) {
		return notify.Command{Argv: n.Command, Timeout: n.Timeout}, nil
	},
}

// A target is one of the configuration with its sender.
type target struct {
	notify.Target
	conf    config.Notify
	secrets alertSecrets // that the sender was made with
	err     error        // why it cannot be used; nil: it can
	key     string       // that err is about
}

// openTarget reads the secrets of a target and makes its sender. A target that
// cannot be used is one that fails: alerts must not keep a node from serving.
func openTarget(n *config.Notify, t teller) *target {
	out := &target{conf: *n, key: "type", Target: notify.Target{
		Name: n.Name, Type: n.Type, Where: where(n), Timeout: n.Timeout,
		Filter: alert.Filter{Severity: alert.SeverityNamed(n.Severity), Groups: n.Groups, Kinds: n.Kinds},
		Limits: alert.Limits{Repeat: n.Repeat, Rate: n.Rate},
	}}
	err := out.open(n, t)
	if err != nil {
		out.err = fmt.Errorf("target %s: %w", n.Name, err)
		out.Sender = notify.Broken{Err: out.err}
	}
	return out
}

func (t *target) open(n *config.Notify, who teller) error {
	sender, ok := alertSenders[n.Type]
	if !ok {
		return fmt.Errorf("type %q is not in this build (%s)", n.Type, buildName)
	}
	s, key, err := readAlertSecrets(n)
	if err != nil {
		t.key = key
		return err
	}
	t.secrets = s
	t.Sender, err = sender(n, s, who)
	return err
}

// where is a target's place as it may be shown: of a URL the host.
func where(n *config.Notify) string {
	if len(n.Command) > 0 {
		return n.Command[0]
	}
	if u, err := url.Parse(n.URL); err == nil && u.Host != "" {
		return u.Host
	}
	return n.Address
}

// readAlertSecrets reads all; key is what an error is about.
func readAlertSecrets(n *config.Notify) (s alertSecrets, key string, err error) {
	s.community = n.Community
	for _, one := range []struct {
		to         *string
		what, file string
	}{
		{&s.token, "token_file", n.TokenFile},
		{&s.password, "password_file", n.PasswordFile},
		{&s.community, "community_file", n.CommunityFile},
		{&s.auth, "auth_file", n.AuthFile},
		{&s.priv, "priv_file", n.PrivFile},
	} {
		if one.file == "" {
			continue
		}
		if *one.to, err = secret(one.what, one.file, ""); err != nil {
			return s, one.what, err
		}
	}
	s.ca, err = readCA(n.CAFile)
	return s, "ca_file", err
}

// pairOf says of whom alerts are.
func pairOf(c config.Config) alert.Pair {
	p := alert.Pair{Cluster: c.Cluster, Node: c.Me().Name}
	for _, g := range c.Groups {
		p.Groups = append(p.Groups, g.Name)
	}
	return p
}

// alerts are the office of a running agent and its targets, in their order.
type alerts struct {
	office  *notify.Office // nil: nobody is to be told
	targets []*target
}

// openAlerts makes the office.
func (a *agent) openAlerts() {
	c := a.cfg
	if len(c.Notify) == 0 {
		return
	}
	var targets []*target
	for i := range c.Notify {
		t := openTarget(&c.Notify[i], a.teller(c))
		if t.err != nil {
			a.log.Error("alerts", "err", t.err)
			a.loop.Tell(loop.AlarmChanged{Name: alarmOf(t.Name), On: true, Text: t.err.Error()})
		}
		targets = append(targets, t)
	}
	a.alerts = a.newAlerts(c, targets)
}

// alarmOf names the alarm of a target that cannot be used.
func alarmOf(target string) string { return "notify-" + target }

func (a *agent) teller(c config.Config) teller { return teller{pairOf(c), a.state.Boot} }

func (a *agent) newAlerts(c config.Config, targets []*target) alerts {
	o := notify.Options{
		Board: a.board, Pair: pairOf(c), Boot: a.state.Boot, Log: a.log,
		Disk: filepath.Join(c.StateDir, "alerts.spool"), Memory: c.ControlSocket + ".alerts",
		Tell: func(e report.Event) bool { return a.hands.tell(loop.Notice{Event: e}) },
	}
	for _, t := range targets {
		o.Targets = append(o.Targets, t.Target)
	}
	office, err := notify.Open(o)
	if err != nil {
		a.log.Warn("alerts of the run before", "err", err)
	}
	return alerts{office, targets}
}

// run tells of events until ctx ends, in a goroutine of the group.
func (l alerts) run(ctx context.Context, group *sync.WaitGroup) {
	if l.office != nil {
		group.Go(func() { l.office.Run(ctx) })
	}
}

// view is what status shows.
func (l alerts) view() *report.Alerting {
	if len(l.targets) == 0 {
		return nil
	}
	return l.office.View()
}

// ExamineNotify says which targets cannot be used, and why. Nothing is sent.
func ExamineNotify(c config.Config) []config.Problem {
	var out []config.Problem
	for i := range c.Notify {
		n := &c.Notify[i]
		if t := openTarget(n, teller{Pair: pairOf(c)}); t.err != nil {
			out = append(out, config.Problem{Line: n.Line, Key: "notify", Text: t.err.Error(), Hint: "until then it is told of nothing, and status says so", Warning: true})
		}
	}
	return out
}

// A TestedTarget is how one target took a test alert.
type TestedTarget struct {
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Where  string        `json:"where"`
	Answer string        `json:"answer,omitempty"`
	Error  string        `json:"error,omitempty"`
	Took   time.Duration `json:"took_ns"`
}

// ErrNoTarget says that the configuration has no such target.
var ErrNoTarget = errors.New("no such target of alerts")

// TestNotify sends a test alert to the target of that name, or to all, past
// filters and queues, and waits for the answers.
func TestNotify(ctx context.Context, c config.Config, name string) ([]TestedTarget, error) {
	if name != "" && !slices.ContainsFunc(c.Notify, func(n config.Notify) bool { return n.Name == name }) {
		return nil, fmt.Errorf("%q: %w", name, ErrNoTarget)
	}
	who := teller{pairOf(c), bootsOnRecord(c.StateDir)}
	var out []TestedTarget
	for i := range c.Notify {
		n := &c.Notify[i]
		if name != "" && n.Name != name {
			continue
		}
		t := openTarget(n, who) // the sender says what is wrong
		try, cancel := context.WithTimeout(ctx, n.Timeout)
		began := time.Now()
		a := alert.Test(who.Pair, began)
		answer, err := t.Sender.Send(try, &a)
		cancel()
		r := TestedTarget{Name: n.Name, Type: n.Type, Where: t.Where, Answer: report.Clean(answer), Took: time.Since(began)}
		if err != nil {
			r.Error = report.Clean(err.Error())
		}
		out = append(out, r)
	}
	return out, nil
}

// TrapEngine is the snmpEngineID of this node where a target gets traps of
// version 3, which the receiver must know; empty: there is none.
func TrapEngine(c config.Config) string {
	for i := range c.Notify {
		n := &c.Notify[i]
		if n.Type == "snmp" && n.User != "" && !n.Inform && engineOf != nil {
			return engineOf(c)
		}
	}
	return ""
}

// bootsOnRecord reads the count of boots beside a running agent, which has the
// journal open.
func bootsOnRecord(dir string) uint32 {
	var m journal.Image
	for i, name := range []string{"state.a", "state.b"} {
		m[i], _ = os.ReadFile(filepath.Join(dir, name)) // none: the other counts
	}
	s, _, _ := m.Load()
	return s.Boot
}

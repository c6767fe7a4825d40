package pair

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the transcripts anew; commit only what you understand")
	steps   = flag.String("steps", "", "write every step of every story to this file, for tests/model")
)

// TestTranscripts replays testdata/*.txt: a command, "----", what the machine did.
func TestTranscripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 45 {
		t.Fatalf("%d transcripts found", len(files))
	}
	visited := map[string]bool{}
	if *steps != "" {
		w, err := os.Create(*steps)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		stepsTo = json.NewEncoder(w)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, want, visited)
			if *rewrite {
				err = os.WriteFile(f, got, 0o644)
			}
			if err != nil || !*rewrite && !bytes.Equal(got, want) {
				t.Errorf("%s differs (%v); it is now:\n%s", f, err, got)
			}
		})
	}
	table(t, visited)
}

// stepsTo is where the steps go, if they are wanted.
var stepsTo *json.Encoder

// zero is where the stories' clocks begin; any but the zero Instant would do.
const zero = Instant(10 * time.Second)

// replay runs every command and returns the transcript as it should be.
func replay(t *testing.T, text []byte, visited map[string]bool) []byte {
	p := &player{t: t, now: zero, tickets: map[string]uint32{}, visited: visited, steps: stepsTo}
	out := &p.out
	skip := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(out, line)
		case line == "----":
			skip = true
		case line == "":
			skip = false
		case !skip:
			fmt.Fprintf(out, "\n%s\n----\n", line)
			p.command(strings.Fields(line))
			fmt.Fprintf(out, "%v\n", p.m.View().State)
		}
	}
	return out.Bytes()
}

// player drives one machine.
type player struct {
	t       *testing.T
	m       *Machine
	now     Instant
	out     bytes.Buffer
	tickets map[string]uint32 // newest, by kind of action
	counter uint32
	session uint32
	visited map[string]bool
	steps   *json.Encoder
}

func (p *player) step(in Input) {
	key := fmt.Sprintf("%T", in)
	if h, ok := in.(Heard); ok {
		key = h.Kind.String()
	}
	if p.m.started {
		p.visited[p.m.state.String()+" "+strings.TrimPrefix(key, "pair.")] = true
	}
	before := p.m.View().State
	acts := p.m.Step(p.now, in)
	p.write(in, acts, before)
	for _, a := range acts {
		fmt.Fprintf(&p.out, "%6s  %s\n", strconv.FormatFloat(float64(p.now-zero)/1e6, 'f', 0, 64), p.show(a))
	}
}

// write adds the step to the file of steps, if one is wanted: a line of JSON.
func (p *player) write(in Input, acts []Action, before State) {
	if p.steps == nil {
		return
	}
	type typed struct {
		Type  string
		Value any
	}
	out := make([]typed, len(acts))
	for i, a := range acts {
		out[i] = typed{fmt.Sprintf("%T", a), a}
	}
	err := p.steps.Encode(map[string]any{
		"Story": p.t.Name(), "Now": p.now, "In": typed{fmt.Sprintf("%T", in), in}, "Out": out,
		"Before": before, "After": p.m.View(), "Renew": p.m.MayRenew(p.now), "Config": p.m.cfg,
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// show prints an action and keeps its ticket.
func (p *player) show(a Action) string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", a), "pair.")
	keep := func(ticket uint32) string {
		p.tickets[kind] = ticket
		return fmt.Sprintf("%s #%d", kind, ticket)
	}
	switch a := a.(type) {
	case Send:
		return "Send " + a.Kind.String()
	case TakeAddresses:
		return keep(a.Ticket) + fmt.Sprintf(" term %d", a.Term)
	case OpenGate:
		return keep(a.Ticket)
	case StartServices:
		return keep(a.Ticket)
	case StopServices:
		return keep(a.Ticket)
	case DropAddresses:
		return keep(a.Ticket)
	case Probe:
		return keep(a.Ticket)
	case FencePeer:
		return keep(a.Ticket) + fmt.Sprintf(" token=%v: %s", a.Token, a.Why)
	case Record:
		return fmt.Sprintf("%v -> %v %s term %d: %s; %s; %s", a.From, a.To, a.Evidence, a.Term, a.Seen, a.Decided, a.Doing)
	default:
		return fmt.Sprintf("%s%+v", kind, a)
	}
}

// args splits k=v and flags.
type args map[string]string

func parse(words []string) args {
	a := args{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		a[k] = v
	}
	return a
}

func (a args) has(k string) bool { _, ok := a[k]; return ok }

func (a args) dur(k string, def time.Duration) time.Duration {
	if d, err := time.ParseDuration(a[k]); err == nil {
		return d
	}
	return def
}

func (a args) num(k string, def int) int {
	if n, err := strconv.Atoi(a[k]); err == nil {
		return n
	}
	return def
}

// config is the default profile with what the story changes.
func config(a args) Config {
	c := Config{
		Group: "gw", Index: a.num("index", 0), Preferred: !a.has("other"), LowerID: !a.has("other"), Mode: ModeSilence,
		Beat: 50 * time.Millisecond, Dead: 250 * time.Millisecond, Lease: 300 * time.Millisecond, Window: a.dur("window", 25*time.Millisecond),
		Takeover: 400 * time.Millisecond, Ack: 250 * time.Millisecond, Init: 2 * time.Second, Race: time.Second, FenceSpare: 200 * time.Millisecond,
		Reserve: 15 * time.Millisecond, Probe: a.dur("probe", 58500*time.Microsecond), Failback: FailbackNever, FailbackHold: a.dur("hold", 0), FlapMax: a.num("flap", 0),
		FlapWindow: 10 * time.Minute, FenceRetry: 500 * time.Millisecond, NoServices: a.has("noservices"), StopFailureFence: a.has("stopfence"),
	}
	c.Mode = Mode(max(1, slices.Index(modeNames[:], a["mode"])))
	if !a.has("mode") {
		c.Mode = ModeSilence
	}
	c.HasFence = c.Mode == ModeFence || a.has("fence")
	if a.has("failback") {
		c.Failback = Failback(slices.Index(failbackNames[:], a["failback"]))
	}
	return c
}

// frame builds what is heard: hear KIND STATE [term=] [echo=age|none] [passive] [unfit] [mismatch] [fenceme] [new] [old] [queued=]
func (p *player) frame(w []string) Heard {
	a := parse(w)
	if a.has("new") {
		p.session, p.counter = p.session+1, 0
	}
	p.counter++
	h := Heard{
		Kind: Kind(slices.Index(kindNames[:], w[0])), State: State(slices.Index(stateNames[:], w[1])), Term: uint32(a.num("term", 0)),
		Mode: p.m.cfg.Mode, Lease: 325 * time.Millisecond, Passive: a.has("passive"), Unfit: a.has("unfit"), FenceMe: a.has("fenceme"),
		Accept: !a.has("mismatch"), Session: p.session + 1, Counter: p.counter, SentAgo: a.dur("queued", 0),
	}
	if a.has("old") {
		h.Counter = 1
	}
	if a["echo"] != "none" {
		h.EchoSentAt = p.now.Add(-a.dur("echo", 0))
	}
	return h
}

// wait ticks as the machine asks for, and before each tick hears the frame, if any.
func (p *player) wait(d time.Duration, w []string) {
	for end := p.now.Add(d); p.now < end; {
		p.now = min(end, p.m.Next())
		if w != nil {
			p.step(p.frame(w))
		}
		p.step(Tick{})
	}
}

func (p *player) command(w []string) {
	a := parse(w[1:])
	text := strings.ReplaceAll(a["err"], "_", " ")
	ticket := func(kind string) uint32 {
		if a.has("stale") {
			return p.tickets[kind] + 99
		}
		return p.tickets[kind]
	}
	switch w[0] {
	case "new":
		p.m = New(config(a))
	case "start":
		p.step(Start{
			Term: uint32(a.num("term", 0)), Token: a.has("token"), Maintenance: a.has("maintenance"), Failed: a.has("unfit"),
			LeaseHeld: a.has("lease"), FencedLast: a.has("fenced"), Barred: strings.ReplaceAll(a["barred"], "_", " "),
		})
	case "wait":
		d, _ := time.ParseDuration(w[1])
		p.wait(d, nil)
	case "beats":
		d, _ := time.ParseDuration(w[1])
		p.wait(d, append([]string{"BEAT"}, w[2:]...))
	case "hear":
		p.step(p.frame(w[1:]))
	case "addresses":
		p.step(AddressesUp{Ticket: ticket("TakeAddresses"), Err: text})
	case "gate":
		p.step(GateOpened{Ticket: ticket("OpenGate"), OK: !a.has("refused")})
	case "services":
		p.step(ServicesUp{Ticket: ticket("StartServices"), Err: text})
	case "stopped":
		p.step(ServicesDown{Ticket: ticket("StopServices"), Err: text})
	case "dropped":
		p.step(AddressesDown{Ticket: ticket("DropAddresses"), Err: text})
	default:
		p.commandOutside(w, a, ticket, text)
	}
}

func (p *player) commandOutside(w []string, a args, ticket func(string) uint32, text string) {
	switch w[0] {
	case "up": // the whole way to service
		p.step(AddressesUp{Ticket: ticket("TakeAddresses")})
		p.step(GateOpened{Ticket: ticket("OpenGate"), OK: true})
		p.step(ServicesUp{Ticket: ticket("StartServices")})
	case "probe":
		p.step(ProbeDone{Ticket: ticket("Probe"), Sent: !a.has("unsent"), Foreign: a.has("foreign"), Who: "02:00:00:00:00:07"})
	case "fence":
		n := ticket("FencePeer")
		if a.has("other") {
			n = 0
		}
		p.step(FenceDone{Ticket: n, Proven: a.has("proven"), Detail: strings.ReplaceAll(a["detail"], "_", " ")})
	case "leave":
		p.step(FenceLeave{Barred: strings.ReplaceAll(a["barred"], "_", " ")})
	case "lines":
		p.step(Lines{State: LineState(slices.Index(lineNames[:], w[1]))})
	case "stall":
		d, _ := time.ParseDuration(w[1])
		p.now = p.now.Add(d)
		p.step(Stalled{Gap: d})
	case "lost":
		p.step(LeaseLost{Stranger: a.has("stranger")})
	case "broken":
		p.step(ServiceFailed{Name: "dnsmasq", Err: text})
	case "health":
		h := HealthChanged{Peer: Health(slices.Index([]string{"even", "healthier", "sicker"}, w[1])), Urgent: a.has("urgent")}
		if h.Peer != HealthEven {
			h.Why = "CPU 88 C"
		}
		p.step(h)
	case "foreign":
		p.step(ForeignMAC{Address: "192.0.2.1", MAC: "02:00:00:00:00:07"})
	case "op":
		p.step(Command{Op: Op(slices.Index(opNames[:], w[1])), Force: a.has("force"), Reason: a["reason"]})
	case "stop":
		p.step(Stop{})
	case "view":
		v := p.m.View()
		fmt.Fprintf(&p.out, "        term %d renew=%v passive=%v stopped=%v can=%v %q\n", v.Term, p.m.MayRenew(p.now), v.Passive, v.Stopped, v.CanTakeOver, v.WhyNot)
	default:
		p.t.Fatalf("unknown command %q", w[0])
	}
}

// table prints which inputs the transcripts fed in which state.
func table(t *testing.T, visited map[string]bool) {
	inputs := []string{
		"Tick", "BEAT", "CLAIM", "GRANT", "RELEASE", "RELEASED", "GOODBYE", "FENCE_NOTICE", "Lines", "Stalled", "LeaseLost", "ProbeDone", "FenceDone", "FenceLeave",
		"AddressesUp", "GateOpened", "ServicesUp", "ServicesDown", "AddressesDown", "ServiceFailed", "HealthChanged", "ForeignMAC", "Command", "Stop",
	}
	n := 0
	for s := Boot; s <= Failed; s++ {
		line := ""
		for _, in := range inputs {
			mark := "."
			if visited[s.String()+" "+in] {
				mark, n = "x", n+1
			}
			line += " " + mark
		}
		t.Logf("%-12v%s", s, line)
	}
	t.Logf("columns: %s; %d visited", strings.Join(inputs, " "), n)
}

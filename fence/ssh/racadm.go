package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"golang.org/x/crypto/ssh"
)

// The commands of racadm, from the DRAC 5 user's guide, appendix A. There are
// powercycle, hardreset and graceshutdown, too; they leave the box on or ask it.
const (
	racPowerDown = "racadm serveraction powerdown"
	racPowerUp   = "racadm serveraction powerup"
	racStatus    = "racadm serveraction powerstatus"
	racSysInfo   = "racadm getsysinfo"
)

// settle is how long a shell must be quiet for its last line to be its prompt.
const settle = 300 * time.Millisecond

// A Racadm is a box by its DRAC.
type Racadm struct {
	host *host

	mu    sync.Mutex
	shell bool // the DRAC runs no command but in a shell
}

var (
	_ fence.Unit       = (*Racadm)(nil)
	_ fence.Switch     = drac{}
	_ fence.Identifier = drac{}
)

// NewRacadm returns the Racadm, or says what is wrong with the Config. It does
// no I/O.
func NewRacadm(c Config) (*Racadm, error) {
	h, err := newHost(c)
	if err == nil && c.Command != "" {
		err = fmt.Errorf("make DRAC %q: its commands are racadm's own", h.config.Name)
	}
	if err != nil {
		return nil, err
	}
	return &Racadm{host: h}, nil
}

// Outlet returns the box: the selector is "1" or empty.
func (r *Racadm) Outlet(selector string) (fence.Switch, error) {
	if selector != "" && selector != Box {
		return nil, fmt.Errorf("outlet %q of %s: a DRAC has one box, outlet %q", selector, r.host.config.Name, Box)
	}
	return drac{r}, nil
}

// List reads the one box.
func (r *Racadm) List(ctx context.Context) ([]fence.Outlet, error) {
	said, err := drac{r}.Read(ctx)
	if err != nil {
		return nil, err
	}
	return []fence.Outlet{{Index: Box, Reading: said}}, nil
}

// Close does nothing: every operation closes its own connection.
func (r *Racadm) Close() error { return nil }

// Identify gives getsysinfo: model, service tag and firmware.
func (r *Racadm) Identify(ctx context.Context) (fence.Identity, error) {
	out, err := r.run(ctx, racSysInfo)
	if err != nil {
		return fence.Identity{}, err
	}
	id, err := sysInfo(out)
	if err != nil {
		return fence.Identity{}, fmt.Errorf("%s at %s: %w", racSysInfo, r.host.config.Address, err)
	}
	return id, nil
}

// sysInfo reads lines of "Key = value". Sections come in different orders, but
// the DRAC's own firmware is the only line that begins so.
func sysInfo(out string) (fence.Identity, error) {
	id := fence.Identity{Family: "racadm", Outlets: 1}
	for l := range strings.Lines(out) {
		key, value, _ := strings.Cut(l, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "System Model":
			id.Model = value
		case "Service Tag":
			id.Serial = value
		case "Firmware Version":
			id.Firmware = value
		}
	}
	if id.Serial == "" {
		return fence.Identity{}, fmt.Errorf("no service tag in %s", shown(out))
	}
	return id, nil
}

// A drac is the fence.Switch of a Racadm.
type drac struct{ unit *Racadm }

// Name returns the name and outlet.
func (d drac) Name() string { return d.unit.host.config.Name + ":" + Box }

// Word says that nothing independent of the box speaks.
func (d drac) Word() string { return "of the DRAC, which shares the box's power" }

// Identify says what Racadm.Identify does.
func (d drac) Identify(ctx context.Context) (fence.Identity, error) {
	id, err := d.unit.Identify(ctx)
	if err == nil {
		id.Outlet = Box
	}
	return id, err
}

// SwitchOff gives powerdown.
func (d drac) SwitchOff(ctx context.Context) error { return d.act(ctx, racPowerDown) }

// SwitchOn gives powerup.
func (d drac) SwitchOn(ctx context.Context) error { return d.act(ctx, racPowerUp) }

func (d drac) act(ctx context.Context, command string) error {
	out, err := d.unit.run(ctx, command)
	if err != nil {
		return err
	}
	for _, good := range []string{"operation successful", "already powered"} {
		if strings.Contains(out, good) && !strings.Contains(out, "ERROR") {
			return nil
		}
	}
	return fmt.Errorf("%s at %s: %s", command, d.unit.host.config.Address, shown(out))
}

// Read gives powerstatus.
func (d drac) Read(ctx context.Context) (fence.Reading, error) {
	out, err := d.unit.run(ctx, racStatus)
	if err != nil {
		return fence.Reading{}, err
	}
	r, err := powerStatus(out)
	if err != nil {
		err = fmt.Errorf("%s at %s: %w", racStatus, d.unit.host.config.Address, err)
	}
	return r, err
}

// powerStatus wants one line, and nothing beside it. A box on its way to either
// side still has power.
func powerStatus(out string) (fence.Reading, error) {
	switch text := strings.TrimSpace(out); text {
	case "Server power status: OFF":
		return fence.Reading{Power: fence.PowerOff, Raw: text}, nil
	case "Server power status: ON", "Server power status: Powering ON", "Server power status: Powering OFF":
		return fence.Reading{Power: fence.PowerOn, Raw: text}, nil
	}
	return fence.Reading{}, fmt.Errorf("%s is not \"Server power status: ON\" or \"OFF\"", shown(out))
}

// run gives one command and returns what it printed. DRACs of some firmware
// refuse to run one but in a shell.
func (r *Racadm) run(ctx context.Context, command string) (out string, err error) {
	r.mu.Lock()
	shell := r.shell
	r.mu.Unlock()
	err = r.host.with(ctx, command, func(client *ssh.Client) error {
		if !shell {
			out, err = executeRac(client, command)
			if !errors.Is(err, errNoExec) {
				return err
			}
		}
		if out, err = inShell(client, command); err == nil && !shell {
			r.mu.Lock()
			r.shell = true
			r.mu.Unlock()
		}
		return err
	})
	return out, err
}

// errNoExec is of a DRAC that runs no command outside of a shell.
var errNoExec = errors.New("it runs no single command")

// executeRac runs a command without a shell. What racadm makes of its exit code
// differs with its version, so the text alone counts.
func executeRac(client *ssh.Client, command string) (string, error) {
	out, err := execute(client, command)
	var code *ssh.ExitError
	var none *ssh.ExitMissingError
	switch {
	case errors.As(err, &code), errors.As(err, &none) && out != "":
		return out, nil
	case err != nil && strings.HasPrefix(err.Error(), "ssh: command "): // the request was refused
		return "", errNoExec
	}
	return out, err
}

// inShell types a command at a prompt.
func inShell(client *ssh.Client, command string) (string, error) {
	s, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer func() { _ = s.Close() }()
	in, err := s.StdinPipe()
	if err != nil {
		return "", err
	}
	out := &limited{}
	s.Stdout, s.Stderr = out, out
	// Wide, so that no line is broken. A DRAC without terminals has a shell
	// all the same.
	_ = s.RequestPty("dumb", 50, 500, ssh.TerminalModes{})
	if err := s.Shell(); err != nil {
		return "", fmt.Errorf("open shell: %w", err)
	}
	ended := make(chan struct{})
	go func() { // ends with the session
		defer close(ended)
		_ = s.Wait()
	}()
	prompt, err := waitFor(out, ended, 0, firstPrompt)
	if err != nil {
		return "", fmt.Errorf("wait for a prompt: %w", err)
	}
	from := len(out.String())
	if _, err := io.WriteString(in, command+"\r"); err != nil {
		return "", err
	}
	text, err := waitFor(out, ended, from, func(text string) (string, bool) { return between(text, command, prompt) })
	if err != nil {
		return "", fmt.Errorf("wait for the prompt after %s: %w", command, err)
	}
	_, _ = io.WriteString(in, "exit\r")
	return text, nil
}

// waitFor waits until the output from a place on is quiet, and found is content
// with it. It ends with the session at the latest.
func waitFor(out *limited, ended <-chan struct{}, from int, found func(string) (string, bool)) (string, error) {
	before := -1
	tick := time.NewTicker(settle)
	defer tick.Stop()
	for {
		text := out.String()[from:]
		if got, ok := found(text); ok && len(text) == before {
			return got, nil
		}
		before = len(text)
		if out.over() {
			return "", errors.New("it prints without end")
		}
		select {
		case <-tick.C:
		case <-ended:
			return "", fmt.Errorf("the shell ended after %s", shown(text))
		}
	}
}

// prompts are the ends of the prompts that DRACs have: "$" of a DRAC 5,
// "DRAC/MC:", "/admin1->" and "racadm>>" of later ones.
var prompts = []string{"$", "->", ">", "#", "DRAC/MC:"}

// firstPrompt returns the last line of a text if it is a prompt.
func firstPrompt(text string) (string, bool) {
	last := strings.TrimSpace(text[strings.LastIndexAny(text, "\r\n")+1:])
	for _, p := range prompts {
		if strings.HasSuffix(last, p) {
			return last, true
		}
	}
	return "", false
}

// between returns what a command printed: from its echo, if there is one, to
// the next prompt, which must be the last line. Prompts in between are of a
// DRAC that takes one Enter for two.
func between(text, command, prompt string) (string, bool) {
	lines := strings.FieldsFunc(text, func(c rune) bool { return c == '\r' || c == '\n' })
	if len(lines) == 0 || strings.TrimSpace(lines[len(lines)-1]) != prompt {
		return "", false
	}
	var out []string
	for _, l := range lines[:len(lines)-1] {
		if l = strings.TrimSpace(l); l != "" && l != prompt && l != command && l != prompt+" "+command && l != prompt+command {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n"), len(out) > 0
}

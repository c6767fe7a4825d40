package ups

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of an answer. A talkative UPS has 150 variables.
const (
	maxLine      = 1024
	maxVariables = 1024
)

// What a daemon says instead of an answer.
var (
	errStale    = errors.New("the daemon has no contact with the UPS")
	errUnknown  = errors.New("the daemon knows no UPS of that name")
	errDenied   = errors.New("the daemon denies access: see upsd.conf, LISTEN and MAXCONN")
	errProtocol = errors.New("this is not the protocol")
)

// nutErrors are those of upsd (docs/net-protocol.txt of NUT, Error responses).
var nutErrors = map[string]error{
	"DATA-STALE": errStale, "DRIVER-NOT-CONNECTED": errStale, "UNKNOWN-UPS": errUnknown, "ACCESS-DENIED": errDenied,
}

// A dialogue is a connection to upsd.
type dialogue struct {
	w io.Writer
	r *bufio.Reader
}

// line reads one, without its end.
func (d dialogue) line() (string, error) {
	b, err := d.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: a line of more than %d bytes", errProtocol, maxLine)
	case err != nil:
		return "", err
	}
	text := strings.TrimRight(string(b), "\r\n")
	if code, ok := strings.CutPrefix(text, "ERR "); ok {
		code, _, _ = strings.Cut(code, " ")
		if err := nutErrors[code]; err != nil {
			return "", err
		}
		return "", fmt.Errorf("the daemon answers %s", clean(text))
	}
	return text, nil
}

// list asks for a list and returns the words of each line.
func (d dialogue) list(what string) ([][]string, error) {
	if _, err := fmt.Fprintf(d.w, "LIST %s\n", what); err != nil {
		return nil, err
	}
	begin, err := d.line()
	if err != nil {
		return nil, err
	}
	if begin != "BEGIN LIST "+what {
		return nil, fmt.Errorf("%w: %q instead of a list", errProtocol, clean(begin))
	}
	var all [][]string
	for range maxVariables {
		text, err := d.line()
		if err != nil {
			return nil, err
		}
		if text == "END LIST "+what {
			return all, nil
		}
		w, err := words(text)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return nil, fmt.Errorf("%w: a list of more than %d lines", errProtocol, maxVariables)
}

// words cuts a line at blanks, but not within quotes, in which a backslash
// keeps what follows it.
func words(text string) (all []string, err error) {
	var b strings.Builder
	quoted, kept, open := false, false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case kept:
			b.WriteByte(c)
			kept = false
		case c == '\\' && quoted:
			kept = true
		case c == '"':
			quoted, open = !quoted, true
		case c == ' ' && !quoted:
			if open {
				all = append(all, b.String())
			}
			b.Reset()
			open = false
		default:
			b.WriteByte(c)
			open = true
		}
	}
	if quoted || kept {
		return nil, fmt.Errorf("%w: quotes are not closed in %q", errProtocol, clean(text))
	}
	if open {
		all = append(all, b.String())
	}
	return all, nil
}

// askNUT asks upsd for all variables of a UPS; without a name for the only one.
func askNUT(rw io.ReadWriter, name string) (Status, error) {
	d := dialogue{rw, bufio.NewReaderSize(rw, maxLine)}
	if name == "" {
		all, err := d.list("UPS")
		if err != nil {
			return Status{}, err
		}
		if len(all) != 1 || len(all[0]) < 2 {
			return Status{}, fmt.Errorf("the daemon has %d UPSs: name one", len(all))
		}
		name = all[0][1]
	}
	lines, err := d.list("VAR " + name)
	if err != nil {
		return Status{}, err
	}
	vars := map[string]string{}
	for _, w := range lines {
		if len(w) == 4 && w[0] == "VAR" && w[1] == name {
			vars[w[2]] = w[3]
		}
	}
	_, _ = fmt.Fprintf(d.w, "LOGOUT\n") // good manners; the connection ends anyhow
	return ParseNUT(vars)
}

// ParseNUT reads upsd's variables: docs/nut-names.txt and, for ups.status,
// docs/new-drivers.txt of NUT. One without a status is refused.
func ParseNUT(vars map[string]string) (Status, error) {
	words, ok := vars["ups.status"]
	if !ok {
		return Status{}, fmt.Errorf("%w: there is no ups.status among %d variables", errProtocol, len(vars))
	}
	s := unknown()
	s.Words, s.Model = clean(words), clean(vars["ups.model"])
	for word := range strings.FieldsSeq(words) {
		switch word {
		case "OB":
			s.OnBattery = true
		case "LB":
			s.Low = true
		case "RB":
			s.Replace = true
		case "OVER":
			s.Overload = true
		case "FSD":
			s.ShutDown = true
		case "OFF":
			s.Off = true
		case "BYPASS":
			s.Bypass = true
		case "CAL":
			s.Calibrating = true
		case "ALARM":
			s.Alarm = cmp.Or(clean(vars["ups.alarm"]), "ALARM, and not why")
		case "WAIT", "NOCOMM":
			s.Lost = true
		}
	}
	for name, v := range map[string]*float64{
		"battery.charge": &s.Charge, "battery.runtime": &s.Runtime, "ups.load": &s.Load,
		"battery.voltage": &s.Battery, "input.voltage": &s.Input, "ups.temperature": &s.Temperature,
	} {
		if n, err := strconv.ParseFloat(strings.TrimSpace(vars[name]), 64); err == nil {
			*v = n
		}
	}
	s.plausible()
	return s, nil
}

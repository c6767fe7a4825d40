//go:build !lite

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/sensors"
)

var sensorsCommand = command{
	name: "sensors", args: "[--json] [--watch]", summary: "show temperatures, fans, errors, wear, and where they go",
	text: `Show every sensor of this box with its value, the limit in use, its trend, when
it will reach the limit, and the last half hour. What is no measurement has a
name instead of a number: absent, fault, unreadable, blocked, implausible,
stuck.
IDs, by which the configuration names sensors, are in --json.

It asks the agent, which knows the past. If none runs, or it reads no sensors,
the box is read directly: values, limits and states, no trends.
The exit code is 3 if a sensor asks for a person or for a handover.`,
	examples: []string{"twinbeat sensors", "twinbeat sensors --watch", "twinbeat sensors --json | jq -r '.sensors[] | [.id, .state, .value] | @tsv'"},
	flags:    []string{"json", "watch", "socket", "config"},
	run:      (*shell).sensors,
}

// watchEvery is between two pictures of --watch.
const watchEvery = 2 * time.Second

func (sh *shell) sensors(o *options, _ []string) error {
	if !o.watch {
		r, note, err := sh.readSensors(o)
		if err != nil {
			return err
		}
		fmt.Fprint(sh.stderr, note)
		return sh.showSensors(o, r)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	for { // ends with a signal, or with what it writes to
		r, _, err := sh.readSensors(o)
		if err != nil {
			return err
		}
		if !o.json && sh.isTerminal() {
			r.At = r.At.Local()
			if err := sh.print("\x1b[H\x1b[2J" + r.At.Format(time.TimeOnly) + "\n"); err != nil {
				return err
			}
		}
		if err := sh.showSensors(o, r); err != nil && !errors.Is(err, errDegraded) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

func (sh *shell) isTerminal() bool {
	f, ok := sh.stdout.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// readSensors asks the agent, else the box; note says why the agent does not tell.
func (sh *shell) readSensors(o *options) (r agent.SensorReport, note string, err error) {
	c, err := sh.dial(o)
	if err == nil {
		defer c.Close()
		var text string
		if text, err = c.Do(context.Background(), control.Order{Command: control.OrderSensors}); err == nil {
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				return r, "", fmt.Errorf("read the agent's answer: %w", err)
			}
			return r, "", nil
		}
	}
	note = fmt.Sprintf("%v\nread directly, without trends\n", err)
	data, err := os.ReadFile(o.config)
	if err != nil {
		if o.configSet {
			return r, note, fmt.Errorf("read configuration: %w", err)
		}
		return agent.ReadSensors(nil, ""), note, nil
	}
	cfg, _ := config.Parse(o.config, data, hostName())
	if cfg.Sensors != nil && cfg.Sensors.Deadline == 0 {
		cfg.Sensors = nil // it has faults: check tells them
	}
	return agent.ReadSensors(cfg.Sensors, cfg.StateDir), note, nil
}

func (sh *shell) showSensors(o *options, r agent.SensorReport) error {
	var err error
	if o.json {
		err = sh.printJSON(r)
	} else {
		err = sh.print(sensorTable(r, sh.columns(), unicodeTerminal()))
	}
	if err != nil {
		return err
	}
	for _, s := range r.Sensors {
		if s.Level == "alert" || s.Level == "move" {
			return errDegraded
		}
	}
	return nil
}

// unicodeTerminal says whether the terminal shows more than ASCII, by locale(7).
func unicodeTerminal() bool {
	for _, name := range [...]string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			return strings.Contains(strings.ToUpper(v), "UTF")
		}
	}
	return false
}

// Widths of the table in characters.
const (
	labelWidth = 29
	valueWidth = 13
	limitWidth = 9
	trendWidth = 11
	sparkMost  = 30 // minutes
)

// sensorTable renders a report for people, in as many columns.
func sensorTable(r agent.SensorReport, columns int, wide bool) string {
	var b strings.Builder
	kind, quiet := "", 0
	for _, order := range sensorOrder(r.Sensors) {
		s := r.Sensors[order]
		if s.Kind == "count" && s.State == "ok" && s.Level == "well" && s.Value != nil && *s.Value == 0 {
			quiet++
			continue
		}
		if s.Kind != kind {
			kind = s.Kind
			b.WriteString(kind + "\n")
		}
		b.WriteString(sensorLine(s, columns, wide))
	}
	if quiet > 0 {
		fmt.Fprintf(&b, "counters of errors that stand at 0: %d\n", quiet)
	}
	if len(r.Sensors) == 0 {
		b.WriteString("no sensor: no driver is loaded, or this is a virtual machine\n")
	}
	if r.Beyond > 0 {
		fmt.Fprintf(&b, "there are more sensors than %d: the rest is not shown\n", sensors.MaxRows)
	}
	for _, v := range r.Votes {
		critical := ""
		if v.Critical {
			critical = ", at once"
		}
		b.WriteString(report.Paragraph("health  ", 8, fmt.Sprintf("-%d%s: %s", v.Loss, critical, v.Reason)))
	}
	return b.String()
}

// sensorOrder puts kinds together, in the order in which they come first.
func sensorOrder(all []sensors.View) []int {
	var kinds []string
	seen := map[string][]int{}
	for i, s := range all {
		if seen[s.Kind] == nil {
			kinds = append(kinds, s.Kind)
		}
		seen[s.Kind] = append(seen[s.Kind], i)
	}
	var out []int
	for _, k := range kinds {
		out = append(out, seen[k]...)
	}
	return out
}

func sensorLine(s sensors.View, columns int, wide bool) string {
	value := s.State
	if s.Value != nil && s.State == "ok" {
		value = figure(*s.Value) + unit(s.Unit)
	}
	line := fmt.Sprintf("  %s%s%s%s", pad(report.Clean(s.Label), labelWidth), pad(value, valueWidth), pad(limitText(s), limitWidth), pad(trendText(s), trendWidth))
	line += sparkline(s.Minutes, columns-1-utf8.RuneCountInString(line), wide)
	line = strings.TrimRight(line, " ") + "\n"
	switch {
	case s.Verdict != "":
		line += report.Paragraph("    !", 6, s.Level+": "+report.Clean(s.Verdict))
	case s.Forecast != "":
		line += report.Paragraph("    !", 6, "reaches its limit in "+s.Forecast)
	case s.Why != "" && s.State != "absent" && s.State != "ignored":
		line += report.Paragraph("   ", 4, report.Clean(s.Why))
	}
	return line
}

func unit(u string) string {
	if u == "" || u == "%" {
		return u
	}
	return " " + u
}

func limitText(s sensors.View) string {
	switch {
	case s.Crit != nil:
		return "< " + figure(*s.Crit)
	case s.High != nil:
		return "< " + figure(*s.High)
	case s.Low != nil:
		return "> " + figure(*s.Low)
	}
	return ""
}

func trendText(s sensors.View) string {
	if s.PerHour == nil {
		return ""
	}
	if v := *s.PerHour; math.Abs(v) >= 60*0.05 {
		return fmt.Sprintf("%+.2g/min", v/60)
	}
	return fmt.Sprintf("%+.2g/h", *s.PerHour)
}

// figure prints a number with the digits that matter.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 20:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// pad makes a text as wide as a column, with a space at its end.
func pad(s string, width int) string {
	r := []rune(s)
	if len(r) >= width {
		r = r[:width-1]
	}
	return string(r) + strings.Repeat(" ", width-len(r))
}

// sparkline draws the last minutes between their lowest and highest.
func sparkline(minutes []float32, room int, wide bool) string {
	levels := []rune("_.-=+*#@")
	if wide {
		levels = []rune("▁▂▃▄▅▆▇█")
	}
	room = min(room, sparkMost)
	if room < 4 || len(minutes) < 2 {
		return ""
	}
	minutes = minutes[max(0, len(minutes)-room):]
	low, high := minutes[0], minutes[0]
	for _, v := range minutes {
		low, high = min(low, v), max(high, v)
	}
	var b strings.Builder
	for _, v := range minutes {
		at := 0
		if high > low {
			at = min(int((v-low)/(high-low)*float32(len(levels))), len(levels)-1)
		}
		b.WriteRune(levels[at])
	}
	return b.String()
}

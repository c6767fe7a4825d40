//go:build !lite

package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

var forecastCommand = command{
	name: "forecast", args: "--csv FILE [--column N] [--limit-high X] [--limit-low Y] [--json]", summary: "replay a series of measurements, and print the alerts",
	text: `Read a file of lines "timestamp,value" and print one line for each alert
that the box would have raised, at the time it would have:
timestamp,score,reason. The score is the health behind it, 100 well and 0 as
bad as can be.

Timestamps are "2006-01-02 15:04:05" (UTC), RFC 3339 or seconds since 1970.
Fields are separated by comma, semicolon or tab; a first line without a
timestamp is a heading. A value that is empty or no number counts as a reading
that failed. "-" reads from standard input.

Without limits only what is unlike the series' own past can be told, and not
within its first day.`,
	examples: []string{"twinbeat forecast --csv cpu.csv --limit-high 95", "twinbeat forecast --csv pump.csv --column 3 --json"},
	flags:    []string{"csv", "column", "limit-high", "limit-low", "json"},
	run:      (*shell).forecast,
}

// maxColumns bounds --column.
const maxColumns = 1000

// An alertLine is what forecast prints, for programs.
type alertLine struct {
	Timestamp string `json:"timestamp"` // as it stood in the file
	Score     int    `json:"score"`
	Level     string `json:"level"`
	Reason    string `json:"reason"`
}

func (sh *shell) forecast(o *options, _ []string) error {
	switch {
	case o.csv == "":
		return &usageError{text: "forecast: no file given"}
	case o.column < 2 || o.column > maxColumns:
		return &usageError{text: fmt.Sprintf("forecast: column %d", o.column), hint: "timestamps are in column 1, values in column 2 or a later one"}
	case o.limitHigh != nil && o.limitLow != nil && *o.limitLow >= *o.limitHigh:
		return &usageError{text: fmt.Sprintf("forecast: --limit-low %v is not below --limit-high %v", *o.limitLow, *o.limitHigh)}
	}
	in, name := sh.stdin, "standard input"
	if o.csv != "-" {
		f, err := os.Open(o.csv)
		if err != nil {
			return fmt.Errorf("read series: %w", err)
		}
		defer f.Close()
		in, name = f, o.csv
	}
	r := replay{sh: sh, o: o, name: name}
	if err := r.run(in); err != nil {
		return err
	}
	fmt.Fprintf(sh.stderr, "%d rows, %d without a value, %d alerts\n", r.rows, r.holes, r.alerts)
	return nil
}

// A replay is one file on its way through a box with one sensor.
type replay struct {
	sh   *shell
	o    *options
	name string

	box    *predict.Box
	id     int
	level  predict.Level
	rows   int
	holes  int
	alerts int
}

func (r *replay) run(in io.Reader) error {
	limits := predict.NoLimits()
	if r.o.limitHigh != nil {
		limits.Crit = *r.o.limitHigh
	}
	if r.o.limitLow != nil {
		limits.Low = *r.o.limitLow
	}
	r.box = predict.New()
	var err error
	if r.id, err = r.box.Watch(predict.Spec{Name: "value", Kind: predict.Other, Limits: limits}); err != nil {
		return err
	}
	source, comma, err := sniff(in)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.name, err)
	}
	lines := csv.NewReader(source)
	lines.Comma, lines.FieldsPerRecord, lines.ReuseRecord, lines.TrimLeadingSpace = comma, -1, true, true
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &control.Error{Text: fmt.Sprintf("%s: %v", r.name, err), Advice: "one row a line: timestamp,value"}
		}
		line, _ := lines.FieldPos(0)
		if err := r.row(line, fields); err != nil {
			return err
		}
	}
	if r.rows == 0 {
		return &control.Error{Text: r.name + " holds no row", Advice: "one row a line: timestamp,value"}
	}
	return nil
}

// row feeds one line. A first line that begins with no timestamp is a heading.
func (r *replay) row(line int, fields []string) error {
	at, err := timestamp(fields[0])
	switch {
	case err != nil && line == 1:
		return nil
	case err != nil:
		return &control.Error{
			Text:   fmt.Sprintf("%s line %d column 1: %q is no timestamp", r.name, line, fields[0]),
			Advice: `timestamps are "2006-01-02 15:04:05", RFC 3339 or seconds since 1970`,
		}
	case len(fields) < r.o.column:
		return &control.Error{
			Text:   fmt.Sprintf("%s line %d: %d columns, --column is %d", r.name, line, len(fields), r.o.column),
			Advice: "count columns from 1, the timestamp's",
		}
	}
	r.rows++
	v, err := strconv.ParseFloat(strings.TrimSpace(fields[r.o.column-1]), 64)
	if err != nil {
		r.holes++
		r.box.Lost(r.id, at, predict.Missing)
		return nil
	}
	r.box.Observe(r.id, at, v)
	return r.judge(at, fields[0])
}

// judge prints a line when the level rises.
func (r *replay) judge(at time.Time, stamp string) error {
	h := r.box.Health(at)
	before := r.level
	r.level = h.Level
	if h.Level < predict.Alert || h.Level <= before {
		return nil
	}
	r.alerts++
	if r.o.json {
		text, err := json.Marshal(alertLine{Timestamp: stamp, Score: h.Score, Level: h.Level.String(), Reason: h.Reason})
		if err != nil {
			return fmt.Errorf("write alert: %w", err)
		}
		return r.sh.print(string(text) + "\n")
	}
	out := csv.NewWriter(r.sh.stdout)
	err := out.Write([]string{stamp, strconv.Itoa(h.Score), h.Reason})
	out.Flush()
	if err = errors.Join(err, out.Error()); err != nil {
		return fmt.Errorf("write alert: %w", err)
	}
	return nil
}

// stamps are the forms of a timestamp that is not a number.
var stamps = [...]string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly}

// timestamp reads a time; one without a zone is UTC.
func timestamp(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, form := range stamps {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	const farthest = 1e11 // seconds, the year 5138
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(math.Abs(seconds) < farthest) {
		return time.Time{}, errors.New("no timestamp")
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC(), nil
}

// sniff finds the separator of the first line.
func sniff(in io.Reader) (io.Reader, rune, error) {
	const enough = 4096
	r := bufio.NewReaderSize(in, enough)
	head, err := r.Peek(enough)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	first, _, _ := strings.Cut(string(head), "\n")
	for _, c := range ";\t" {
		if strings.ContainsRune(first, c) {
			return r, c, nil
		}
	}
	return r, ',', nil
}

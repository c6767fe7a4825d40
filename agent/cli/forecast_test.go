//go:build !lite

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func forecastOf(stdin string, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = Main(append([]string{"forecast"}, args...), strings.NewReader(stdin), &o, &e)
	return o.String(), e.String(), code
}

// burning is two calm days at 50 and then a rise of 24 an hour.
func burning(separator, form string) string {
	var b strings.Builder
	b.WriteString("time" + separator + "pump" + separator + "cpu\n")
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for m := range 2*1440 + 150 {
		v := 50 + float64(m%7)/10 + max(0, float64(m-2*1440))*0.4
		stamp := begin.Add(time.Duration(m) * time.Minute).Format(form)
		fmt.Fprintf(&b, "%s%s%d%s%.1f\n", stamp, separator, m%5, separator, v)
	}
	return b.String()
}

func TestForecastTellsTheLimitBeforeItIsReached(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.csv")
	for _, test := range []struct{ separator, form string }{{",", time.DateTime}, {";", time.RFC3339}, {"\t", "2006-01-02T15:04:05"}} {
		if err := os.WriteFile(file, []byte(burning(test.separator, test.form)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := forecastOf("", "--csv", file, "--column", "3", "--limit-high", "95")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || !strings.Contains(errs, "3030 rows, 0 without a value") {
			t.Fatalf("%q: exit %d, %s", test.separator, code, errs)
		}
		// 95 is reached at 01:52 of the third day.
		if !strings.HasPrefix(lines[0], "2026-01-03") || !strings.Contains(lines[0], "+0.4/min, reaches 95") {
			t.Errorf("%q: %s", test.separator, out)
		}
	}
}

func TestForecastForPrograms(t *testing.T) {
	out, errs, code := forecastOf(burning(",", time.DateTime), "--csv", "-", "--column", "3", "--limit-high", "95", "--json")
	if code != 0 {
		t.Fatal(errs)
	}
	for line := range strings.Lines(out) {
		var a alertLine
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.Score >= 100 || a.Reason == "" || a.Level == "" || a.Timestamp == "" {
			t.Errorf("%v: %s", err, line)
		}
	}
	if strings.Count(out, "\n") < 2 { // the forecast, the move
		t.Errorf("%s", out)
	}
}

func TestForecastOfAQuietSeriesPrintsNothing(t *testing.T) {
	text := strings.Join(strings.Split(burning(",", time.DateTime), "\n")[:2880], "\n")
	out, errs, code := forecastOf(text, "--csv", "-", "--column", "3", "--limit-high", "95", "--limit-low", "10")
	if code != 0 || out != "" || !strings.Contains(errs, "0 alerts") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestForecastRefusesWhatItCannotRead(t *testing.T) {
	for _, test := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		says  string
	}{
		{"no file", "", nil, 2, "no file given"},
		{"no such file", "", []string{"--csv", "/nonexistent.csv"}, 1, "no such file"},
		{"column of the timestamps", "", []string{"--csv", "-", "--column", "1"}, 2, "values in column 2"},
		{"limits swapped", "", []string{"--csv", "-", "--limit-low", "5", "--limit-high", "4"}, 2, "is not below"},
		{"limit that is none", "", []string{"--csv", "-", "--limit-high", "NaN"}, 2, "not a number"},
		{"empty", "", []string{"--csv", "-"}, 1, "holds no row"},
		{"heading alone", "timestamp,value\n", []string{"--csv", "-"}, 1, "holds no row"},
		{"too few columns", "a,b\n2026-01-01 00:00:00,1\n", []string{"--csv", "-", "--column", "7"}, 1, "line 2: 2 columns"},
		{"a line that is none", "2026-01-01 00:00:00,1\nyesterday,2\n", []string{"--csv", "-"}, 1, `line 2 column 1: "yesterday" is no timestamp`},
		{"a quote that does not end", "2026-01-01 00:00:00,\"1\n", []string{"--csv", "-"}, 1, "standard input"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, errs, code := forecastOf(test.stdin, test.args...)
			if code != test.code || out != "" || !strings.Contains(errs, test.says) || !strings.Contains(errs, "twinbeat: ") {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
		})
	}
}

func TestForecastCountsHoles(t *testing.T) {
	out, errs, code := forecastOf("1767225600,1\n1767225660,\n1767225720.5,NaN\n1767225780,x\n", "--csv", "-")
	if code != 0 || out != "" || errs != "4 rows, 2 without a value, 0 alerts\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

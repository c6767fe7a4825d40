package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// A row is one line of the results: when it was written, of which commit, and
// one of the rest.
type row struct {
	At       time.Time `json:"at"`
	Commit   string    `json:"commit"`
	Scenario *seen     `json:"scenario,omitempty"`
	Reset    *bitten   `json:"reset,omitempty"`
	Chaos    *result   `json:"chaos,omitempty"`
	Load     *loaded   `json:"load,omitempty"`
}

// A seen is what came of a scenario.
type seen struct {
	Name     string  `json:"name"`
	Scale    float64 `json:"scale"`
	OutageMS int64   `json:"outage_ms"`
	BothMS   int64   `json:"both_ms"`
	Owner    string  `json:"owner"`
	Evidence string  `json:"evidence"`
	Wrong    string  `json:"wrong,omitempty"`
}

// lineMost bounds a line of the results.
const lineMost = 1 << 20

// readRows reads a results file; one that is not there holds none.
func readRows(file string) (rows []row, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) || file == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, lineMost)
	for n := 1; lines.Scan(); n++ {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

// appendRow adds a line; pairs that run at the same time do so too.
func appendRow(file string, r row) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	r.At, r.Commit = time.Now().UTC(), os.Getenv(commitEnv)
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return err
}

// played says which iterations of a campaign with a seed are among the rows.
func played(rows []row, seed uint64) map[int]bool {
	have := map[int]bool{}
	for _, r := range rows {
		if r.Chaos != nil && r.Chaos.Seed == seed {
			have[r.Chaos.Index] = true
		}
	}
	return have
}

// count says how many rows are so.
func count(rows []row, ok func(row) bool) (n int) {
	for _, r := range rows {
		if ok(r) {
			n++
		}
	}
	return n
}

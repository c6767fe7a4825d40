package sysfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

// plant makes files below a root: a line "path = text" is a file, "path -> to" a
// link. A text may have lines, written as \n.
func plant(t *testing.T, root, what string) {
	t.Helper()
	for line := range strings.Lines(what) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, text, isFile := strings.Cut(line, " = ")
		if !isFile {
			name, text, _ = strings.Cut(line, " -> ")
		}
		name = filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		switch {
		case err != nil:
		case isFile:
			err = os.WriteFile(name, []byte(strings.ReplaceAll(text, `\n`, "\n")+"\n"), 0o644)
		default:
			err = os.Symlink(text, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read reads a tree once.
func read(t *testing.T, root string) map[string]sensors.Reading {
	t.Helper()
	all := map[string]sensors.Reading{}
	for _, s := range New(root, "").Find() {
		for _, r := range s.Read(nil, time.Unix(1e9, 0), time.Second) {
			if _, twice := all[r.ID]; twice {
				t.Errorf("%s is there twice", r.ID)
			}
			all[r.ID] = r
		}
	}
	return all
}

// chipAt plants a hwmon chip whose device is a path below sys/devices.
func chipAt(t *testing.T, root, hwmon, device, files string) {
	t.Helper()
	dir := "sys/devices/" + device + "/hwmon/" + hwmon + "/"
	var b strings.Builder
	for line := range strings.Lines(files) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(dir + line + "\n")
		}
	}
	plant(t, root, b.String()+"sys/class/hwmon/"+hwmon+" -> ../../../"+strings.TrimSuffix(dir, "/"))
}

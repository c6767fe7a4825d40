//go:build !lite

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
)

// A pairFiles is where the two files go.
type pairFiles struct {
	dir, config, keys string
	keysText          string
	keysThere         bool // a key file was there, and is kept
	replace           bool // a configuration was there, and --force was given
	backup            string
}

// newPairFiles looks whether the files may be written, before anything is asked.
func newPairFiles(dir string, force bool) (*pairFiles, error) {
	t := &pairFiles{dir: dir, config: filepath.Join(dir, "twinbeat.toml"), keys: filepath.Join(dir, "keys")}
	if err := t.mayWrite(); err != nil {
		return nil, err
	}
	_, err := os.Lstat(t.config)
	switch {
	case err == nil && !force:
		return nil, &control.Error{Text: t.config + " exists", Advice: "--force replaces it and keeps it under another name; --output writes elsewhere"}
	case err == nil:
		t.replace = true
		t.backup = t.config + "." + time.Now().UTC().Format("20060102T150405Z")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("look for a configuration: %w", err)
	}
	data, err := os.ReadFile(t.keys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.keysText = freshKeys(1)
		return t, nil
	case err == nil:
		_, err = agent.LoadKeys(t.keys)
	}
	if err != nil {
		return nil, fmt.Errorf("use the key file that is there: %w", err)
	}
	t.keysThere, t.keysText = true, string(data)
	return t, nil
}

// old is the configuration that is replaced, as far as it can be read.
func (t *pairFiles) old() config.Config {
	data, err := os.ReadFile(t.config)
	if err != nil {
		return config.Config{}
	}
	c, _ := config.Parse(t.config, data, "")
	return c
}

// mayWrite says so before somebody has answered a dozen questions in vain.
func (t *pairFiles) mayWrite() error {
	err := unix.Access(t.dir, unix.W_OK)
	if errors.Is(err, unix.ENOENT) {
		err = unix.Access(filepath.Dir(t.dir), unix.W_OK) // place makes one folder, not its parents
	}
	if err != nil {
		return &control.Error{Text: fmt.Sprintf("write into %s: %v", t.dir, err), Advice: "as root, or into another folder by --output"}
	}
	return nil
}

// place writes both files or none. Whoever reads meanwhile sees the old or the
// new configuration, and the new one only beside its key. Signals wait.
func (t *pairFiles) place(text, node string) (err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	var undo []string // in reverse
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, os.Remove(undo[i]))
		}
	}()
	if err := os.Mkdir(t.dir, 0o700); err == nil {
		undo = append(undo, t.dir)
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	staged, err := t.stage(text, node)
	if err != nil {
		return err
	}
	defer os.Remove(staged)
	if !t.keysThere {
		if err := writeKeys(t.keys, []byte(t.keysText), false); err != nil {
			return err
		}
		undo = append(undo, t.keys)
	}
	if t.replace {
		if err := t.keepOld(); err != nil {
			return err
		}
		undo = append(undo, t.backup)
		err = os.Rename(staged, t.config)
	} else { // link, unlike rename, never replaces
		err = os.Link(staged, t.config)
	}
	if err != nil {
		return fmt.Errorf("put configuration in place: %w", err)
	}
	if err := syncDir(t.dir); err != nil { // it is in place: nothing is taken back
		fmt.Fprintln(os.Stderr, "twinbeat:", err)
	}
	return nil
}

// stage writes the configuration beside its place, and has the loader read what
// the disk gives back.
func (t *pairFiles) stage(text, node string) (name string, err error) {
	f, err := os.CreateTemp(t.dir, ".twinbeat-init-*")
	if err != nil {
		return "", fmt.Errorf("make configuration: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	data, err := os.ReadFile(f.Name())
	if err == nil && !bytes.Equal(data, []byte(text)) {
		err = errors.New("the disk gives back something else")
	}
	if err != nil {
		return "", fmt.Errorf("read configuration back: %w", err)
	}
	if _, problems := config.Parse(t.config, data, node); config.Refused(problems) {
		return "", fmt.Errorf("%s is refused: nothing was written", t.config)
	}
	return f.Name(), nil
}

// keepOld copies the configuration that is there.
func (t *pairFiles) keepOld() (err error) {
	data, err := os.ReadFile(t.config)
	if err != nil {
		return fmt.Errorf("keep the old configuration: %w", err)
	}
	f, err := os.OpenFile(t.backup, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the old configuration: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("keep the old configuration: %w", err), os.Remove(t.backup))
	}
	return nil
}

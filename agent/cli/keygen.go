package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/wire"
)

var keygenCommand = command{
	name: "keygen", args: "[--out FILE] [--id ID] [--add | --activate ID | --remove ID] [--force]", summary: "make or rotate the key that signs heartbeats",
	text: `Make a key file with one fresh key, mode 0600. Both nodes need the same file; it
is never overwritten without --force.

A new key without a pause: --add on one node and copy the file to the other,
then --activate the new one and copy, then --remove the old one and copy. The
agents take up a changed file by themselves; between two steps see in
twinbeat events that both did.`,
	examples: []string{
		"twinbeat keygen", "scp -p /etc/twinbeat/keys fw2:/etc/twinbeat/keys",
		"twinbeat keygen --add", "twinbeat keygen --activate 2", "twinbeat keygen --remove 1",
	},
	flags: []string{"out", "id", "add", "activate", "remove", "force", "config"},
	run:   (*shell).keygen,
}

// maxKeyID is the highest id that the frame's header has room for.
const maxKeyID = 255

func (sh *shell) keygen(o *options, _ []string) error {
	steps := 0
	for _, asked := range []bool{o.add, o.activate != 0, o.remove != 0} {
		if asked {
			steps++
		}
	}
	switch {
	case steps > 1:
		return &usageError{text: "keygen: --add, --activate and --remove are steps of their own", hint: "twinbeat help keygen shows their order"}
	case o.id != 0 && (o.activate != 0 || o.remove != 0):
		return &usageError{text: "keygen: --id goes with a new key"}
	case o.force && steps > 0:
		return &usageError{text: "keygen: --force goes with a new file"}
	}
	for _, id := range []int{o.id, o.activate, o.remove} {
		if id < 0 || id > maxKeyID {
			return &usageError{text: fmt.Sprintf("keygen: %d is no key id", id), hint: "ids are 1 to 255"}
		}
	}
	path := keyPath(o)
	switch {
	case steps == 0:
		return sh.newKeyFile(path, max(o.id, 1), o.force)
	case path == "-":
		return &usageError{text: "keygen: stdout cannot be changed", hint: "name the file with --out"}
	}
	return sh.changeKeyFile(path, o)
}

// keyPath is --out, else what the configuration says, else the default.
func keyPath(o *options) string {
	if o.out != "" {
		return o.out
	}
	if data, err := os.ReadFile(o.config); err == nil {
		if c, _ := config.Parse(o.config, data, ""); c.KeyFile != "" {
			return c.KeyFile
		}
	}
	return defaultKeys
}

func freshKey(id int) string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	return wire.GenerateKey(random, uint8(id))
}

// freshKeys is a key file with one key, which is active.
func freshKeys(id int) string {
	return fmt.Sprintf("# twinbeat: who has this file can command the pair; mode 0600\nactive %d\n%s", id, freshKey(id))
}

func (sh *shell) newKeyFile(path string, id int, force bool) error {
	data := freshKeys(id)
	if path == "-" {
		return sh.print(data)
	}
	if err := writeKeys(path, []byte(data), force); err != nil {
		return err
	}
	return sh.print(fmt.Sprintf("%s: made key %d, active\nthe other node needs the same file: scp -p %s PEER:%s\n", path, id, path, path))
}

// changeKeyFile does one step of a rotation. The file keeps its comments, and
// is replaced only by one that the agent accepts.
func (sh *shell) changeKeyFile(path string, o *options) error {
	ring, err := agent.LoadKeys(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read key file: %w", err)
	}
	changed, done, err := rotate(string(data), ring, o)
	if err != nil {
		return err
	}
	now, problems := wire.ParseKeys(path, []byte(changed))
	for _, p := range problems {
		err = errors.Join(err, p)
	}
	if err != nil {
		return err
	}
	if err := writeKeys(path, []byte(changed), true); err != nil {
		return err
	}
	return sh.print(fmt.Sprintf("%s: %s; now %s\ncopy it to the other node before the next step\n", path, done, now))
}

// rotate returns the text of the file after the step that o asks for.
func rotate(data string, ring *wire.Keyring, o *options) (changed, done string, err error) {
	ids := ring.IDs()
	known := func(id int) bool { return slices.Contains(ids, uint8(id)) }
	switch {
	case o.add:
		id := o.id
		for id == 0 || (o.id == 0 && known(id) && id < maxKeyID) {
			id++
		}
		if known(id) {
			return "", "", fmt.Errorf("add key %d: the file has one already", id)
		}
		return strings.TrimRight(data, "\n") + "\n" + freshKey(id), fmt.Sprintf("added key %d, not yet active", id), nil
	case o.activate != 0:
		if !known(o.activate) {
			return "", "", fmt.Errorf("activate key %d: the file has %s", o.activate, ring)
		}
		return edit(data, "active", int(ring.Active()), fmt.Sprintf("active %d\n", o.activate)), fmt.Sprintf("activated key %d", o.activate), nil
	case !known(o.remove):
		return "", "", fmt.Errorf("remove key %d: the file has %s", o.remove, ring)
	case o.remove == int(ring.Active()):
		return "", "", &control.Error{Text: fmt.Sprintf("remove key %d: it is the active one", o.remove), Advice: "activate another one first, on both nodes"}
	}
	return edit(data, "key", o.remove, ""), fmt.Sprintf("removed key %d", o.remove), nil
}

// edit replaces the line that begins with the verb and the id.
func edit(data, verb string, id int, with string) string {
	var b strings.Builder
	for line := range strings.Lines(data) {
		said, _, _ := strings.Cut(line, "#") // as ParseKeys reads it
		words := strings.Fields(said)
		if len(words) >= 2 && words[0] == verb && words[1] == strconv.Itoa(id) {
			line = with
		}
		b.WriteString(line)
	}
	return b.String()
}

// writeKeys puts a key file in its place in one step, mode 0600, so that no
// reader ever sees half of it, nor anybody else any of it.
func writeKeys(path string, data []byte, replace bool) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".twinbeat-keys-*") // mode 0600
	if errors.Is(err, fs.ErrNotExist) {
		return &control.Error{Text: "make key file: no directory " + dir, Advice: "make it: mkdir -p " + dir}
	}
	if err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil && replace {
		err = keepOwner(f, path)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else { // link, unlike rename, never replaces
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return &control.Error{
			Text:   fmt.Sprintf("make key file: %s exists", path),
			Advice: "--add adds a key to it; --force throws its keys away, and the pair apart until both nodes have the new file",
		}
	}
	if err != nil {
		return fmt.Errorf("put key file in place: %w", err)
	}
	return syncDir(dir)
}

// keepOwner gives a file the owner that the one it replaces has.
func keepOwner(f *os.File, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid()) {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync key file: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("sync key file: %w", err)
	}
	return nil
}

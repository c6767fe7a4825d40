package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestChildrenAreFoundWhateverTheyAreCalled(t *testing.T) {
	proc := t.TempDir()
	for pid, stat := range map[string]string{
		"7": "7 (sh) S 42 7 7 0", "8": "8 (a) b) 42 (c) Z 42 8 8 0", "9": "9 (42) S 1 9 9 0",
		"10": "10 (x) S 421 0", "11": "", "self": "12 (x) S 42 0", "13": "13 (torn",
	} {
		if err := os.Mkdir(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "stat"), []byte(stat), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := children(proc, 42)
	slices.Sort(got)
	if fmt.Sprint(got) != "[7 8]" {
		t.Errorf("children %v, want [7 8]", got)
	}
	if got := children(filepath.Join(proc, "none"), 42); got != nil {
		t.Errorf("without proc: %v", got)
	}
	list := filepath.Join(proc, "42", "task", "42")
	if err := errors.Join(os.MkdirAll(list, 0o755), os.WriteFile(filepath.Join(list, "children"), []byte("70 80 "), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := children(proc, 42); fmt.Sprint(got) != "[70 80]" {
		t.Errorf("children %v, want what the kernel lists: [70 80]", got)
	}
}

// A process that becomes another program keeps its children and its packet sockets.
func TestWhatTheAgentBeforeLeftIsClearedUp(t *testing.T) {
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 3"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if errors.Is(err, unix.EPERM) {
		t.Skip("packet sockets need CAP_NET_RAW")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	fresh := &agent{}
	if fresh.inherit(); len(fresh.inherited) > 0 {
		t.Errorf("an agent that an init started took sockets %v", fresh.inherited)
	}
	a := &agent{opts: Options{Became: 1}}
	a.inherit()
	if !slices.Contains(a.inherited, fd) {
		t.Errorf("sockets %v, want %d among them", a.inherited, fd)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("programs that the agent starts would get its sockets: flags %x, %v", flags, err)
	}
	for range 500 {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("child %d was not waited for", pid)
}

func TestAProgramThatDoesNotRunOrRefusesIsNotBecome(t *testing.T) {
	dir := t.TempDir()
	config, path := filepath.Join(dir, "some.toml"), filepath.Join(dir, "next")
	script := func(text string) *Program {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		p := ThisProgram(config, "fw1")
		p.path, p.check[0] = path, path
		return p
	}
	for text, want := range map[string]string{
		"#!/bin/sh\necho line 3: no such key >&2\nexit 1\n":                      "exit code 1: line 3: no such key",
		"\x7fELF of another machine":                                             "exec format error",
		"#!/bin/sh\n[ \"$*\" = \"check --config " + config + " --node fw1\" ]\n": "",
	} {
		p := script(text)
		err := p.Accepts(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if !p.Same() {
			t.Errorf("%q: it is said to have been replaced", text)
		}
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o755), os.Rename(path+".new", path)); err != nil || p.Same() {
			t.Errorf("%q: %v; it was replaced after it was asked", text, err)
		}
	}
	p := ThisProgram(config, "")
	p.path = filepath.Join(dir, "none")
	if err := p.Accepts(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is gone: %v", err)
	}
}

// A link may lead to another program after an upgrade, and a relative name means
// nothing to a check that runs elsewhere.
func TestAProgramIsKnownByTheNameThatItWasCalledBy(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Args[0]
	t.Cleanup(func() { os.Args[0] = old })
	link := filepath.Join(t.TempDir(), "twinbeat")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	for called, want := range map[string]string{link: link, "/bin/sh": self, "none": self} {
		os.Args[0] = called
		p := ThisProgram("some.toml", "")
		if p.err != nil || p.path != want || !filepath.IsAbs(p.check[3]) {
			t.Errorf("called %s: %s, %v, %v; want %s", called, p.path, p.check, p.err, want)
		}
	}
}

func TestAProcessKnowsWhenItWasAnotherAgent(t *testing.T) {
	t.Setenv(becameAt, "123")
	p := ThisProgram("some.toml", "")
	if p.Became() != 123 {
		t.Errorf("became %v", p.Became())
	}
	if slices.ContainsFunc(append(p.env, os.Environ()...), func(e string) bool { return strings.HasPrefix(e, becameAt) }) {
		t.Error("the next one would take the moment for its own")
	}
	if p := ThisProgram("some.toml", ""); p.Became() != 0 {
		t.Errorf("became %v", p.Became())
	}
}

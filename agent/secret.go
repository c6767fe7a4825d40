package agent

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSecret bounds a file with a password or community, in bytes; a private
// key of ssh is a few thousand.
const maxSecret = 16 << 10

// readPrivate reads a file that holds a secret. It refuses one that others
// than its owner may read or that somebody else owns, and says what to do.
func readPrivate(what, name string, most int) ([]byte, error) {
	// Without O_NONBLOCK a pipe of that name would hold the caller for ever.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", what, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %q is not a regular file", what, name)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s %q belongs to user %d, who can change it; run: chown root %s", what, name, s.Uid, name)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s %q has mode %04o: others can read it; run: chmod 600 %s", what, name, info.Mode().Perm(), name)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s %q is longer than %d bytes", what, name, most)
	}
	return data, nil
}

// secret reads one from a file, or without one from the environment, whose
// name it is given. Neither gives the empty text.
func secret(what, file, env string) (string, error) {
	if file == "" {
		return os.Getenv(env), nil
	}
	data, err := readPrivate(what, file, maxSecret)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("%s %q is empty", what, file)
	}
	if strings.ContainsAny(text, "\x00\r\n") {
		return "", fmt.Errorf("%s %q has more than one line", what, file)
	}
	return text, nil
}

// secrets of one fence device, read.
type secrets struct {
	community, password, auth, priv string
	identity                        []byte // private key of ssh
	ca                              string // PEM; no secret, but a file, too
}

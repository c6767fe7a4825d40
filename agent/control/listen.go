package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketMode lets root and the group connect; connect(2) needs write permission.
const socketMode = 0o660

// backlog is how many wait to be accepted; more are told EAGAIN.
const backlog = 128

// Config is where the server listens, and for whom.
type Config struct {
	Path  string // of the socket
	Group string // unix group, name or number, whose members may connect; empty: root alone
}

// Listen takes the socket. It refuses if another agent holds it, and replaces
// what a dead agent left. Next to the socket a lock file (".lock") stays for
// ever: the kernel drops the lock with its process, so it cannot lie about who
// lives, and two agents that start at once cannot both win.
func Listen(cfg Config) (*Server, error) {
	gid, err := groupID(cfg.Group)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(cfg.Path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Server{path: cfg.Path, gid: gid, lock: lock}
	if err := s.open(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) open() error {
	if err := clearStale(s.path); err != nil {
		return err
	}
	ln, err := bindPrivate(s.path)
	if err != nil {
		return err
	}
	err = share(s.path, s.gid)
	if err == nil {
		s.file, err = os.Lstat(s.path)
	}
	if err != nil {
		ln.Close()
		os.Remove(s.path)
		return fmt.Errorf("share socket: %w", err)
	}
	s.ln = ln
	return nil
}

// noGroup is the group id that stands for none.
const noGroup = -1

func groupID(group string) (int, error) {
	if group == "" {
		return noGroup, nil
	}
	g, err := user.LookupGroup(group)
	if err == nil {
		return strconv.Atoi(g.Gid)
	}
	if n, numErr := strconv.ParseUint(group, 10, 31); numErr == nil {
		return int(n), nil
	}
	return noGroup, &Error{
		Text:   fmt.Sprintf("look up group %q: %v", group, err),
		Advice: "create it (groupadd " + group + ") or change control_group",
	}
}

// An agent that was killed holds its lock until the kernel has taken its memory
// down: whoever starts at once waits that long, in steps, and no longer.
const (
	lockWait = time.Second
	lockStep = 10 * time.Millisecond
)

// tryLock takes a lock that may be about to be free.
func tryLock(f *os.File) (err error) {
	for range lockWait / lockStep {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		time.Sleep(lockStep)
	}
	return err
}

// takeLock takes the lock that exactly one agent holds.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &Error{
				Text:   "another agent is running: it holds " + path,
				Advice: "see who: fuser -v " + path,
			}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// clearStale removes the socket of a dead agent. The caller holds the lock, so
// no other agent can be between bind and listen.
func clearStale(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at socket: %w", err)
	case fi.Mode().Type() != fs.ModeSocket:
		return &Error{
			Text:   fmt.Sprintf("replace %s: it is no socket", path),
			Advice: "move it away, or change control_socket",
		}
	}
	c, err := dialUnix(path)
	if err == nil {
		c.Close()
		return &Error{
			Text:   fmt.Sprintf("replace %s: another agent is running and serves it", path),
			Advice: "stop it first, or see who it is: fuser -v " + path,
		}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("replace %s: cannot tell whether it is served: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

// bindPrivate binds a socket that nobody but its owner can connect to, from its
// first moment. Linux gives the node in the file system the mode of the socket's
// own inode (unix_bind_bsd in net/unix/af_unix.c), so fchmod before bind leaves
// no window, and the umask of the process stays alone.
func bindPrivate(path string) (*net.UnixListener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // the listener has a copy
	if err = unix.Fchmod(fd, 0o600); err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	ln, err := net.FileListener(f) // does not remove the path: Close does, if it is still ours
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	return ln.(*net.UnixListener), nil
}

// share gives the socket its group, then the group its permission: in this
// order no wrong group is ever let in.
func share(path string, gid int) error {
	if gid != noGroup {
		if err := os.Lchown(path, -1, gid); err != nil {
			return err
		}
		return os.Chmod(path, socketMode)
	}
	return nil
}

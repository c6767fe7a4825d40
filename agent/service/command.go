package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Bounds of one command.
const (
	MaxOutput   = 4 << 10                // bytes kept of the end of each output stream; the rest is counted and dropped
	TermGrace   = 2 * time.Second        // from SIGTERM to SIGKILL after a deadline
	CancelGrace = 300 * time.Millisecond // the same after a cancel: nobody waits for the outcome
	ReapWait    = time.Second            // from SIGKILL to giving up on a process in uninterruptible sleep
	MaxStuck    = 16                     // such processes at once; with more, Run refuses to start another
	MaxArgs     = 256                    // arguments of one command
	MaxStdin    = 4 << 10                // bytes of standard input: what every pipe holds, so that nobody need feed it
	MaxKeep     = 64 << 10               // bytes of output that a Command may ask to be kept
)

// ErrStuck says that a command survived SIGKILL, or that too many did: the
// kernel holds them in uninterruptible sleep, usually for a dead disk.
var ErrStuck = errors.New("command cannot be killed")

// cleanPath is the PATH of every command: the agent's own may come from a
// login shell, and must not decide what runs at three in the morning.
const cleanPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// stuck counts commands that could not be reaped.
var stuck atomic.Int32

// A Command is one program run without a shell: in a session and process
// group of its own, in the root directory, with a clean environment, no
// inherited descriptor, and ordinary scheduling, OOM score and umask whatever
// the agent's are.
type Command struct {
	Argv    []string
	Env     []string      // added to PATH, HOME, LANG and LC_ALL
	Timeout time.Duration // from start to SIGTERM of the group; zero leaves it to the context
	Stdin   string        // standard input, at most MaxStdin bytes; empty: /dev/null
	Keep    int           // bytes kept of standard output, at most MaxKeep; 0: MaxOutput

	// Sweep kills what is left of the group when the program has ended. It is
	// for commands that must leave nothing behind; a start command's daemon
	// lives in that group and must not be swept.
	Sweep bool
}

// A Result is what a command did.
type Result struct {
	Code   int    // exit code; 128 + n if signal n ended it
	Stdout string // end of standard output, at most Command.Keep bytes
	Stderr string // end of standard error, at most MaxOutput bytes
	Whole  bool   // Stdout is all that was written
	Took   time.Duration
}

// Output returns what the command said, for a message: the end of its standard
// error, or of its standard output if it said nothing there, MaxOutput bytes at
// most, with control characters made harmless for a terminal.
func (r Result) Output() string {
	text := strings.TrimSpace(r.Stderr)
	if text == "" {
		text = strings.TrimSpace(r.Stdout)
	}
	text = text[max(0, len(text)-MaxOutput):]
	return strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, text)
}

// Run runs the command and waits for its end, not for the end of daemons that
// it leaves behind. An exit code that is not zero is no error. The error wraps
// context.DeadlineExceeded if the command was killed at its deadline and
// context.Canceled if the caller withdrew it; a program that cannot be run
// gives an error that wraps the system's (fs.ErrNotExist and so on).
//
// It returns at the latest TermGrace + ReapWait after the deadline.
func (c Command) Run(ctx context.Context) (Result, error) {
	began := time.Now()
	path, err := c.lookUp()
	if err != nil {
		return Result{}, err
	}
	if len(c.Stdin) > MaxStdin || c.Keep > MaxKeep {
		return Result{}, fmt.Errorf("run %s: %d bytes of input, %d of output to keep: more than %d, %d", path, len(c.Stdin), c.Keep, MaxStdin, MaxKeep)
	}
	if n := stuck.Load(); n >= MaxStuck {
		return Result{}, fmt.Errorf("run %s: %d earlier commands: %w", path, n, ErrStuck)
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("run %s: %w", path, err)
	}
	job, err := c.start(path)
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", path, err)
	}
	res, err := job.wait(ctx, c.Sweep)
	res.Took = time.Since(began)
	if err != nil {
		return res, fmt.Errorf("run %s: %w after %v%s", path, err, res.Took.Round(time.Millisecond), said(res))
	}
	return res, nil
}

func (c Command) lookUp() (string, error) {
	if len(c.Argv) == 0 || len(c.Argv) > MaxArgs {
		return "", fmt.Errorf("run command: %d arguments, want 1..%d", len(c.Argv), MaxArgs)
	}
	path, err := exec.LookPath(c.Argv[0])
	if err != nil {
		var e *exec.Error
		if errors.As(err, &e) {
			err = e.Err // its own text quotes the name a second time
		}
		return "", fmt.Errorf("run %s: %w", c.Argv[0], err)
	}
	return path, nil
}

// A job is a started command.
type job struct {
	proc        *os.Process
	out, err    *capture
	launchError *os.File      // read end; holds text only if the program could not be run
	exited      chan struct{} // closed when the leader ended; it is not reaped yet
}

// start launches the program through the launcher (see launch.go).
func (c Command) start(path string) (*job, error) {
	j := &job{exited: make(chan struct{})}
	var keep [3]*os.File // the child's ends: ours to close
	defer func() {
		for _, f := range keep {
			if f != nil {
				f.Close()
			}
		}
	}()
	stdin, err := c.stdin()
	if err != nil {
		return nil, err
	}
	keep[0] = stdin
	if j.out, err = newCapture(); err != nil {
		return nil, err
	}
	j.out.keep = max(c.Keep, MaxOutput)
	if j.err, err = newCapture(); err != nil {
		j.out.close()
		return nil, err
	}
	if j.launchError, keep[1], err = os.Pipe(); err != nil {
		j.close()
		return nil, err
	}
	env := append([]string{"PATH=" + cleanPath, "HOME=/", "LANG=C", "LC_ALL=C"}, c.Env...)
	j.proc, err = spawn(path, c.Argv, &os.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []*os.File{stdin, j.out.child, j.err.child, keep[1]},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // a session is a group, too, and has no terminal
	})
	if err != nil {
		j.close()
		return nil, err
	}
	go j.watchExit()
	j.out.run()
	j.err.run()
	return j, nil
}

// stdin returns the child's end of its standard input.
func (c Command) stdin() (*os.File, error) {
	if c.Stdin == "" {
		return os.Open(os.DevNull)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	if _, err := write.WriteString(c.Stdin); err != nil {
		read.Close()
		return nil, err
	}
	return read, nil
}

func (j *job) close() {
	j.out.close()
	j.err.close()
	if j.launchError != nil {
		j.launchError.Close()
	}
}

// watchExit waits for the leader without reaping it: as long as it is a
// zombie its group id cannot be reused, so killing the group hits no stranger.
func (j *job) watchExit() {
	for {
		err := unix.Waitid(unix.P_PID, j.proc.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	close(j.exited)
}

// wait sees the job to its end, whatever that takes.
func (j *job) wait(ctx context.Context, sweep bool) (Result, error) {
	var cause error
	select {
	case <-j.exited:
	case <-ctx.Done():
		cause = ctx.Err()
		if !j.terminate(cause) {
			return j.abandon(cause)
		}
	}
	if cause != nil || sweep {
		// The leader is still unreaped, so the group is ours.
		_ = unix.Kill(-j.proc.Pid, unix.SIGKILL)
	}
	state, err := j.proc.Wait()
	if err != nil {
		j.close()
		return Result{}, err
	}
	res := j.result(state)
	failure := j.launchFailure()
	if cause != nil {
		return res, cause
	}
	return res, failure
}

// terminate ends the group, kindly first, and says whether the leader is gone.
func (j *job) terminate(cause error) bool {
	grace := TermGrace
	if errors.Is(cause, context.Canceled) {
		grace = CancelGrace
	}
	_ = unix.Kill(-j.proc.Pid, unix.SIGTERM)
	// A stopped process takes SIGTERM only once it runs again.
	_ = unix.Kill(-j.proc.Pid, unix.SIGCONT)
	if j.exitsWithin(grace) {
		return true
	}
	_ = unix.Kill(-j.proc.Pid, unix.SIGKILL)
	return j.exitsWithin(ReapWait)
}

func (j *job) exitsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-j.exited:
		return true
	case <-t.C:
		return false
	}
}

// abandon leaves a process that the kernel will not let die, and reaps it
// whenever it does.
func (j *job) abandon(cause error) (Result, error) {
	stuck.Add(1)
	go func() {
		<-j.exited
		_, _ = j.proc.Wait()
		stuck.Add(-1)
	}()
	res := Result{Code: -1, Stdout: j.out.finish(), Stderr: j.err.finish()}
	j.launchError.Close()
	return res, fmt.Errorf("pid %d: %w: %w", j.proc.Pid, ErrStuck, cause)
}

func (j *job) result(state *os.ProcessState) Result {
	res := Result{Code: state.ExitCode(), Stdout: j.out.finish(), Stderr: j.err.finish()}
	res.Whole = j.out.total <= j.out.keep
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		res.Code = 128 + int(ws.Signal())
	}
	return res
}

// launchFailure returns why the program could not be run, if so.
func (j *job) launchFailure() error {
	defer j.launchError.Close()
	var buf [8]byte
	// The write end was closed by the launcher's exec or exit; a launcher that
	// was killed before either leaves nothing to read, and its exit code tells.
	n, _ := j.launchError.Read(buf[:])
	if n == 0 {
		return nil
	}
	errno, err := strconv.Atoi(string(buf[:n]))
	if err != nil {
		return fmt.Errorf("launch: %q", buf[:n])
	}
	return syscall.Errno(errno)
}

// said returns the output as the tail of an error message.
func said(r Result) string {
	if text := r.Output(); text != "" {
		return ": " + text
	}
	return ""
}

// exitError says that a command did not succeed.
func exitError(what string, r Result) error {
	return fmt.Errorf("%s: exit code %d%s", what, r.Code, said(r))
}

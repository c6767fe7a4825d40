package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPeerGroups is NGROUPS_MAX, the most groups a process can have (credentials(7)).
const maxPeerGroups = 65536

// A caller is who connected, as the kernel recorded it at connect(2). It cannot
// be forged, and it does not change when the process does or its id is reused.
type caller struct {
	pid    int32
	uid    uint32
	gid    uint32
	groups []uint32 // supplementary
}

// callerOf asks the kernel who is at the other end: SO_PEERCRED and
// SO_PEERGROUPS (unix(7), since Linux 4.13).
func callerOf(c *net.UnixConn) (caller, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return caller{}, err
	}
	var who caller
	var optErr error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if optErr != nil {
			return
		}
		who.pid, who.uid, who.gid = cred.Pid, cred.Uid, cred.Gid
		who.groups, optErr = peerGroups(int(fd))
	})
	if err = errors.Join(err, optErr); err != nil {
		return caller{}, fmt.Errorf("ask who is calling: %w", err)
	}
	return who, nil
}

// peerGroups returns the supplementary groups of the peer. A kernel without the
// option yields none: then only the primary group counts.
func peerGroups(fd int) ([]uint32, error) {
	for n := 64; n <= maxPeerGroups; n *= 32 { // at most three turns
		groups := make([]uint32, n)
		size := uint32(n) * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			return groups[:size/4], nil
		case syscall.ERANGE:
			continue
		case syscall.ENOPROTOOPT:
			return nil, nil
		}
		return nil, errno
	}
	return nil, errors.New("more groups than NGROUPS_MAX")
}

// admit says whether the caller may use the socket: root, the user the agent
// runs as, and members of the group. The mode of the socket says the same; this
// also holds if somebody loosens the mode.
func (s *Server) admit(who caller) error {
	if who.uid == 0 || who.uid == uint32(os.Geteuid()) {
		return nil
	}
	if s.gid != noGroup && (who.gid == uint32(s.gid) || slices.Contains(who.groups, uint32(s.gid))) {
		return nil
	}
	advice := "run it as root, or set control_group to a group of yours"
	if s.gid != noGroup {
		advice = fmt.Sprintf("run it as root or as a member of group %s; a new membership counts from the next login", groupName(s.gid))
	}
	return &Error{Text: fmt.Sprintf("uid %d may not control this agent", who.uid), Advice: advice}
}

// name writes the caller for the journal.
func (c caller) name() string {
	id := strconv.FormatUint(uint64(c.uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return fmt.Sprintf("%s (uid %s)", u.Username, id)
	}
	return "uid " + id
}

func groupName(gid int) string {
	id := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

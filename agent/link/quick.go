package link

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below go to the kernel without telling the Go scheduler, which
// would wake its monitor thread each time an otherwise idle process makes a
// call: two more sleeps and wakeups of a thread for each frame. They are for
// non-blocking descriptors and calls that end in microseconds only; for their
// length no goroutine of this thread's processor runs.

// QuickRead reads from a non-blocking descriptor.
func QuickRead(fd uintptr, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return result(n, errno)
}

// QuickWrite writes to a non-blocking descriptor.
func QuickWrite(fd uintptr, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return result(n, errno)
}

// QuickGetInt asks a device for a number by an ioctl that does not wait for
// hardware.
func QuickGetInt(fd uintptr, request uint) (int, error) {
	var value int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(unsafe.Pointer(&value)))
	if errno != 0 {
		return 0, errno
	}
	return int(value), nil
}

// QuickSend sends one datagram without waiting for room; to is a socket
// address in the form of the kernel, empty for a connected socket.
func QuickSend(fd uintptr, b, to []byte) error {
	var p, a unsafe.Pointer
	if len(b) > 0 {
		p = unsafe.Pointer(&b[0])
	}
	if len(to) > 0 {
		a = unsafe.Pointer(&to[0])
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(p), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(a), uintptr(len(to)))
	if errno != 0 {
		return errno
	}
	return nil
}

// QuickReceive receives one datagram into the buffers that h names, without
// waiting for one.
func QuickReceive(fd uintptr, h *unix.Msghdr) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT)
	return result(n, errno)
}

func result(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

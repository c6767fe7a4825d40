package gate

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// ChangeKind says what happened to the table.
type ChangeKind uint8

// What happened. All but DeviceVanished call for Restore.
const (
	Deleted        ChangeKind = iota + 1 // a stranger deleted the table: nothing is gated
	Altered                              // a stranger changed something in the table
	DeviceAppeared                       // a device of the gate came (back); some kernels do not gate it until Restore
	DeviceVanished                       // a device of the gate is gone
	Overrun                              // too many changes to follow: Verify tells
)

func (k ChangeKind) String() string {
	switch k {
	case Deleted:
		return "deleted"
	case Altered:
		return "altered"
	case DeviceAppeared:
		return "device appeared"
	case DeviceVanished:
		return "device vanished"
	case Overrun:
		return "overrun"
	}
	return fmt.Sprintf("change %d", uint8(k))
}

// A Change is something that happened to the table by another hand.
type Change struct {
	Kind   ChangeKind
	Device string // of DeviceAppeared and DeviceVanished
	By     string // "nft[4711]" of Deleted and Altered; thread id as of the first pid namespace
}

// Watch reports changes that others make to the table or its devices until the
// context ends, which is the only case that returns nil. fn runs in the calling
// goroutine and may call Restore.
func (g *Gate) Watch(ctx context.Context, fn func(Change)) error {
	w := watcher{gate: g, fn: fn, known: map[string]int{}, buf: make([]byte, receiveSize)}
	var err error
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("watch gate: %w", err)
	}
	defer unix.Close(w.wake)
	if w.rules, err = subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES); err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer unix.Close(w.rules)
	if w.links, err = subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK); err != nil {
		return fmt.Errorf("watch devices: %w", err)
	}
	defer unix.Close(w.links)
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 1})
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken // the descriptor must not be closed under the write
		}
	}()
	w.look()
	return w.run(ctx)
}

func subscribe(protocol int, group int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

type watcher struct {
	gate               *Gate
	fn                 func(Change)
	wake, rules, links int
	known              map[string]int // device indexes
	pending            ChangeKind     // what the transaction being reported did to us
	buf                []byte
}

// look notes the devices that are there when watching begins.
func (w *watcher) look() {
	for _, name := range w.gate.devices() {
		if d, err := index(w.links, name); err == nil {
			w.known[name] = d.index
		}
	}
}

func (g *Gate) devices() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg.devices()
}

// bound says whether the device was there when the table was put in order last.
func (g *Gate) bound(name string, number int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.indexes[name] == number
}

// unbind notes that a device is not where it was: it goes by another name now,
// or by none. Whoever comes in its place is to be told of.
func (g *Gate) unbind(number int, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for known, n := range g.indexes {
		if n == number && known != name {
			delete(g.indexes, known)
		}
	}
}

func (w *watcher) run(ctx context.Context) error {
	polled := []unix.PollFd{{Fd: int32(w.wake), Events: unix.POLLIN}, {Fd: int32(w.rules), Events: unix.POLLIN}, {Fd: int32(w.links), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		if _, err := unix.Poll(polled, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("watch gate: %w", err)
		}
		if polled[1].Revents != 0 {
			if err := w.drain(w.rules, w.rule); err != nil {
				return fmt.Errorf("watch nftables: %w", err)
			}
		}
		if polled[2].Revents != 0 {
			if err := w.drain(w.links, w.link); err != nil {
				return fmt.Errorf("watch devices: %w", err)
			}
		}
	}
	return nil
}

// drain reads what is queued, at most maxDatagrams before the other socket has
// its turn.
func (w *watcher) drain(fd int, each func(message)) error {
	for range maxDatagrams {
		n, _, _, _, err := unix.Recvmsg(fd, w.buf, nil, unix.MSG_DONTWAIT)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.EINTR:
			continue
		case unix.ENOBUFS:
			w.pending = 0
			w.fn(Change{Kind: Overrun})
			continue
		default:
			return err
		}
		_ = eachMessage(w.buf[:n], func(m message) error { // a malformed rest is of no use
			each(m)
			return nil
		})
	}
	return nil
}

// rule handles one nftables notification. A transaction is reported object by
// object and ends with a message that names the process.
func (w *watcher) rule(m message) {
	kind, family, a, ok := m.nft()
	if !ok {
		return
	}
	if kind == unix.NFT_MSG_NEWGEN {
		if w.pending != 0 {
			by := fmt.Sprintf("%s[%d]", text(attr(a, unix.NFTA_GEN_PROC_NAME)), be32(attr(a, unix.NFTA_GEN_PROC_PID)))
			w.fn(Change{Kind: w.pending, By: by})
			w.pending = 0
		}
		return
	}
	// The table's name is attribute 1 of every object.
	if family != unix.NFPROTO_NETDEV || text(attr(a, unix.NFTA_TABLE_NAME)) != w.gate.cfg.Table || m.port == w.gate.nl.port {
		return
	}
	if kind == unix.NFT_MSG_DELTABLE {
		w.pending = Deleted
	} else if w.pending == 0 {
		w.pending = Altered
	}
}

// link handles one notification about a network device.
func (w *watcher) link(m message) {
	if len(m.body) < unix.SizeofIfInfomsg || m.body[0] != unix.AF_UNSPEC { // a bridge also reports its ports
		return
	}
	number := int(int32(binary.NativeEndian.Uint32(m.body[4:])))
	name := text(attr(m.body[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME))
	here := name
	if m.kind == unix.RTM_DELLINK {
		here = ""
	}
	w.gate.unbind(number, here)
	for known, n := range w.known {
		if n == number && (m.kind == unix.RTM_DELLINK || known != name) { // gone or renamed
			delete(w.known, known)
			w.fn(Change{Kind: DeviceVanished, Device: known})
		}
	}
	if m.kind != unix.RTM_NEWLINK || w.known[name] == number {
		return
	}
	if w.gate.bound(name, number) { // Update brought it
		w.known[name] = number
		return
	}
	for _, ours := range w.gate.devices() {
		if ours == name {
			w.known[name] = number
			w.fn(Change{Kind: DeviceAppeared, Device: name})
		}
	}
}

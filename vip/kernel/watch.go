package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

const (
	// Memory for news that wait: about 1,000 of them.
	watchBuffer = 1 << 20
	// News read before they are judged. What is beyond waits in the socket.
	maxNews = 4096
)

// EventKind sorts what Watch reports.
type EventKind uint8

// The kinds of events.
const (
	_ EventKind = iota
	// AddressGone: a VIP that Take has set is not in the kernel any more, and
	// it was not Drop that removed it. Expired tells a lapsed lifetime from a
	// stranger's hand.
	AddressGone
	// AddressSeen: a VIP that this node does not hold is in the kernel.
	AddressSeen
	// RouteGone: a route that Take has set is not in the kernel any more.
	RouteGone
	// LinkUp: a device can carry frames (administratively up, with carrier).
	LinkUp
	// LinkDown: a device can carry frames no longer, or is gone.
	LinkDown
	// DeviceChanged: a device appeared, vanished, or was renamed; what was on
	// it must be set again.
	DeviceChanged
	// OwnAddressesChanged: an address that is no VIP came or went.
	OwnAddressesChanged
	// Resynced: the kernel had more news than fitted; everything was read anew
	// and what had changed has been reported.
	Resynced
)

var eventNames = [...]string{
	"unknown", "address gone", "address seen", "route gone", "link up", "link down",
	"device changed", "own addresses changed", "resynced",
}

// String names the kind in words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return eventNames[0]
}

// An Event is something that happened to what we hold, or to the ground it
// stands on.
type Event struct {
	Kind    EventKind
	Device  string
	Address vip.Address // AddressGone, AddressSeen
	Expired bool        // AddressGone: the lifetime had passed
	Route   vip.Route   // RouteGone
	Text    string      // DeviceChanged: what happened
}

// Watch tells report, in the calling goroutine, what changes in the kernel
// until ctx ends; then it returns nil. It first reports what it finds: the
// state of each device except the loopback, VIPs that we do not hold but are
// there, and those we hold that are not. It does not report what Take, Renew
// and Drop do themselves.
func (k *Kernel) Watch(ctx context.Context, report func(Event)) error {
	s, err := subscribe()
	if err != nil {
		return err
	}
	defer s.close()
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	w := &watcher{
		k: k, report: report, links: map[uint32]device{}, own: map[ownID]bool{},
		gone: map[place]*wanted{}, seen: map[place]bool{}, lost: map[routeID]*vip.Route{},
	}
	if err := w.resync(); err != nil {
		return err
	}
	w.started = true
	return w.run(ctx, s)
}

// subscribe opens a socket that hears the news. It joins the groups only when
// the filter stands, so that nothing comes past it.
func subscribe() (*socket, error) {
	s, err := newSocket()
	if err != nil {
		return nil, err
	}
	// Without the privilege the usual buffer has to do, with more resyncs.
	_ = s.SetReceiveBufferSize(watchBuffer, true)
	if err := attachFilter(s.GetFd()); err != nil {
		s.close()
		return nil, err
	}
	for _, group := range []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	} {
		if err := unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			s.close()
			return nil, fmt.Errorf("subscribe to netlink group %d: %w", group, err)
		}
	}
	return s, nil
}

// attachFilter lets the kernel keep all route news from us but the removal of
// our own: on a router that speaks BGP there may be a million of the others.
func attachFilter(fd int) error {
	const (
		typeAt     = 4                       // nlmsg_type, in the host's byte order
		protocolAt = unix.SizeofNlMsghdr + 5 // rtm_protocol
		all        = 0xffffffff              // accept the whole message
		loadHalf   = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		loadByte   = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal      = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		verdict    = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: loadHalf, K: typeAt},
		{Code: equal, Jf: 1, K: hostOrder(unix.RTM_NEWROUTE)},
		{Code: verdict, K: 0},
		{Code: equal, Jf: 3, K: hostOrder(unix.RTM_DELROUTE)},
		{Code: loadByte, K: protocolAt},
		{Code: equal, Jt: 1, K: Protocol},
		{Code: verdict, K: 0},
		{Code: verdict, K: all},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("attach netlink filter: %w", err)
	}
	return nil
}

// hostOrder is the value that BPF, which loads big-endian, sees for a 16-bit
// number in the host's order.
func hostOrder(v uint16) uint32 {
	var b [2]byte
	native.PutUint16(b[:], v)
	return uint32(b[0])<<8 | uint32(b[1])
}

// A watcher knows what has been reported, so that each change is told once.
type watcher struct {
	k       *Kernel
	report  func(Event)
	started bool

	links map[uint32]device
	own   map[ownID]bool
	gone  map[place]*wanted // as Take made it: taken again, it is reported again
	seen  map[place]bool
	lost  map[routeID]*vip.Route // the same

	// What the news at hand call for.
	judgeAddresses, judgeRoutes, ownChanged bool
	events                                  []Event
}

type ownID struct {
	index  uint32
	prefix netip.Prefix
}

func (w *watcher) run(ctx context.Context, s *socket) error {
	for {
		err := w.read(s)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			w.started = true
			if err := w.resync(); err != nil {
				return err
			}
			w.report(Event{Kind: Resynced})
		case err != nil:
			return fmt.Errorf("watch netlink: %w", err)
		}
		if err := w.judge(); err != nil {
			return err
		}
	}
}

// read waits for news and reads what there is, up to the bound, so that a
// thousand news at once are judged once.
func (w *watcher) read(s *socket) error {
	news, err := s.wait()
	for n := 1; err == nil && len(news) > 0; n++ {
		for _, m := range news {
			w.note(m.Header.Type, m.Data)
		}
		if n == maxNews {
			break
		}
		news, err = s.poll()
	}
	return err
}

func (w *watcher) note(kind uint16, body []byte) {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if d, ok := parseDevice(body); ok {
			w.noteLink(d, kind == unix.RTM_NEWLINK)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if e, ok := parseAddress(body); ok {
			w.noteAddress(e, kind == unix.RTM_NEWADDR)
		}
	case unix.RTM_DELROUTE:
		w.judgeRoutes = true
	}
}

func (w *watcher) noteLink(d device, exists bool) {
	w.k.remember(d, exists)
	was, had := w.links[d.index]
	if exists {
		w.links[d.index] = d
	} else {
		delete(w.links, d.index)
		d.running = false
	}
	if d.loopback {
		return
	}
	switch {
	case !exists && had:
		w.changed(d.name, "removed")
	case exists && !had && w.started:
		w.changed(d.name, fmt.Sprintf("appeared as number %d", d.index))
	case exists && had && was.name != d.name:
		w.changed(d.name, "renamed from "+was.name)
	}
	if d.running != was.running || !had {
		kind := LinkDown
		if d.running {
			kind = LinkUp
		}
		w.tell(Event{Kind: kind, Device: d.name})
		w.judgeRoutes = true // IPv4 routes go with the device, without news
	}
}

// changed also has the addresses judged: those of a device that is gone go
// without a word when the device's address list is torn down with it.
func (w *watcher) changed(name, text string) {
	w.tell(Event{Kind: DeviceChanged, Device: name, Text: text})
	w.judgeAddresses, w.judgeRoutes = true, true
}

func (w *watcher) noteAddress(e entry, exists bool) {
	e.device = w.links[e.index].name
	if w.k.vipNews(e, exists) {
		w.judgeAddresses = true
	}
	if w.k.isOwn(e) {
		w.noteOwn(ownID{e.index, e.prefix}, exists)
	}
}

func (w *watcher) noteOwn(id ownID, exists bool) {
	if w.own[id] == exists {
		return // a renewed lifetime, not a change
	}
	if exists {
		w.own[id] = true
	} else {
		delete(w.own, id)
	}
	w.ownChanged = true
}

func (w *watcher) tell(e Event) { w.events = append(w.events, e) }

// judge compares what is to be with what is, where the news gave reason to,
// and reports. It asks the kernel instead of believing the order of the news:
// between a removal and its news Take may have set the address again.
func (w *watcher) judge() error {
	if w.judgeAddresses {
		w.judgeAddresses = false
		if err := w.compareAddresses(); err != nil {
			return err
		}
	}
	if w.judgeRoutes {
		w.judgeRoutes = false
		if err := w.compareRoutes(); err != nil {
			return err
		}
	}
	if w.ownChanged {
		w.ownChanged = false
		w.tell(Event{Kind: OwnAddressesChanged})
	}
	events := w.events
	w.events = nil
	for _, e := range events {
		w.report(e)
	}
	return nil
}

func (w *watcher) compareAddresses() error {
	w.k.mu.Lock()
	defer w.k.mu.Unlock()
	held, err := w.k.listAddresses()
	if err != nil {
		return err
	}
	here := make(map[place]entry, len(held))
	for _, e := range held {
		here[place{e.prefix.Addr(), e.device}] = e
	}
	now := time.Now()
	for at, want := range w.k.wanted {
		_, ok := here[at]
		if !ok && w.gone[at] != want {
			expired := !want.until.IsZero() && !now.Before(want.until)
			w.tell(Event{Kind: AddressGone, Device: at.device, Address: want.address, Expired: expired})
		}
		mark(w.gone, at, want, !ok)
	}
	for at, want := range w.gone {
		mark(w.gone, at, want, w.k.wanted[at] != nil)
	}
	for at, e := range here {
		foreign := w.k.isVIP(e) && w.k.wanted[at] == nil
		if foreign && !w.seen[at] {
			w.tell(Event{Kind: AddressSeen, Device: at.device, Address: e.address()})
		}
		mark(w.seen, at, true, foreign)
	}
	for at := range w.seen {
		_, ok := here[at]
		mark(w.seen, at, true, ok)
	}
	return nil
}

// mark keeps the maps of marks as small as what they mark.
func mark[K comparable, V any](marks map[K]V, key K, value V, set bool) {
	if set {
		marks[key] = value
	} else {
		delete(marks, key)
	}
}

func (w *watcher) compareRoutes() error {
	w.k.mu.Lock()
	defer w.k.mu.Unlock()
	if len(w.k.routes) == 0 {
		clear(w.lost)
		return nil
	}
	held, err := w.k.listRoutes()
	if err != nil {
		return err
	}
	for id, r := range w.k.routes {
		if !held[id] && w.lost[id] != r {
			w.tell(Event{Kind: RouteGone, Device: r.Device, Route: *r})
		}
		mark(w.lost, id, r, !held[id])
	}
	for id, r := range w.lost {
		mark(w.lost, id, r, w.k.routes[id] != nil)
	}
	return nil
}

// resync reads the devices and addresses and notes every difference from what
// is known.
func (w *watcher) resync() error {
	w.k.mu.Lock()
	devices, err := w.k.listDevices()
	var held []entry
	if err == nil {
		held, err = w.k.listAddresses()
	}
	w.k.mu.Unlock()
	if err != nil {
		return err
	}
	present := make(map[uint32]bool, len(devices))
	for _, d := range devices {
		present[d.index] = true
	}
	for index, d := range w.links {
		if !present[index] {
			w.noteLink(d, false)
		}
	}
	for _, d := range devices {
		w.noteLink(d, true)
	}
	own := make(map[ownID]bool, len(held))
	for _, e := range held {
		if w.k.isOwn(e) {
			own[ownID{e.index, e.prefix}] = true
			w.noteOwn(ownID{e.index, e.prefix}, true)
		}
	}
	for id := range w.own {
		w.noteOwn(id, own[id])
	}
	w.judgeAddresses, w.judgeRoutes = true, true
	return w.judge()
}

// remember keeps the device table of the Kernel fresh.
func (k *Kernel) remember(d device, exists bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, other := range k.devices {
		if other.index == d.index && (name != d.name || !exists) {
			delete(k.devices, name)
		}
	}
	if exists {
		k.devices[d.name] = d
	}
}

func (k *Kernel) isOwn(e entry) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.isVIP(e) && k.wanted[place{e.prefix.Addr(), e.device}] == nil
}

// vipNews says whether an address that came or went is a reason to compare:
// one that we want went, or one that we do not want came or went. What comes
// and is wanted is our own Take or Renew.
func (k *Kernel) vipNews(e entry, exists bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	want := k.wanted[place{e.prefix.Addr(), e.device}] != nil
	if want {
		return !exists
	}
	return k.isVIP(e)
}

// listRoutes lists the routes that carry our protocol number.
func (k *Kernel) listRoutes() (map[routeID]bool, error) {
	held := map[routeID]bool{}
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: fam, Protocol: Protocol}} // kernels from 4.20 on filter by it
		found, err := list(k.s, unix.RTM_GETROUTE, parseRoute, header)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, id := range found {
			held[id] = true
		}
	}
	return held, nil
}

// parseRoute reads an RTM_NEWROUTE of ours. The library's own list parses
// every route there is, and makes the binary 200 KB bigger.
func parseRoute(m []byte) (routeID, bool) {
	if len(m) < unix.SizeofRtMsg {
		return routeID{}, false
	}
	header := nl.DeserializeRtMsg(m)
	if header.Protocol != Protocol {
		return routeID{}, false
	}
	dst := netip.IPv4Unspecified()
	if header.Family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	id := routeID{table: uint32(header.Table)}
	attributes(m[header.Len():], func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_DST:
			dst = address(value)
		case unix.RTA_GATEWAY:
			id.via = address(value)
		case unix.RTA_TABLE:
			id.table = number(value)
		case unix.RTA_PRIORITY:
			id.metric = number(value)
		}
	})
	id.dst = netip.PrefixFrom(dst, int(header.Dst_len))
	return id, id.dst.IsValid()
}

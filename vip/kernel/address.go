package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// An entry is an address as the kernel holds it.
type entry struct {
	index  uint32
	device string
	prefix netip.Prefix
	label  string
	scope  uint8
	flags  uint32
	valid  uint32 // seconds left, or forever
	proto  uint8  // IFA_PROTO; 0 before Linux 5.18
}

// ours says whether twinbeat set the address. Where the kernel keeps no
// protocol, a limited lifetime is the mark.
func (e entry) ours() bool {
	return e.proto == Protocol || (e.proto == 0 && e.valid != forever)
}

func (e entry) usable() bool {
	return e.flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
}

func (e entry) address() vip.Address {
	a := vip.Address{Prefix: e.prefix, Device: e.device, Scope: scopeName(e.scope)}
	if e.label != e.device {
		a.Label = e.label // the kernel shows the device's name where there is no label
	}
	return a
}

// matches says whether the entry is exactly what a asks for.
func (e entry) matches(a vip.Address) bool {
	label := a.Label
	if label == a.Device {
		label = ""
	}
	have := e.address()
	return have.Prefix == a.Prefix && have.Label == label && have.Scope == a.EffectiveScope()
}

var scopes = map[string]uint8{
	"":       unix.RT_SCOPE_UNIVERSE,
	"global": unix.RT_SCOPE_UNIVERSE,
	"link":   unix.RT_SCOPE_LINK,
	"host":   unix.RT_SCOPE_HOST,
}

func scopeName(scope uint8) string {
	switch scope {
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	}
	return "global"
}

// parseAddress reads an RTM_NEWADDR or RTM_DELADDR. The library's own Addr
// leaves IFA_PROTO out.
func parseAddress(m []byte) (entry, bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return entry{}, false
	}
	header := nl.DeserializeIfAddrmsg(m)
	e := entry{index: header.Index, flags: uint32(header.Flags), scope: header.Scope, valid: forever}
	var local, peer netip.Addr
	attributes(m[header.Len():], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local = address(value)
		case unix.IFA_ADDRESS:
			peer = address(value)
		case unix.IFA_LABEL:
			e.label = unix.ByteSliceToString(value)
		case unix.IFA_FLAGS:
			e.flags = number(value)
		case unix.IFA_CACHEINFO:
			if len(value) >= unix.SizeofIfaCacheinfo {
				e.valid = nl.DeserializeIfaCacheInfo(value).Valid
			}
		case ifaProto:
			if len(value) > 0 {
				e.proto = value[0]
			}
		}
	})
	if !local.IsValid() {
		local = peer // IPv6 sends only IFA_ADDRESS unless there is a peer
	}
	e.prefix = netip.PrefixFrom(local, int(header.Prefixlen))
	return e, e.prefix.IsValid()
}

func (k *Kernel) listAddresses() ([]entry, error) {
	found, err := list(k.s, unix.RTM_GETADDR, parseAddress, nl.NewIfAddrmsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	names := k.names()
	for _, e := range found {
		if _, ok := names[e.index]; ok {
			continue
		}
		if err := k.readDevices(); err != nil { // a device we have not met
			return nil, err
		}
		names = k.names()
		break // whatever has no name now was removed meanwhile
	}
	for i := range found {
		found[i].device = names[found[i].index]
	}
	return found, nil
}

func (k *Kernel) names() map[uint32]string {
	names := make(map[uint32]string, len(k.devices))
	for _, d := range k.devices {
		names[d.index] = d.name
	}
	return names
}

// Flags of a request to set an address.
const (
	create  = unix.NLM_F_CREATE | unix.NLM_F_EXCL    // only if it is not there
	replace = unix.NLM_F_CREATE | unix.NLM_F_REPLACE // there or not
	refresh = unix.NLM_F_REPLACE                     // only if it is there, with onlyThere
)

// onlyThere makes the kernel renew an address only if it is there. The kernel
// ignores a missing NLM_F_CREATE for addresses and would create one that has
// lapsed, so that a process that was stopped for a while would revive it. But
// only when it creates an address does it join the multicast group that
// IFA_F_MCAUTOJOIN (Linux 4.1) asks for, and for an address that is not
// multicast this fails with EINVAL before anything is added. New tests it.
const onlyThere = unix.IFA_F_MCAUTOJOIN

// setRequest asks for an address of ours. The prefix route of one on a virtual
// device gives way to that of the device it stands on: two alike would take
// turns with each loss of carrier, and a strict rp_filter drops what comes in by
// the other one.
func (k *Kernel) setRequest(a vip.Address, valid uint32, how int) *nl.NetlinkRequest {
	r := setRequest(a, k.index(a.Device), valid, how)
	if vip.IsVirtual(a.Device) {
		r.AddData(nl.NewRtAttr(ifaRtPriority, nl.Uint32Attr(virtualMetric)))
	}
	return r
}

func setRequest(a vip.Address, index, valid uint32, how int) *nl.NetlinkRequest {
	ip := a.Prefix.Addr()
	life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Prefered: valid, Valid: valid}}
	r := addressRequest(unix.RTM_NEWADDR, how, a.Prefix, index, scopes[a.EffectiveScope()],
		nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()), nl.NewRtAttr(ifaProto, nl.Uint8Attr(Protocol)))
	if brd := vip.Broadcast(a.Prefix); brd.IsValid() {
		r.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, brd.AsSlice()))
	}
	if a.Label != "" && ip.Is4() {
		r.AddData(nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(a.Label)))
	}
	var flags uint32
	if ip.Is6() {
		flags |= unix.IFA_F_NODAD
	}
	if how == refresh {
		flags |= onlyThere
	}
	if flags != 0 {
		r.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags)))
	}
	return r
}

func addressRequest(kind, how int, p netip.Prefix, index uint32, scope uint8, more ...nl.NetlinkRequestData) *nl.NetlinkRequest {
	header := nl.NewIfAddrmsg(family(p.Addr()))
	header.Prefixlen, header.Index, header.Scope = uint8(p.Bits()), index, scope
	ip := p.Addr().AsSlice()
	r := request(kind, how, header, nl.NewRtAttr(unix.IFA_LOCAL, ip), nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	r.Data = append(r.Data, more...)
	return r
}

// refusedAddresses are those that the kernel did not set.
type refusedAddresses struct {
	exist []vip.Address // there already
	lost  []vip.Address // the device's number may be stale
	errs  []error       // why, for each of lost
}

// put asks for every address and returns, by reason, those the kernel did not
// set. Other failures go to f.
func (k *Kernel) put(ctx context.Context, as []vip.Address, valid uint32, how int, f *faults) refusedAddresses {
	var r refusedAddresses
	err := k.s.do(ctx, work{
		n: len(as),
		build: func(i int) *nl.NetlinkRequest {
			return k.setRequest(as[i], valid, how)
		},
		fail: func(i int, err error) {
			if refused(err, unix.EEXIST) {
				r.exist = append(r.exist, as[i])
				return
			}
			// Whatever else it is, a stale index can be the reason.
			r.lost = append(r.lost, as[i])
			r.errs = append(r.errs, err)
		},
	})
	if err != nil {
		f.add(fmt.Errorf("add addresses: %w", err))
	}
	return r
}

func (k *Kernel) putAddresses(ctx context.Context, as []vip.Address, lifetime time.Duration, f *faults) {
	if len(as) == 0 {
		return
	}
	valid := seconds(lifetime)
	k.want(as, valid) // before they are set, so that Watch misses no removal
	r := k.put(ctx, as, valid, create, f)
	if len(r.lost) > 0 {
		again := k.retry(ctx, r, valid, f)
		r.exist = append(r.exist, again.exist...)
		for i, a := range again.lost {
			delete(k.wanted, placeOf(a))
			f.add(fmt.Errorf("add address %s: %w", a, again.errs[i]))
		}
	}
	if len(r.exist) > 0 {
		k.adopt(ctx, r.exist, valid, f)
	}
}

// retry reads the devices anew and tries once more where that changed the
// index: the device was removed and made again since we looked.
func (k *Kernel) retry(ctx context.Context, r refusedAddresses, valid uint32, f *faults) refusedAddresses {
	before := k.devices
	if err := k.readDevices(); err != nil {
		f.add(err)
		return r
	}
	var still refusedAddresses
	var moved []vip.Address
	for i, a := range r.lost {
		if k.index(a.Device) != before[a.Device].index {
			moved = append(moved, a)
			continue
		}
		still.lost = append(still.lost, a)
		still.errs = append(still.errs, r.errs[i])
	}
	if len(moved) == 0 {
		return still
	}
	f.add(k.promote(ctx, moved))
	second := k.put(ctx, moved, valid, create, f)
	still.exist = second.exist
	still.lost = append(still.lost, second.lost...)
	still.errs = append(still.errs, second.errs...)
	return still
}

// adopt makes addresses ours that are there already. Those that are as we want
// them are renewed in place. The others go and come again: the kernel changes
// no label, scope or prefix length in place, does not clear a failed duplicate
// address detection, and when it gives a permanent IPv6 address a lifetime it
// gives it to the prefix route too, which others share.
func (k *Kernel) adopt(ctx context.Context, as []vip.Address, valid uint32, f *faults) {
	held, err := k.listAddresses()
	if err != nil {
		f.add(err)
		return
	}
	at := make(map[place]entry, len(held))
	for _, e := range held {
		at[place{e.prefix.Addr(), e.device}] = e
	}
	var old []entry
	for _, a := range as {
		e, ok := at[placeOf(a)]
		stranger := ok && !e.ours()
		if stranger {
			k.found(Finding{
				Kind: Adopted, Address: a, Device: a.Device,
				Text: fmt.Sprintf("address %s was there already, set by someone else; it is kept as ours", a),
			})
		}
		if ok && (!e.matches(a) || !e.usable() || (stranger && a.Prefix.Addr().Is6())) {
			old = append(old, e)
		}
	}
	f.add(k.remove(ctx, old))
	// replace sets the lifetime of what is there and adds what is not.
	rest := k.put(ctx, as, valid, replace, f)
	for i, a := range rest.lost {
		delete(k.wanted, placeOf(a))
		f.add(fmt.Errorf("add address %s: %w", a, rest.errs[i]))
	}
}

func (k *Kernel) want(as []vip.Address, valid uint32) {
	until := deadline(valid)
	for _, a := range as {
		k.wanted[placeOf(a)] = &wanted{address: a, until: until}
	}
}

func deadline(valid uint32) time.Time {
	if valid == forever {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(valid) * time.Second)
}

// remove takes entries out of the kernel; that one is not there is no failure.
func (k *Kernel) remove(ctx context.Context, entries []entry) error {
	var f faults
	err := k.s.do(ctx, work{
		n: len(entries),
		build: func(i int) *nl.NetlinkRequest {
			return addressRequest(unix.RTM_DELADDR, 0, entries[i].prefix, entries[i].index, 0)
		},
		fail: func(i int, err error) {
			if !refused(err, gone...) {
				f.add(fmt.Errorf("remove address %s from %s: %w", entries[i].prefix, entries[i].device, err))
			}
		},
	})
	if err != nil {
		f.add(fmt.Errorf("remove addresses: %w", err))
	}
	return f.join()
}

func (k *Kernel) dropAddresses(ctx context.Context, as []vip.Address, f *faults) {
	if len(as) == 0 {
		return
	}
	for _, a := range as {
		delete(k.wanted, placeOf(a))
	}
	// Last added, first removed: removing the first of a subnet makes the
	// kernel promote the next and set its routes again, a thousand times over.
	entries := make([]entry, 0, len(as))
	for _, a := range slices.Backward(as) {
		if index := k.index(a.Device); index != 0 {
			entries = append(entries, entry{index: index, device: a.Device, prefix: a.Prefix})
		}
	}
	f.add(k.remove(ctx, entries))
	f.add(k.verifyGone(ctx, as))
}

// verifyGone looks whether a dropped address is left anywhere, and removes
// what IPv6 leaves behind.
func (k *Kernel) verifyGone(ctx context.Context, as []vip.Address) error {
	held, err := k.listAddresses()
	if err != nil {
		return err
	}
	dropped := make(map[netip.Addr][]vip.Address, len(as))
	for _, a := range as {
		dropped[a.Prefix.Addr()] = append(dropped[a.Prefix.Addr()], a)
	}
	var left []entry
	var f faults
	for _, e := range held {
		named := dropped[e.prefix.Addr()]
		if len(named) == 0 {
			continue
		}
		here := slices.ContainsFunc(named, func(a vip.Address) bool { return a.Device == e.device })
		switch {
		case here:
			left = append(left, e)
			k.found(Finding{
				Kind: Resized, Address: e.address(), Device: e.device,
				Text: fmt.Sprintf("address %s was on %s as well; removed", e.prefix, e.device),
			})
		case e.prefix.Addr().IsLinkLocalUnicast() && e.prefix.Addr().Is6():
			// Another link, another address.
		default:
			k.found(Finding{
				Kind: FoundElsewhere, Address: e.address(), Device: e.device,
				Text: fmt.Sprintf("dropped address %s is also on %s; it was left there", e.prefix.Addr(), e.device),
			})
			f.add(fmt.Errorf("drop address %s: %s: %w", e.prefix.Addr(), e.device, ErrElsewhere))
		}
	}
	f.add(k.remove(ctx, left))
	k.dropPrefixRoutes(ctx, as, held, &f)
	return f.join()
}

// Renew gives the addresses their full lifetime again. It renews only what is
// still there: the kernel itself compares and refreshes in one step, so that a
// process that was stopped cannot revive an address that has lapsed meanwhile.
// The error is a *MissingError if any was gone; the others are renewed. It
// allocates nothing for each address; the caller slices large sets (see
// vip.Renewals).
func (k *Kernel) Renew(ctx context.Context, as []vip.Address, lifetime time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	valid := seconds(lifetime)
	there := as
	var missing []vip.Address
	if !k.canCompare(as) {
		var err error
		if there, missing, err = k.present(as); err != nil {
			return err
		}
	}
	var f faults
	until := deadline(valid)
	err := k.s.do(ctx, work{
		n: len(there),
		build: func(i int) *nl.NetlinkRequest {
			a := there[i]
			if want, ok := k.wanted[placeOf(a)]; ok {
				want.until = until
			}
			return k.setRequest(a, valid, refresh)
		},
		fail: func(i int, err error) {
			if refused(err, append(gone, unix.EINVAL)...) {
				missing = append(missing, there[i])
				return
			}
			f.add(fmt.Errorf("renew address %s: %w", there[i], err))
		},
	})
	if err != nil {
		f.add(fmt.Errorf("renew addresses: %w", err))
	}
	if len(missing) > 0 {
		f.add(&MissingError{Addresses: missing})
	}
	return f.join()
}

func (k *Kernel) canCompare(as []vip.Address) bool {
	for i := range as {
		if six := as[i].Prefix.Addr().Is6(); (six && !k.compare[1]) || (!six && !k.compare[0]) {
			return false
		}
	}
	return true
}

// present parts addresses into those that are there and those that are not.
func (k *Kernel) present(as []vip.Address) (there, missing []vip.Address, err error) {
	held, err := k.listAddresses()
	if err != nil {
		return nil, nil, err
	}
	at := make(map[place]bool, len(held))
	for _, e := range held {
		at[place{e.prefix.Addr(), e.device}] = true
	}
	for _, a := range as {
		if at[placeOf(a)] {
			there = append(there, a)
		} else {
			missing = append(missing, a)
		}
	}
	return there, missing, nil
}

// probeCompare finds out whether this kernel refuses to renew what is not
// there, with an address of the documentation ranges on the loopback device
// and a lifetime of one second. A kernel that adds it gets it removed at once,
// and Renew then looks first and renews after.
func (k *Kernel) probeCompare() {
	var loopback string
	for _, d := range k.devices {
		if d.loopback {
			loopback = d.name
		}
	}
	for i, text := range []string{"127.84.84.84/32", "2001:db8:5454::84/128"} {
		a := vip.Address{Prefix: netip.MustParsePrefix(text), Device: loopback}
		var refusal error
		err := k.s.do(context.Background(), work{
			n: 1,
			build: func(int) *nl.NetlinkRequest {
				return setRequest(a, k.index(loopback), 1, refresh)
			},
			fail: func(_ int, err error) { refusal = err },
		})
		k.compare[i] = err == nil && refused(refusal, unix.EINVAL)
		if err == nil && refusal == nil {
			_ = k.remove(context.Background(), []entry{{index: k.index(loopback), device: loopback, prefix: a.Prefix}})
		}
	}
}

// Held lists those addresses of the set that are in the kernel now, with the
// prefix length, label and scope they have there.
func (k *Kernel) Held(ctx context.Context, set vip.Set) ([]vip.Address, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	held, err := k.listAddresses()
	if err != nil {
		return nil, err
	}
	named := make(map[place]bool, len(set.Addresses))
	for _, a := range set.Addresses {
		named[placeOf(a)] = true
	}
	var found []vip.Address
	for _, e := range held {
		if named[place{e.prefix.Addr(), e.device}] {
			found = append(found, e.address())
		}
	}
	return vip.Set{Addresses: found}.Canonical().Addresses, nil
}

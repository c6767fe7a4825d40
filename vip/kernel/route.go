package kernel

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// IPv6 gives a route without a metric this one (IP6_RT_PRIO_USER).
const metricIPv6 = 1024

// A routeID is what makes two routes the same for us.
type routeID struct {
	dst    netip.Prefix
	via    netip.Addr
	table  uint32
	metric uint32
}

func idOf(r vip.Route) routeID {
	id := routeID{dst: r.Dst, via: r.Via, table: tableOf(r.Table), metric: uint32(r.Metric)}
	if r.Dst.Addr().Is6() && id.metric == 0 {
		id.metric = metricIPv6
	}
	return id
}

func tableOf(table int) uint32 {
	if table == 0 {
		return unix.RT_TABLE_MAIN
	}
	return uint32(table)
}

// routeScope is what `ip route` would choose. IPv6 ignores it.
func routeScope(r vip.Route) uint8 {
	if r.Scope == "" && !r.Via.IsValid() && r.Dst.Addr().Is4() {
		return unix.RT_SCOPE_LINK
	}
	return scopes[r.Scope]
}

func buildRoute(w *builder, r vip.Route, index, seq uint32, kind, flags uint16) {
	table := tableOf(r.Table)
	w.begin(kind, flags, seq)
	var routeFlags uint32
	if r.OnLink {
		routeFlags = unix.RTNH_F_ONLINK
	}
	scope := routeScope(r)
	if kind == unix.RTM_DELROUTE {
		scope = unix.RT_SCOPE_NOWHERE // any
	}
	w.b = append(w.b, family(r.Dst.Addr()), uint8(r.Dst.Bits()), 0, 0)
	w.b = append(w.b, uint8(min(table, unix.RT_TABLE_COMPAT)), Protocol, scope, unix.RTN_UNICAST)
	w.b = native.AppendUint32(w.b, routeFlags)
	if r.Dst.Bits() > 0 {
		w.address(unix.RTA_DST, r.Dst.Addr())
	}
	w.number(unix.RTA_TABLE, table)
	if r.Via.IsValid() {
		w.address(unix.RTA_GATEWAY, r.Via)
	}
	if index != 0 {
		w.number(unix.RTA_OIF, index)
	}
	if r.Src.IsValid() && kind == unix.RTM_NEWROUTE {
		w.address(unix.RTA_PREFSRC, r.Src)
	}
	if r.Metric != 0 {
		w.number(unix.RTA_PRIORITY, uint32(r.Metric))
	}
	w.end()
}

// withDevice leaves out the routes whose device does not exist.
func (k *Kernel) withDevice(routes []vip.Route, missing func(r vip.Route)) []vip.Route {
	var rest []vip.Route
	for _, r := range routes {
		if r.Device == "" || k.index(r.Device) != 0 {
			rest = append(rest, r)
		} else {
			missing(r)
		}
	}
	return rest
}

func (k *Kernel) putRoutes(ctx context.Context, routes []vip.Route, f *faults) {
	if len(routes) == 0 {
		return
	}
	for _, r := range routes {
		k.routes[idOf(r)] = &r // before it is set, so that Watch misses no removal
	}
	failed, errs := k.setRoutes(ctx, routes, f)
	if len(failed) > 0 {
		before := k.devices
		f.add(k.readDevices())
		failed, errs = k.againIfMoved(ctx, before, failed, errs, f)
	}
	for i, r := range failed {
		delete(k.routes, idOf(r))
		f.add(fmt.Errorf("set route %s: %w", r, errs[i]))
	}
}

// againIfMoved sets those routes once more whose device has another number now.
func (k *Kernel) againIfMoved(ctx context.Context, before map[string]device, routes []vip.Route, errs []error, f *faults) ([]vip.Route, []error) {
	var moved, still []vip.Route
	var why []error
	for i, r := range routes {
		if r.Device != "" && before[r.Device].index != k.index(r.Device) {
			moved = append(moved, r)
			continue
		}
		still = append(still, r)
		why = append(why, errs[i])
	}
	failed, reasons := k.setRoutes(ctx, moved, f)
	return append(still, failed...), append(why, reasons...)
}

func (k *Kernel) setRoutes(ctx context.Context, routes []vip.Route, f *faults) (failed []vip.Route, errs []error) {
	refuse := func(r vip.Route, err error) {
		failed = append(failed, r)
		errs = append(errs, err)
	}
	routes = k.withDevice(routes, func(r vip.Route) { refuse(r, unix.ENODEV) })
	err := k.s.do(ctx, work{
		n: len(routes),
		build: func(w *builder, i int, seq uint32) {
			buildRoute(w, routes[i], k.index(routes[i].Device), seq, unix.RTM_NEWROUTE, replace)
		},
		fail: func(i int, err error) { refuse(routes[i], err) },
	})
	if err != nil {
		f.add(fmt.Errorf("set routes: %w", err))
	}
	return failed, errs
}

func (k *Kernel) dropRoutes(ctx context.Context, routes []vip.Route, f *faults) {
	if len(routes) == 0 {
		return
	}
	for _, r := range routes {
		delete(k.routes, idOf(r))
	}
	routes = k.withDevice(routes, func(vip.Route) {}) // no device, no route
	err := k.s.do(ctx, work{
		n: len(routes),
		build: func(w *builder, i int, seq uint32) {
			buildRoute(w, routes[i], k.index(routes[i].Device), seq, unix.RTM_DELROUTE, 0)
		},
		fail: func(i int, err error) {
			if !refused(err, gone...) {
				f.add(fmt.Errorf("remove route %s: %w", routes[i], err))
			}
		},
	})
	if err != nil {
		f.add(fmt.Errorf("remove routes: %w", err))
	}
}

// dropPrefixRoutes removes the prefix routes of dropped IPv6 addresses. The
// kernel lets the prefix route of an address with a lifetime run out instead
// of removing it with the address. It stays if another address of the same
// prefix is on the device, and if it is not the kernel's own.
func (k *Kernel) dropPrefixRoutes(ctx context.Context, as []vip.Address, held []entry) error {
	type link struct {
		prefix netip.Prefix
		device string
	}
	routes := map[link]bool{}
	for _, a := range as {
		if a.Prefix.Addr().Is6() && a.Prefix.Bits() < 128 && k.index(a.Device) != 0 {
			routes[link{a.Prefix.Masked(), a.Device}] = true
		}
	}
	if len(routes) == 0 {
		return nil
	}
	for _, e := range held {
		delete(routes, link{e.prefix.Masked(), e.device})
	}
	var left []link
	for l := range routes {
		left = append(left, l)
	}
	var f faults
	f.add(k.s.do(ctx, work{
		n: len(left),
		build: func(w *builder, i int, seq uint32) {
			l := left[i]
			w.begin(unix.RTM_DELROUTE, 0, seq)
			w.b = append(w.b, unix.AF_INET6, uint8(l.prefix.Bits()), 0, 0)
			w.b = append(w.b, unix.RT_TABLE_MAIN, unix.RTPROT_KERNEL, 0, unix.RTN_UNICAST)
			w.b = append(w.b, 0, 0, 0, 0)
			w.address(unix.RTA_DST, l.prefix.Addr())
			w.number(unix.RTA_OIF, k.index(l.device))
			w.end()
		},
		fail: func(i int, err error) {
			if !refused(err, gone...) {
				f.add(fmt.Errorf("remove prefix route %s from %s: %w", left[i].prefix, left[i].device, err))
			}
		},
	}))
	return f.join()
}

func buildRule(w *builder, r vip.Rule, seq uint32, kind, flags uint16) {
	fam := uint8(unix.AF_INET)
	if r.IPv6 {
		fam = unix.AF_INET6
	}
	w.begin(kind, flags, seq)
	w.b = append(w.b, fam, uint8(prefixLength(r.To)), uint8(prefixLength(r.From)), 0)
	w.b = append(w.b, uint8(min(tableOf(r.Table), unix.RT_TABLE_COMPAT)), 0, 0, unix.FR_ACT_TO_TBL)
	w.b = append(w.b, 0, 0, 0, 0)
	if prefixLength(r.From) > 0 {
		w.address(unix.FRA_SRC, r.From.Addr())
	}
	if prefixLength(r.To) > 0 {
		w.address(unix.FRA_DST, r.To.Addr())
	}
	if r.IIf != "" {
		w.text(unix.FRA_IIFNAME, r.IIf)
	}
	if r.OIf != "" {
		w.text(unix.FRA_OIFNAME, r.OIf)
	}
	if r.FwMark != 0 {
		w.number(unix.FRA_FWMARK, r.FwMark)
	}
	w.number(unix.FRA_TABLE, tableOf(r.Table))
	w.number(unix.FRA_PRIORITY, uint32(r.Priority))
	w.end()
}

func prefixLength(p netip.Prefix) int { return max(p.Bits(), 0) }

func (k *Kernel) addRules(ctx context.Context, rules []vip.Rule, f *faults) {
	k.rules(ctx, rules, unix.RTM_NEWRULE, create, func(r vip.Rule, err error) {
		if !refused(err, unix.EEXIST) { // the same rule is there: what we want
			f.add(fmt.Errorf("add rule %s: %w", r, err))
		}
	}, f)
}

func (k *Kernel) dropRules(ctx context.Context, rules []vip.Rule, f *faults) {
	k.rules(ctx, rules, unix.RTM_DELRULE, 0, func(r vip.Rule, err error) {
		if !refused(err, gone...) {
			f.add(fmt.Errorf("remove rule %s: %w", r, err))
		}
	}, f)
}

func (k *Kernel) rules(ctx context.Context, rules []vip.Rule, kind, flags uint16, fail func(vip.Rule, error), f *faults) {
	err := k.s.do(ctx, work{
		n:     len(rules),
		build: func(w *builder, i int, seq uint32) { buildRule(w, rules[i], seq, kind, flags) },
		fail:  func(i int, err error) { fail(rules[i], err) },
	})
	if err != nil {
		f.add(fmt.Errorf("change rules: %w", err))
	}
}

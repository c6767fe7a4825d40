package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
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
func routeScope(r vip.Route) netlink.Scope {
	if r.Scope == "" && !r.Via.IsValid() && r.Dst.Addr().Is4() {
		return unix.RT_SCOPE_LINK
	}
	return netlink.Scope(scopes[r.Scope])
}

func (k *Kernel) routeOf(r vip.Route) *netlink.Route {
	flags := 0
	if r.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	return &netlink.Route{
		Dst: netOf(r.Dst), Gw: r.Via.AsSlice(), Src: r.Src.AsSlice(), LinkIndex: int(k.index(r.Device)), Flags: flags,
		Table: int(tableOf(r.Table)), Priority: r.Metric, Scope: routeScope(r), Protocol: Protocol, Type: unix.RTN_UNICAST,
	}
}

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// inTurn does the same to each, one after the other, and notes what was
// refused. It stops when ctx ends, and when the kernel does not answer.
func inTurn[T fmt.Stringer](ctx context.Context, f *faults, what string, all []T, do func(T) error) {
	for _, x := range all {
		if err := ctx.Err(); err != nil {
			f.add(fmt.Errorf("%ss: %w", what, err))
			return
		}
		err := said(do(x))
		if err != nil {
			f.add(fmt.Errorf("%s %s: %w", what, x, err))
		}
		if errors.Is(err, errNoAnswer) {
			return
		}
	}
}

func (k *Kernel) putRoutes(ctx context.Context, routes []vip.Route, f *faults) {
	for _, r := range routes {
		k.routes[idOf(r)] = &r // before it is set, so that Watch misses no removal
	}
	var before map[string]device // until a refusal made us read them anew
	inTurn(ctx, f, "set route", routes, func(r vip.Route) error {
		err := k.setRoute(r)
		if err != nil && before == nil {
			before = k.devices
			f.add(k.readDevices())
		}
		if err != nil && before[r.Device].index != k.index(r.Device) {
			err = k.setRoute(r) // the device was removed and made again
		}
		if err != nil {
			delete(k.routes, idOf(r))
		}
		return err
	})
}

func (k *Kernel) setRoute(r vip.Route) error {
	if r.Device != "" && k.index(r.Device) == 0 {
		return unix.ENODEV
	}
	return netlink.RouteReplace(k.routeOf(r))
}

func (k *Kernel) dropRoutes(ctx context.Context, routes []vip.Route, f *faults) {
	for _, r := range routes {
		delete(k.routes, idOf(r))
	}
	inTurn(ctx, f, "remove route", routes, func(r vip.Route) error {
		if r.Device != "" && k.index(r.Device) == 0 {
			return nil // no device, no route
		}
		old := k.routeOf(r)
		old.Scope, old.Src = unix.RT_SCOPE_NOWHERE, nil // any
		return unless(netlink.RouteDel(old), gone...)
	})
}

// dropPrefixRoutes removes the prefix routes of dropped IPv6 addresses. The
// kernel lets the prefix route of an address with a lifetime run out instead
// of removing it with the address. It stays if another address of the same
// prefix is on the device, and if it is not the kernel's own.
func (k *Kernel) dropPrefixRoutes(ctx context.Context, as []vip.Address, held []entry, f *faults) {
	routes := map[vip.Route]bool{}
	for _, a := range as {
		if a.Prefix.Addr().Is6() && a.Prefix.Bits() < 128 && k.index(a.Device) != 0 {
			routes[vip.Route{Dst: a.Prefix.Masked(), Device: a.Device}] = true
		}
	}
	for _, e := range held {
		delete(routes, vip.Route{Dst: e.prefix.Masked(), Device: e.device})
	}
	inTurn(ctx, f, "remove prefix route", slices.Collect(maps.Keys(routes)), func(r vip.Route) error {
		old := k.routeOf(r)
		old.Protocol = unix.RTPROT_KERNEL
		return unless(netlink.RouteDel(old), gone...)
	})
}

func ruleOf(r vip.Rule) *netlink.Rule {
	out := netlink.NewRule()
	out.Src, out.Dst, out.IifName, out.OifName = netOf(r.From), netOf(r.To), r.IIf, r.OIf
	out.Mark, out.Table, out.Priority = r.FwMark, int(tableOf(r.Table)), r.Priority
	out.Family = unix.AF_INET
	if r.IPv6 {
		out.Family = unix.AF_INET6
	}
	return out
}

func addRules(ctx context.Context, rules []vip.Rule, f *faults) {
	inTurn(ctx, f, "add rule", rules, func(r vip.Rule) error {
		return unless(netlink.RuleAdd(ruleOf(r)), unix.EEXIST) // the same rule is there: what we want
	})
}

func dropRules(ctx context.Context, rules []vip.Rule, f *faults) {
	inTurn(ctx, f, "remove rule", rules, func(r vip.Rule) error {
		return unless(netlink.RuleDel(ruleOf(r)), gone...)
	})
}

package gate

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// nftables data types (nft's src/include/datatype.h): only for how `nft list`
// prints a key.
const (
	typeIPv4 = 7
	typeIPv6 = 8
	typeMark = 19
)

// Names of the sets. A new meaning needs a new name: a newer agent that finds
// an older table then replaces the set instead of misreading it.
const (
	setTurn  = "turn"  // turn number, expires after Window
	setLease = "lease" // group, expires after its Lease
	setVIP4  = "vip4"  // virtual address to the chain of its group
	setVIP6  = "vip6"
	setOwn4  = "own4" // our own addresses
	setOwn6  = "own6"
	setAway4 = "away4_" // and a device: virtual addresses that are not at home there
	setAway6 = "away6_"
)

const (
	// collectEvery is how often the kernel frees expired elements. Until then
	// they slow down a refresh of the same key, so turns use rotating keys.
	collectEvery = 500 * time.Millisecond
	// turnKeys is how many keys the turns rotate through: at 1,000 turns a
	// second four seconds pass before one is used again.
	turnKeys = 4096
	// setBound is the size of the dynamic sets: all keys and the expired
	// elements not yet collected. Beyond it the kernel refuses the refresh and
	// the gate closes.
	setBound = 2 * turnKeys
)

// regKey is the 16-byte register for all that is compared or looked up.
const regKey = unix.NFT_REG_1

// features says what this kernel's nftables can do.
type features struct {
	control bool // egress hook on loopback: control frames are answered in the send call
	egress  bool // egress hook on the devices
	fib     bool // fib expression: tells local delivery from routing past
	erase   bool // sets can be deleted from by the packet path
	owner   bool // table owner that survives its process
	late    bool // chains may be bound to devices that come later
}

type rule struct {
	chain string
	exprs []expr.Any
}

// A layout is all that the table shall hold, except what the packet path puts
// into turn and lease.
type layout struct {
	sets    []setSpec
	content map[string][]element
	chains  []chainSpec
	rules   []rule
}

func newLayout(c Config, f features, cookie [cookieSize]byte) layout {
	l := layout{
		sets: []setSpec{
			{name: setTurn, keyType: typeMark, keyLen: 4, timeouts: true, size: setBound, collectExpiredIn: collectEvery},
			{name: setLease, keyType: typeMark, keyLen: 4, timeouts: true, size: setBound, collectExpiredIn: collectEvery},
			{name: setVIP4, keyType: typeIPv4, keyLen: 4, verdicts: true},
			{name: setVIP6, keyType: typeIPv6, keyLen: 16, verdicts: true},
			{name: setOwn4, keyType: typeIPv4, keyLen: 4},
			{name: setOwn6, keyType: typeIPv6, keyLen: 16},
		},
		content: map[string][]element{},
	}
	l.addresses(c)
	l.groups()
	l.control(c, f, cookie)
	for _, device := range c.devices() {
		d := deviceLayout{layout: &l, features: f, name: device}
		d.home, d.foreign = c.at(device)
		d.groups = c.Groups
		d.away(c)
		d.ingress()
		if f.egress {
			d.egress()
		}
	}
	return l
}

// addresses fills the maps from VIP to group and the sets of own addresses.
func (l *layout) addresses(c Config) {
	virtual := map[netip.Addr]bool{}
	for _, g := range c.Groups {
		for _, a := range g.VIPs {
			virtual[a] = true
			set := setVIP6
			if a.Is4() {
				set = setVIP4
			}
			l.content[set] = append(l.content[set], element{string(a.AsSlice()), groupChain(g.ID)})
		}
	}
	own4, own6 := ownElements(c.Own, virtual)
	l.content[setOwn4], l.content[setOwn6] = own4, own6
}

// groupChain is where the maps send what concerns a virtual address of a group.
func groupChain(id uint8) string { return fmt.Sprintf("group%d", id) }

// groups lays out one chain for each possible group: pass while the lease is
// unexpired, else drop. All of them are always there, so that an address never
// lacks the chain it points to.
//
// A map from address to group number, looked up in the leases next, would do
// without chains, but nft 1.0.6 (Debian 12) aborts when it lists such a rule.
func (l *layout) groups() {
	for id := range uint8(MaxGroups) {
		l.chain(chainSpec{name: groupChain(id)})
		l.rule(groupChain(id), leased(id), accept())
		l.rule(groupChain(id), drop())
	}
}

// leased matches while the group's lease is unexpired.
func leased(id uint8) []expr.Any {
	return one(&expr.Immediate{Register: regKey, Data: []byte(key32(uint32(id)))}, contains(setLease))
}

// ownElements returns the addresses of the prefixes that are not virtual, and
// for IPv4 the broadcast address of each subnet.
func ownElements(own []netip.Prefix, virtual map[netip.Addr]bool) (v4, v6 []element) {
	seen := map[netip.Addr]bool{}
	add := func(list []element, a netip.Addr) []element {
		if virtual[a] || seen[a] {
			return list
		}
		seen[a] = true
		return append(list, element{key: string(a.AsSlice())})
	}
	for _, p := range own {
		a := p.Addr().Unmap().WithZone("")
		switch {
		case a.Is6():
			v6 = add(v6, a)
		case a.Is4():
			v4 = add(v4, a)
			if b, ok := broadcast(a, p.Bits()); ok {
				v4 = add(v4, b)
			}
		}
	}
	return v4, v6
}

func broadcast(a netip.Addr, bits int) (netip.Addr, bool) {
	if bits < 1 || bits > 30 { // RFC 3021: a /31 has no broadcast address
		return netip.Addr{}, false
	}
	b := a.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|(1<<(32-bits)-1))
	return netip.AddrFrom4(b), true
}

// Offsets in a control frame.
const (
	offCookie  = 0
	cookieSize = 16
	offOp      = 16
	offGroup   = 20
	offTurn    = 24
	frameSize  = 28
)

// Operations of a control frame. Grant and Renew carry the index of the lease
// duration in their second byte, because a rule has one timeout.
const (
	opTurn = iota + 1
	opGrant
	opRenew
	opClose
	opProbe
)

// etherType of the control frames: IEEE 802 local experimental 1 (RFC 9542
// section 3), which no protocol of the kernel takes.
const etherType = 0x88b5

const (
	chainControl = "control"
	chainOps     = "operations"
)

// control lays out the chain on loopback that turns frames into operations.
func (l *layout) control(c Config, f features, cookie [cookieSize]byte) {
	hook := uint32(unix.NF_NETDEV_INGRESS)
	if f.control {
		hook = unix.NF_NETDEV_EGRESS
	}
	l.chain(chainSpec{name: chainOps})
	l.chain(chainSpec{chainControl, "lo", hook})
	l.rule(chainControl, protocol(etherType), load(offCookie, cookieSize), equal(cookie[:]), then(expr.VerdictGoto, chainOps))

	turn := one(load(offTurn, 4)...)
	group := one(load(offGroup, 4)...)
	leases := c.leases()
	for i, d := range leases {
		l.rule(chainOps, operation(opRenew, i), turn, one(contains(setTurn)), group,
			one(contains(setLease)), one(refresh(setLease, d)), drop())
	}
	l.rule(chainOps, operation(opTurn, 0), turn, one(refresh(setTurn, c.Window)), drop())
	l.rule(chainOps, operation(opProbe, 0), group, one(contains(setLease)), drop())
	for i, d := range leases {
		l.rule(chainOps, operation(opGrant, i), turn, one(contains(setTurn)), group, one(refresh(setLease, d)), drop())
	}
	if f.erase {
		l.rule(chainOps, operation(opClose, 0), group, one(&expr.Dynset{SrcRegKey: regKey, SetName: setLease, Operation: dynsetDelete}), drop())
	}
	if !f.control {
		l.rule(chainOps, drop()) // on the egress hook an undropped frame means: refused
	}
}

// dynsetDelete is NFT_DYNSET_OP_DELETE of linux/netfilter/nf_tables.h.
const dynsetDelete = 2

// leases returns the distinct lease durations, sorted.
func (c Config) leases() []time.Duration {
	var all []time.Duration
	for _, g := range c.Groups {
		all = append(all, g.Lease)
	}
	sort.Slice(all, func(i, k int) bool { return all[i] < all[k] })
	return slices.Compact(all)
}

func (l *layout) chain(c chainSpec) { l.chains = append(l.chains, c) }

func (l *layout) rule(chain string, parts ...[]expr.Any) {
	l.rules = append(l.rules, rule{chain, slices.Concat(parts...)})
}

// key32 is how a number is written in keys, data and control frames.
func key32(v uint32) string { return string(binary.BigEndian.AppendUint32(nil, v)) }

func one(e ...expr.Any) []expr.Any { return e }

func protocol(etherType uint16) []expr.Any {
	return one(&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: regKey}, is(binary.BigEndian.AppendUint16(nil, etherType)))
}

// load reads from the network header into the key register. Offsets reach only
// addresses and what precedes them, so fragments are gated like whole packets.
func load(offset, size uint32) []expr.Any {
	return one(&expr.Payload{DestRegister: regKey, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size})
}

func loadTransport(offset, size uint32) []expr.Any {
	return one(&expr.Payload{DestRegister: regKey, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: size})
}

func operation(op, index int) []expr.Any {
	return append(load(offOp, 4), is([]byte{byte(op), byte(index), 0, 0}))
}

func is(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: regKey, Data: data}
}

func equal(data []byte) []expr.Any { return one(is(data)) }

func contains(set string) expr.Any { return &expr.Lookup{SourceRegister: regKey, SetName: set} }

// byGroup goes on in the chain of the group that the address in the key
// register belongs to; the rule ends if the address is not virtual.
func byGroup(set string) []expr.Any {
	return one(&expr.Lookup{SourceRegister: regKey, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set})
}

func refresh(set string, timeout time.Duration) expr.Any {
	return &expr.Dynset{SrcRegKey: regKey, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: timeout}
}

func then(kind expr.VerdictKind, chain string) []expr.Any {
	return one(&expr.Verdict{Kind: kind, Chain: chain})
}

func drop() []expr.Any   { return then(expr.VerdictDrop, "") }
func accept() []expr.Any { return then(expr.VerdictAccept, "") }

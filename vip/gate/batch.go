package gate

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// elementsPerMessage keeps the nested list under the 64 KiB an attribute may
	// hold: an IPv6 element with its chain is 64 bytes.
	elementsPerMessage = 900
	// elementsPerBatch keeps a transaction under the send buffer of a process
	// without CAP_NET_ADMIN in the first user namespace (some 400 KB).
	elementsPerBatch = 4000
)

// attrs is a list of netlink attributes under construction.
type attrs []byte

func (a attrs) put(kind uint16, value []byte) attrs {
	a = binary.NativeEndian.AppendUint16(a, uint16(4+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	return append(a, make([]byte, align4(len(value))-len(value))...)
}

func (a attrs) text(kind uint16, s string) attrs { return a.put(kind, append([]byte(s), 0)) }

func (a attrs) u32(kind uint16, v uint32) attrs {
	return a.put(kind, binary.BigEndian.AppendUint32(nil, v))
}

func (a attrs) nest(kind uint16, inner attrs) attrs { return a.put(kind|unix.NLA_F_NESTED, inner) }

func appendMessage(out []byte, kind, flags uint16, seq uint32, family uint8, res uint16, body attrs) []byte {
	out = binary.NativeEndian.AppendUint32(out, uint32(unix.NLMSG_HDRLEN+4+len(body)))
	out = binary.NativeEndian.AppendUint16(out, kind)
	out = binary.NativeEndian.AppendUint16(out, flags)
	out = binary.NativeEndian.AppendUint32(out, seq)
	out = binary.NativeEndian.AppendUint32(out, 0) // the kernel fills in our port
	out = append(out, family, unix.NFNETLINK_V0)
	out = binary.BigEndian.AppendUint16(out, res)
	return append(out, body...) // always a multiple of four
}

// A batch is one transaction on one table.
type batch struct {
	table string
	body  []byte
	last  int // where the last message begins
	n     int
	steps []string
	err   error
}

func newBatch(table string) *batch { return &batch{table: table} }

func (b *batch) add(step string, kind, flags uint16, body attrs) {
	b.last = len(b.body)
	b.n++
	b.steps = append(b.steps, step)
	b.body = appendMessage(b.body, nftType(kind), unix.NLM_F_REQUEST|flags, 0, unix.NFPROTO_NETDEV, 0, body)
}

// name returns the step with a sequence number relative to the batch's begin.
func (b *batch) name(i int) string {
	if i < 1 || i > len(b.steps) {
		return "commit transaction"
	}
	return b.steps[i-1]
}

// seal numbers the messages from first on, asks for one acknowledgement (of the
// last) and wraps all in a transaction. It returns the last number used.
func (b *batch) seal(first uint32) (out []byte, last uint32) {
	out = appendMessage(nil, unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, first, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	base := len(out)
	out = append(out, b.body...)
	seq := first
	for at := base; at < len(out); {
		seq++
		binary.NativeEndian.PutUint32(out[at+8:], seq)
		at += int(binary.NativeEndian.Uint32(out[at:]))
	}
	flags := binary.NativeEndian.Uint16(out[base+b.last+6:])
	binary.NativeEndian.PutUint16(out[base+b.last+6:], flags|unix.NLM_F_ACK)
	seq++
	return appendMessage(out, unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, seq, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil), seq
}

// Table flags of linux/netfilter/nf_tables.h that x/sys does not name.
const (
	tableOwner   = 2 // only this netlink socket may change the table; since 5.12
	tablePersist = 4 // it outlives its owner and may be adopted; since 6.9
)

func (b *batch) newTable(flags uint32) {
	b.add("add table "+b.table, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE,
		attrs{}.text(unix.NFTA_TABLE_NAME, b.table).u32(unix.NFTA_TABLE_FLAGS, flags))
}

func (b *batch) delTable() {
	b.add("delete table "+b.table, unix.NFT_MSG_DELTABLE, 0, attrs{}.text(unix.NFTA_TABLE_NAME, b.table))
}

// A setSpec is a set or map without its contents.
type setSpec struct {
	name             string
	keyType, keyLen  uint32
	verdicts         bool   // a map to chains
	timeouts         bool   // filled from the packet path, elements expire
	size             uint32 // 0: no bound
	collectExpiredIn time.Duration
}

func (s setSpec) flags() uint32 {
	var f uint32
	if s.verdicts {
		f |= unix.NFT_SET_MAP
	}
	if s.timeouts {
		f |= unix.NFT_SET_TIMEOUT | unix.NFT_SET_EVAL
	}
	return f
}

func (b *batch) newSet(s setSpec) {
	a := attrs{}.text(unix.NFTA_SET_TABLE, b.table).text(unix.NFTA_SET_NAME, s.name).
		u32(unix.NFTA_SET_FLAGS, s.flags()).u32(unix.NFTA_SET_KEY_TYPE, s.keyType).
		u32(unix.NFTA_SET_KEY_LEN, s.keyLen).u32(unix.NFTA_SET_ID, uint32(b.n+1))
	if s.verdicts {
		a = a.u32(unix.NFTA_SET_DATA_TYPE, unix.NFT_DATA_VERDICT)
	}
	if s.size > 0 {
		a = a.nest(unix.NFTA_SET_DESC, attrs{}.u32(unix.NFTA_SET_DESC_SIZE, s.size))
	}
	if s.collectExpiredIn > 0 {
		a = a.u32(unix.NFTA_SET_GC_INTERVAL, uint32(s.collectExpiredIn.Milliseconds()))
	}
	b.add("add set "+s.name, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, a)
}

func (b *batch) delSet(name string) {
	b.add("delete set "+name, unix.NFT_MSG_DELSET, 0, attrs{}.text(unix.NFTA_SET_TABLE, b.table).text(unix.NFTA_SET_NAME, name))
}

// An element of a set; chain is empty but in maps.
type element struct{ key, chain string }

func (b *batch) elements(kind uint16, set string, list []element) {
	step, flags := "delete elements of "+set, uint16(0)
	if kind == unix.NFT_MSG_NEWSETELEM {
		step, flags = "add elements to "+set, unix.NLM_F_CREATE
	}
	for len(list) > 0 {
		part := list[:min(len(list), elementsPerMessage)]
		list = list[len(part):]
		var items attrs
		for _, e := range part {
			items = items.nest(unix.NFTA_LIST_ELEM, encodeElement(e))
		}
		b.add(step, kind, flags, attrs{}.text(unix.NFTA_SET_ELEM_LIST_TABLE, b.table).
			text(unix.NFTA_SET_ELEM_LIST_SET, set).nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, items))
	}
}

func encodeElement(e element) attrs {
	a := attrs{}.nest(unix.NFTA_SET_ELEM_KEY, attrs{}.put(unix.NFTA_DATA_VALUE, []byte(e.key)))
	if e.chain != "" {
		code := int32(expr.VerdictGoto)
		a = a.nest(unix.NFTA_SET_ELEM_DATA, attrs{}.nest(unix.NFTA_DATA_VERDICT,
			attrs{}.u32(unix.NFTA_VERDICT_CODE, uint32(code)).text(unix.NFTA_VERDICT_CHAIN, e.chain)))
	}
	return a
}

func (b *batch) addElements(set string, list []element) {
	b.elements(unix.NFT_MSG_NEWSETELEM, set, list)
}

func (b *batch) delElements(set string, list []element) {
	b.elements(unix.NFT_MSG_DELSETELEM, set, list)
}

// clearSet deletes every element of a set.
func (b *batch) clearSet(set string) {
	b.add("clear set "+set, unix.NFT_MSG_DELSETELEM, 0,
		attrs{}.text(unix.NFTA_SET_ELEM_LIST_TABLE, b.table).text(unix.NFTA_SET_ELEM_LIST_SET, set))
}

// A chainSpec is a chain without its rules; device is empty but in base chains.
type chainSpec struct {
	name   string
	device string
	hook   uint32
}

// priority puts our chains before all others of a hook.
const priority = -1 << 31

func (b *batch) newChain(c chainSpec) {
	a := attrs{}.text(unix.NFTA_CHAIN_TABLE, b.table).text(unix.NFTA_CHAIN_NAME, c.name)
	if c.device != "" {
		p := int32(priority)
		a = a.nest(unix.NFTA_CHAIN_HOOK, attrs{}.u32(unix.NFTA_HOOK_HOOKNUM, c.hook).
			u32(unix.NFTA_HOOK_PRIORITY, uint32(p)).text(unix.NFTA_HOOK_DEV, c.device)).
			text(unix.NFTA_CHAIN_TYPE, "filter")
	}
	b.add("add chain "+c.name, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, a)
}

func (b *batch) delChain(name string) {
	b.add("delete chain "+name, unix.NFT_MSG_DELCHAIN, 0, attrs{}.text(unix.NFTA_CHAIN_TABLE, b.table).text(unix.NFTA_CHAIN_NAME, name))
}

// clearRules deletes all rules of the table.
func (b *batch) clearRules() {
	b.add("clear rules", unix.NFT_MSG_DELRULE, 0, attrs{}.text(unix.NFTA_RULE_TABLE, b.table))
}

func (b *batch) newRule(chain string, exprs []expr.Any) {
	var list attrs
	for _, e := range exprs {
		data, err := expr.Marshal(unix.NFPROTO_NETDEV, e)
		if err != nil && b.err == nil {
			b.err = fmt.Errorf("encode rule of chain %s: %w", chain, err)
		}
		list = list.nest(unix.NFTA_LIST_ELEM, data)
	}
	b.add("add rule to chain "+chain, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND,
		attrs{}.text(unix.NFTA_RULE_TABLE, b.table).text(unix.NFTA_RULE_CHAIN, chain).
			nest(unix.NFTA_RULE_EXPRESSIONS, list))
}

package gate

import (
	"errors"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// probe finds out what the kernel can do, by transactions that add a table and
// delete it again: nothing of them is ever to be seen.
func probe(s *socket, c Config) (features, error) {
	name := c.Table + "-probe"
	try := func(flags uint32, fill func(*batch)) error {
		b := newBatch(name)
		b.newTable(flags)
		fill(b)
		b.delTable()
		return s.transact(b)
	}
	hook := func(hook uint32, device string) func(*batch) {
		return func(b *batch) { b.newChain(chainSpec{"c", device, hook}) }
	}
	lease := setSpec{name: setLease, keyType: typeMark, keyLen: 4, timeouts: true, size: 1}
	err := try(0, func(b *batch) {
		b.newSet(lease)
		hook(unix.NF_NETDEV_INGRESS, "lo")(b)
	})
	switch {
	case errors.Is(err, unix.EPERM):
		return features{}, fmt.Errorf("use nftables: %w (CAP_NET_ADMIN is needed)", err)
	case err != nil:
		return features{}, fmt.Errorf("use nftables family netdev: %w", err)
	}
	f := features{
		owner: !c.plain && try(tableOwner|tablePersist, func(*batch) {}) == nil,
		late:  !c.old && try(0, hook(unix.NF_NETDEV_INGRESS, "twinbeat-none")) == nil,
	}
	f.egress = !c.old && try(0, hook(unix.NF_NETDEV_EGRESS, "lo")) == nil
	f.control = f.egress
	f.erase = try(0, func(b *batch) {
		b.newSet(lease)
		b.newChain(chainSpec{name: "c"})
		b.newRule("c", append(load(0, 4), &expr.Dynset{SrcRegKey: regKey, SetName: setLease, Operation: dynsetDelete}))
	}) == nil
	f.fib = try(0, func(b *batch) {
		hook(unix.NF_NETDEV_INGRESS, "lo")(b)
		b.newRule("c", one(&expr.Fib{Register: regKey, ResultADDRTYPE: true, FlagDADDR: true}))
	}) == nil
	return f, nil
}

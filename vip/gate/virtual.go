//go:build !lite && !no_virtual

package gate

import "github.com/google/nftables/expr"

// virtual drops, while a group is closed, all that passes its virtual devices,
// and on what they stand on each frame with the virtual hardware address at the
// offset, whatever it carries: one frame is enough to teach a switch.
func (d deviceLayout) virtual(chain string, offset uint32) {
	for _, g := range d.groups {
		for _, v := range g.Virtual {
			switch d.name {
			case v.Device:
				d.rule(chain, unleased(g.ID), drop())
			case v.Parent:
				d.rule(chain, one(&expr.Payload{DestRegister: regKey, Base: expr.PayloadBaseLLHeader, Offset: offset, Len: 6},
					is(v.MAC[:])), unleased(g.ID), drop())
			}
		}
	}
}

// unleased matches while it is not.
func unleased(id uint8) []expr.Any {
	return one(&expr.Immediate{Register: regKey, Data: []byte(key32(uint32(id)))},
		&expr.Lookup{SourceRegister: regKey, SetName: setLease, Invert: true})
}

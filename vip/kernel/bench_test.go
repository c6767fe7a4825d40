package kernel

import (
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/vip"
)

func forSizes(b *testing.B, run func(b *testing.B, k *Kernel, set vip.Set)) {
	for _, six := range []bool{false, true} {
		for _, n := range []int{1, 100, 1000} {
			name := fmt.Sprintf("IPv4/%d", n)
			if six {
				name = fmt.Sprintf("IPv6/%d", n)
			}
			b.Run(name, func(b *testing.B) {
				dev, _ := veth(b)
				k, _ := newKernel(b)
				set := vip.Set{Addresses: many(n, dev, six)}
				must(b, k.Know(ctx, set))
				b.ReportAllocs()
				run(b, k, set)
			})
		}
	}
}

func BenchmarkTake(b *testing.B) {
	forSizes(b, func(b *testing.B, k *Kernel, set vip.Set) {
		for b.Loop() {
			must(b, k.Take(ctx, set, 60*time.Second))
			b.StopTimer()
			must(b, k.Drop(ctx, set))
			b.StartTimer()
		}
	})
}

func BenchmarkDrop(b *testing.B) {
	forSizes(b, func(b *testing.B, k *Kernel, set vip.Set) {
		for b.Loop() {
			b.StopTimer()
			must(b, k.Take(ctx, set, 60*time.Second))
			b.StartTimer()
			must(b, k.Drop(ctx, set))
		}
	})
}

func BenchmarkRenew(b *testing.B) {
	forSizes(b, func(b *testing.B, k *Kernel, set vip.Set) {
		must(b, k.Take(ctx, set, 600*time.Second))
		for b.Loop() {
			must(b, k.Renew(ctx, set.Addresses, 600*time.Second))
		}
	})
}

// BenchmarkTakeOneByOne is the usual way, a round trip for each address, as a
// measure for ours.
func BenchmarkTakeOneByOne(b *testing.B) {
	forSizes(b, func(b *testing.B, k *Kernel, set vip.Set) {
		link := byName(b, set.Addresses[0].Device)
		for b.Loop() {
			for _, a := range set.Addresses {
				addr, err := netlink.ParseAddr(a.Prefix.String())
				must(b, err)
				addr.ValidLft, addr.PreferedLft = 60, 60
				must(b, netlink.AddrReplace(link, addr))
			}
			b.StopTimer()
			must(b, k.Drop(ctx, set))
			b.StartTimer()
		}
	})
}

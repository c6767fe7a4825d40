//go:build !lite && !no_virtual

package config

import (
	"fmt"
	"testing"
)

func TestBounce(t *testing.T) {
	const carries = "refused bounce.interfaces"
	const vlan = "[[link]]\ntype = \"multicast\"\ninterface = \"ha0.7\"\ngroup = \"239.255.77.9\"\nport = 7790\n"
	for _, c := range []struct{ src, want string }{
		{"", "off"},
		{"[bounce]\n", "refused bounce"},
		{"[bounce]\ninterfaces = [\"eth1\"]\n", "[eth1] 2s 10m0s"},
		{"[bounce]\ninterfaces = []\n", "[] 2s 10m0s"},
		{"[bounce]\ninterfaces = [\"eth1\", \"eth3\"]\ndown = \"500ms\"\nevery = \"1h\"\n", "[eth1 eth3] 500ms 1h0m0s"},
		{"[bounce]\ninterfaces = { fw1 = [\"eth1\"], fw2 = [\"eth9\"] }\n", "[eth1] 2s 10m0s"},
		{"[bounce]\ninterfaces = { fw1 = [\"eth1\"], fw3 = [\"eth9\"] }\n", "refused bounce.interfaces.fw3"},
		{"[bounce]\ninterfaces = \"eth1\"\n", carries},
		{"[bounce]\ninterfaces = [1]\n", carries + "[0]"},
		{"[bounce]\ninterfaces = [\"a/b\"]\n", carries + "[0]"},
		{"[bounce]\ninterfaces = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\"]\n", carries},
		{"[bounce]\ninterfaces = [\"eth1\"]\nevery = \"30s\"\n", "refused bounce.every"},
		{"[bounce]\ninterfaces = [\"eth1\"]\ndown = \"1m\"\n", "refused bounce.down"},
		{"[bounce]\ninterfaces = [\"eth2\"]\n", carries}, // of the second link
		{"[bounce]\ninterfaces = { fw1 = [\"eth1\"], fw2 = [\"eth2\"] }\n", "[eth1] 2s 10m0s"},
		{"[bounce]\ninterfaces = [\"ha0\"]\n" + vlan, carries},
		{"[bounce]\ninterfaces = [\"ha\"]\n" + vlan, "[ha] 2s 10m0s"},
	} {
		cfg, problems := Parse("t.toml", []byte(base+c.src), "fw1")
		got := "off"
		if b := cfg.Bounce; b != nil {
			got = fmt.Sprintf("%v %v %v", b.Interfaces, b.Down, b.Every)
		}
		for _, p := range problems {
			if !p.Warning {
				got = "refused " + p.Key
			}
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s: %v", c.src, got, c.want, problems)
		}
	}
}

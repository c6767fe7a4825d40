package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/pair"
)

// profile takes the timing from the real loader, which refuses one that breaks
// an inequality, and builds the links that go with it.
func (w *World) profile() {
	c := &w.cfg
	conf := c.load()
	t := conf.Timing
	w.timing = pair.Config{
		Mode: c.Mode, HasFence: conf.Fence != nil,
		Beat: t.Beat, Dead: t.Dead, Lease: t.Lease, Window: t.Window, Takeover: t.Takeover,
		Ack: t.Ack, Init: t.BootWait, Race: t.Race, FenceSpare: t.FenceSpare(), Reserve: t.Reserve, Probe: config.Probes * t.Probe,
		Failback: c.Failback, FailbackHold: 5 * t.Takeover, FlapMax: 3, FlapWindow: 25 * t.Takeover,
		FenceRetry: t.Takeover, NoServices: c.NoServices, StopFailureFence: c.StopFailureFence,
	}
	w.fenceT = t.FenceTime
	w.unit = max(t.Takeover, 400*time.Millisecond)
	w.settle = 25 * w.unit / 2    // 5 s of profile default
	if c.Mode == pair.ModeFence { // an order may be under way, and whoever is left waits for its turn
		w.settle = max(w.settle, w.fenceT+t.Dead+t.Race+w.fenceT+2*w.unit)
	}
	w.graceful = 500 * time.Millisecond
	if c.Slow {
		w.graceful += 2 * t.Takeover
		w.settle += 4 * t.Takeover
	}
	if c.Mutant == TakeoverTooEarly {
		w.timing.Takeover, w.timing.Reserve = t.Dead, -t.Lease
	}
	for _, l := range conf.Links {
		k := &link{delay: 200 * time.Microsecond}
		if l.Type == "serial" {
			k.serial, k.delay = true, 300*time.Microsecond
			k.byteTime = config.FrameTime(1, l.Baud) / time.Duration(config.FrameBytes(1))
		}
		w.links = append(w.links, k)
	}
}

// loaded keeps what the loader made of a file, as it makes the same of the same:
// the files that [Draw] needs are about a hundred, and each serves many runs.
var loaded sync.Map // of file to *config.Config

type file struct {
	mode          pair.Mode
	profile       string
	scale, groups int
	fence         bool
}

// load returns the run's configuration as the loader sees it.
func (c *Config) load() *config.Config {
	key := file{c.Mode, c.Profile, c.Scale, c.Groups, c.Fence}
	if conf, ok := loaded.Load(key); ok {
		return conf.(*config.Config)
	}
	conf, problems := config.Parse("sim.toml", []byte(c.toml()), "a")
	for _, p := range problems {
		if !p.Warning {
			panic(fmt.Sprintf("sim: %v", p))
		}
	}
	if c.Scale <= maxScale {
		loaded.Store(key, &conf)
	}
	return &conf
}

// config is what the machine of a group on a node gets.
func (w *World) config(n *node, g int) pair.Config {
	c := w.timing
	c.Group, c.Index, c.Preferred, c.LowerID = groupNames[g], g, n.id == g, n.id == 0
	return c
}

// toml is the configuration file of the run.
func (c *Config) toml() string {
	var b strings.Builder
	mode := c.Mode.String()
	profile, baud := c.Profile, 115200
	switch profile {
	case "":
		profile = "default"
	case "fast":
		baud = 921600
	case "slow":
		baud = 9600
	}
	fmt.Fprintf(&b, "cluster = \"sim\"\nmode = %q\nprofile = %q\n[[node]]\nname = \"a\"\n[[node]]\nname = \"b\"\n", mode, profile)
	fmt.Fprintf(&b, "[[link]]\ntype = \"multicast\"\ninterface = \"eth1\"\ngroup = \"239.255.77.1\"\n")
	fmt.Fprintf(&b, "[[link]]\ntype = \"serial\"\ndevice = \"/dev/ttyS0\"\nbaud = %d\n", baud)
	for g := range c.Groups {
		fmt.Fprintf(&b, "[[group]]\nname = \"g%d\"\naddresses = [\"192.0.2.%d/24@eth0\"]\n", g, g+1)
	}
	b.WriteString("[timing]\n")
	k := time.Duration(max(c.Scale, 1))
	takeover := 400 * time.Millisecond
	switch {
	case profile == "fast":
		takeover = 50 * time.Millisecond
		if c.Mode == pair.ModeLease {
			takeover = 90 * time.Millisecond
		}
		fmt.Fprintf(&b, "window = \"8ms\"\ntakeover = %q\n", takeover) // two ticks of 4 ms
	case profile == "slow":
		takeover = k * time.Second
		if c.Mode == pair.ModeLease {
			takeover = k * 1500 * time.Millisecond
		}
		fmt.Fprintf(&b, "beat = %q\ndead = %q\nlease = %q\nwindow = %q\ntakeover = %q\nack = %q\n", k*125*time.Millisecond,
			k*600*time.Millisecond, k*700*time.Millisecond, k*50*time.Millisecond, takeover, k*700*time.Millisecond)
		fmt.Fprintf(&b, "lifetime = %q\n", (k*700*time.Millisecond).Truncate(time.Second)+5*time.Second)
	}
	fence := max(1500*time.Millisecond, 4*takeover/2)
	fmt.Fprintf(&b, "boot_wait = %q\nfence_time = %q\n", max(2*time.Second, 5*takeover), fence)
	if c.Fence || c.Mode == pair.ModeFence {
		b.WriteString("[fence]\n[[fence.device]]\nname = \"pdu\"\ndriver = \"exec\"\n")
		for _, order := range []string{"off", "on", "status"} {
			fmt.Fprintf(&b, "%s = { a = [\"/bin/%s\"], b = [\"/bin/%s\", \"b\"] }\n", order, order, order)
		}
		b.WriteString("off_text = \"off\"\non_text = \"on\"\ntimeout = \"500ms\"\nholdup = \"100ms\"\n")
	}
	return b.String()
}

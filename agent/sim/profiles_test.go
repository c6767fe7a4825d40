package sim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/pair"
)

// loadedFile holds what the loader makes of every configuration that a drawn
// run may have. It stands for agent/config in the digest of the sources that a
// recorded run depends on (see the Makefile).
const loadedFile = "testdata/loaded.txt"

var rewrite = flag.Bool("rewrite", false, "write testdata/loaded.txt anew")

// TestLoadedConfigurations sees that the loader makes of the simulator's
// configurations what it made of them when runs were recorded. If that is meant
// to change: -rewrite; the recorded runs are then of other sources.
func TestLoadedConfigurations(t *testing.T) {
	var lines []string
	for _, c := range drawable() {
		key := fmt.Sprintf("mode=%v profile=%s scale=%d groups=%d fence=%v", c.Mode, c.Profile, c.Scale, c.Groups, c.Fence)
		lines = append(lines, key+": "+loadedText(&c)+"\n")
	}
	got := strings.Join(lines, "")
	if *rewrite {
		if err := os.WriteFile(loadedFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(loadedFile)
	if err != nil || string(want) != got {
		t.Errorf("%v; the loader makes other runs of the same seeds; now:\n%s", err, got)
	}
}

// drawable is every configuration that [Draw] and [DrawCut] may choose.
func drawable() (out []Config) {
	for mode := pair.ModeFence; mode <= pair.ModeLease; mode++ {
		for _, fence := range []bool{false, true} {
			if fence && mode == pair.ModeSilence || !fence && mode == pair.ModeFence {
				continue
			}
			for groups := 1; groups <= 2; groups++ {
				for _, profile := range []string{"default", "fast"} {
					out = append(out, Config{Mode: mode, Fence: fence, Groups: groups, Profile: profile, Scale: 1})
				}
				for scale := 1; scale <= maxScale; scale++ {
					out = append(out, Config{Mode: mode, Fence: fence, Groups: groups, Profile: "slow", Scale: scale})
				}
			}
		}
	}
	return out
}

// TestDrawableIsAll sees that no seed draws a configuration beyond those.
func TestDrawableIsAll(t *testing.T) {
	known := map[file]bool{}
	for _, c := range drawable() {
		known[file{c.Mode, c.Profile, c.Scale, c.Groups, c.Fence}] = true
	}
	for seed := range uint64(1000) {
		for _, draw := range []func(uint64) (Config, Schedule){func(s uint64) (Config, Schedule) { return Draw(s, 0) }, DrawCut} {
			if c, _ := draw(seed + 1); !known[file{c.Mode, c.Profile, c.Scale, c.Groups, c.Fence}] {
				t.Fatalf("seed %d: %+v", seed+1, c)
			}
		}
	}
}

// loadedText is everything that [World.profile] takes from the loader.
func loadedText(c *Config) string {
	w := newWorld(*c)
	conf := c.load()
	text := fmt.Sprintf("%+v probe=%v fence=%v", w.timing, conf.Timing.Probe, w.fenceT)
	for _, l := range conf.Links {
		text += fmt.Sprintf(" %s/%d", l.Type, l.Baud)
	}
	return text + fmt.Sprintf(" frame=%d", config.FrameBytes(1))
}

package config

import (
	"fmt"
	"strings"
	"time"
)

// width is that of a serial console.
const width = 79

// Explain prints the arithmetic behind a configuration: each inequality with
// its figures and its reason, broken ones marked.
func Explain(c Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s (%d) of cluster %s, peer %s, mode %s, profile %s\n", c.Me().Name, c.Me().ID, c.Cluster, c.Peer().Name, c.Mode, c.Profile)
	t := c.Timing
	fmt.Fprintf(&b, "beat %s, dead %s, lease %s, window %s, takeover %s, reserve %s\n", show(t.Beat), show(t.Dead), show(t.Lease), show(t.Window), show(t.Takeover), show(t.Reserve))
	for _, q := range timingRules(c) {
		mark := "ok   "
		if !q.holds() {
			mark = "WRONG"
		}
		wrap(&b, mark+" ", fmt.Sprintf("%s %s >= %s", q.name, show(q.have), q.sum))
		wrap(&b, "        ", q.why)
	}
	wrap(&b, "note  ", grain(t.Reserve))
	return b.String()
}

// grain says for which kernels a reserve is long enough. A lease ends at a
// jiffy of the kernel, so it may live that much longer.
func grain(reserve time.Duration) string {
	for _, k := range []struct {
		hz    int
		jiffy time.Duration
	}{{100, coarsest}, {250, 4 * millisecond}, {1000, millisecond}} {
		if reserve > k.jiffy {
			return fmt.Sprintf("reserve %s covers the timer grain of kernels with HZ=%d (%s) or finer", show(reserve), k.hz, show(k.jiffy))
		}
	}
	return fmt.Sprintf("reserve %s covers the timer grain of no usual kernel (HZ=1000: 1ms)", show(reserve))
}

// wrap writes text under a prefix and breaks it at blanks.
func wrap(b *strings.Builder, prefix, text string) {
	line := prefix
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && len(line)+1+len(word) > width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, empty = "        ", true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	b.WriteString(line + "\n")
}

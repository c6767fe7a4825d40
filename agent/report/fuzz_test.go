package report

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzTextForATerminal holds that whatever a peer, a script or an operator puts
// into an event, the terminal that shows it gets printable text and line ends.
func FuzzTextForATerminal(f *testing.F) {
	f.Add("peer silent for 250 ms", "claim the group", "CLAIM", "gateway", 40)
	f.Add("\x1b[31mred\x1b[0m", "a\r\nb", "\u202eevil", "\xff\xfe", 1)
	f.Add(strings.Repeat("long ", 40), strings.Repeat("x", 300), "", "g", 0)
	f.Fuzz(func(t *testing.T, seen, decided, done, group string, columns int) {
		safe := func(what, text string) {
			for _, r := range text {
				if r == '\n' && what != "clean" {
					continue
				}
				if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
					t.Fatalf("%s: %q holds %q", what, text, r)
				}
			}
		}
		safe("clean", Clean(seen))
		if c := Clean(seen); Clean(c) != c {
			t.Fatalf("%q is cleaned to %q, and that to %q", seen, c, Clean(c))
		}
		one := RenderEvent(Event{Kind: group, Group: group, From: decided, To: done, Evidence: group, Seen: seen, Decided: decided, Done: done})
		safe("event", one)
		if !strings.HasSuffix(one, "\n") {
			t.Fatalf("event %q has no end", one)
		}
		safe("paragraph", Paragraph(group, min(max(columns, 0), 200), seen))
	})
}

package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Columns is the width of a serial console, for which all text is laid out.
const Columns = 80

// minColumns is the narrowest layout; a narrower terminal wraps by itself.
const minColumns = 60

// TimeLayout is how a moment is written: sortable, with its offset from UTC.
const TimeLayout = "2006-01-02 15:04:05.000Z07:00"

// Span writes a span of milliseconds for a human: "0.4 ms", "287 ms", "12.3 s",
// "34 min", "5 h 12 min", "3 d 4 h".
func Span(ms float64) string {
	const second, minute, hour, day = 1000, 60 * 1000, 3600 * 1000, 24 * 3600 * 1000
	switch {
	case ms < 0:
		return "-" + Span(-ms)
	case ms < 9.95:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < second-0.5:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 2*minute-50:
		return fmt.Sprintf("%.1f s", ms/second)
	case ms < 2*hour:
		return fmt.Sprintf("%d min", int64(ms)/minute)
	case ms < day:
		return fmt.Sprintf("%d h %d min", int64(ms)/hour, int64(ms)%hour/minute)
	}
	return fmt.Sprintf("%d d %d h", int64(ms)/day, int64(ms)%day/hour)
}

// ago writes the age of a fact, "never" if there is none.
func ago(ms *float64) string {
	if ms == nil {
		return "never"
	}
	return Span(*ms) + " ago"
}

// Clean makes text of any origin safe for a terminal: control and formatting
// characters (escape sequences, bidi overrides) become '?', line ends a space.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return '?'
		}
		return r
	}, s)
}

// or returns s, or the stand-in if s is empty.
func or(s, standIn string) string {
	if s == "" {
		return standIn
	}
	return s
}

// pad fills s with spaces to n columns; a longer one gets one space. It counts runes, which is right for all
// that a configuration admits.
func pad(s string, n int) string {
	if k := utf8.RuneCountInString(s); k < n {
		return s + strings.Repeat(" ", n-k)
	}
	return s + " "
}

// A page is text under construction, no line wider than width unless one word is.
type page struct {
	strings.Builder
	width int
}

// line writes one line as it is, without trailing spaces.
func (p *page) line(format string, args ...any) {
	p.WriteString(strings.TrimRight(Clean(fmt.Sprintf(format, args...)), " "))
	p.WriteByte('\n')
}

// para writes text after a label, wrapped between words, further lines indented
// to stand below the first word.
func (p *page) para(label, text string) {
	label = Clean(label)
	indent := utf8.RuneCountInString(label)
	p.WriteString(label)
	col := indent
	for i, w := range strings.Fields(Clean(text)) {
		n := utf8.RuneCountInString(w)
		switch {
		case i > 0 && col+1+n > p.width:
			p.WriteString("\n" + strings.Repeat(" ", indent))
			col = indent
		case i > 0:
			p.WriteByte(' ')
			col++
		}
		p.WriteString(w)
		col += n
	}
	p.WriteByte('\n')
}

// Paragraph writes text behind a label that is padded to columns, wrapped at
// Columns, further lines indented as far. It ends with a line end.
func Paragraph(name string, columns int, text string) string {
	p := &page{width: Columns}
	p.para(pad(name, columns), text)
	return p.String()
}

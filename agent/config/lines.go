package config

import (
	"strconv"
	"strings"
)

// maxDepth bounds how deeply tables and arrays may nest. Our deepest key,
// group[0].service[0].start[0], needs six.
const maxDepth = 16

// A lineIndex says on which line of a TOML file a key, a table or an array's
// element starts. Paths look like group[1].service[0].start[2]; elements are
// counted from 0. The TOML library keeps no lines for keys that it accepted.
type lineIndex struct {
	at      map[string]int
	tooDeep int // the line on which nesting passed maxDepth; 0: nowhere
}

// line returns the line of the path, or of the nearest thing around it.
func (x lineIndex) line(path string) int {
	for path != "" {
		if n, ok := x.at[path]; ok {
			return n
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return 1
}

// LineOf returns the line on which a key such as notify[0].token_file stands in a
// file, or the nearest thing around it.
func LineOf(text []byte, key string) int { return indexLines(string(text)).line(key) }

// indexLines scans a TOML document. On text that is not TOML it returns what
// it found; it never fails, since the TOML library is the judge of syntax.
func indexLines(src string) lineIndex {
	s := &scanner{src: src, line: 1, arrays: map[string]int{}, index: lineIndex{at: map[string]int{}}}
	for s.pos < len(s.src) && s.index.tooDeep == 0 {
		start := s.pos
		s.statement()
		if s.pos == start {
			s.advance() // not TOML: step over it
		}
	}
	return s.index
}

type scanner struct {
	src    string
	pos    int
	line   int
	prefix string         // of the current table, ends without a dot
	arrays map[string]int // arrays of tables: path to number of elements
	index  lineIndex
}

func (s *scanner) peek() byte {
	if s.pos >= len(s.src) {
		return 0
	}
	return s.src[s.pos]
}

func (s *scanner) advance() {
	if s.peek() == '\n' {
		s.line++
	}
	s.pos++
}

// space skips blanks; with newlines set, it skips line ends and comments, too.
func (s *scanner) space(newlines bool) {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t':
			s.advance()
		case newlines && (c == '\n' || c == '\r'):
			s.advance()
		case newlines && c == '#':
			s.restOfLine()
		default:
			return
		}
	}
}

func (s *scanner) restOfLine() {
	for s.pos < len(s.src) && s.src[s.pos] != '\n' {
		s.pos++
	}
}

// statement reads one header or one key with its value.
func (s *scanner) statement() {
	s.space(true)
	switch {
	case s.pos >= len(s.src):
	case strings.HasPrefix(s.src[s.pos:], "[["):
		s.pos += 2
		s.header(true)
	case s.peek() == '[':
		s.pos++
		s.header(false)
	default:
		s.pair(s.prefix, 1)
	}
}

// header reads the rest of [a.b] or [[a.b]] and enters that table.
func (s *scanner) header(array bool) {
	line, keys := s.line, s.keys()
	path := ""
	for i, k := range keys {
		path = join(path, k)
		s.note(path, line)
		n, isArray := s.arrays[path]
		switch {
		case i == len(keys)-1 && array:
			s.arrays[path] = n + 1
			path = element(path, n)
			s.index.at[path] = line
		case isArray:
			path = element(path, n-1)
		}
	}
	if len(keys) > 0 && !array {
		s.index.at[path] = line
	}
	s.prefix = path
	s.restOfLine()
}

// pair reads a key, the equals sign and a value.
func (s *scanner) pair(prefix string, depth int) {
	line, path := s.line, prefix
	for _, k := range s.keys() {
		path = join(path, k)
		s.note(path, line)
	}
	s.space(false)
	if s.peek() != '=' {
		return
	}
	s.advance()
	s.space(false)
	s.value(path, depth)
}

// note keeps the first line on which a path is seen.
func (s *scanner) note(path string, line int) {
	if _, ok := s.index.at[path]; !ok {
		s.index.at[path] = line
	}
}

// keys reads a dotted key.
func (s *scanner) keys() []string {
	var keys []string
	for {
		s.space(false)
		k, ok := s.key()
		if !ok {
			return keys
		}
		keys = append(keys, k)
		if len(keys) > maxDepth {
			s.index.tooDeep = s.line
			return keys
		}
		s.space(false)
		if s.peek() != '.' {
			return keys
		}
		s.advance()
	}
}

func (s *scanner) key() (string, bool) {
	start := s.pos
	switch c := s.peek(); c {
	case '"', '\'':
		s.text()
		raw := s.src[start:s.pos]
		if c == '"' {
			if k, err := strconv.Unquote(raw); err == nil {
				return k, true
			}
		}
		return strings.Trim(raw, string(c)), true
	default:
		for s.pos < len(s.src) && !strings.ContainsRune(" \t\r\n.=[]{},#\"'", rune(s.src[s.pos])) {
			s.pos++
		}
		return s.src[start:s.pos], s.pos > start
	}
}

// value reads one value and notes the lines of what it contains.
func (s *scanner) value(path string, depth int) {
	if depth > maxDepth {
		s.index.tooDeep = s.line
		return
	}
	switch s.peek() {
	case '"', '\'':
		s.text()
	case '[':
		s.advance()
		s.elements(path, depth+1)
	case '{':
		s.advance()
		s.members(path, depth+1)
	default: // number, boolean or date
		for s.pos < len(s.src) && !strings.ContainsRune("\r\n,]}#", rune(s.src[s.pos])) {
			s.pos++
		}
	}
}

func (s *scanner) elements(path string, depth int) {
	for i := 0; s.index.tooDeep == 0; {
		s.space(true)
		start := s.pos
		switch s.peek() {
		case ']':
			s.advance()
			return
		case ',':
			s.advance()
		default:
			at := element(path, i)
			s.index.at[at] = s.line
			s.value(at, depth)
			i++
		}
		if s.pos == start {
			return // not TOML, or the end of the text
		}
	}
}

func (s *scanner) members(path string, depth int) {
	for s.index.tooDeep == 0 {
		s.space(true) // TOML 1.1 allows line ends here
		start := s.pos
		switch s.peek() {
		case '}':
			s.advance()
			return
		case ',':
			s.advance()
		default:
			s.pair(path, depth)
		}
		if s.pos == start {
			return
		}
	}
}

// text reads a string of any of the four kinds.
func (s *scanner) text() {
	quote := s.src[s.pos : s.pos+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.src[s.pos:], long) {
		s.pos += 3
		s.until(long, quote == `"`)
		for s.peek() == quote[0] { // up to two quotes may stand before the closing three
			s.pos++
		}
		return
	}
	s.pos++
	s.until(quote, quote == `"`)
}

func (s *scanner) until(end string, escapes bool) {
	for s.pos < len(s.src) {
		switch {
		case strings.HasPrefix(s.src[s.pos:], end):
			s.pos += len(end)
			return
		case len(end) == 1 && s.src[s.pos] == '\n':
			return // not TOML
		case escapes && s.src[s.pos] == '\\':
			s.advance()
		}
		if s.pos < len(s.src) {
			s.advance()
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

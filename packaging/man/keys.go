package main

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	header  = regexp.MustCompile(`^\[\[?([a-z0-9_.]+)\]\]?$`)
	setting = regexp.MustCompile(`^(?:# )?([a-z0-9_]+) = .`)
	member  = regexp.MustCompile(`^#   ([a-z0-9_]+): (.*)$`)
)

// configuration is twinbeat.toml(5), made of the blocks of reference.toml: the
// first says what the file is, the others are a section, a key, or an example.
func configuration(reference, date, version string) (string, error) {
	var r roff
	r.title("TWINBEAT.TOML", "5", date, version, "File Formats Manual")
	r.section("NAME")
	r.raw("twinbeat.toml \\- configuration of a pair of boxes\n")
	blocks := strings.Split(strings.TrimSpace(reference), "\n\n")
	r.section("DESCRIPTION")
	r.text("/etc/twinbeat/twinbeat.toml describes a pair of boxes to twinbeat(8), in TOML, the same file on both. " +
		"twinbeat check names line, key and hint of whatever is wrong with it.")
	r.section("KEYS")
	seen := map[string]bool{}
	for _, block := range blocks[1:] {
		if err := r.block(strings.Split(block, "\n"), seen); err != nil {
			return "", err
		}
	}
	r.section("SEE ALSO")
	r.raw(".BR twinbeat (8)\n")
	return r.String(), nil
}

// block writes one block; seen are the sections there were.
func (r *roff) block(lines []string, seen map[string]bool) error {
	var said []string
	for len(lines) > 0 && strings.HasPrefix(lines[0], "#") && !(setting.MatchString(lines[0]) && len(lines) == 1) {
		said, lines = append(said, lines[0]), lines[1:]
	}
	if len(lines) == 0 {
		return fmt.Errorf("a block of comments alone: %q", said)
	}
	if m := header.FindStringSubmatch(lines[0]); m != nil {
		if first := !seen[m[1]]; first {
			r.heading(lines[0])
			r.text(paragraph(said))
			lines, said = lines[1:], nil
		}
		seen[m[1]] = true
		if len(lines) > 0 {
			if len(said) > 0 {
				r.raw(".PP\n")
			}
			r.text(paragraph(said))
			r.example(lines)
		}
		return nil
	}
	m := setting.FindStringSubmatch(lines[0])
	if m == nil || len(said) < 2 {
		return fmt.Errorf("neither a section nor a key: %q", lines)
	}
	facts := said[len(said)-1]
	r.item(m[1], paragraph(said[:len(said)-1]))
	r.members(said[:len(said)-1])
	r.raw(".br\n")
	r.text(strings.TrimPrefix(facts, "# "))
	if lines[0] = strings.TrimPrefix(lines[0], "# "); len(lines) == 1 {
		r.raw(".br\n" + escape(lines[0]) + "\n")
		return nil
	}
	r.raw(".RS\n")
	r.example(lines)
	r.raw(".RE\n")
	return nil
}

// paragraph is what comment lines say, but for members of a table.
func paragraph(lines []string) string {
	var out []string
	for _, l := range lines {
		if !strings.HasPrefix(l, "#   ") {
			out = append(out, strings.TrimPrefix(l, "# "))
		}
	}
	return strings.Join(out, "\n")
}

// members writes the keys of the tables in an array.
func (r *roff) members(lines []string) {
	open := false
	for _, l := range lines {
		if m := member.FindStringSubmatch(l); m != nil {
			r.raw(".br\n.I " + quote(m[1]) + "\n" + escape(m[2]) + "\n")
			open = true
		} else if rest, ok := strings.CutPrefix(l, "#     "); ok && open {
			r.raw(escape(rest) + "\n")
		}
	}
}

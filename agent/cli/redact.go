//go:build !lite

package cli

import (
	"regexp"
	"slices"
	"sort"
	"strings"
)

// leftOut stands where something may be a secret.
const leftOut = "(left-out)"

// plainKeys are the keys of the configuration whose values nobody needs to hide.
// What is not named here or below is left out: a key that is new, or wrong, may
// hold anything.
var plainKeys = strings.Fields(`cluster mode profile key_file state_dir control_socket control_group realtime name
	beat dead lease window takeover probe ack boot_wait race fence_time reserve lifetime
	type device baud lines interface group address port preferred failback failback_hold flap_max flap_window gate_transit
	addresses ip dev label scope routes rules to via src table metric onlink from iif oif fwmark priority ipv6
	count spacing refresh pace driver unit on_take start_timeout stop_timeout status_timeout check_interval restarts
	interval rise fall weight critical missing up_delay down_delay min_speed max_errors targets need process path max_age
	restart_window on_start_failure on_stop_failure keep_on_stop retry budget verified level outlets timeout holdup repower
	object_id model serial outlet_count outlet_names snmp_version community_file user auth_protocol auth_file priv_protocol
	priv_file password_file cipher_suite tls_fingerprint ca_file insecure identity_file legacy agent method off_text on_text
	every promote depth second pretimeout governor handover required patience journal_every journal_timeout
	enable interval deadline act ambient save_every root match ignore low high crit weight
	chip bus mux channel shunt vref daemon ups
	severity groups kinds repeat rate transport facility token_file tls inform topic retain
	interfaces down virtual_mac`)

// programKeys hold programs with arguments: the program is shown.
var programKeys = []string{"start", "stop", "status", "on", "off"}

// urlKeys hold URLs: scheme and host are shown.
var urlKeys = []string{"off_url", "on_url", "status_url", "url"}

// redact returns a configuration without secrets, with the line numbers that it
// had, and the texts that it left out. It need not be a right one.
func redact(text string) (clean string, secrets []string) {
	var b strings.Builder
	for len(text) > 0 { // each turn uses up a statement
		n := statementEnd(text)
		said, left := redactStatement(text[:n])
		b.WriteString(said)
		secrets = append(secrets, left...)
		text = text[n:]
	}
	return b.String(), secrets
}

// statementEnd returns where the statement that text begins with ends, behind
// its last line end: an array or a text of several lines is one statement.
func statementEnd(text string) int {
	depth := 0
	header := strings.HasPrefix(strings.TrimLeft(text, " \t"), "[")
	for i := 0; i < len(text); { // each turn uses up a byte
		switch c := text[i]; {
		case c == '"' || c == '\'':
			i += quotedEnd(text[i:])
			continue
		case c == '#':
			i += max(0, strings.IndexByte(text[i:]+"\n", '\n'))
			continue
		case header:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
		if text[i] == '\n' && depth <= 0 {
			return i + 1
		}
		i++
	}
	return len(text)
}

// quotedEnd returns the length of the quoted text that begins here; one that is
// not closed ends with its line, one of several lines with the file.
func quotedEnd(text string) int {
	mark := text[:1]
	if three := strings.Repeat(mark, 3); strings.HasPrefix(text, three) {
		if end := strings.Index(text[3:], three); end >= 0 {
			return end + 6
		}
		return len(text)
	}
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && mark == `"`:
			i++
		case text[i] == mark[0]:
			return i + 1
		case text[i] == '\n':
			return i
		}
	}
	return len(text)
}

var headerForm = regexp.MustCompile(`^\s*\[\[?[A-Za-z0-9_.\- ]+\]\]?`)

// redactStatement handles one statement with its comments, which are left out.
func redactStatement(text string) (said string, left []string) {
	lines := strings.Repeat("\n", strings.Count(text, "\n"))
	if header := headerForm.FindString(text); header != "" {
		return header + lines, nil
	}
	if body := strings.TrimSpace(text); body == "" || body[0] == '#' {
		return lines, nil
	}
	key, value, ok := strings.Cut(text, "=")
	if !ok || strings.ContainsAny(key, "#\n") {
		return leftOut + lines, []string{text}
	}
	name := strings.Trim(key[strings.LastIndexByte(key, '.')+1:], " \t\"'")
	var quoted []string
	keep := func(s string, _ bool) bool { return !secretForm.MatchString(s) }
	switch {
	case slices.Contains(plainKeys, name):
	case name == "community" && (strings.TrimSpace(value) == `"public"` || strings.TrimSpace(value) == `"private"`):
	case slices.Contains(programKeys, name):
		keep = func(_ string, first bool) bool { return first }
	case slices.Contains(urlKeys, name):
		keep = func(string, bool) bool { return false }
	default:
		_, quoted = rewrite(value, func(string, bool) bool { return false })
		if len(quoted) == 0 { // a bare word where a text should stand
			quoted = []string{strings.TrimSpace(value)}
		}
		return strings.TrimRight(safeKey(key), " ") + ` = "` + leftOut + `"` + lines, quoted
	}
	shown, quoted := rewrite(value, keep)
	return safeKey(key) + "=" + shown, quoted
}

var keyForm = regexp.MustCompile(`^[A-Za-z0-9_.\- \t"']{1,100}$`)

func safeKey(key string) string {
	if keyForm.MatchString(key) {
		return key
	}
	return leftOut
}

// rewrite returns a value without comments, and without the quoted texts that
// keep does not let stand; first says that one is the first of its array. It
// returns the texts that it left out.
func rewrite(value string, keep func(text string, first bool) bool) (shown string, left []string) {
	var b strings.Builder
	first := true
	for i := 0; i < len(value); { // each turn uses up a byte
		switch c := value[i]; c {
		case '"', '\'':
			n := quotedEnd(value[i:])
			inner := strings.Trim(value[i:i+n], `"'`)
			if keep(inner, first) {
				b.WriteString(value[i : i+n])
			} else {
				b.WriteString(`"` + leftOut + `"` + strings.Repeat("\n", strings.Count(value[i:i+n], "\n")))
				left = append(left, inner)
			}
			first = false
			i += n
			continue
		case '#':
			i += max(0, strings.IndexByte(value[i:]+"\n", '\n'))
			continue
		case '[':
			first = true
		}
		b.WriteByte(value[i])
		i++
	}
	return b.String(), left
}

// secretForm is how a secret looks within other text: user:password@ of a URL,
// or password=, and the words of other programs for it.
var secretForm = regexp.MustCompile(`(?i)(://[^/\s"']*:)[^@/\s"']+@|((?:pass(?:word|wd|phrase|code)?|secret|token|community|credential|authorization|api[_-]?key|psk)["']?\s*[=:]\s*["']?(?:basic |bearer )?)[^\s"',;&]+`)

// A scrubber takes secrets out of text.
type scrubber struct{ known *strings.Replacer }

// Limits of a scrubber.
const (
	leastSecret = 5    // bytes; what is shorter stands in other words, too
	mostSecrets = 4096 // more are not looked for
)

// harmless are arguments that are no secret and stand in events.
var harmless = []string{"start", "stop", "status", "restart", "reload", "force-reload", "force-restart", "https", "basic", "bearer", "authorization"}

// newScrubber returns one that knows these texts, and their parts that may be
// the secret alone.
func newScrubber(texts []string) scrubber {
	var all []string
	add := func(s string) {
		s = strings.TrimSpace(s)
		if len(s) >= leastSecret && !slices.Contains(harmless, strings.ToLower(s)) && len(all) < mostSecrets {
			all = append(all, s)
		}
	}
	for _, t := range texts {
		for line := range strings.Lines(t) {
			if strings.HasPrefix(line, "/") && !strings.ContainsAny(line, " =:@") {
				continue // a path alone
			}
			add(line)
			for _, part := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t=:@,;&?/\"'\r", r) }) {
				add(part)
			}
		}
	}
	sort.Slice(all, func(i, k int) bool { return len(all[i]) > len(all[k]) }) // the longest first
	var pairs []string
	for _, s := range slices.Compact(all) {
		pairs = append(pairs, s, leftOut)
	}
	return scrubber{strings.NewReplacer(pairs...)}
}

// clean returns text without the secrets that are known or look like one.
func (s scrubber) clean(text string) string {
	return secretForm.ReplaceAllString(s.known.Replace(text), "${1}${2}"+leftOut)
}

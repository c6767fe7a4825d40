package wire

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a key file.
const (
	MaxKeys    = 16      // keys of one file: a rotation needs two
	MinSecret  = 32      // bytes: as strong as the tag's hash
	MaxSecret  = 256     // bytes
	MaxKeyFile = 1 << 16 // bytes
)

// minDistinct is the least number of different byte values in a secret. Of 32
// random bytes fewer than 20 differ less than once in 10^12 keys.
const minDistinct = 16

// A Keyring holds the pre-shared keys of a pair: every listed one is accepted,
// the active one signs. It never changes once parsed and never prints a key.
type Keyring struct {
	keys   []key // in the order of the file
	active uint8
}

type key struct {
	id     uint8
	line   int
	secret []byte
}

// Active returns the id of the key that signs.
func (r *Keyring) Active() uint8 { return r.active }

// IDs returns the ids of all accepted keys in the order of the file.
func (r *Keyring) IDs() []uint8 {
	ids := make([]uint8, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.id
	}
	return ids
}

// String names the ids and nothing else, so that no log can hold a secret.
func (r *Keyring) String() string {
	return fmt.Sprintf("keys %v, active %d", r.IDs(), r.active)
}

// GoString is String: %#v would print the secrets otherwise.
func (r *Keyring) GoString() string { return r.String() }

// A Problem is what is wrong with one line of a key file, in words for an
// operator. It never quotes what may be a secret.
type Problem struct {
	File string
	Line int    // from 1; 0 for the file as a whole
	Key  string // "active", "key 3" or empty
	Text string
	Hint string
}

// Error returns the problem in one line.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString(" (hint: " + p.Hint + ")")
	}
	return b.String()
}

// GenerateKey returns the line of a key file, with its newline, that gives a
// fresh secret the id. It panics on id 0, which no file may hold.
func GenerateKey(random [32]byte, id uint8) string {
	if id == 0 {
		panic("wire: key id 0")
	}
	return fmt.Sprintf("key %d %s\n", id, base64.StdEncoding.EncodeToString(random[:]))
}

// ParseKeys reads a key file: lines "active N" (once) and "key N SECRET", in
// any order, with N in 1..255 and SECRET in base64 or hex. Empty lines and what
// follows a '#' are ignored, nothing else is. The keyring is nil if there is
// any problem. That the file is private is the caller's check.
func ParseKeys(name string, data []byte) (*Keyring, []Problem) {
	p := keyParser{name: name, ring: &Keyring{}}
	if len(data) > MaxKeyFile {
		p.problem(0, "", fmt.Sprintf("%d bytes are more than %d", len(data), MaxKeyFile), "this is no key file")
		return nil, p.problems
	}
	for i, line := range bytes.Split(data, []byte{'\n'}) {
		p.parse(i+1, string(line))
	}
	p.finish()
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return p.ring, nil
}

type keyParser struct {
	name       string
	ring       *Keyring
	activeLine int // line of "active", 0 before it
	problems   []Problem
}

func (p *keyParser) problem(line int, key, text, hint string) {
	p.problems = append(p.problems, Problem{p.name, line, key, text, hint})
}

func (p *keyParser) parse(n int, line string) {
	line, _, _ = strings.Cut(line, "#")
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	switch words[0] {
	case "active":
		p.parseActive(n, words[1:])
	case "key":
		p.parseKey(n, words[1:])
	case "auth", "crc", "md5", "sha1":
		p.problem(n, "", "this is a line of a Heartbeat authkeys file", "those keys are too weak; make a new one: twinbeat keygen")
	default:
		// The word is not quoted: it may be a secret that lost its "key N".
		p.problem(n, "", "the line begins with neither active nor key", `write "active N" or "key N SECRET"`)
	}
}

func (p *keyParser) parseActive(n int, words []string) {
	if p.activeLine != 0 {
		p.problem(n, "active", fmt.Sprintf("given before in line %d", p.activeLine), "keep one: only one key signs")
		return
	}
	p.activeLine = n
	if len(words) != 1 {
		p.problem(n, "active", fmt.Sprintf("%d words follow instead of one", len(words)), `write "active N"`)
		return
	}
	id, ok := parseID(words[0])
	if !ok {
		p.problem(n, "active", "the id is not a number from 1 to 255", `write "active N" with the id of a key`)
		return
	}
	p.ring.active = id
}

func (p *keyParser) parseKey(n int, words []string) {
	if len(words) != 2 {
		p.problem(n, "key", fmt.Sprintf("%d words follow instead of two", len(words)), `write "key N SECRET"; the secret has no spaces`)
		return
	}
	id, ok := parseID(words[0])
	if !ok {
		p.problem(n, "key", "the id is not a number from 1 to 255", `write "key N SECRET"`)
		return
	}
	name := "key " + words[0]
	secret, text, hint := parseSecret(words[1])
	if text != "" {
		p.problem(n, name, text, hint)
	}
	for _, k := range p.ring.keys {
		if k.id == id {
			p.problem(n, name, fmt.Sprintf("the id is used before in line %d", k.line), "give every key an id of its own")
		}
		if text == "" && subtle.ConstantTimeCompare(k.secret, secret) == 1 {
			p.problem(n, name, fmt.Sprintf("the secret is the one of key %d in line %d", k.id, k.line), "a rotation needs a new secret: twinbeat keygen")
		}
	}
	if len(p.ring.keys) == MaxKeys {
		p.problem(n, name, fmt.Sprintf("more than %d keys", MaxKeys), "remove those no node signs with")
		return
	}
	p.ring.keys = append(p.ring.keys, key{id, n, secret})
}

func (p *keyParser) finish() {
	if len(p.ring.keys) == 0 {
		p.problem(0, "key", "no key is given", "make one: twinbeat keygen")
		return
	}
	if p.activeLine == 0 {
		p.problem(0, "active", "no active key is named", fmt.Sprintf(`write "active %d"`, p.ring.keys[0].id))
		return
	}
	for _, k := range p.ring.keys {
		if k.id == p.ring.active {
			return
		}
	}
	if p.ring.active != 0 { // 0: its line has a problem of its own
		p.problem(p.activeLine, "active", fmt.Sprintf("there is no key %d", p.ring.active), fmt.Sprintf("listed ids: %v", p.ring.IDs()))
	}
}

// parseID accepts 1..255 in the one way a number is normally written.
func parseID(s string) (uint8, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err == nil && n > 0 && strconv.Itoa(int(n)) == s
}

// parseSecret reads hex if every digit is one, else base64 with or without
// padding; text says what is wrong. A base64 secret of hex digits alone turns
// up less than once in 10^19 keys.
func parseSecret(s string) (secret []byte, text, hint string) {
	const again = "make a new one: twinbeat keygen"
	secret, err := hex.DecodeString(s)
	if err != nil {
		secret, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
		pad := len(s) - len(strings.TrimRight(s, "="))
		if pad != 0 && len(s)%4 != 0 || pad > 2 {
			err = base64.CorruptInputError(len(s))
		}
	}
	switch {
	case err != nil:
		return nil, "the secret is neither base64 nor hex", "was the line cut? else " + again
	case len(secret) < MinSecret:
		return nil, fmt.Sprintf("the secret has %d bytes, at least %d are needed", len(secret), MinSecret), again
	case len(secret) > MaxSecret:
		return nil, fmt.Sprintf("the secret has %d bytes, at most %d are allowed", len(secret), MaxSecret), again
	case distinct(secret) < minDistinct:
		return nil, "the secret is not random", again
	}
	return secret, "", ""
}

func distinct(p []byte) int {
	var seen [256]bool
	n := 0
	for _, b := range p {
		if !seen[b] {
			seen[b] = true
			n++
		}
	}
	return n
}

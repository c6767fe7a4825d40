package http

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Bounds of a challenge. What lies beyond them is not read.
const (
	maxChallenge  = 4 << 10 // bytes of all WWW-Authenticate lines together
	maxParameters = 32      // of one challenge
	maxCount      = 1 << 20 // uses of one nonce
)

// A challenge is one way in which a device wants to be shown who asks
// (RFC 9110 section 11.6.1).
type challenge struct {
	scheme string // in lower case
	params map[string]string
}

// challenges reads WWW-Authenticate lines, each of which may hold several
// challenges. It stops at what it cannot read and returns what came before.
func challenges(lines []string) []challenge {
	var all []challenge
	rest := strings.Join(lines, ", ")
	if len(rest) > maxChallenge {
		rest = rest[:maxChallenge]
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		word := token(rest)
		if word == "" {
			return all
		}
		rest = rest[len(word):]
		after := strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(after, "=") {
			all = append(all, challenge{strings.ToLower(word), map[string]string{}})
			continue
		}
		value, next, ok := parameter(after[1:])
		if !ok || len(all) == 0 {
			return all
		}
		now := all[len(all)-1].params
		if _, twice := now[strings.ToLower(word)]; twice || len(now) == maxParameters {
			return all[:len(all)-1] // ambiguous: of no use
		}
		now[strings.ToLower(word)] = value
		rest = next
	}
}

// parameter reads a token or a quoted string, and returns what follows.
func parameter(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value = token(s)
		return value, s[len(value):], value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// token returns the token that s starts with (RFC 9110 section 5.6.2).
func token(s string) string {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return s[:i]
		}
	}
	return s
}

// A digest is a challenge that can be answered: RFC 7616, or Basic.
type digest struct {
	basic                bool
	realm, nonce, opaque string
	sha256, qop, opaqued bool
	algorithm            string // as the device wrote it; may be empty
	stale                bool   // the nonce before was too old, the password may be right
	count                uint32 // uses of the nonce
}

// choose takes the strongest challenge that can be answered: SHA-256, MD5,
// then Basic if that is allowed. nil: none.
func choose(all []challenge, basic bool) *digest {
	var best *digest
	for _, c := range all {
		d := c.digest()
		switch {
		case d == nil || d.basic && !basic:
		case best == nil, best.basic && !d.basic, !best.sha256 && d.sha256:
			best = d
		}
	}
	return best
}

func (c challenge) digest() *digest {
	d := &digest{realm: c.params["realm"], nonce: c.params["nonce"], algorithm: c.params["algorithm"]}
	d.opaque, d.opaqued = c.params["opaque"]
	d.stale = strings.EqualFold(c.params["stale"], "true")
	if c.scheme == "basic" {
		return &digest{basic: true}
	}
	switch strings.ToUpper(d.algorithm) {
	case "", "MD5":
	case "SHA-256":
		d.sha256 = true
	default:
		return nil // the session variants and SHA-512/256: met in no switch
	}
	qop, given := c.params["qop"]
	for q := range strings.SplitSeq(qop, ",") {
		d.qop = d.qop || strings.EqualFold(strings.TrimSpace(q), "auth")
	}
	if c.scheme != "digest" || d.nonce == "" || given && !d.qop || strings.ContainsAny(d.realm+d.nonce+d.opaque, "\r\n") {
		return nil
	}
	return d
}

// same says whether the device asks again what was answered already.
func (d *digest) same(o *digest) bool {
	return d.basic && o.basic || d.nonce == o.nonce && d.count > 0
}

// answer returns the Authorization line (RFC 7616 section 3.4).
func (d *digest) answer(user, password, method, uri string) (string, error) {
	if d.count++; d.count > maxCount {
		return "", errors.New("nonce is used up")
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make nonce: %w", err)
	}
	return d.authorization(user, password, method, uri, hex.EncodeToString(random)), nil
}

func (d *digest) authorization(user, password, method, uri, cnonce string) string {
	secret := d.hash(user + ":" + d.realm + ":" + password)
	what := d.hash(method + ":" + uri)
	var b strings.Builder
	fmt.Fprintf(&b, `Digest username=%s, realm=%s, nonce=%s, uri=%s`, quoted(user), quoted(d.realm), quoted(d.nonce), quoted(uri))
	if d.algorithm != "" {
		fmt.Fprintf(&b, ", algorithm=%s", d.algorithm)
	}
	if d.opaqued {
		fmt.Fprintf(&b, ", opaque=%s", quoted(d.opaque))
	}
	if !d.qop { // as before RFC 2617
		fmt.Fprintf(&b, `, response="%s"`, d.hash(secret+":"+d.nonce+":"+what))
		return b.String()
	}
	count := fmt.Sprintf("%08x", d.count)
	response := d.hash(strings.Join([]string{secret, d.nonce, count, cnonce, "auth", what}, ":"))
	fmt.Fprintf(&b, `, qop=auth, nc=%s, cnonce="%s", response="%s"`, count, cnonce, response)
	return b.String()
}

func (d *digest) hash(s string) string {
	if d.sha256 {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

package wire

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func b64(n byte) string {
	s := secret(n)
	return base64.StdEncoding.EncodeToString(s[:])
}

func TestAKeyFileIsReadInAllItsForms(t *testing.T) {
	s3 := secret(3)
	file := "# made by twinbeat keygen\r\n\n" +
		"key 1 " + b64(1) + "\n" +
		"  key\t7 " + strings.TrimRight(b64(7), "=") + "  # without padding\n" +
		"active 7 # since Monday\n" +
		"key 255 " + hex.EncodeToString(s3[:]) + "\n" +
		"key 9 " + strings.ToUpper(hex.EncodeToString(s3[1:])) + "0A"
	r, problems := ParseKeys("keys", []byte(file))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if r.Active() != 7 || !slices.Equal(r.IDs(), []uint8{1, 7, 255, 9}) {
		t.Errorf("active %d of %v", r.Active(), r.IDs())
	}
	for i, n := range []byte{1, 7, 3} {
		want := secret(n)
		if string(r.keys[i].secret) != string(want[:]) {
			t.Errorf("key %d: %x", r.keys[i].id, r.keys[i].secret)
		}
	}
}

func TestEveryFaultOfAKeyFileIsToldWithItsLine(t *testing.T) {
	good := "key 1 " + b64(1) + "\n"
	var many strings.Builder
	for i := range MaxKeys + 1 {
		fmt.Fprintf(&many, "key %d %s\n", i+1, b64(byte(i)))
	}
	for _, c := range []struct {
		name, file, want string
	}{
		{"an empty file", "", "keys: key: no key is given"},
		{"comments only", "# nothing\n", "keys: key: no key is given"},
		{"no active key", good, `keys: active: no active key is named (hint: write "active 1")`},
		{"an unknown active key", "active 2\n" + good, "keys:1: active: there is no key 2 (hint: listed ids: [1])"},
		{"two active keys", "active 1\n" + good + "active 1\n", "keys:3: active: given before in line 1"},
		{"active without an id", "active\n" + good, "keys:1: active: 0 words follow instead of one"},
		{"active with two ids", "active 1 2\n" + good, "keys:1: active: 2 words follow instead of one"},
		{"active zero", "active 0\n" + good, "keys:1: active: the id is not a number from 1 to 255"},
		{"an id too large", "active 1\n" + good + "key 256 " + b64(2), "keys:3: key: the id is not a number"},
		{"an id with a zero before", "active 1\nkey 01 " + b64(1), "keys:2: key: the id is not a number"},
		{"a signed id", "active 1\nkey +1 " + b64(1), "keys:2: key: the id is not a number"},
		{"a twice used id", "active 1\n" + good + "key 1 " + b64(2), "keys:3: key 1: the id is used before in line 2"},
		{"a twice used secret", "active 1\n" + good + "key 2 " + b64(1), "keys:3: key 2: the secret is the one of key 1 in line 2"},
		{"no secret", "active 1\nkey 1\n", "keys:2: key: 1 words follow instead of two"},
		{"a secret in two words", "active 1\nkey 1 abc def\n", "keys:2: key: 3 words follow instead of two"},
		{"a cut secret", "active 1\nkey 1 " + b64(1)[:20], "keys:2: key 1: the secret has 15 bytes, at least 32 are needed"},
		{"a crc", "active 1\nkey 1 cafebabe", "keys:2: key 1: the secret has 4 bytes"},
		{"an md5", "active 1\nkey 1 d41d8cd98f00b204e9800998ecf8427e", "keys:2: key 1: the secret has 16 bytes"},
		{"a sha1", "active 1\nkey 1 da39a3ee5e6b4b0d3255bfef95601890afd80709", "keys:2: key 1: the secret has 20 bytes"},
		{"a long secret", "active 1\nkey 1 " + strings.Repeat("0123456789abcdef", 40), "keys:2: key 1: the secret has 320 bytes, at most 256"},
		{"zeros", "active 1\nkey 1 " + strings.Repeat("00", 32), "keys:2: key 1: the secret is not random"},
		{"a passphrase", "active 1\nkey 1 correct-horse-battery-staple", "keys:2: key 1: the secret is neither base64 nor hex"},
		{"bits after the end", "active 1\nkey 1 " + b64(1)[:42] + "/=", "keys:2: key 1: the secret is neither"},
		{"padding amiss", "active 1\nkey 1 " + b64(1) + "==", "keys:2: key 1: the secret is neither"},
		{"an authkeys file", "auth 1\n1 sha1 secret", "keys:1: this is a line of a Heartbeat authkeys file"},
		{"a line without its word", "active 1\n" + good + b64(2), "keys:3: the line begins with neither active nor key"},
		{"a word in capitals", "Active 1\n" + good, "keys:1: the line begins with neither"},
		{"too many keys", "active 1\n" + many.String(), "keys:18: key 17: more than 16 keys"},
		{"a huge file", strings.Repeat("#", MaxKeyFile+1), "keys: 65537 bytes are more than 65536"},
		{"a zero byte", "active 1\n" + good + "\x00", "keys:3: the line begins with neither"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, problems := ParseKeys("keys", []byte(c.file))
			if r != nil || len(problems) == 0 {
				t.Fatal("accepted")
			}
			if got := problems[0].Error(); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if problems[0].Hint == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestNoProblemAndNoPrintQuotesASecret(t *testing.T) {
	files := []string{
		"active 1\nkey 1 " + b64(1) + " extra", "active 1\n" + b64(1), "key " + b64(1),
		"active " + b64(1), "active 1\nkey 1 " + b64(1)[:30] + "!", "key " + b64(1) + " " + b64(1),
		"active 1\nkey 1 " + b64(1) + "\nkey 1 " + b64(1),
	}
	for _, f := range files {
		_, problems := ParseKeys("keys", []byte(f))
		if len(problems) == 0 {
			t.Errorf("%q is accepted", f)
		}
		for _, p := range problems {
			if strings.Contains(fmt.Sprintf("%+v %v", p, p), b64(1)[:12]) {
				t.Errorf("%v", p)
			}
		}
	}
	r := ring(t, 1, 1)
	s := secret(1)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		out := fmt.Sprintf(format, r)
		if strings.Contains(out, fmt.Sprint(s[0], s[1])) || strings.Contains(out, string(s[:4])) || out != "keys [1], active 1" {
			t.Errorf("%s prints %s", format, out)
		}
	}
}

func TestAGeneratedKeyIsAccepted(t *testing.T) {
	r, problems := ParseKeys("keys", []byte("active 9\n"+GenerateKey(secret(5), 9)))
	if len(problems) > 0 || r.Active() != 9 {
		t.Fatal(problems)
	}
	if want := secret(5); string(r.keys[0].secret) != string(want[:]) {
		t.Errorf("secret %x", r.keys[0].secret)
	}
}

package ssh

import (
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/fence"
)

// FuzzPowerStatus holds that what a DRAC prints is a power only if it is the
// one exact line, by whatever shell it came.
func FuzzPowerStatus(f *testing.F) {
	f.Add("Server power status: OFF\r\n", "$")
	f.Add("$ racadm serveraction powerstatus\r\nServer power status: ON\r\n$ ", "$")
	f.Add("racadm serveraction powerstatus\r\n$\r\nServer power status: OFF\r\n$", "$")
	f.Add("Server power status: OFF\nServer power status: ON\n->", "->")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, text, prompt string) {
		check := func(text string) {
			r, err := powerStatus(text)
			n := strings.Count(text, "Server power status: ")
			if (err == nil) != (r.Power != fence.PowerUnknown) || err == nil && n != 1 ||
				r.Power == fence.PowerOff && strings.TrimSpace(text) != "Server power status: OFF" {
				t.Fatalf("%q is %+v, %v", text, r, err)
			}
		}
		check(text)
		if out, ok := between(text, racStatus, prompt); ok {
			check(out)
			if strings.Contains(text, "status: ON\r") && strings.Contains(out, "status: OFF") && !strings.Contains(text, "status: OFF") {
				t.Fatalf("%q became %q", text, out)
			}
		}
		_, _ = firstPrompt(text)
		_, _ = sysInfo(text)
	})
}

// FuzzPins holds that whatever is taken for a host key has a fingerprint, and
// that types are known only if all are.
func FuzzPins(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFVZ4Ng9nI4XJlXoYyJ3vJ0m2lJmO7m4m7v7m2v9J0aB a")
	f.Add("box,192.0.2.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFVZ4Ng9nI4XJlXoYyJ3vJ0m2lJmO7m4m7v7m2v9J0aB")
	f.Add("SHA256:0123456789012345678901234567890123456789012")
	f.Add("# none")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readPins(text)
		if err != nil {
			return
		}
		for _, print := range p.fingerprints {
			if !strings.HasPrefix(print, "SHA256:") || len(print) != len("SHA256:")+43 {
				t.Fatalf("%q gives fingerprint %q", text, print)
			}
		}
		if len(p.fingerprints) == 0 || len(p.types) > 0 && len(p.types) != len(p.fingerprints) {
			t.Fatalf("%q gives %+v", text, p)
		}
	})
}

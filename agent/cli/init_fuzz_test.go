//go:build !lite

package cli

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/survey"
)

// FuzzAnswers answers the dialogue with anything. Either it ends with an error,
// or both nodes accept what would be written, and it means what was said last.
func FuzzAnswers(f *testing.F) {
	f.Add("office\nfw1 fw2\n/dev/ttyS1\n\neth0\neth2\n192.0.2.1/24\nsystemd:dnsmasq\nnone\n\n")
	f.Add("\na.b c.d\na.b=/dev/ttyS0,c.d=/dev/ttyS1\n9600\neth0\neth0 c.d=x a.b=y\n192.0.2.1/24@z 2001:db8::1/64\nnone\nipmi\na.b=192.0.2.2 c.d=192.0.2.3\nroot\nfence\n")
	f.Add("x\nfw1 fw2\nnone\neth0\neth1\n192.0.2.1/24\nauto:x\napc\nh\nfw1=1,2 fw2=3\nfence\n")
	f.Add("x\nfw1 fw2\nnone\neth0\nfw1= fw2=\n\"\n\\\nocf:a:b\nshelly\nfw1=[::1] fw2=[::2]:80\nfw1=0 fw2=0\nnone\nlease\n")
	f.Fuzz(func(t *testing.T, text string) {
		var shown bytes.Buffer
		s := &setup{
			shell: &shell{stdout: &shown, stderr: &shown}, o: &options{}, in: bufio.NewReaderSize(strings.NewReader(text), maxAnswer),
			said: map[string]bool{}, host: "fw1", facts: survey.Facts{Nets: []survey.Net{{Name: "eth0", Up: true}}},
		}
		for _, q := range questions() {
			if err := s.answer(q); err != nil {
				return
			}
		}
		draft := s.plan.draft()
		for i, node := range s.plan.nodes {
			c, problems := config.Parse("draft", []byte(draft), node)
			if config.Refused(problems) {
				t.Fatalf("%q made a draft that is refused: %v\n%s", text, problems, draft)
			}
			if c.Cluster != s.plan.cluster || c.Self != i || len(c.Links) != len(s.plan.serials)+len(s.plan.heartbeats) || c.Mode != s.plan.mode {
				t.Fatalf("%q made a draft that means something else:\n%s", text, draft)
			}
		}
	})
}

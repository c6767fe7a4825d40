package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/wire"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// rotations is how often the key is replaced; the environment may ask for
// more. An agent looks at its key file every two seconds, so each takes as
// long. rotationsMost leaves ids of a byte for the keys before and after.
const (
	rotations     = 10
	rotationsMost = 250
)

func TestManyKeyRotationsInARowChangeNoRole(t *testing.T) {
	count := rotations
	if n, err := strconv.Atoi(os.Getenv("TWINBEAT_E2E_ROTATIONS")); err == nil {
		count = min(n, rotationsMost)
	}
	r := boot(t, lab.Options{})
	file := r.Dir + "/keys"
	first, err := os.ReadFile(file)
	r.try(err)
	keys := []string{"", string(first[strings.Index(string(first), "key 1"):])}
	for id := 2; id <= count+2; id++ {
		var secret [32]byte
		_, _ = rand.Read(secret[:])
		keys = append(keys, wire.GenerateKey(secret, uint8(id)))
	}
	since := r.mark()
	seen := r.during(func() {
		// Each file lists the key before, the one that signs and the one to
		// come: safe for a node whose peer still has the file before.
		for n := 1; n <= count+1; n++ {
			at := r.mark()
			text := fmt.Sprintf("active %d\n%s%s%s", n, keys[n-1], keys[n], keys[n+1])
			r.try(os.WriteFile(file+".new", []byte(text), 0o600))
			r.try(os.Rename(file+".new", file))
			r.await("both nodes take the keys up", 2*soon, func() bool { return r.rekeyed(0, at[0]) && r.rekeyed(1, at[1]) })
		}
		time.Sleep(time.Second)
	})
	t.Logf("%d rotations", count)
	r.outage(seen, 20*time.Millisecond)
	r.unmoved(since)
	for i := range r.Nodes {
		for _, kind := range paths {
			if d := r.drops(i, kind); d["key"]+d["mac"]+d["session"] > 0 {
				t.Errorf("fw%d refused frames on %s: %v", i+1, kind, d)
			}
		}
	}
}

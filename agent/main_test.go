package agent

import (
	"testing"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// TestMain runs the whole test binary again in a network namespace of its own,
// so that nothing of the machine can be touched.
func TestMain(m *testing.M) { lab.Main(m) }

package sim

import (
	"strings"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// The inputs of a machine, as coverage counts them: a frame by its kind.
var inputNames = [...]string{
	"Tick", "BEAT", "CLAIM", "GRANT", "RELEASE", "RELEASED", "GOODBYE", "FENCE_NOTICE", "Lines", "Stalled", "LeaseLost",
	"ProbeDone", "FenceDone", "AddressesUp", "GateOpened", "ServicesUp", "ServicesDown", "AddressesDown", "ServiceFailed",
	"ForeignMAC", "Command", "Stop", "FenceLeave", "HealthChanged", "Start",
}

const (
	inputs = len(inputNames)
	states = int(pair.Failed) + 1
)

// Coverage counts which (state, input) pairs were visited.
type Coverage [states][inputs]uint32

func (c *Coverage) visit(s pair.State, in pair.Input) { c[s][inputIndex(in)]++ }

func inputIndex(in pair.Input) int {
	switch in := in.(type) {
	case pair.Tick:
		return 0
	case pair.Heard:
		return int(in.Kind)
	case pair.Lines:
		return 8
	case pair.Stalled:
		return 9
	case pair.LeaseLost:
		return 10
	case pair.ProbeDone:
		return 11
	case pair.FenceDone:
		return 12
	case pair.AddressesUp:
		return 13
	case pair.GateOpened:
		return 14
	case pair.ServicesUp:
		return 15
	case pair.ServicesDown:
		return 16
	case pair.AddressesDown:
		return 17
	case pair.ServiceFailed:
		return 18
	case pair.ForeignMAC:
		return 19
	case pair.Command:
		return 20
	case pair.Stop:
		return 21
	case pair.FenceLeave:
		return 22
	case pair.HealthChanged:
		return 23
	}
	return 24
}

// Add adds the visits of another run.
func (c *Coverage) Add(o *Coverage) {
	for s := range c {
		for i := range c[s] {
			c[s][i] += o[s][i]
		}
	}
}

// unreachable says why no machine can meet a pair; empty if it can. A run that
// visits one proves the reason wrong.
func unreachable(s pair.State, input string) string {
	switch {
	case input == "Start" && s != pair.Boot:
		return "it is the first input, and the only one of its kind"
	case input == "LeaseLost" && !s.Owns():
		return "the loop tells it of a gate that it opened, and who leaves ownership closes that first"
	case input == "GateOpened" && !s.Owns():
		return "a grant is answered in its turn, and who leaves ownership withdraws the wish"
	case s == pair.Boot && (input == "AddressesUp" || input == "ServicesUp"):
		return "nothing was asked for yet, and no state leads back to BOOT"
	case s == pair.Boot && input == "HealthChanged":
		return "the nodes are compared in two-way contact, which ends BOOT"
	case s == pair.Isolated && input == "FENCE_NOTICE":
		return "only an owner in mode fence sends it, and there nobody is isolated"
	case s == pair.Failed && input == "ProbeDone":
		return "probes belong to the modes silence and lease, FAILED to mode fence"
	}
	return ""
}

// Pairs returns how many of the pairs that a machine can meet were visited, how
// many there are, the ones that were not, and those visited that cannot be.
func (c *Coverage) Pairs() (visited, all int, missing, wrong []string) {
	for s := pair.Boot; s <= pair.Failed; s++ {
		for i, name := range inputNames {
			key := s.String() + " " + name
			never := unreachable(s, name) != ""
			switch {
			case never && c[s][i] > 0:
				wrong = append(wrong, key)
			case never:
			case c[s][i] > 0:
				visited++
				all++
			default:
				all++
				missing = append(missing, key)
			}
		}
	}
	return visited, all, missing, wrong
}

// visited reports whether a pair, as Pairs names it, was visited.
func (c *Coverage) visited(name string) bool {
	state, input, _ := strings.Cut(name, " ")
	for s := pair.Boot; s <= pair.Failed; s++ {
		for i := range inputNames {
			if s.String() == state && inputNames[i] == input {
				return c[s][i] > 0
			}
		}
	}
	return false
}

// Table prints the visits, a line for each state.
func (c *Coverage) Table() string {
	var b strings.Builder
	for s := pair.Boot; s <= pair.Failed; s++ {
		b.WriteString(s.String())
		for i := range inputNames {
			mark := " ."
			if c[s][i] > 0 {
				mark = " x"
			}
			b.WriteString(mark)
		}
		b.WriteByte('\n')
	}
	return b.String() + "columns: " + strings.Join(inputNames[:], " ") + "\n"
}

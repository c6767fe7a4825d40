package loop

import "testing"

func TestANoteIsAnEventAndNothingElse(t *testing.T) {
	bubble(t, setup{}, func(_ *rig, a, _ *node) {
		moves := a.board.count("role", "")
		if _, err := order1(t, a, Order{Command: OrderNote, Group: "g1", Reason: "drill well"}); err != nil {
			t.Fatal(err)
		}
		if n := a.board.count("operator", "operator root: drill well note"); n != 1 || a.board.count("role", "") != moves {
			t.Errorf("%d notes; %s", n, a.board.tail(5))
		}
	})
}

package model

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write rules.pml anew")

// TestRulesPmlIsPrintedFromTheTable keeps the model and the checker on one table.
func TestRulesPmlIsPrintedFromTheTable(t *testing.T) {
	want := Promela()
	if *rewrite {
		if err := os.WriteFile("rules.pml", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("rules.pml")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("rules.pml differs from the table (%v); go test ./tests/model -run RulesPml -rewrite", err)
	}
}

package agent

import (
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
)

func withJournal(t *testing.T, dir string) *agent {
	t.Helper()
	a := &agent{cfg: config.Config{Groups: []config.Group{{Name: "lan"}, {Name: "dmz"}}}}
	var errs []error
	a.journal, a.state, errs = journal.Open(dir)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	t.Cleanup(func() { _ = a.journal.Close() })
	return a
}

func TestWhatTheLoopSavesComesBackAfterARestart(t *testing.T) {
	dir := t.TempDir()
	a := withJournal(t, dir)
	if s := a.saved(); len(s.Terms) != 2 || len(s.Unfit) != 2 || s.Maintenance != nil {
		t.Fatalf("of an empty journal: %+v", s)
	}
	if err := newMemory(a).Save(loop.Saved{
		Terms: []uint32{7, 9}, Unfit: []string{"", "dns: exit 1"}, Clean: true,
		Maintenance: &report.Maintenance{Reason: "disk", By: "root", Since: time.Unix(1e9, 0), LeftSec: 90},
	}); err != nil {
		t.Fatal(err)
	}
	_ = a.journal.Close()

	b := withJournal(t, dir)
	s := b.saved()
	if s.Terms[0] != 7 || s.Terms[1] != 9 || s.Unfit[0] != "" || s.Unfit[1] != "dns: exit 1" {
		t.Errorf("%+v", s)
	}
	if m := s.Maintenance; m == nil || m.Reason != "disk" || m.By != "root" || m.LeftSec < 85 || m.LeftSec > 90 {
		t.Errorf("%+v", m)
	}
	if !b.state.Clean {
		t.Error("the clean end is forgotten")
	}
	if err := newMemory(b).Save(loop.Saved{Terms: []uint32{8, 9}, Unfit: []string{"", ""}}); err != nil {
		t.Fatal(err)
	}
	_ = b.journal.Close()

	c := withJournal(t, dir)
	if s := c.saved(); s.Terms[0] != 8 || s.Unfit[1] != "" || s.Maintenance != nil || c.state.Clean {
		t.Errorf("%+v, clean %v", s, c.state.Clean)
	}
}

func TestMaintenanceWithoutAnEndStaysWithoutOne(t *testing.T) {
	dir := t.TempDir()
	a := withJournal(t, dir)
	if err := newMemory(a).Save(loop.Saved{
		Terms: []uint32{0, 0}, Unfit: []string{"", ""}, Maintenance: &report.Maintenance{Reason: "x"},
	}); err != nil {
		t.Fatal(err)
	}
	_ = a.journal.Close()
	if m := withJournal(t, dir).saved().Maintenance; m == nil || m.LeftSec != 0 {
		t.Errorf("%+v", m)
	}
}

func TestSaveDoesNotBringASpentTokenBack(t *testing.T) {
	dir := t.TempDir()
	a := withJournal(t, dir)
	m := newMemory(a)
	if err := m.SpendToken(); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(loop.Saved{Terms: []uint32{1, 1}, Unfit: []string{"", ""}}); err != nil {
		t.Fatal(err)
	}
	_ = a.journal.Close()
	if b := withJournal(t, dir); b.state.Token {
		t.Error("the token is back")
	}
}

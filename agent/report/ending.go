package report

import "slices"

// An Ending is what the peer saw of this node's last end; as accord has it.
type Ending struct {
	AgoMS    uint32 // since its last word
	FellMS   uint32 // how long after that word its modem lines fell
	DownMS   uint32 // until they rose, or it was heard again
	Lines    bool   // its modem lines could be seen all the time
	Fell     bool   // they fell with that word or after it; else they stayed up
	Off      bool   // it was proven off meanwhile
	OffLater bool   // by an order that came when the lines had fallen
	Grade    string // what the proof rests on, in words; empty: not told
}

// Hear adds what the peer, by, saw of the end of the run before, and says whether
// that named the cause. It does so only where this box has no trace that does:
// where none was found, or one of power that went, or of a fence that was
// announced. What is known to be the end of the agent alone is left as it is.
// uptimeMS is that of the kernel; of lines that fell within onceMS of the last
// word it is not known that they fell later.
func (r *Reset) Hear(e *Ending, by string, uptimeMS, onceMS uint32) bool {
	switch r.Cause {
	case CauseFirst, CauseRestart, CauseCrash, CauseReboot:
		return false
	}
	r.Evidence = append(slices.Clip(r.Evidence), e.words(by, uptimeMS))
	cause, text := e.judge(by, onceMS)
	open := r.Cause == CauseUnknown || cause == CauseFenced && (r.Cause == CauseFenced || r.Cause == CausePower)
	if cause == "" || !open {
		return false
	}
	r.Cause, r.Text = cause, text
	return true
}

// judge says what it shows; nothing if the peer saw too little. Lines that fall
// show the end of the box or of its agent. What a cable or an adapter that is
// pulled shows is the same.
func (e *Ending) judge(by string, onceMS uint32) (cause, text string) {
	switch {
	case e.Off && !e.OffLater:
		return CauseFenced, by + " switched this box off: " + or(e.Grade, "proven")
	case !e.Lines:
		return "", ""
	case !e.Fell:
		return CauseReset, "the box kept its power: " + by + " saw its modem lines up all the time"
	case e.FellMS > onceMS:
		return CauseHang, "the box stood still with its power on for " + span(e.FellMS) + ", then it was reset or switched off: so long after its last word " + by + " saw its modem lines fall"
	}
	return CauseSudden, "the box lost its power, or was reset at once: " + by + " saw its modem lines fall with its last word, as they do not in a hang"
}

// words is what the peer saw, without a conclusion.
func (e *Ending) words(by string, uptimeMS uint32) string {
	s := by + " heard it last " + span(e.AgoMS-uptimeMS) + " before this kernel began"
	switch {
	case !e.Lines:
		s += ", has no modem lines to tell more"
	case e.Fell:
		s += ", saw its modem lines fall " + span(e.FellMS) + " after that, for " + span(e.DownMS)
	default:
		s += ", saw its modem lines stay up"
	}
	if e.Off {
		s += ", proved it off"
	}
	if e.OffLater {
		s += " after that"
	}
	return s
}

func span(ms uint32) string { return Span(float64(ms)) }

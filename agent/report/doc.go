// Package report decides how the state of the pair and its history read to an
// operator: the types that leave the agent, their text, and the verdict whether
// the pair is degraded. It refuses to measure anything: it has no clock and no
// I/O, and it shows a fact only with the age it came with.
//
// Start reading at [Snapshot], then [Reasons] (what counts as degraded) and
// [Render]. [Ring] holds the newest events in memory; the files belong to
// agent/journal.
package report

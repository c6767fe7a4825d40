// Package predict decides from readings of sensors how healthy a box is, when
// a value will reach its limit and why; it refuses to believe a number that a
// broken chip made up, and to take part in what is done about its verdict.
//
// Each series goes one way: gate (is this a measurement at all?) -> median of
// 10 s -> median of a minute -> means of 10 minutes and of an hour -> detectors.
// Each detector casts votes; [Box.Health] adds them up to one score and one
// sentence.
//
// Two kinds of verdicts are kept apart. Move is for seconds to minutes ahead:
// hand over now. Alert is for hours to weeks ahead: a person should look.
//
// Pure: time is an argument, the wall clock is only good for the hour of the
// day. Memory is bounded: see [MaxSeries] and the rings in series.go.
//
// Start reading at [Box], then series.go, trend.go, baseline.go.
package predict

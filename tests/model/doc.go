// Package model decides whether the protocol keeps its promise whatever happens, and whether the machine keeps to the protocol; it refuses
// to run anything itself: spin explores, the simulator and the transcripts of agent/pair deliver the steps.
//
// Start reading at [Rules]: the protocol of one node as one table of guards and
// effects. The table is used twice. [Promela] prints it as rules.pml, which
// pair.pml surrounds with a world (time, links, stalls, power, the fence
// device); spin visits every state of that world. A [Checker] holds each step
// of the real machine against the same rows: whatever agent/pair does must be
// a row whose guard is true by facts that the checker gathers for itself from
// the inputs. What the guards are made of stands in [Atoms]: each has the
// expression of the model and the function of the checker side by side.
//
// What the model leaves out, and why that is sound, is in README.md.
package model

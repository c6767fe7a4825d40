// Package vm boots two emulated machines from Debian's kernel package, with the
// real twinbeat as their only program besides busybox, and judges what a client
// on their LAN sees while their power, kernels, cables and clocks fail. It
// refuses to judge milliseconds: an emulated machine is slow, and order and two
// owners are what counts. Start reading at scenarios, then [Pair].
//
// Everything runs inside namespaces that the tests made themselves, and the
// kernel ends what they started.
package vm

// Package loop owns the machines: one goroutine drains every queued fact, then
// lets time pass, does what the machines ask, sends heartbeats and only then
// renews the kernel leases.
//
// It refuses to wait: whatever may block (netlink for a thousand addresses,
// scripts, a power switch, the disk) runs in a lane and comes back as a fact
// with its ticket. Start reading at [Loop.Run] and [Loop.turn].
//
// The order inside a turn is what keeps a late process harmless:
//
//  1. the kernel is told that a turn begins; this mark lives [Options.Window]
//  2. all queued facts are drained and stepped, then a tick
//  3. gates are closed and opened, as the machines asked; before one is opened
//     a heartbeat is sent, from which the peer counts
//  4. heartbeats are sent, if they are due
//  5. leases are renewed, which the kernel grants only while the mark of (1)
//     and the lease itself are unexpired
//
// So no lease outlives the last heartbeat sent by more than Window + T_lease,
// and no gate opens on a decision older than Window, wherever the process is
// stopped in between.
package loop

// Package pair decides which of two nodes holds a group of addresses; it refuses to act, to wait or to know the time by itself.
//
// Start reading at [Machine.Step]. One machine runs per group. The driver
// feeds it facts ([Input]) and does what it asks ([Action]):
//
//	for {
//		drain every queued input:  act(m.Step(now, in))
//		act(m.Step(now, pair.Tick{}))
//		send a beat on every link, then, if m.MayRenew(now), renew the kernel lease
//		wait for input, until m.Next() at most
//	}
//
// Inputs come before the tick, so that a process that stood still reads what
// waited for it before it judges the peer. Every transition is made by the
// input that enables it; a tick only ends waits. [CloseGate] is the first
// action of a step that has one, and must be done before any frame is sent.
//
// # What proves what
//
// The peer's kernel lease ends at the latest one lease and one window after
// its last beat was sent (the driver sends before it renews, and the kernel
// refuses a late renewal). Hence silence is measured from the latest moment at
// which the last frame can have been sent, which is its arrival less its known
// age in our queues: an upper bound. Two-way contact is the opposite question,
// "since when may the peer have been deaf to me", and needs a lower bound: the
// moment this node sent what the frame echoes (Heard.EchoSentAt), never the
// arrival. A frame with no fresh echo proves only that the peer lives.
//
// Frames are ordered by Heard.Counter, whatever link they took: an older copy
// that a slow line delivers late says nothing any more. GRANT, RELEASED and
// GOODBYE count only if they echo what was sent after this node itself last
// gave the group away, and only for Config.Dead; whoever sends one takes
// nothing for longer than that (the hold).
//
// After a stall of this process ([Stalled]) no silence is judged for one beat,
// and a claim begins anew: frames that the peer sent meanwhile may wait in our
// buffers, and what still does so at the end of a CLAIM's time was never sent.
// The silence clock itself runs on, or a box that stands still for half a lease
// every few beats would never take over. A
// stall shorter than the lease keeps the group: the peer cannot have taken it
// by silence, and if the kernel lease did lapse the kernel refuses to revive
// it and the driver reports [LeaseLost].
//
// # Alarms
//
//	peer-silent      nothing heard from the peer for Config.Dead
//	one-way          the peer is heard but does not hear this node
//	split            both nodes said they own the group
//	fence-failed     the peer could not be proven off; retried for ever while it is silent
//	fence-notice     the peer said it is switching this node off
//	probe-veto       a foreign MAC answers for an address: no takeover
//	foreign-mac      a foreign MAC answers for an address this node owns
//	unfit            services or addresses of the group failed on this node
//	stop-failed      a service would not stop
//	flap-frozen      a planned move was refused: too many within Config.FlapWindow
//	config-mismatch  configuration or protocol differ: no takeover that needs agreement
//	lease-lost       the kernel lease vanished or the process stalled beyond it
//	isolated         the node gave up the group, or rejoined late, and waits for contact
//	failed           the node waits for an operator or a fence
package pair

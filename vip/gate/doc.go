// Package gate decides, inside the kernel and by a clock that no process can
// stop, whether this node may answer or forward for a group's virtual
// addresses; it refuses to hold addresses, to judge who should own them, or to
// open a gate that nobody renews. Start reading at [Gate].
//
// # The kernel lease
//
// One nftables table of family netdev drops, on every interface of the gate,
// what concerns an address whose group holds no unexpired lease. The
// lease is an element of a set with a timeout, so it ends by itself: a killed,
// stopped or swapped-out agent goes dark without doing anything.
//
// The agent speaks to that table by tiny frames on the loopback device, which a
// chain there turns into set operations (no netlink in the hot path):
//
//	Turn   refresh the turn token; it lives Window
//	Grant  needs the turn token: open the group's gate for Lease
//	Renew  needs the turn token and an unexpired lease: refresh the lease
//	Close  delete the lease
//
// A loop calls Turn, drains its inputs, decides, grants and closes, sends its
// beats, and calls Renew last. A lease therefore never outlives the last beat
// by more than Window + Lease, whatever pauses hit the process in between: a
// late Renew finds no token, a very late one finds no lease.
//
// The frames carry 16 random bytes chosen at [Open], so that only a process
// that may read nftables rules (CAP_NET_ADMIN) could forge one.
//
// # Time
//
// Set timeouts count kernel ticks (1/HZ, see [Tick]) and the kernel rounds a
// timeout down: a lease of n ticks lives longer than n-1 and at most n ticks
// (plus the lateness of the tick itself), so it errs towards dark. [Effective]
// does this arithmetic. Timeouts under two ticks are refused, because one that
// rounds to zero would never expire. A VM that is paused stops ticks, lease and
// traffic together; on resume the rest of the lease is still valid.
package gate

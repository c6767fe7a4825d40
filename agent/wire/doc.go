// Package wire decides which bytes from the peer are authentic, new and meant
// for this link, and turns them into a [Message]; it refuses to act on them, to
// keep time, to read or send anything, and to look past a fixed eight-byte
// header before the tag is verified. Start reading at [Opener.Open], then
// [Endpoint.Seal]; the handshake is [Endpoint.Accept].
//
// # Frame
//
// All numbers are big endian. The same payload travels on every kind of link;
// on a serial line it is wrapped by [AppendSerial].
//
//	offset size field
//	0      1    version (4 bits, now 1), kind (4 bits)
//	1      1    key id, 1..255
//	2      1    node (4 bits, 1..15), link (4 bits, 0..7)
//	3      2    cluster: first bytes of SHA-256 over the name
//	5      3    session; in a HELLO the session its sender uses, 0 for none
//	8           body
//	n-16   16   tag: HMAC-SHA256 over sender, receiver, link and bytes 0..n-16
//
// The body of every kind but HELLO and DATA. A BEAT ends after its groups; the other
// kinds say with one more byte at the end which group they are about:
//
//	offset size field
//	8      4    counter, 1..2^31-1
//	12     4    echo: newest counter heard from the receiver, 0 for none
//	16     2    age of the echo in ms, rounded up, 65535 means that or more
//	18     1    groups (4 bits, 0..8), echo minus link echo (4 bits, 15 none)
//	19     1    age of the link echo, packed ms (see below)
//	20     1    links on which the sender hears the receiver, bit 0 is link 0
//	21     1    flags
//	22     1    health
//	23     1    time to critical, packed units of 4 s, 255 for none
//	24     2    mode (2 bits), lease in ms (14 bits, rounded up)
//	26     4    digest of the configuration
//	30     2    software version
//	32     5*g  per group: state (4 bits), flags (4 bits), term (4 bytes)
//
// The body of a HELLO:
//
//	offset size field
//	8      16   nonce of the sender
//	24     16   nonce of the receiver, heard here or else on another link, or zero
//	40     4    boot id
//	44     4    digest of the configuration
//	48     2    software version
//	50     1    1 if the sender wants to replace the session both use, else 0
//
// The body of DATA: one item or more, at most 192 bytes of them.
//
//	offset size field
//	8      4    counter of DATA frames, 1..2^31-1
//	12     1    type of the first item, 1..255
//	13     1    length of its value, n
//	14     n    value; then the next item
//
// A packed number takes one byte: 0..127 stand for themselves, a larger code c
// stands for (16 + c&15) << ((c-128)>>4 + 3), so the error is at most one part
// in sixteen, always downwards.
//
// A BEAT of one group is 53 bytes of payload and 57 bytes on a serial line
// (COBS 1, CRC 2, delimiter 1): 202 a second at 115200 baud. A HELLO is 67 and
// 71 bytes, DATA at most 220 and 224.
//
// # DATA
//
// A DATA frame carries what the nodes want to know of each other and nothing is
// decided by: no machine sees it, and it proves no contact, since it echoes
// nothing. It belongs to the session and is refused when it is old or a
// duplicate like every other frame, but by counters and windows of its own:
// what it carries may be sent seldom, on one link, or in a burst, and yet no
// heartbeat looks lost or old for it. Items of a type that the receiver does not
// know are skipped; a version of before DATA drops the whole frame as malformed.
//
// # Keys and sessions
//
// A pre-shared key never signs anything itself. HELLO frames are signed with a
// key derived from it, the cluster and the two node ids; all others with a
// session key that is derived from it, the cluster, both ids and one nonce of
// each node (HKDF-SHA256, RFC 5869). So a recording is worthless as soon as
// either node has chosen another nonce, without a clock and without a disk.
// Every listed key gives a session key of its own, hence a session outlives
// rotations: list the new key on both nodes, make it active, remove the old.
//
// # Handshake
//
// A node proposes a nonce that no session has used yet. Whoever receives an
// authentic HELLO that returns its own proposal knows that the peer lives now,
// and takes up the session of the two nonces. A node that returns a nonce must
// first be able to read frames of the session that may come of it; the first
// such frame proves the same as a returned nonce. Once a frame of the new
// session was read, the next proposal is a new nonce, so an old HELLO returns
// nothing that still counts. A HELLO that returns nothing changes no session:
// it is only answered. What one link hears does not overwrite what another
// heard: who floods a network with old HELLOs can keep a handshake off it, but
// not off the cable, and never disturbs a session that stands.
package wire

package main

// Files of agent/wire.
var (
	endpointGo = in("agent/wire/endpoint.go")
	openerGo   = in("agent/wire/opener.go")
	sessionGo  = in("agent/wire/session.go")
	bodyGo     = in("agent/wire/body.go")
	serialGo   = in("agent/wire/serial.go")
	dataGo     = in("agent/wire/data.go")
	keysGo     = in("agent/wire/keys.go")
)

// wireMutants are the rules of which frames count.
var wireMutants = []mutant{
	{
		name: "tag-is-not-checked", rings: "wire",
		rule:  "A frame counts only if its tag is right.",
		edits: edits{openerGo("return subtle.ConstantTimeCompare(tag, p[n:]) == 1", "return subtle.ConstantTimeCompare(tag, p[n:]) >= 0")},
	},
	{
		name: "half-the-tag-is-checked", rings: "wire",
		rule:  "The whole tag is compared.",
		edits: edits{openerGo("return subtle.ConstantTimeCompare(tag, p[n:]) == 1", "return subtle.ConstantTimeCompare(tag[:8], p[n:n+8]) == 1")},
	},
	{
		name: "tag-covers-half-the-frame", rings: "wire",
		rule:  "The tag covers the frame from its first byte to its last.",
		edits: edits{sessionGo("\th.Write(frame)\n", "\th.Write(frame[:headerSize])\n")},
	},
	{
		name: "reflected-frame-counts", rings: "wire",
		rule:  "A node's own frame that comes back is dropped as its own.",
		edits: edits{openerGo("if node == o.e.node {", "if false {")},
	},
	{
		name: "frame-of-another-link-counts", rings: "wire",
		rule:  "A frame made for another link is dropped.",
		edits: edits{openerGo("case p[2]&15 != o.link:", "case false:")},
	},
	{
		name: "frame-of-a-third-node-counts", rings: "wire",
		rule:  "A frame of neither this node nor its peer is dropped.",
		edits: edits{openerGo("case node != o.e.node && node != o.e.peer:", "case false:")},
	},
	{
		name: "frame-of-another-cluster-is-read", rings: "wire",
		rule:  "A frame of another cluster is dropped.",
		edits: edits{openerGo("case p[3] != o.e.hash[0] || p[4] != o.e.hash[1]:", "case false:")},
	},
	{
		name: "frame-of-another-version-is-read", rings: "wire",
		rule:  "A frame of another version of the format is dropped.",
		edits: edits{openerGo("case p[0]>>4 != version:", "case false:")},
	},
	{
		name: "unlisted-key-is-used", rings: "wire",
		rule:  "A frame counts only under a listed key, and the one it names.",
		edits: edits{openerGo("key := find(st.hello, p[1])", "key := &st.hello[0]")},
	},
	{
		name: "frame-may-be-of-any-length", rings: "wire",
		rule:  "A frame longer than any that is sent is dropped.",
		edits: edits{openerGo("if len(p) < minFrame || len(p) > MaxFrame {", "if len(p) < minFrame {")},
	},
	{
		name: "session-key-without-the-nonces", rings: "wire",
		rule:  "Each session has keys of its own: frames of another are worthless.",
		edits: edits{sessionGo("rune(a), na[:], rune(b), nb[:])", "rune(a), na[:0], rune(b), nb[:0])")},
	},
	{
		name: "session-key-without-the-cluster", rings: "wire",
		rule:  "The name of the cluster is part of every key.",
		edits: edits{sessionGo("rune(len(id.cluster)), id.cluster, rune(a), rune(b))", "rune(0), \"\", rune(a), rune(b))")},
	},
	{
		name: "session-is-not-looked-at", rings: "wire",
		rule:  "A frame is tried against the sessions of its id only.",
		edits: edits{openerGo("if s == nil || s.id != id || s.core == tried {", "if s == nil || s.id != id && false || s.core == tried {")},
	},
	{
		name: "replayed-frame-counts", rings: "wire",
		rule:  "A frame counts once on its link.",
		edits: edits{sessionGo("case w.seen>>(w.top-c)&1 == 1:", "case false:")},
	},
	{
		name: "frame-is-not-remembered", rings: "wire",
		rule:  "What was accepted is remembered.",
		edits: edits{sessionGo("\tw.seen |= 1 << (w.top - c)\n", "")},
	},
	{
		name: "window-has-no-end", rings: "wire",
		rule:  "A frame older than the window is dropped, for nobody knows whether it was seen.",
		edits: edits{sessionGo("case w.top-c >= windowSize:", "case false:")},
	},
	{
		name: "old-frame-of-another-link-counts", rings: "wire",
		rule:  "A frame that lags behind the newest of any link says nothing of today.",
		edits: edits{sessionGo("counter+staleAfter <= newest {", "counter+1<<20 <= newest {")},
	},
	{
		name: "session-that-was-given-up-counts", rings: "wire",
		rule:  "A session that was given up before its first frame stays given up.",
		edits: edits{sessionGo("if !c.life.CompareAndSwap(fresh, proven) && c.life.Load() == retired {", "if !c.life.CompareAndSwap(fresh, proven) && false {")},
	},
	{
		name: "replayed-hello-makes-a-session", rings: "wire",
		rule:  "A session begins only when the peer returned the nonce of today.",
		edits: edits{endpointGo("if m.PeerNonce == e.state.Load().proposal && e.establish(m) {", "if e.establish(m) {")},
	},
	{
		name: "nonce-is-used-twice", rings: "wire",
		rule:  "A nonce serves one session.",
		edits: edits{endpointGo("\t\te.rekey = false\n\t\te.roll()\n", "\t\te.rekey = false\n")},
	},
	{
		name: "session-of-the-dead-stays", rings: "wire",
		rule:  "The session of before a restart of the peer ends with the new one.",
		edits: edits{endpointGo("\t\tst.prev = nil\n\t\tif s.rekey {\n", "\t\tst.prev = st.cur\n\t\tif s.rekey {\n")},
	},
	{
		name: "counter-wraps", rings: "wire",
		rule:  "A session whose counters are used up seals nothing.",
		edits: edits{endpointGo("if e.counter == MaxCounter {\n\t\treturn 0", "if e.counter == MaxCounter {\n\t\te.counter = 1\n\t\treturn 1")},
	},
	{
		name: "counter-that-was-not-issued-is-sealed", rings: "wire",
		rule:  "Only counters that were issued in this session are sealed.",
		edits: edits{endpointGo("case m.Counter == 0 || m.Counter > e.issued(m.Kind):", "case false:")},
	},
	{
		name: "data-counts-with-the-heartbeats", rings: "wire",
		rule:  "DATA frames have counters of their own: however many are sent, no heartbeat looks old.",
		edits: edits{sessionGo("\tif k == Data {\n\t\treturn &c.data\n\t}\n", "")},
	},
	{
		name: "data-is-taken-twice", rings: "wire",
		rule:  "A DATA frame that was read once is refused.",
		edits: edits{openerGo("\t\treturn s.admit(o.link, m.Kind, m.Counter)\n", "\t\tif m.Kind == Data {\n\t\t\treturn Accepted\n\t\t}\n\t\treturn s.admit(o.link, m.Kind, m.Counter)\n")},
	},
	{
		name: "data-of-any-length", rings: "wire",
		rule:  "The last item of a DATA frame ends with the frame.",
		edits: edits{dataGo("len(b) < itemHead+int(b[1]) {\n\t\t\treturn false", "len(b) < itemHead+int(b[1]) {\n\t\t\treturn true")},
	},
	{
		name: "blinded-digest-without-a-key", rings: "wire",
		rule:  "What stands for a secret needs the session's key.",
		edits: edits{dataGo("return binary.BigEndian.Uint32(e.scratch.tag(k.send, blindFrom, blindFrom, 0, digest[:])), true", "return binary.BigEndian.Uint32(digest[:]), true")},
	},
	{
		name: "removed-key-still-counts", rings: "wire",
		rule: "A key that was removed from the file opens nothing any more.",
		edits: edits{
			endpointGo("\t\tst.hello = derive(ring, st.hello, e.helloInfo(), e.links)\n", ""),
			endpointGo("st.cur, st.prev = e.rederive(ring, st.cur), e.rederive(ring, st.prev)", "_ = st"),
		},
	},
	{
		name: "counter-zero-is-read", rings: "wire",
		rule:  "A body with a counter that nobody issues is malformed.",
		edits: edits{bodyGo("if m.Counter == 0 || m.Counter > MaxCounter || m.Echo > MaxCounter {", "if m.Echo > MaxCounter {")},
	},
	{
		name: "trailing-bytes-are-read-over", rings: "wire",
		rule:  "A body has exactly the length that its groups take.",
		edits: edits{bodyGo("if m.NGroups > MaxGroups || len(b) != want {", "if m.NGroups > MaxGroups || len(b) < want {")},
	},
	{
		name: "word-for-a-group-that-is-not-there", rings: "wire",
		rule:  "CLAIM and its like name a group that the frame carries, or all.",
		edits: edits{bodyGo("return m.GroupIndex == AllGroups || int(m.GroupIndex) < m.NGroups", "return true")},
	},
	{
		name: "lease-looks-shorter", rings: "wire",
		rule:  "Ages and leases are rounded up, never down.",
		edits: edits{bodyGo("return (d-1)/time.Millisecond + 1", "return d / time.Millisecond")},
	},
	{
		name: "lease-beyond-the-field-is-sent", rings: "wire",
		rule:  "A lease that does not fit its field is refused, not cut.",
		edits: edits{bodyGo("case m.Lease < 0 || m.Lease > MaxLease:", "case m.Lease < 0:")},
	},
	{
		name: "checksum-of-the-line-is-not-checked", rings: "wire",
		rule:  "A serial frame with a wrong checksum is dropped.",
		edits: edits{serialGo("if crc := checksum(p); sum[0] != byte(crc) || sum[1] != byte(crc>>8) {", "if crc := checksum(p); false && sum[0] != byte(crc) {")},
	},
	{
		name: "cobs-has-two-spellings", rings: "wire",
		rule:  "Each payload has one spelling on the line.",
		edits: edits{serialGo("|| full && code == 1 && len(b) == 1 {", "{")},
	},
	{
		name: "cobs-reads-beyond-the-frame", rings: "wire",
		rule:  "A block that is longer than what came is refused.",
		edits: edits{serialGo("if code == 0 || code > len(b) ||", "if code == 0 || code > cap(b) ||")},
	},
	{
		name: "garbage-without-end-is-kept", rings: "wire",
		rule:  "A run without a delimiter is dropped as a whole.",
		edits: edits{serialGo("\t\t\td.skip = true\n", "")},
	},
	{
		name: "short-secret-is-taken", rings: "wire",
		rule:  "A secret is at least as long as the hash.",
		edits: edits{keysGo("case len(secret) < MinSecret:", "case len(secret) < 8:")},
	},
	{
		name: "secret-of-one-letter-is-taken", rings: "wire",
		rule:  "A secret that is not random is refused.",
		edits: edits{keysGo("case distinct(secret) < minDistinct:", "case false:")},
	},
}

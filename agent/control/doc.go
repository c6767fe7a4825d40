// Package control decides who may talk to a running agent on its unix socket,
// and carries questions and orders over it; it refuses to decide what an order
// does, which is the Handler's business.
//
// Start reading at [Handler], then [Listen] and [Server.Serve]; the other end is
// [Dial] and [Client]. A [Board] is the half of a Handler that answers questions.
//
// # Protocol, version 1
//
// One JSON object a line, both ways, UTF-8. The client sends a [Request] of at
// most MaxRequest bytes, the server answers with one or more [Response] lines,
// and the client may ask again on the same connection:
//
//	{"v":1,"command":"status"}
//	    {"v":1,"snapshot":{...}}
//	{"v":1,"command":"events","after":12}
//	    {"v":1,"event":{...}}          any number of them, oldest first
//	    {"v":1,"end":true}
//	{"v":1,"command":"events","after":12,"follow":true}
//	    {"v":1,"event":{...}}          without end; the connection is spent
//	{"v":1,"command":"handover","group":"gateway","reason":"new kernel"}
//	    {"v":1,"result":"gateway goes to fw2"}
//
// The orders are handover, take, maintenance-on, maintenance-off, resume and
// confirm-dead; their arguments are group, reason, for_ms and force. Who gave an
// order is never an argument: the kernel says it (SO_PEERCRED, unix(7)). The order
// sensors changes nothing; its result is an object of its own, as text.
// Anything that goes wrong is one line, after which the connection is closed if
// the request could not be read:
//
//	{"v":1,"error":"...","hint":"..."}
//
// Events that the agent no longer holds in memory are told as {"v":1,"lost":n},
// never skipped in silence. A request with an unknown field, an unknown command,
// an argument that the command does not take, or another version is refused.
package control

// Package lab runs a real pair of the real twinbeat in network namespaces on
// one machine: two boxes with a LAN, a heartbeat Ethernet and a null modem of
// ptys, and a client that measures. It decides nothing about the pair; it
// makes faults and says what was seen. Start reading at [New].
//
// Everything happens inside namespaces that the lab made itself (see [Enclose]),
// and only processes that it started are ended, by pid.
package lab

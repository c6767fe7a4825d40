// Package ups asks the daemon of a UPS how it is: upsd of Network UPS Tools or
// apcupsd, each by its own protocol over TCP. It refuses to switch anything, to
// log in, and to take a UPS that is only silent, calibrating or recharging for
// one that fails.
//
// ParseNUT and ParseAPC are pure; start reading at [Status], then at [New].
package ups

// Package i2c reads sensor chips for which the box has no kernel driver, at the
// bus, address and multiplexer channel that the configuration names. It refuses
// to look for chips by itself, to touch an address that a kernel driver has, and
// to write to a chip anything but what asks it for a measurement.
//
// The table of chips with their data sheets is chips.go; start reading there,
// then at [New].
package i2c

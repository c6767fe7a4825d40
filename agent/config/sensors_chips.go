package config

import "time"

// MaxChips bounds the sections [[sensors.smart]], [[sensors.i2c]] and
// [[sensors.ups]], of each kind.
const MaxChips = 32

// A SmartDrive is a drive that is asked for its health.
type SmartDrive struct {
	Device string
	Every  time.Duration
}

// An I2CChip is a sensor chip without a kernel driver.
type I2CChip struct {
	Name    string
	Chip    string
	Bus     string
	Address uint8
	Mux     uint8 // 0: none
	Channel uint8
	Shunt   float64 // ohms; NaN: the driver's default
	Vref    float64 // volts; NaN: the driver's default
	Every   time.Duration
}

// A UPS is asked by its daemon.
type UPS struct {
	Name    string
	Daemon  string // nut or apcupsd
	Address string
	UPS     string // nut: its name; empty: the only one
	Every   time.Duration
	Timeout time.Duration
}

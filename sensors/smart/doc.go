// Package smart reads what drives say of their own health: the health log of
// NVMe drives and the SMART attributes of ATA drives, also behind a SCSI or USB
// bridge that passes ATA commands. It refuses pages that are short, blank or
// damaged, leaves a drive asleep that sleeps, and writes nothing to any drive.
//
// ParseNVMe and ParseATA are pure; start reading there, then at [New].
package smart

import "errors"

// Why a drive tells nothing. Each is a sentence for a person.
var (
	ErrShort         = errors.New("the page is short")
	ErrBlank         = errors.New("the page was not filled in")
	ErrChecksum      = errors.New("the page's bytes do not add up to zero")
	ErrNonsense      = errors.New("the page makes no sense")
	ErrNoPassThrough = errors.New("no pass-through: the bridge or controller does not let ATA commands through")
	ErrNoSMART       = errors.New("the drive has no SMART, or it is switched off: smartctl -s on")
	ErrAsleep        = errors.New("the drive is asleep")
)

package predict

import "fmt"

// A Finding is what a table of wear says about a device: a level and one clause,
// "" for Well.
type Finding struct {
	Level Level
	Text  string
}

// worse returns the graver of two findings, the first if they are equal.
func worse(a, b Finding) Finding {
	if b.Level > a.Level {
		return b
	}
	return a
}

// EMMC judges life_time (A and B) and pre_eol_info of an eMMC, or the same of
// UFS (JEDEC JESD84-B51 7.4.31 and .32, EXT_CSD 267 to 269): life 1 is 0-10 %
// used, 10 is 90-100 %, 11 exceeded, 0 not told; pre-EOL 2 is 80 % of the spare
// blocks used, 3 is 90 %. What is outside of the tables says nothing.
func EMMC(lifeA, lifeB, preEOL uint8) Finding {
	var f Finding
	for _, life := range [...]uint8{lifeA, lifeB} {
		switch {
		case life == 11:
			f = worse(f, Finding{Alert, "flash is used beyond its rated life"})
		case life >= 9 && life <= 10:
			f = worse(f, Finding{Alert, fmt.Sprintf("flash has used %d-%d %% of its life", 10*(life-1), 10*life)})
		}
	}
	switch preEOL {
	case 2:
		f = worse(f, Finding{Alert, "flash has used 80 % of its spare blocks"})
	case 3:
		f = worse(f, Finding{Alert, "flash has used 90 % of its spare blocks"})
	}
	return f
}

// A UBIState is a UBI device: see Documentation/ABI/stable/sysfs-class-ubi.
type UBIState struct {
	MaxErase  uint64 // max_ec
	Endurance uint64 // erase cycles of the NAND by its data sheet, 0 unknown
	Bad       uint64 // bad_peb_count
	Reserved  uint64 // reserved_for_bad: blocks kept for those that go bad
	ReadOnly  bool   // ro_mode: UBI has given up writing
}

// UBI judges raw NAND under UBI.
func UBI(s UBIState) Finding {
	switch {
	case s.ReadOnly:
		return Finding{Move, "flash went read-only after an error"}
	case s.Reserved == 0 && s.Bad > 0:
		return Finding{Alert, "flash has no spare blocks left"}
	case s.Endurance > 0 && s.MaxErase >= s.Endurance/10*9:
		return Finding{Alert, fmt.Sprintf("flash blocks were erased up to %d times, rated for %d", s.MaxErase, s.Endurance)}
	}
	return Finding{}
}

// An NVMeState is the health log of an NVMe drive (NVM Express base
// specification, log page 02h).
type NVMeState struct {
	Warning     uint8 // critical warning bits
	Spare       uint8 // available, %
	Threshold   uint8 // of the spare, %
	Used        uint8 // %, may exceed 100
	MediaErrors uint64
}

// Critical warning bits of an NVMe drive.
const (
	nvmeSpare    = 1 << 0
	nvmeDegraded = 1 << 2
	nvmeReadOnly = 1 << 3
)

// NVMe judges a drive; before is the log of some time ago, nil if there is
// none: media errors count by their growth.
func NVMe(s NVMeState, before *NVMeState) Finding {
	switch {
	case s.Spare > 100 || s.Threshold > 100:
		return Finding{} // no percentages: the log is not one
	case s.Warning&nvmeReadOnly != 0:
		return Finding{Move, "NVMe drive went read-only"}
	case s.Warning&nvmeDegraded != 0:
		return Finding{Alert, "NVMe drive reports degraded reliability"}
	case s.Warning&nvmeSpare != 0 || s.Spare < s.Threshold:
		return Finding{Alert, fmt.Sprintf("NVMe drive has %d %% of its spare left", s.Spare)}
	case before != nil && s.MediaErrors > before.MediaErrors:
		return Finding{Alert, fmt.Sprintf("NVMe drive: %d new media errors", s.MediaErrors-before.MediaErrors)}
	case s.Used >= 90:
		return Finding{Alert, fmt.Sprintf("NVMe drive has used %d %% of its life", s.Used)}
	}
	return Finding{}
}

// An ATAState holds raw values of the SMART attributes that tell of media, 0
// where the drive has none.
type ATAState struct {
	Reallocated   uint64 // 5: sectors
	Uncorrectable uint64 // 187: reported to the host
	Pending       uint64 // 197: sectors
	Offline       uint64 // 198: sectors
}

// oneBlock is a physical sector of 4 KiB, counted in sectors of 512: every drive
// may lose one in its life.
const oneBlock = 8

// ATA judges a drive by the level and, if before is not nil, by the growth of
// attributes 5, 187, 197 and 198. 188 and 199 are left out: they tell of cables
// and power (Backblaze 2016; here 188 finds 5 % of the failed drives).
func ATA(s ATAState, before *ATAState) Finding {
	if before != nil {
		for _, a := range [...]struct {
			name     string
			now, was uint64
		}{
			{"uncorrectable errors", s.Uncorrectable, before.Uncorrectable},
			{"pending sectors", s.Pending, before.Pending},
			{"offline uncorrectable sectors", s.Offline, before.Offline},
			{"reallocated sectors", s.Reallocated, before.Reallocated},
		} {
			if a.now > a.was {
				return Finding{Alert, fmt.Sprintf("disk: %s rose from %d to %d", a.name, a.was, a.now)}
			}
		}
	}
	switch {
	case s.Uncorrectable > 0:
		return Finding{Alert, fmt.Sprintf("disk: %d uncorrectable errors", s.Uncorrectable)}
	case s.Pending > 0 || s.Offline > 0:
		return Finding{Alert, fmt.Sprintf("disk: %d pending sectors", max(s.Pending, s.Offline))}
	case s.Reallocated > oneBlock:
		return Finding{Alert, fmt.Sprintf("disk: %d reallocated sectors", s.Reallocated)}
	case s.Reallocated > 0:
		return Finding{Weak, "disk: a reallocated block"}
	}
	return Finding{}
}

// A device is one that wears, and what was found about it.
type device struct {
	name string
	Finding
}

// Worn says what a wear table found about a device, until it is said again.
func (b *Box) Worn(name string, f Finding) error {
	for i := range b.worn {
		if b.worn[i].name == name {
			b.worn[i].Finding = f
			return nil
		}
	}
	if len(b.worn) >= MaxSeries {
		return fmt.Errorf("wear of %q: %w: at most %d", name, ErrTooMany, MaxSeries)
	}
	b.worn = append(b.worn, device{name, f})
	return nil
}

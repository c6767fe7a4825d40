package smart

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// DefaultEvery is how often a drive is asked. Faster tells nothing more, and
// keeps some drives from saving power.
const DefaultEvery = 10 * time.Minute

// retryEvery is how soon a drive that did not answer is asked again.
const retryEvery = time.Minute

// memory is how far back counters are compared: what grew within it is news.
const memory = 7 * 24 * time.Hour

// A device is an open drive of either kind.
type device interface {
	bus
	admin(opcode uint8, nsid, cdw10 uint32, page []byte) error
	Close() error
}

// A Source is one drive. It is asked once in a while; in between it gives the
// readings that it has, with their own time.
type Source struct {
	path  string // as configured: /dev/nvme0, /dev/sda, /dev/disk/by-id/...
	every time.Duration
	sys   string // where sysfs is mounted
	open  func(path string) (device, error)

	next time.Time // when the drive is asked again
	last []sensors.Reading
	ok   bool // last came from the drive

	twelve bool
	serial string
	nvme   older[predict.NVMeState]
	ata    older[predict.ATAState]
}

// older holds the counters that new ones are compared with.
type older[T any] struct {
	state *T
	at    time.Time
}

// before returns what was known a while ago, and keeps now for later.
func (o *older[T]) before(now T, at time.Time) *T {
	was := o.state
	if o.state == nil || at.Sub(o.at) > memory {
		o.state, o.at = &now, at
	}
	return was
}

// New returns the source of a drive. every 0 is DefaultEvery. It does no I/O.
func New(path string, every time.Duration) *Source {
	if every <= 0 {
		every = DefaultEvery
	}
	return &Source{path: path, every: every, sys: "/sys", open: func(p string) (device, error) {
		f, err := openDevice(p)
		return f, err
	}}
}

// Name names the source in a sentence.
func (s *Source) Name() string { return "drive " + s.path }

// id makes the ID of one of its readings.
func (s *Source) id(input string) string {
	return "smart/" + filepath.Base(s.path) + "/" + input
}

// Read implements sensors.Source. A command that the kernel waits for cannot be
// called back, so within is not looked at: see kernelWait.
func (s *Source) Read(to []sensors.Reading, at time.Time, _ time.Duration) []sensors.Reading {
	if !at.Before(s.next) || s.next.Sub(at) > s.every { // or the clock went back
		s.refresh(at)
	}
	return append(to, s.last...)
}

func (s *Source) refresh(at time.Time) {
	readings, err := s.ask(at)
	if err == nil {
		s.last, s.ok, s.next = readings, true, at.Add(s.every)
		return
	}
	s.next = at.Add(min(s.every, retryEvery))
	state := sensors.Unreadable
	switch {
	case errors.Is(err, ErrAsleep) && s.ok:
		return // what it said when it was awake still holds
	case errors.Is(err, ErrAsleep), errors.Is(err, ErrNoPassThrough), errors.Is(err, ErrNoSMART):
		state = sensors.Absent
	}
	if !s.ok && len(s.last) == 0 {
		s.last = []sensors.Reading{sensors.New(s.id("media"), s.label("media"), sensors.Alarm, math.NaN(), at)}
	}
	for i, r := range s.last {
		s.last[i] = sensors.Lost(r.ID, r.Label, r.Kind, at, state, err.Error())
	}
	s.ok = false
}

// label is what people call a reading.
func (s *Source) label(input string) string { return filepath.Base(s.path) + " " + input }

// ask opens the drive, reads what it has, and closes it.
func (s *Source) ask(at time.Time) ([]sensors.Reading, error) {
	target, err := filepath.EvalSymlinks(s.path)
	if err != nil {
		return nil, err
	}
	d, err := s.open(target)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if strings.HasPrefix(filepath.Base(target), "nvme") {
		return s.askNVMe(d, target, at)
	}
	return s.askATA(d, target, at)
}

// Admin commands of NVMe.
const (
	opGetLog      = 0x02
	opIdentify    = 0x06
	anyNamespace  = 0xffffffff
	getHealth     = (pageSize/4-1)<<16 | 0x02 // NUMDL counts from 0; log page 02h
	getController = 0x01                      // CNS
)

func (s *Source) askNVMe(d device, target string, at time.Time) ([]sensors.Reading, error) {
	page := make([]byte, identifySize)
	if err := d.admin(opIdentify, 0, getController, page); err != nil {
		return nil, err
	}
	c, err := ParseController(page)
	if err != nil {
		return nil, err
	}
	log := make([]byte, pageSize)
	if err := d.admin(opGetLog, anyNamespace, getHealth, log); err != nil {
		return nil, err
	}
	h, err := ParseNVMe(log)
	if err != nil {
		return nil, err
	}
	s.is(c.Model + " " + c.Serial)
	now := predict.NVMeState{Warning: h.Warning, Spare: h.Spare, Threshold: h.Threshold, Used: h.Used, MediaErrors: h.MediaErrors}
	finding := predict.NVMe(now, s.nvme.before(now, at))
	media := s.reading("media", sensors.Alarm, 0, at)
	if finding.Level > predict.Well {
		media.Value, media.Finding = 1, finding
	}
	out := []sensors.Reading{
		media, s.reading("wear", sensors.Wear, float64(h.Used), at),
		s.context("spare", float64(h.Spare), "%", at), s.context("media_errors", float64(h.MediaErrors), "", at),
		s.context("unsafe_shutdowns", float64(h.Unsafe), "", at), s.context("power_on", float64(h.PowerOnHours), "h", at),
	}
	if s.kernelKnowsHeat(target) {
		return out, nil
	}
	heat := s.reading("temperature", sensors.Temperature, h.Temperature, at)
	heat.High, heat.Crit = c.Warning, c.Critical
	return append(out, orAbsent(heat)), nil
}

func (s *Source) askATA(b bus, target string, at time.Time) ([]sensors.Reading, error) {
	d := &disk{bus: b, twelve: s.twelve}
	page, _, err := d.do(identify) // answers from the drive's memory, asleep or not
	if err != nil {
		return nil, err
	}
	s.twelve = d.twelve
	id, err := ParseIdentity(page)
	switch {
	case err != nil:
		return nil, err
	case !id.SMART:
		return nil, ErrNoSMART
	case d.asleep():
		return nil, ErrAsleep
	}
	data, _, err := d.do(smartData)
	if err != nil {
		return nil, err
	}
	limits, _, err := d.do(thresholds)
	if err != nil {
		limits = nil // they are obsolete, and some SSDs have none
	}
	table, err := ParseATA(data, limits)
	if err != nil {
		return nil, err
	}
	s.is(id.Model + " " + id.Serial)
	return s.readATA(table, id, d.failing(), target, at), nil
}

func (s *Source) readATA(t ATA, id Identity, failing bool, target string, at time.Time) []sensors.Reading {
	now := predict.ATAState{Reallocated: t.Raw(Reallocated), Uncorrectable: t.Raw(Uncorrectable), Pending: t.Raw(Pending), Offline: t.Raw(Offline)}
	finding := predict.ATA(now, s.ata.before(now, at))
	if own := verdict(t, failing); own.Level >= finding.Level && own.Level > predict.Well {
		finding = own
	}
	media := s.reading("media", sensors.Alarm, 0, at)
	if finding.Level > predict.Well {
		media.Value, media.Finding = 1, finding
	}
	out := []sensors.Reading{
		media, s.context("reallocated", float64(now.Reallocated), "", at), s.context("uncorrectable", float64(now.Uncorrectable), "", at),
		s.context("pending", float64(now.Pending), "", at), s.context("offline_uncorrectable", float64(now.Offline), "", at),
	}
	if left, ok := t.Left(); ok && id.Solid {
		wear := s.reading("wear", sensors.Wear, float64(100-left), at)
		if left <= wornOut {
			wear.Finding = predict.Finding{Level: predict.Alert, Text: fmt.Sprintf("SSD has used %d %% of its life", 100-left)}
		}
		out = append(out, wear)
	}
	if !s.kernelKnowsHeat(target) {
		out = append(out, orAbsent(s.reading("temperature", sensors.Temperature, t.Celsius(), at)))
	}
	return out
}

// wornOut is the life left of an SSD, %, at which a person should know: as for
// NVMe in predict.
const wornOut = 10

// verdict is what the drive concludes by itself.
func verdict(t ATA, failing bool) predict.Finding {
	rows := t.Failing()
	for _, row := range rows {
		if row.Prefail {
			return predict.Finding{Level: predict.Alert, Text: fmt.Sprintf("disk expects to fail: attribute %d is at %d, its threshold is %d", row.ID, row.Value, row.Threshold)}
		}
	}
	switch {
	case failing:
		return predict.Finding{Level: predict.Alert, Text: "disk expects to fail: so says its SMART status"}
	case len(rows) > 0:
		return predict.Finding{Level: predict.Weak, Text: fmt.Sprintf("disk has outlived its rating: attribute %d is at %d, its threshold is %d", rows[0].ID, rows[0].Value, rows[0].Threshold)}
	}
	return predict.Finding{}
}

// is forgets the counters of another drive.
func (s *Source) is(serial string) {
	if s.serial != serial {
		s.serial, s.nvme, s.ata = serial, older[predict.NVMeState]{}, older[predict.ATAState]{}
	}
}

func (s *Source) reading(input string, kind sensors.Kind, value float64, at time.Time) sensors.Reading {
	return sensors.New(s.id(input), s.label(input), kind, value, at)
}

func (s *Source) context(input string, value float64, unit string, at time.Time) sensors.Reading {
	r := s.reading(input, sensors.Context, value, at)
	r.Unit = unit
	return r
}

// orAbsent names a temperature that the drive does not tell.
func orAbsent(r sensors.Reading) sensors.Reading {
	if math.IsNaN(r.Value) {
		return sensors.Lost(r.ID, r.Label, r.Kind, r.At, sensors.Absent, "the drive tells none")
	}
	return r
}

// kernelKnowsHeat says whether hwmon has the drive's temperature (nvme's own, or
// drivetemp): then it is read there, and counted once.
func (s *Source) kernelKnowsHeat(target string) bool {
	name := filepath.Base(target)
	for _, pattern := range []string{
		"class/nvme/" + name + "/hwmon*", "block/" + name + "/device/hwmon*", "block/" + name + "/device/hwmon/hwmon*",
	} {
		if found, err := filepath.Glob(filepath.Join(s.sys, pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

var (
	_ sensors.Source = (*Source)(nil)
	_ device         = file{(*os.File)(nil)}
)

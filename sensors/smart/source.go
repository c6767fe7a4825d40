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
	"github.com/twinbeat/twinbeat/sensors/paced"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// DefaultEvery is how often a drive is asked. Faster tells nothing more, and
// keeps some drives from saving power.
const DefaultEvery = 10 * time.Minute

// retryEvery is how soon a drive that did not answer is asked again.
const retryEvery = time.Minute

// memory is how far back counters are compared: what grew within it is news.
const memory = 7 * 24 * time.Hour

// patience is how long a drive may take: one that sleeps has to spin up, and the
// kernel may reset its bus meanwhile.
const patience = 30 * time.Second

// A device is an open drive of either kind.
type device interface {
	bus
	admin(opcode uint8, nsid, cdw10 uint32, page []byte) error
	Close() error
}

// A drive is what is known of one from the last time.
type drive struct {
	path string // as configured: /dev/nvme0, /dev/sda, /dev/disk/by-id/...
	sys  string // where sysfs is mounted
	open func(path string) (device, error)

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
func New(path string, every time.Duration) sensors.Source {
	if every <= 0 {
		every = DefaultEvery
	}
	return paced.New(paced.Config{Name: "drive " + path, Every: every, Patience: patience, Ask: newDrive(path).ask})
}

func newDrive(path string) *drive {
	return &drive{path: path, sys: "/sys", open: func(p string) (device, error) {
		f, err := openDevice(p)
		return f, err
	}}
}

// id makes the ID of one of its readings.
func (s *drive) id(input string) string { return "smart/" + filepath.Base(s.path) + "/" + input }

// ask is a paced.Ask.
func (s *drive) ask(at time.Time) ([]sensors.Reading, time.Duration) {
	readings, err := s.read(at)
	if err == nil {
		readings[0].Named = true // one alarm for one drive
		s.last, s.ok = readings, true
		return s.last, 0
	}
	state := sensors.Unreadable
	switch {
	case errors.Is(err, ErrAsleep) && s.ok:
		return s.last, retryEvery // what it said when it was awake still holds
	case errors.Is(err, ErrAsleep), errors.Is(err, ErrNoPassThrough), errors.Is(err, ErrNoSMART):
		state = sensors.Absent
	}
	if len(s.last) == 0 {
		s.last = []sensors.Reading{s.reading(s.first(), sensors.Wear, math.NaN(), at)}
	}
	lost := make([]sensors.Reading, 0, len(s.last))
	for _, r := range s.last {
		lost = append(lost, sensors.Lost(r.ID, r.Label, r.Kind, at, state, err.Error()))
	}
	lost[0].Named = state == sensors.Unreadable
	s.last, s.ok = lost, false
	return lost, retryEvery
}

// first is the reading that every drive of its kind has.
func (s *drive) first() string {
	if isNVMe(s.path) {
		return "wear"
	}
	return "media"
}

func isNVMe(path string) bool { return strings.HasPrefix(filepath.Base(path), "nvme") }

// label is what people call a reading.
func (s *drive) label(input string) string { return filepath.Base(s.path) + " " + input }

// read opens the drive, reads what it has, and closes it.
func (s *drive) read(at time.Time) ([]sensors.Reading, error) {
	target, err := filepath.EvalSymlinks(s.path)
	if err != nil {
		return nil, err
	}
	d, err := s.open(target)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if isNVMe(target) {
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

func (s *drive) askNVMe(d device, target string, at time.Time) ([]sensors.Reading, error) {
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
	if h.Warning&WarnTemperature != 0 && finding.Level < predict.Alert {
		finding = predict.Finding{Level: predict.Alert, Text: "NVMe drive reports a temperature beyond its threshold"}
	}
	wear := s.reading("wear", sensors.Wear, float64(h.Used), at)
	wear.Finding = finding
	out := []sensors.Reading{
		wear, s.context("spare", float64(h.Spare), "%", at), s.context("media_errors", float64(h.MediaErrors), "", at),
		s.context("unsafe_shutdowns", float64(h.Unsafe), "", at), s.context("power_on", float64(h.PowerOnHours), "h", at),
	}
	if s.kernelKnowsHeat(target) {
		return out, nil
	}
	heat := s.context("temperature", h.Temperature, "C", at)
	heat.High, heat.Crit = c.Warning, c.Critical
	return append(out, orAbsent(heat)), nil
}

func (s *drive) askATA(b bus, target string, at time.Time) ([]sensors.Reading, error) {
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

func (s *drive) readATA(t ATA, id Identity, failing bool, target string, at time.Time) []sensors.Reading {
	now := predict.ATAState{Reallocated: t.Raw(Reallocated), Uncorrectable: t.Raw(Uncorrectable), Pending: t.Raw(Pending), Offline: t.Raw(Offline)}
	finding := predict.ATA(now, s.ata.before(now, at))
	if own := verdict(t, failing); own.Level >= finding.Level && own.Level > predict.Well {
		finding = own
	}
	media := s.reading("media", sensors.Wear, float64(now.Reallocated+now.Pending), at)
	media.Unit, media.Finding = "bad sectors", finding
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
		out = append(out, orAbsent(s.context("temperature", t.Celsius(), "C", at)))
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
func (s *drive) is(serial string) {
	if s.serial != serial {
		s.serial, s.nvme, s.ata = serial, older[predict.NVMeState]{}, older[predict.ATAState]{}
	}
}

func (s *drive) reading(input string, kind sensors.Kind, value float64, at time.Time) sensors.Reading {
	return sensors.New(s.id(input), s.label(input), kind, value, at)
}

func (s *drive) context(input string, value float64, unit string, at time.Time) sensors.Reading {
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
// drivetemp): then it is read there, each second. What is read here once in a
// while goes up in steps that no trend should be drawn through, so it is context.
func (s *drive) kernelKnowsHeat(target string) bool {
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

var _ device = file{(*os.File)(nil)}

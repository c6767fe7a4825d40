package smart

import (
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/predict"
)

// dump reads a page from the first bytes in hex at their places; the rest is zero.
func dump(size int, at map[int]string) []byte {
	p := make([]byte, size)
	for from, text := range at {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			panic(err)
		}
		copy(p[from:], b)
	}
	return p
}

// health is laid out by hand from the NVM Express base specification 2.0,
// figure 207: 313 K, 3 % used, counters of 128 bits, sensor 2 does not exist.
func health() []byte {
	return dump(pageSize, map[int]string{
		0: "00 3901 64 0a 03", 48: "b1c2d30000000000", 112: "2c", 128: "e803", 144: "11", 160: "02", 176: "0500",
		200: "3901 0000 4a01",
	})
}

func TestHealthLogOfNVMeIsReadByTheSpecification(t *testing.T) {
	want := NVMe{
		Temperature: 40, Spare: 100, Threshold: 10, Used: 3, Written: 0xd3c2b1, PowerCycles: 44, PowerOnHours: 1000,
		Unsafe: 17, MediaErrors: 2, ErrorEntries: 5, Sensors: []float64{40, 57},
	}
	got, err := ParseNVMe(health())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestHealthLogThatIsNoneIsRefused(t *testing.T) {
	set := func(at int, v ...byte) []byte { p := health(); copy(p[at:], v); return p }
	for name, c := range map[string]struct {
		page []byte
		want error
	}{
		"empty":             {nil, ErrShort},
		"a byte too few":    {health()[:511], ErrShort},
		"zeros":             {make([]byte, 512), ErrBlank},
		"all ff":            {[]byte(strings.Repeat("\xff", 512)), ErrBlank},
		"spare of 101 %":    {set(3, 101), ErrNonsense},
		"threshold of ff %": {set(4, 255), ErrNonsense},
	} {
		if _, err := ParseNVMe(c.page); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		page []byte
		want func(NVMe) bool
	}{
		"0 K is no temperature":     {set(1, 0, 0), func(h NVMe) bool { return math.IsNaN(h.Temperature) }},
		"ffffh K is none":           {set(1, 0xff, 0xff), func(h NVMe) bool { return math.IsNaN(h.Temperature) }},
		"a counter beyond 64 bits":  {set(176, 1, 0, 0, 0, 0, 0, 0, 0, 1), func(h NVMe) bool { return h.ErrorEntries == math.MaxUint64 }},
		"more than all of its life": {set(5, 255), func(h NVMe) bool { return h.Used == 255 }},
	} {
		if h, err := ParseNVMe(c.page); err != nil || !c.want(h) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

// A drive as smartctl shows it: a Seagate whose sectors begin to go.
var table = []Attribute{
	{ID: 1, Prefail: true, Value: 114, Worst: 99, Threshold: 6, Raw: 0x0449_1f28},
	{ID: 5, Prefail: true, Value: 100, Worst: 100, Threshold: 36, Raw: 8},
	{ID: 9, Value: 83, Worst: 83, Threshold: 0, Raw: 15_000},
	{ID: 187, Value: 98, Worst: 98, Threshold: 0, Raw: 2},
	{ID: 194, Value: 33, Worst: 45, Threshold: 0, Raw: 0x0011_0000_0021}, // 33 C, least 17
	{ID: 197, Value: 100, Worst: 100, Threshold: 0, Raw: 16},
	{ID: 198, Value: 100, Worst: 100, Threshold: 0, Raw: 16},
}

func TestTableOfATAIsReadWithItsThresholds(t *testing.T) {
	a, err := ParseATA(attributes(table...), limitsOf(table...))
	if diff := cmp.Diff(table, a.Attributes); diff != "" || err != nil {
		t.Fatalf("%v (-want +got)\n%s", err, diff)
	}
	if a.Raw(Pending) != 16 || a.Raw(250) != 0 || a.Celsius() != 33 || len(a.Failing()) != 0 {
		t.Errorf("pending %d, no such id %d, %v C, failing %v", a.Raw(Pending), a.Raw(250), a.Celsius(), a.Failing())
	}
	if _, ok := a.Left(); ok {
		t.Error("a disk without wear tells how much life is left")
	}
}

// The tables of QEMU's disk (7.2), as the kernel handed them over.
func TestTableOfAnEmulatedDiskIsRead(t *testing.T) {
	data := summed(dump(pageSize, map[int]string{0: "01 00 " +
		"01 03 00 64 64 00 00 00 00 00 00 00 " +
		"03 03 00 64 64 10 00 00 00 00 00 00 " +
		"04 02 00 64 64 64 00 00 00 00 00 00 " +
		"05 03 00 64 64 00 00 00 00 00 00 00 " +
		"09 03 00 64 64 01 00 00 00 00 00 00 " +
		"0c 03 00 64 64 00 00 00 00 00 00 00 " +
		"be 03 00 45 45 1f 00 1f 1f 00 00 00"}))
	limits := summed(dump(pageSize, map[int]string{0: "01 00 " +
		"01 06 00 00 00 00 00 00 00 00 00 00 " +
		"03 00 00 00 00 00 00 00 00 00 00 00 " +
		"04 14 00 00 00 00 00 00 00 00 00 00 " +
		"05 24 00 00 00 00 00 00 00 00 00 00 " +
		"09 00 00 00 00 00 00 00 00 00 00 00 " +
		"0c 00 00 00 00 00 00 00 00 00 00 00 " +
		"be 32 00 00 00 00 00 00 00 00 00 00"}))
	a, err := ParseATA(data, limits)
	want := []Attribute{
		{ID: 1, Prefail: true, Value: 100, Worst: 100, Threshold: 6},
		{ID: 3, Prefail: true, Value: 100, Worst: 100, Raw: 16},
		{ID: 4, Value: 100, Worst: 100, Threshold: 20, Raw: 100},
		{ID: 5, Prefail: true, Value: 100, Worst: 100, Threshold: 36},
		{ID: 9, Prefail: true, Value: 100, Worst: 100, Raw: 1},
		{ID: 12, Prefail: true, Value: 100, Worst: 100},
		{ID: 190, Prefail: true, Value: 69, Worst: 69, Threshold: 50, Raw: 0x1f1f001f},
	}
	if diff := cmp.Diff(want, a.Attributes); diff != "" || err != nil || a.Celsius() != 31 {
		t.Errorf("%v, %v C (-want +got)\n%s", err, a.Celsius(), diff)
	}
}

func TestPagesOfATAThatAreNoneAreRefused(t *testing.T) {
	damaged := attributes(table...)
	damaged[20] ^= 4
	good := limitsOf(table...)
	for name, c := range map[string]struct {
		data, limits []byte
		want         error
	}{
		"nothing came":          {nil, good, ErrShort},
		"half a page":           {attributes(table...)[:256], good, ErrShort},
		"buffer left as it was": {make([]byte, 512), good, ErrBlank},
		"one bit":               {damaged, good, ErrChecksum},
		"damaged thresholds":    {attributes(table...), damaged, ErrChecksum},
		"no row":                {summed(dump(pageSize, map[int]string{0: "10"})), good, ErrNonsense},
	} {
		if _, err := ParseATA(c.data, c.limits); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
	if a, err := ParseATA(attributes(table...), nil); err != nil || a.Attributes[0].Threshold != 0 {
		t.Errorf("a drive without thresholds: %+v, %v", a, err)
	}
}

func TestRawValuesOfVendorsDoNotMislead(t *testing.T) {
	for name, c := range map[string]struct {
		row  Attribute
		want func(ATA) bool
	}{
		"more counters above the sectors":  {Attribute{ID: 5, Value: 100, Raw: 7<<32 | 3}, func(a ATA) bool { return a.Raw(5) == 3 }},
		"no temperature is 0":              {Attribute{ID: 194, Value: 100, Raw: 0}, func(a ATA) bool { return math.IsNaN(a.Celsius()) }},
		"nor 200":                          {Attribute{ID: 194, Value: 100, Raw: 200}, func(a ATA) bool { return math.IsNaN(a.Celsius()) }},
		"airflow stands in":                {Attribute{ID: 190, Value: 67, Raw: 0x1e2d_0021}, func(a ATA) bool { return a.Celsius() == 33 }},
		"SandForce's 233 is no life":       {Attribute{ID: 233, Value: 0, Raw: 5000}, func(a ATA) bool { _, ok := a.Left(); return !ok }},
		"Intel's is":                       {Attribute{ID: 233, Value: 92}, func(a ATA) bool { l, ok := a.Left(); return ok && l == 92 }},
		"a value of 200 is not of percent": {Attribute{ID: 177, Value: 200}, func(a ATA) bool { _, ok := a.Left(); return !ok }},
		"threshold 0 always passes":        {Attribute{ID: 10, Value: 1}, func(a ATA) bool { return len(a.Failing()) == 0 }},
		"ffh is for tests":                 {Attribute{ID: 10, Value: 1, Threshold: 255}, func(a ATA) bool { return len(a.Failing()) == 0 }},
		"at its threshold":                 {Attribute{ID: 10, Value: 97, Threshold: 97}, func(a ATA) bool { return len(a.Failing()) == 1 }},
	} {
		a, err := ParseATA(attributes(c.row), limitsOf(c.row))
		if err != nil || !c.want(a) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestIdentityIsReadAndChecked(t *testing.T) {
	id, err := ParseIdentity(identityPage("ST8000DM002", "ZA1234", false))
	if want := (Identity{Serial: "ZA1234", Model: "ST8000DM002", Firmware: "1.0", SMART: true}); id != want || err != nil {
		t.Errorf("%+v, %v", id, err)
	}
	damaged := identityPage("M", "S", true)
	damaged[99] = 1
	for name, c := range map[string]struct {
		page []byte
		want error
	}{
		"short":   {make([]byte, 36), ErrShort},
		"blank":   {make([]byte, 512), ErrBlank},
		"damaged": {damaged, ErrChecksum},
	} {
		if _, err := ParseIdentity(c.page); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
	control := dump(pageSize, map[int]string{2 * wordModel: "1b41 5d5b"}) // ESC [ would reach a terminal
	if id, err := ParseIdentity(control); err != nil || strings.ContainsRune(id.Model, 0x1b) || id.SMART {
		t.Errorf("%q, SMART %v, %v", id.Model, id.SMART, err)
	}
}

func TestCommandsAreWrappedBySAT(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		// As hdparm and smartctl send them (SAT-3 tables 107 and 109).
		{"data, 16", smartData.cdb16(), "85 08 0e 00 d0 00 01 00 00 00 4f 00 c2 00 b0 00"},
		{"data, 12", smartData.cdb12(), "a1 08 0e d0 01 00 4f c2 00 b0 00 00"},
		{"status, 16", status.cdb16(), "85 06 20 00 da 00 00 00 00 00 4f 00 c2 00 b0 00"},
		{"power mode, 16", powerMode.cdb16(), "85 06 20 00 00 00 00 00 00 00 00 00 00 00 e5 00"},
		{"identify, 12", identify.cdb12(), "a1 08 0e 00 01 00 00 00 00 ec 00 00"},
	} {
		want, _ := hex.DecodeString(strings.ReplaceAll(c.want, " ", ""))
		if diff := cmp.Diff(want, c.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

// ssd is a good drive behind a good bridge.
func ssd() *fake {
	rows := []Attribute{{ID: 5, Prefail: true, Value: 100, Worst: 100, Threshold: 10}, {ID: 177, Value: 97, Worst: 97}, {ID: 194, Value: 60, Raw: 40}}
	return &fake{
		identity: identityPage("SSD", "S1", true), data: attributes(rows...), limits: limitsOf(rows...),
		mode: 0xff, long: true, short: true, registers: true,
	}
}

func sourceOf(t *testing.T, d *fake) *drive {
	t.Helper()
	s := newDrive(filepath.Join(t.TempDir(), "sda"))
	if err := os.WriteFile(s.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.sys = t.TempDir()
	s.open = func(string) (device, error) { return d, nil }
	return s
}

var at = time.Unix(1_800_000_000, 0)

func readings(s *drive, at time.Time) []sensors.Reading {
	r, _ := s.ask(at)
	return r
}

// one reads and returns the reading with an input's name.
func one(t *testing.T, s *drive, at time.Time, input string) sensors.Reading {
	t.Helper()
	for _, r := range readings(s, at) {
		if r.ID == s.id(input) {
			return r
		}
	}
	t.Fatalf("no reading %s", input)
	return sensors.Reading{}
}

func TestADriveBecomesReadings(t *testing.T) {
	d := ssd()
	s := sourceOf(t, d)
	want := []sensors.Reading{
		{ID: "smart/sda/media", Label: "sda media", Kind: sensors.Wear, Unit: "bad sectors", State: sensors.OK, Named: true},
		{ID: "smart/sda/reallocated", Label: "sda reallocated", Kind: sensors.Context, State: sensors.OK},
		{ID: "smart/sda/uncorrectable", Label: "sda uncorrectable", Kind: sensors.Context, State: sensors.OK},
		{ID: "smart/sda/pending", Label: "sda pending", Kind: sensors.Context, State: sensors.OK},
		{ID: "smart/sda/offline_uncorrectable", Label: "sda offline_uncorrectable", Kind: sensors.Context, State: sensors.OK},
		{ID: "smart/sda/wear", Label: "sda wear", Kind: sensors.Wear, Value: 3, State: sensors.OK},
		{ID: "smart/sda/temperature", Label: "sda temperature", Kind: sensors.Context, Unit: "C", Value: 40, State: sensors.OK},
	}
	for i := range want {
		nan := math.NaN()
		want[i].Low, want[i].High, want[i].Crit, want[i].Drive, want[i].At = nan, nan, nan, nan, at
	}
	if diff := cmp.Diff(want, readings(s, at), cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if d.closed != 1 {
		t.Errorf("the drive was closed %d times", d.closed)
	}
}

func TestHeatIsLeftToTheKernelThatHasIt(t *testing.T) {
	s := sourceOf(t, ssd())
	if err := os.MkdirAll(s.sys+"/block/sda/device/hwmon/hwmon3", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, r := range readings(s, at) {
		if strings.HasSuffix(r.ID, "temperature") {
			t.Errorf("%s is read twice", r.ID)
		}
	}
}

func TestABridgeWithoutPassThroughIsNamedSo(t *testing.T) {
	noSCSI := ssd()
	noSCSI.lie = func([]byte, *reply) error { return unix.ENOTTY }
	for name, d := range map[string]*fake{"usb": {}, "mmc": noSCSI} {
		r := one(t, sourceOf(t, d), at, "media")
		if r.State != sensors.Absent || r.Named || !strings.Contains(r.Why, "no pass-through") || !math.IsNaN(r.Value) || r.Finding.Level != predict.Well {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestABridgeThatKnowsOnlyTheShortFormIsAskedInIt(t *testing.T) {
	d := ssd()
	d.long = false
	s := sourceOf(t, d)
	for i := range 2 {
		if r := one(t, s, at.Add(time.Duration(i)*time.Hour), "media"); r.State != sensors.OK || r.Value != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// A bridge lies in one of many ways: in each there is a name and no number.
func TestALieIsNeverANumber(t *testing.T) {
	on := func(op uint8, lie func(r *reply)) func(cdb []byte, r *reply) error {
		return func(cdb []byte, r *reply) error {
			if cdb[14] == op {
				lie(r)
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		lie  func(d *fake)
		want error
	}{
		"good, and half a page":            {func(d *fake) { d.lie = on(0xb0, func(r *reply) { r.got = 256 }) }, ErrShort},
		"good, and nothing came":           {func(d *fake) { d.lie = on(0xec, func(r *reply) { r.got = 0 }) }, ErrShort},
		"zeros for the table":              {func(d *fake) { d.data = nil }, ErrBlank},
		"the identity instead of it":       {func(d *fake) { d.data = d.identity[:510] }, ErrChecksum},
		"thresholds of another drive torn": {func(d *fake) { d.limits[9] ^= 1 }, ErrChecksum},
		"host adapter gave up":             {func(d *fake) { d.lie = on(0xb0, func(r *reply) { r.host = 3 }) }, unix.EIO}, // DID_TIME_OUT
		"aborted":                          {func(d *fake) { d.lie = on(0xb0, func(r *reply) { r.status, r.sense = 2, ataSense(0x0b, registers{}) }) }, unix.EIO},
		"error register, although good":    {func(d *fake) { d.lie = on(0xb0, func(r *reply) { r.sense = ataSense(0, registers{status: 0x51}) }) }, unix.EIO},
		"busy":                             {func(d *fake) { d.lie = on(0xec, func(r *reply) { r.status = 8 }) }, unix.EIO},
		"check condition, no reason":       {func(d *fake) { d.lie = on(0xec, func(r *reply) { r.status, r.sense = 2, nil }) }, unix.EIO},
		"timeout":                          {func(d *fake) { d.lie = func([]byte, *reply) error { return unix.ETIMEDOUT } }, unix.ETIMEDOUT},
		"SMART is off": {func(d *fake) {
			d.identity[2*wordEnabled] = 0
			d.identity = summed(d.identity)
		}, ErrNoSMART},
	} {
		d := ssd()
		c.lie(d)
		s := sourceOf(t, d)
		_, err := s.read(at)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
		for _, r := range readings(s, at) {
			if r.State == sensors.OK || !math.IsNaN(r.Value) || r.Why == "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

func TestWhatADriveLosesKeepsItsNames(t *testing.T) {
	d := ssd()
	s := sourceOf(t, d)
	good := readings(s, at)
	d.lie = func([]byte, *reply) error { return unix.EIO }
	bad := readings(s, at.Add(time.Hour))
	if len(bad) != len(good) {
		t.Fatalf("%d readings, then %d", len(good), len(bad))
	}
	for i, r := range bad {
		if r.ID != good[i].ID || r.Kind != good[i].Kind || r.State != sensors.Unreadable || !math.IsNaN(r.Value) {
			t.Errorf("%+v", r)
		}
	}
	d.lie = nil
	if r := one(t, s, at.Add(time.Hour+retryEvery), "wear"); r.State != sensors.OK {
		t.Errorf("back after a minute: %+v", r)
	}
}

func TestADriveThatSleepsIsLeftAlone(t *testing.T) {
	d := ssd()
	s := sourceOf(t, d)
	before := readings(s, at)
	d.mode, d.asked = modeStandby, nil
	after := readings(s, at.Add(time.Hour))
	if diff := cmp.Diff(before, after, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("what it said awake no longer holds (-want +got)\n%s", diff)
	}
	for _, op := range d.asked {
		if op == 0xb0 {
			t.Error("a sleeping drive was asked for its table, which wakes it")
		}
	}
	fresh := sourceOf(t, d)
	if r := one(t, fresh, at, "media"); r.State != sensors.Absent || !strings.Contains(r.Why, "asleep") {
		t.Errorf("%+v", r)
	}
	d.registers = false // then it cannot tell that it sleeps
	if r := one(t, sourceOf(t, d), at, "media"); r.State != sensors.OK {
		t.Errorf("%+v", r)
	}
}

func TestFindingsNameWhatIsWrong(t *testing.T) {
	rows := func(change ...Attribute) func(d *fake) {
		return func(d *fake) { d.data, d.limits = attributes(change...), limitsOf(change...) }
	}
	for name, c := range map[string]struct {
		change func(d *fake)
		input  string
		level  predict.Level
		text   string
	}{
		"well":                {func(*fake) {}, "media", predict.Well, ""},
		"pending":             {rows(Attribute{ID: 197, Value: 100, Raw: 16}), "media", predict.Alert, "16 pending"},
		"a block":             {rows(Attribute{ID: 5, Value: 100, Raw: 8}), "media", predict.Weak, "a reallocated block"},
		"prefail":             {rows(Attribute{ID: 5, Prefail: true, Value: 30, Threshold: 36, Raw: 8}), "media", predict.Alert, "attribute 5 is at 30, its threshold is 36"},
		"old age":             {rows(Attribute{ID: 9, Value: 1, Threshold: 10}), "media", predict.Weak, "outlived its rating"},
		"its own word":        {func(d *fake) { d.failing = true }, "media", predict.Alert, "SMART status"},
		"worn":                {rows(Attribute{ID: 233, Value: 8}), "wear", predict.Alert, "92 %"},
		"half worn":           {rows(Attribute{ID: 233, Value: 48}), "wear", predict.Well, ""},
		"status kept to them": {func(d *fake) { d.failing, d.registers = true, false }, "media", predict.Well, ""},
	} {
		d := ssd()
		c.change(d)
		r := one(t, sourceOf(t, d), at, c.input)
		if r.Finding.Level != c.level || !strings.Contains(r.Finding.Text, c.text) {
			t.Errorf("%s: %v %q", name, r.Finding.Level, r.Finding.Text)
		}
	}
}

func TestGrowthIsToldOfOneDriveOnly(t *testing.T) {
	d := ssd()
	s := sourceOf(t, d)
	grown := func(n uint64) { d.data = attributes(Attribute{ID: 5, Value: 100, Raw: n}) }
	grown(2)
	if r := one(t, s, at, "media"); r.Finding.Level != predict.Weak {
		t.Errorf("%+v", r.Finding)
	}
	grown(4)
	if r := one(t, s, at.Add(time.Hour), "media"); !strings.Contains(r.Finding.Text, "rose from 2 to 4") {
		t.Errorf("%+v", r.Finding)
	}
	if r := one(t, s, at.Add(9*24*time.Hour), "media"); !strings.Contains(r.Finding.Text, "rose") {
		t.Errorf("the last day of its memory: %+v", r.Finding)
	}
	if r := one(t, s, at.Add(10*24*time.Hour), "media"); r.Finding.Level != predict.Weak {
		t.Errorf("what grew is old news: %+v", r.Finding)
	}
	grown(6)
	d.identity = identityPage("SSD", "S2", true)
	if r := one(t, s, at.Add(11*24*time.Hour), "media"); r.Finding.Level != predict.Weak {
		t.Errorf("another drive in the slot: %+v", r.Finding)
	}
}

func TestAnNVMeBecomesReadings(t *testing.T) {
	d := &fake{log: health(), controller: dump(identifySize, map[int]string{4: "5331", 24: "4e564d65", 266: "5a01 6a01"})}
	s := newDrive(filepath.Join(t.TempDir(), "nvme0"))
	if err := os.WriteFile(s.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.sys, s.open = t.TempDir(), func(string) (device, error) { return d, nil }
	heat := one(t, s, at, "temperature")
	if heat.Value != 40 || heat.High != 73 || heat.Crit != 89 {
		t.Errorf("%+v", heat)
	}
	if r := one(t, s, at, "wear"); r.Finding.Level != predict.Well || r.Value != 3 {
		t.Errorf("%+v", r)
	}
	copy(d.log[160:], []byte{5})
	if r := one(t, s, at.Add(time.Hour), "wear"); !strings.Contains(r.Finding.Text, "3 new media errors") {
		t.Errorf("%+v", r)
	}
	copy(d.log[160:], []byte{2})
	d.log[0] = WarnTemperature
	if r := one(t, s, at.Add(time.Hour), "wear"); !strings.Contains(r.Finding.Text, "temperature") {
		t.Errorf("%+v", r)
	}
	d.log[0] = WarnReadOnly
	if r := one(t, s, at.Add(2*time.Hour), "wear"); r.Finding.Level != predict.Move {
		t.Errorf("%+v", r)
	}
	d.log = nil
	for _, r := range readings(s, at.Add(3*time.Hour)) {
		if r.State != sensors.Unreadable {
			t.Errorf("%+v", r)
		}
	}
}

func TestADeviceThatLeftIsUnreadable(t *testing.T) {
	r := readings(newDrive("/nonexistent/sdz"), at)
	if len(r) != 1 || r[0].State != sensors.Unreadable || !r[0].Named || !strings.Contains(r[0].Why, "no such file") {
		t.Errorf("%+v", r)
	}
}

func FuzzPages(f *testing.F) {
	f.Add(health())
	f.Add(attributes(table...))
	f.Add(identityPage("M", "S", true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseNVMe(b); err == nil && (h.Spare > 100 || h.Temperature > 150) {
			t.Errorf("%+v", h)
		}
		if a, err := ParseATA(b, b); err == nil && len(a.Attributes) > maxAttributes {
			t.Errorf("%d rows", len(a.Attributes))
		}
		if id, err := ParseIdentity(b); err == nil && strings.ContainsAny(id.Model, "\x00\x1b\n") {
			t.Errorf("%q", id.Model)
		}
		_, _ = reply{sense: b}.registers()
		_ = reply{sense: b, status: checkCondition}.err(identify)
	})
}

package fence_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

func TestAPinHoldsOnlyForTheVeryDevice(t *testing.T) {
	is := fence.Identity{Family: "f", ObjectID: ".1.3.6", Model: "m", Serial: "s", Outlets: 8, Outlet: "3", Name: "n"}
	pin := fence.Pin{Family: "f", ObjectID: "1.3.6", Model: "m", Serial: "s", Outlets: 8, Name: "n"}
	if err := pin.Check(is); err != nil {
		t.Error(err)
	}
	if err := (fence.Pin{}).Check(is); err != nil || !(fence.Pin{}).Empty() || pin.Empty() {
		t.Errorf("nothing pinned: %v", err)
	}
	fields := reflect.TypeFor[fence.Pin]()
	for i := range fields.NumField() {
		other, untold := pin, is
		field := reflect.ValueOf(&other).Elem().Field(i)
		seen := reflect.ValueOf(&untold).Elem().FieldByName(fields.Field(i).Name)
		seen.SetZero()
		if field.Kind() == reflect.Int {
			field.SetInt(9)
		} else {
			field.SetString("other")
		}
		for what, err := range map[string]error{"differs": other.Check(is), "is not told": pin.Check(untold)} {
			if !errors.Is(err, fence.ErrPin) {
				t.Errorf("%s %s: %v", fields.Field(i).Name, what, err)
			}
		}
	}
}

func TestAPinThatNobodyCanCheckIsRefused(t *testing.T) {
	if _, err := fence.NewFeed(fence.Feed{Switch: &script{}, Pin: fence.Pin{Serial: "s"}}, fence.Timing{}); err == nil {
		t.Error("a switch that cannot say what it is was pinned")
	}
}

func TestAGoodCheckOfThePinIsEnoughForAMinuteAndAHalf(t *testing.T) {
	for age, want := range map[time.Duration]bool{30 * time.Second: true, 89 * time.Second: true, 91 * time.Second: false, time.Hour: false} {
		within(t, 2*time.Hour, func(t *testing.T, ctx context.Context) {
			u := fencetest.NewUnit("pdu", 2)
			sw, _ := u.Outlet("1")
			d, err := fence.NewFeed(fence.Feed{Switch: sw, Pin: u.Pin(1)}, fence.Timing{})
			if err != nil {
				t.Fatal(err)
			}
			if found, err := d.Check(ctx); err != nil || len(found) != 0 {
				t.Fatalf("%v, %v", found, err)
			}
			u.KeepsSilentOnItself()
			time.Sleep(age)
			proof, err := d.Off(ctx)
			if proof.Proven != want || (len(u.Fake(1).Commands()) > 0) != want {
				t.Errorf("%v: proof %+v, err %v", age, proof, err)
			}
			if want && !strings.Contains(proof.Detail, "identity not read now, but right") {
				t.Errorf("detail %q", proof.Detail)
			}
		})
	}
}

func TestADeviceThatWasFoundWrongIsNotRightBecauseItWasBefore(t *testing.T) {
	within(t, time.Hour, func(t *testing.T, ctx context.Context) {
		u := fencetest.NewUnit("pdu", 2)
		sw, _ := u.Outlet("1")
		d, _ := fence.NewFeed(fence.Feed{Switch: sw, Pin: u.Pin(1)}, fence.Timing{})
		_, _ = d.Check(ctx)
		u.Rename(1, "spare")
		if found, _ := d.Check(ctx); len(found) != 1 || found[0].Kind != fence.FindingIdentity {
			t.Errorf("found %v", found)
		}
		u.KeepsSilentOnItself()
		if proof, _ := d.Off(ctx); proof.Proven || len(u.Fake(1).Commands()) != 0 {
			t.Errorf("proof %+v", proof)
		}
	})
}

func TestCheckFindsWhatWouldMakeAnOffFail(t *testing.T) {
	cases := []struct {
		name string
		edit func(u *fencetest.Unit)
		want []string
		pin  bool
	}{
		{"nothing", func(*fencetest.Unit) {}, nil, true},
		{"unreachable", func(u *fencetest.Unit) { u.Fake(1).Behave(behaviour{Unreachable: true}) }, []string{fence.FindingUnreachable, fence.FindingUnreachable}, true},
		{"metered only", func(u *fencetest.Unit) { u.Fake(1).Behave(behaviour{MeteredOnly: true}) }, []string{fence.FindingNotSwitchable}, true},
		{"pending", func(u *fencetest.Unit) { u.Fake(1).Behave(behaviour{Tells: true, Stuck: true}) }, []string{fence.FindingPending}, true},
		{"pending unknown", func(u *fencetest.Unit) { u.Fake(1).Behave(behaviour{Tells: true, Unsure: true}) }, []string{fence.FindingPending}, true},
		{"unknown power", func(u *fencetest.Unit) { u.Fake(1).Behave(behaviour{Says: says(unknown, nil)}) }, []string{fence.FindingPower}, true},
		{"welded", func(u *fencetest.Unit) {
			u.Fake(1).Behave(behaviour{Lie: true, Meter: "outlet", Draw: 0.4})
			_ = u.Fake(1).SwitchOff(context.Background())
		}, []string{fence.FindingLoad}, true},
		{"renumbered", func(u *fencetest.Unit) { u.Renumber(1) }, []string{fence.FindingIdentity}, true},
		{"renumbered, not pinned", func(u *fencetest.Unit) { u.Renumber(1) }, []string{fence.FindingChanged}, false},
		{"replaced, not pinned", func(u *fencetest.Unit) { u.Become(func(is *fence.Identity) { is.Serial = "x" }) }, []string{fence.FindingChanged}, false},
		{"fewer outlets", func(u *fencetest.Unit) { u.Become(func(is *fence.Identity) { is.Outlets = 4 }) }, []string{fence.FindingIdentity}, true},
		{"new firmware", func(u *fencetest.Unit) { u.Become(func(is *fence.Identity) { is.Firmware = "7" }) }, nil, true},
	}
	for _, c := range cases {
		within(t, time.Minute, func(t *testing.T, ctx context.Context) {
			u := fencetest.NewUnit("pdu", 3)
			sw, _ := u.Outlet("1")
			f := fence.Feed{Switch: sw}
			if c.pin {
				f.Pin = u.Pin(1)
			}
			d, err := fence.NewFeed(f, fence.Timing{})
			if err != nil {
				t.Fatal(err)
			}
			all := fence.Levels{Chains: []fence.Chain{{Devices: []fence.Device{d}}}}
			if found, err := all.Check(ctx); err != nil || len(found) != 0 {
				t.Fatalf("a good device: %v, %v", found, err)
			}
			c.edit(u)
			found, err := all.Check(ctx)
			var kinds []string
			for _, f := range found {
				kinds = append(kinds, f.Kind)
			}
			if err != nil || !reflect.DeepEqual(kinds, c.want) {
				t.Errorf("%s: found %v, %v; want %v", c.name, found, err, c.want)
			}
		})
	}
	within(t, time.Minute, func(t *testing.T, ctx context.Context) {
		u := fencetest.NewUnit("pdu", 3)
		sw, _ := u.Outlet("socket 1")
		d, _ := fence.New(sw, fence.Timing{})
		u.Rename(1, "spare")
		if found, _ := d.Check(ctx); len(found) != 2 || found[0].Kind != fence.FindingNoOutlet {
			t.Errorf("a name that is gone: %v", found)
		}
	})
}

func TestACheckThatIsCutShortSaysSo(t *testing.T) {
	within(t, time.Second, func(t *testing.T, ctx context.Context) {
		f := fencetest.New("plug")
		f.Behave(behaviour{Slow: time.Minute})
		if _, err := f.Device(0).Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err %v", err)
		}
	})
}

func TestADeviceThatToldOfCommandsMustTellThatThereIsNone(t *testing.T) {
	within(t, 10*time.Second, func(t *testing.T, ctx context.Context) {
		f := fencetest.New("plug")
		d := f.Device(0)
		f.Behave(behaviour{Tells: true})
		if found, err := d.Check(ctx); err != nil || len(found) != 0 {
			t.Fatalf("%v, %v", found, err)
		}
		f.Behave(behaviour{Tells: true, Forgets: true, Delayed: time.Minute})
		proof, err := d.Off(ctx)
		if proof.Proven || !strings.Contains(proof.Evidence, "whether a command is pending in it is untold") {
			t.Errorf("proof %+v, err %v", proof, err)
		}
	})
}

func TestGradesAreWrittenAndReadAsWords(t *testing.T) {
	for g := fence.GradeNone; g <= fence.GradeLoad; g++ {
		b, err := json.Marshal(g)
		var back fence.Grade
		if err != nil || json.Unmarshal(b, &back) != nil || back != g {
			t.Errorf("%v: %s, %v, %v", g, b, err, back)
		}
	}
	var g fence.Grade
	if err := json.Unmarshal([]byte(`"off"`), &g); err == nil || g != fence.GradeNone {
		t.Errorf("a word of no grade reads %v", g)
	}
}

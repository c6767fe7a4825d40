package serial

import (
	"testing"
	"time"
)

func TestTheReaderRestsOnlyForWhatTheShortestFrameLacks(t *testing.T) {
	p, err := New(config("/dev/none"))
	if err != nil {
		t.Fatal(err)
	}
	in := p.newIntake(&device{}, func([]byte) {})
	long, short := testFrame(nil, make([]byte, 60)), testFrame(nil, make([]byte, 40))
	take := func(b []byte) time.Duration {
		in.take(b)
		return in.missing()
	}
	if d := take(long[:10]); d != 0 {
		t.Errorf("rests for %v before any frame is known", d)
	}
	if d := take(long[10:]); d != 0 {
		t.Errorf("rests for %v after a whole frame", d)
	}
	take(short)
	per := bitsPerByte * time.Second / time.Duration(p.cfg.Baud)
	if d, want := take(long[:8]), time.Duration(len(short)-8)*per; d > want+time.Microsecond || d < want-per {
		t.Errorf("rests for %v, want %v: a short frame must not wait", d, want)
	}
	if d := take(long[8:]); d != 0 {
		t.Errorf("rests for %v after the second", d)
	}
}

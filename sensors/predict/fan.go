package predict

import "math"

// A fanCurve is the speed of a fan at each drive, as it was when new to us.
type fanCurve struct {
	mean  [pwmBins]float32 // RPM
	drive [pwmBins]float32 // mean of the drive, 0-255
	n     [pwmBins]uint16
	ratio float64 // of now to then, smoothed; 0 unknown
}

const (
	pwmBins   = 16  // of 16 steps each
	fanLearns = 240 // minutes in a bin; then it is frozen, or decay would be learned
	fanTrusts = 60  // minutes in a bin before it is compared
	fanSlow   = 0.85
	fanSmooth = 1.0 / 15 // minutes
	pwmDriven = 77       // 30 % of 255: a fan that is driven so turns
)

// watchFan compares a minute with the usual speed at the same drive.
func (s *Series) watchFan(rpm float64) {
	if s.spec.Kind != Fan || math.IsNaN(s.pwm) {
		return
	}
	f, bin := s.fan, min(int(s.pwm)/(256/pwmBins), pwmBins-1)
	if bin < 0 || rpm == 0 {
		return
	}
	if n := f.n[bin]; n < fanLearns && !s.flags.on[FanSlow] {
		f.n[bin]++
		f.mean[bin] += (float32(rpm) - f.mean[bin]) / float32(n+1)
		f.drive[bin] += (float32(s.pwm) - f.drive[bin]) / float32(n+1)
	}
	if f.n[bin] < fanTrusts || f.mean[bin] <= 0 {
		return
	}
	// Within a bin the speed goes with the drive (fan laws).
	now := rpm / (float64(f.mean[bin]) * (s.pwm + 1) / (float64(f.drive[bin]) + 1))
	if f.ratio == 0 {
		f.ratio = 1
	}
	f.ratio += (now - f.ratio) * fanSmooth
	s.set(FanSlow, f.ratio < fanSlow)
}

// watchFanStall asks whether a fan that turned before stands although it is
// driven; where the drive is not known, although it never stood for a day.
func (s *Series) watchFanStall() {
	if s.spec.Kind != Fan {
		return
	}
	driven := s.pwm >= pwmDriven
	if math.IsNaN(s.pwm) {
		driven = s.base.known() && s.base.dip > 0
	}
	s.set(FanStalled, s.value == 0 && driven && s.fastTrack.n >= 3)
}

package predict

import "math"

// A regression learns a temperature from load and surroundings, by recursive
// least squares with forgetting (Haykin, Adaptive Filter Theory, ch. 10): what
// is left tells of dust, paste and fans, not of work and weather. Twelve
// numbers.
type regression struct {
	w [3]float64    // of 1, load, ambient
	p [3][3]float64 // inverse of the correlation
	n int           // updates
}

const (
	memory  = 1 - 1.0/(14*144) // two weeks of ten minutes
	learned = 144              // updates, a day, before the residual is believed
	loose   = 1e4              // variance of the weights before anything is known
)

// residual returns v less what load and ambient explain, and learns from it.
// Without context it is v itself; while the model is young it is NaN: nothing
// can be said yet.
func (r *regression) residual(v, load, ambient float64) float64 {
	if math.IsNaN(load) && math.IsNaN(ambient) {
		return v
	}
	x := inputs(load, ambient)
	e := v - r.at(x)
	r.update(x, e)
	if r.n < learned {
		return math.NaN()
	}
	return e
}

// expected returns the temperature that load and ambient lead to, ok is false
// while that is not known.
func (r *regression) expected(load, ambient float64) (float64, bool) {
	if r.n < learned || math.IsNaN(load) && math.IsNaN(ambient) {
		return 0, false
	}
	return r.at(inputs(load, ambient)), true
}

func inputs(load, ambient float64) [3]float64 {
	x := [3]float64{1, load, ambient}
	for i := range x {
		if math.IsNaN(x[i]) {
			x[i] = 0
		}
	}
	return x
}

func (r *regression) at(x [3]float64) float64 {
	return r.w[0]*x[0] + r.w[1]*x[1] + r.w[2]*x[2]
}

func (r *regression) update(x [3]float64, e float64) {
	if r.n == 0 {
		for i := range r.p {
			r.p[i][i] = loose
		}
	}
	r.n = min(r.n+1, math.MaxInt32)
	var px [3]float64
	denominator := memory
	for i := range px {
		for j := range x {
			px[i] += r.p[i][j] * x[j]
		}
		denominator += px[i] * x[i]
	}
	for i := range px {
		r.w[i] += px[i] / denominator * e
	}
	for i := range px {
		for j := range px {
			r.p[i][j] = min(max((r.p[i][j]-px[i]*px[j]/denominator)/memory, -loose), loose)
		}
	}
}

package predict

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Constants of the test, as published work has them.
const (
	longestLife = 125 // cycles: remaining life is clipped there (Heimes 2008)
	window      = 30  // cycles of which a trend is made
)

// A unit is one engine: rows of 26 numbers, one a cycle.
type unit [][]float64

func engines(t *testing.T, name string) []unit {
	t.Helper()
	folder := os.Getenv("TWINBEAT_RECORDINGS")
	if folder == "" {
		t.Skip("TWINBEAT_RECORDINGS names no folder with cmapss/" + name + " (NASA PCoE, C-MAPSS FD001)")
	}
	f, err := os.Open(filepath.Join(folder, "cmapss", name))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	var all []unit
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var row []float64
		for _, field := range strings.Fields(scan.Text()) {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		n := int(row[0]) // engines are numbered from 1, one after the other
		for len(all) < n {
			all = append(all, nil)
		}
		all[n-1] = append(all[n-1], row)
	}
	return all
}

// telling are the columns of the sensors that move at all.
var telling = []int{6, 7, 8, 11, 12, 13, 15, 16, 17, 18, 19, 21, 24, 25}

// features are level and slope of each sensor's last window, by our own trend.
func features(u unit, end int) []float64 {
	x := []float64{1}
	for _, c := range telling {
		var pts []point
		for i := max(0, end-window); i < end; i++ {
			pts = append(pts, point{float64(i), u[i][c]})
		}
		l, ok := fit(pts)
		if !ok {
			return nil
		}
		x = append(x, l.level-l.slope*l.lag, l.slope)
	}
	return x
}

// solve returns least squares weights, by the normal equations with a whisper of
// ridge.
func solve(xs [][]float64, ys []float64) []float64 {
	n := len(xs[0])
	mid, scale := columns(xs)
	a := make([][]float64, n)
	for i := range a {
		a[i] = make([]float64, n+1)
	}
	for k, x := range xs {
		for i := range n {
			zi := (x[i] - mid[i]) / scale[i]
			for j := range n {
				a[i][j] += zi * (x[j] - mid[j]) / scale[j]
			}
			a[i][n] += zi * ys[k]
		}
	}
	for i := range n {
		a[i][i] += 1e-6
	}
	for i := range n {
		for r := range n {
			if r == i {
				continue
			}
			f := a[r][i] / a[i][i]
			for c := i; c <= n; c++ {
				a[r][c] -= f * a[i][c]
			}
		}
	}
	w := make([]float64, n)
	for i := range n {
		w[i] = a[i][n] / a[i][i] / scale[i]
		if i > 0 {
			w[0] -= w[i] * mid[i]
		}
	}
	return w
}

// columns returns mean and deviation of each column but the first, which is 1.
func columns(xs [][]float64) (mid, scale []float64) {
	n := len(xs[0])
	mid, scale = make([]float64, n), make([]float64, n)
	for i := 1; i < n; i++ {
		for _, x := range xs {
			mid[i] += x[i] / float64(len(xs))
		}
		for _, x := range xs {
			scale[i] += (x[i] - mid[i]) * (x[i] - mid[i]) / float64(len(xs))
		}
		scale[i] = math.Sqrt(scale[i])
	}
	scale[0] = 1
	return mid, scale
}

func guess(w, x []float64) float64 {
	y := 0.0
	for i := range w {
		y += w[i] * x[i]
	}
	return min(max(y, 0), longestLife)
}

// samples cuts a run to failure at every cycle.
func samples(all []unit) (xs [][]float64, ys []float64) {
	for _, u := range all {
		for end := window; end <= len(u); end++ {
			xs = append(xs, features(u, end))
			ys = append(ys, min(float64(len(u)-end), longestLife))
		}
	}
	return xs, ys
}

// band is the 90 % quantile of the errors near a guess (split conformal
// prediction by thirds of the range: Lei and others 2018).
type band [3]float64

func third(guess float64) int { return min(int(guess/longestLife*3), 2) }

func calibrate(w []float64, xs [][]float64, ys []float64) (b band) {
	var errs [3][]float64
	for i, x := range xs {
		g := guess(w, x)
		errs[third(g)] = append(errs[third(g)], math.Abs(g-ys[i]))
	}
	for i, e := range errs {
		slices.Sort(e)
		b[i] = e[min(int(math.Ceil(0.9*float64(len(e)+1))), len(e))-1]
	}
	return b
}

// TestFiguresCMAPSS: the remaining life of engines whose sensors' trends are
// measured by this package, and mapped to cycles by least squares on engines
// that ran to failure. Development series: train_FD001 (70 engines fit, 30
// calibrate the interval); test_FD001 was not looked at. The mapping is of the
// test, not of the binary: a box has no fleet of dead ones to learn from.
func TestFiguresCMAPSS(t *testing.T) {
	train, test, truth := engines(t, "train_FD001.txt"), engines(t, "test_FD001.txt"), lives(t)
	xs, ys := samples(train[:70])
	held, heldY := samples(train[70:])
	b := calibrate(solve(xs, ys), held, heldY)
	w := solve(append(xs, held...), append(ys, heldY...))
	var squares float64
	in, wide := 0, 0.0
	for i, u := range test {
		x := features(u, len(u))
		if x == nil {
			t.Fatalf("engine %d has too few cycles", i+1)
		}
		g, y := guess(w, x), min(truth[i], longestLife)
		squares += (g - y) * (g - y)
		if math.Abs(g-y) <= b[third(g)] {
			in++
		}
		wide += 2 * b[third(g)] / float64(len(test))
	}
	rmse := math.Sqrt(squares / float64(len(test)))
	t.Logf("%d engines: RMSE %.2f cycles; the truth was within the 90 %% interval for %d; mean width %.0f cycles", len(test), rmse, in, wide)
	if rmse > 14.8 || in < 84 || in > 96 { // of 100: within two standard errors of 90
		t.Errorf("wanted: at most 14.8, and 84 to 96 of 100 within")
	}
}

// lives returns the true remaining lives of the test engines.
func lives(t *testing.T) (out []float64) {
	t.Helper()
	f, err := os.Open(filepath.Join(os.Getenv("TWINBEAT_RECORDINGS"), "cmapss", "RUL_FD001.txt"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		v, err := strconv.ParseFloat(strings.TrimSpace(scan.Text()), 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

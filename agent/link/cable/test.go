//go:build !lite

package cable

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/link/serial"
)

// A Report is what a test found.
type Report struct {
	Class     string   `json:"cable"`
	Details   []string `json:"details"`
	Led       bool     `json:"led"` // this end measured the round trips
	Rates     []Rate   `json:"rates"`
	Recommend int      `json:"recommended_baud"` // 0: none
	Why       string   `json:"why"`
}

// Test meets the other end and measures. The nonce is a random number; say tells
// a person how it goes.
func Test(w Wire, t Times, nonce uint64, say func(format string, args ...any)) (Report, error) {
	k := &talk{w: w, t: t}
	if err := w.SetOutputs(true, true); err != nil && !errors.Is(err, serial.ErrNoLines) {
		if _, lines := w.Inputs(); !errors.Is(lines, serial.ErrNoLines) {
			return Report{}, err
		}
	}
	other, plug, err := k.meet(nonce)
	if err != nil {
		return Report{}, err
	}
	if plug {
		say("our own words come back: a loopback plug, or a program that echoes")
		return k.alone(say)
	}
	r := Report{Led: nonce > other}
	say("the other end is there")
	if r.Led {
		err = k.lead(&r, say)
	} else {
		err = k.follow(&r, say)
	}
	r.Recommend, r.Why = Recommend(r.Rates)
	return r, err
}

// lead asks, and has both ends measure.
func (k *talk) lead(r *Report, say func(string, ...any)) error {
	if err := k.toggles(r); err != nil {
		return err
	}
	say("the cable: %s", r.Class)
	for _, baud := range Rates {
		rate, err := k.leadRate(baud)
		if err != nil {
			return err
		}
		r.Rates = append(r.Rates, rate)
		say("%s", rate)
	}
	_, err := k.ask("BYE")
	return err
}

// leadRate measures one rate. An answer that is lost must not make one end go
// there alone: the question is put anew when the other has come back.
func (k *talk) leadRate(baud int) (Rate, error) {
	tries := k.t.Tries
	defer func() { k.t.Tries = tries }()
	if err := k.w.SetBaud(baud); err != nil {
		return Rate{Baud: baud, Error: err.Error()}, k.w.SetBaud(Base)
	}
	if err := k.w.SetBaud(Base); err != nil {
		return Rate{}, err
	}
	k.t.Tries = 1
	words, err := k.ask("RATE %d", baud)
	for n := 1; err != nil && n < tries; n++ {
		time.Sleep(k.t.whole() + 2*k.t.Settle)
		if err := k.flush(); err != nil {
			return Rate{}, err
		}
		words, err = k.ask("RATE %d", baud)
	}
	if err != nil {
		return Rate{}, err
	}
	if why, no := strings.CutPrefix(words, "no "); no {
		return Rate{Baud: baud, Error: "the other end: " + why}, nil
	}
	rate, err := k.play(baud, true)
	if err != nil {
		return rate, err
	}
	k.t.Tries = tries
	words, err = k.ask("RESULT %d %d %d %d %d %s", rate.Baud, rate.Sent, rate.Back,
		int(1000*rate.TripMS), int(1000*rate.MostMS), rate.Here)
	if err != nil {
		return rate, err
	}
	return rate, rate.There.scan(words)
}

// toggles finds out which lines the cable carries.
func (k *talk) toggles(r *Report) error {
	here, there := Toggle{Done: true}, Toggle{Done: true} // until a reading fails
	var none bool
	for i, out := range outputs {
		own, ownErr := k.set(out[0], out[1])
		words, err := k.ask("LINES")
		if err != nil {
			return err
		}
		far, farErr := parseInputs(words)
		none = none || errors.Is(ownErr, serial.ErrNoLines) || errors.Is(farErr, serial.ErrNoLines)
		here.Own[i], here.Far[i] = own, far
		here.Done = here.Done && ownErr == nil && farErr == nil
	}
	for i, out := range outputs {
		words, err := k.ask("SET %d %d", bit(out[0]), bit(out[1]))
		if err != nil {
			return err
		}
		own, ownErr := parseInputs(words)
		far, farErr := k.w.Inputs()
		there.Own[i], there.Far[i] = own, far
		there.Done = there.Done && ownErr == nil && farErr == nil
	}
	r.Class, r.Details = Classify(here, there)
	if none {
		r.Class = NoLines
	}
	_, err := k.ask("CLASS %s|%s", r.Class, strings.Join(swap(r.Details), "|"))
	return err
}

// swap puts the findings into the other end's words.
func swap(details []string) []string {
	var out []string
	for _, d := range details {
		out = append(out, strings.NewReplacer("there", "here", "here", "there").Replace(d))
	}
	return out
}

// set moves our outputs and reads our inputs.
func (k *talk) set(dtr, rts bool) (serial.Inputs, error) {
	err := k.w.SetOutputs(dtr, rts)
	time.Sleep(k.t.Settle)
	in, readErr := k.w.Inputs()
	if readErr != nil {
		return in, readErr
	}
	return in, err
}

func inputsWords(in serial.Inputs, err error) string {
	if errors.Is(err, serial.ErrNoLines) {
		return "none"
	}
	if err != nil {
		return "error"
	}
	return fmt.Sprintf("%d %d %d %d", bit(in.DSR), bit(in.CTS), bit(in.DCD), bit(in.RI))
}

func parseInputs(words string) (in serial.Inputs, err error) {
	if words == "none" {
		return in, serial.ErrNoLines
	}
	var dsr, cts, dcd, ri int
	err = numbers(words, &dsr, &cts, &dcd, &ri)
	return serial.Inputs{DSR: dsr == 1, CTS: cts == 1, DCD: dcd == 1, RI: ri == 1}, err
}

// bit is how a line travels.
func bit(up bool) int {
	if up {
		return 1
	}
	return 0
}

// follow does what the leader asks until it says BYE, or nothing for longer than
// any pause of its own.
func (k *talk) follow(r *Report, say func(string, ...any)) error {
	var rate Rate
	for range maxQuestions {
		words, err := k.heard(2*k.t.whole() + 10*time.Second)
		if err != nil {
			return err
		}
		verb, args, _ := strings.Cut(words, " ")
		switch verb {
		case "":
			return errors.New("the other end no longer asks")
		case "BYE":
			return errors.Join(k.answer("bye"), k.lingers())
		case "LINES":
			in, readErr := k.w.Inputs()
			err = k.answer("%s", inputsWords(in, readErr))
		case "SET":
			var dtr, rts int
			if err = numbers(args, &dtr, &rts); err == nil {
				in, readErr := k.set(dtr == 1, rts == 1)
				err = k.answer("%s", inputsWords(in, readErr))
			}
		case "CLASS":
			parts := strings.Split(args, "|")
			r.Class, r.Details = parts[0], nonEmpty(parts[1:])
			say("the cable: %s", r.Class)
			err = k.answer("well")
		case "RATE":
			rate, err = k.followRate(args)
			if rate.Error != "" {
				r.Rates = append(r.Rates, rate)
			}
		case "RESULT":
			mine := rate.Here
			rate, err = parseResult(args)
			rate.There, rate.Here = rate.Here, mine
			r.Rates = append(r.Rates, rate)
			say("%s", rate)
			err = errors.Join(err, k.answer("%s", mine))
		default:
			err = k.answer("what?")
		}
		if err != nil {
			return err
		}
	}
	return errors.New("the other end asks for ever")
}

// maxQuestions is far above what a leader asks.
const maxQuestions = 500

// lingers answers the last question once more, should the answer have been lost.
func (k *talk) lingers() error {
	_, err := k.heard(2 * answerTime)
	return err
}

func (k *talk) followRate(args string) (Rate, error) {
	baud, err := strconv.Atoi(args)
	if err != nil || baud < serial.MinBaud || baud > serial.MaxBaud {
		return Rate{}, fmt.Errorf("the other end asks for %q baud", args)
	}
	if err := k.w.SetBaud(baud); err != nil {
		return Rate{Baud: baud, Error: err.Error()}, errors.Join(k.w.SetBaud(Base), k.answer("no %s", err))
	}
	if err := k.w.SetBaud(Base); err != nil {
		return Rate{}, err
	}
	if err := k.answer("go"); err != nil {
		return Rate{}, err
	}
	k.w.Sent(writeTime)
	time.Sleep(20 * time.Millisecond) // what the UART itself still holds: 16 characters at Base
	return k.play(baud, false)
}

func parseResult(args string) (r Rate, err error) {
	var trip, most int // microseconds
	err = numbers(args, &r.Baud, &r.Sent, &r.Back, &trip, &most,
		&r.Here.Bytes, &r.Here.Errors, &r.Here.Lost, &r.Here.Slips)
	r.TripMS, r.MostMS = float64(trip)/1000, float64(most)/1000
	return r, err
}

func nonEmpty(texts []string) []string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// alone tests the port itself, with a plug that brings everything back.
func (k *talk) alone(say func(string, ...any)) (Report, error) {
	r := Report{Class: Plug, Led: true}
	var own [4]serial.Inputs
	read := true
	for i, out := range outputs {
		var err error
		own[i], err = k.set(out[0], out[1])
		read = read && err == nil
	}
	if wires := joined(own); read && len(wires) > 0 {
		r.Details = append(r.Details, "looped back: "+strings.Join(wires, ", "))
	} else if read {
		r.Details = append(r.Details, "the data come back and no modem line does: a plug with two pins, or a program that echoes")
	}
	for _, baud := range Rates {
		rate := Rate{Baud: baud}
		if err := k.w.SetBaud(baud); err != nil {
			rate.Error = err.Error()
		} else {
			time.Sleep(k.t.Settle)
			if err := k.flush(); err != nil {
				return r, err
			}
			if rate.Here, err = k.stream(baud, time.Now().Add(k.t.Stream+2*k.t.Settle)); err != nil {
				return r, err
			}
		}
		r.Rates = append(r.Rates, rate)
		say("%s", rate)
	}
	r.Why = "a plug says nothing about a cable"
	return r, k.w.SetBaud(Base)
}

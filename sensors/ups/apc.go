package ups

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of an answer of apcupsd, which has 60 records of 80 bytes at most.
const (
	maxRecord  = 1024
	maxRecords = 256
)

// askAPC asks apcupsd by its NIS: each message is its length in two bytes, the
// higher first, and the text; an empty one ends the answer (apcupsd manual,
// NIS Network Server Protocol).
func askAPC(rw io.ReadWriter) (Status, error) {
	const question = "status"
	if _, err := rw.Write(append([]byte{0, byte(len(question))}, question...)); err != nil {
		return Status{}, err
	}
	fields := map[string]string{}
	for range maxRecords {
		text, err := record(rw)
		if err != nil {
			return Status{}, err
		}
		if text == "" {
			return ParseAPC(fields)
		}
		if key, value, ok := strings.Cut(text, ":"); ok {
			fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return Status{}, fmt.Errorf("%w: more than %d records", errProtocol, maxRecords)
}

func record(r io.Reader) (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint16(head[:])
	if n > maxRecord {
		return "", fmt.Errorf("%w: a record of %d bytes", errProtocol, n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err
}

// ParseAPC reads the records of apcupsd's status. Its words are in the manual
// under Status Report Fields. One without a status is refused.
func ParseAPC(fields map[string]string) (Status, error) {
	words, ok := fields["STATUS"]
	if !ok {
		return Status{}, fmt.Errorf("%w: there is no STATUS among %d records", errProtocol, len(fields))
	}
	s := unknown()
	s.Words, s.Model = clean(words), clean(fields["MODEL"])
	for word := range strings.FieldsSeq(words) {
		switch word {
		case "ONBATT":
			s.OnBattery = true
		case "LOWBATT":
			s.Low = true
		case "REPLACEBATT":
			s.Replace = true
		case "OVERLOAD":
			s.Overload = true
		case "SHUTTING": // "SHUTTING DOWN"
			s.ShutDown = true
		case "CAL":
			s.Calibrating = true
		case "COMMLOST", "NETWORK": // "NETWORK ERROR" of a slave
			s.Lost = true
		}
	}
	number := func(key string) float64 {
		text, _, _ := strings.Cut(fields[key], " ") // "45.0 Minutes"
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return s.Input // not read yet: NaN
		}
		return n
	}
	s.Charge, s.Runtime, s.Load = number("BCHARGE"), 60*number("TIMELEFT"), number("LOADPCT")
	s.Battery, s.Temperature, s.Input = number("BATTV"), number("ITEMP"), number("LINEV")
	s.plausible()
	return s, nil
}

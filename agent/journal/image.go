package journal

import "io/fs"

// copies is how many copies of the state a disk holds.
const copies = 2

// An Image is what a disk holds of a journal: the bytes of its copies, nil for
// one that is absent. It judges them as [Open] does, without a disk, so that a
// simulator can tear and lose them.
type Image [copies][]byte

// Load returns the state that Open would find and the number of its save; whole
// is false if there are copies and none is left whole.
func (m Image) Load() (s State, seq uint64, whole bool) {
	var found [copies]record
	var errs [copies]error
	for i, b := range m {
		if b == nil {
			errs[i] = fs.ErrNotExist
			continue
		}
		found[i], errs[i] = decode(b)
	}
	r, whole := newest(found, errs)
	return r.State, r.Seq, whole
}

// Encode returns the bytes of a copy of a state; seq rises with each save.
func Encode(s State, seq uint64) ([]byte, error) { return encode(record{State: s, Seq: seq}) }

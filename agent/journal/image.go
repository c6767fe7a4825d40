package journal

import "io/fs"

// copies is how many copies of the state a disk holds.
const copies = 2

// An Image is what a disk holds of a journal: the bytes of its copies, nil for
// one that is absent. It judges them as [Open] does, without a disk, so that a
// simulator can tear and lose them.
type Image [copies][]byte

// Load returns the state that Open would find; whole is false if there are
// copies and none is left whole.
func (m Image) Load() (s State, whole bool) {
	r, whole := m.newest()
	return r.State, whole
}

func (m Image) newest() (record, bool) {
	var found [copies]record
	var errs [copies]error
	for i, b := range m {
		if b == nil {
			errs[i] = fs.ErrNotExist
			continue
		}
		found[i], errs[i] = decode(b)
	}
	return newest(found, errs)
}

// Encode returns the bytes of both copies of a state that follows this image.
func (m Image) Encode(s State) ([]byte, error) {
	r, _ := m.newest()
	r.State = s
	r.Seq++
	return encode(r)
}

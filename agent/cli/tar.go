//go:build !lite

package cli

import (
	"fmt"
	"io"
	"time"
)

// tarBlock is the unit of a tar file (POSIX.1-2008, pax, "ustar Interchange Format").
const tarBlock = 512

// A tarWriter writes plain files, owned by root and of mode 0600. The library's
// writer knows every extension there is, and costs 0.1 MB.
type tarWriter struct {
	w  io.Writer
	at time.Time
}

// put writes one file. Names of 100 bytes or more are refused.
func (t tarWriter) put(name, text string) error {
	if len(name) >= 100 {
		return fmt.Errorf("name %q is too long", name)
	}
	var h [tarBlock]byte
	copy(h[:], name)
	copy(h[100:], "0000600\x000000000\x000000000\x00") // mode, uid, gid
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", len(text), t.at.Unix()))
	copy(h[148:], "        0") // room of the sum, and the type: a file
	copy(h[257:], "ustar\x0000root")
	copy(h[297:], "root")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	padding := make([]byte, (tarBlock-len(text)%tarBlock)%tarBlock)
	_, err := io.WriteString(t.w, string(h[:])+text+string(padding))
	return err
}

// end writes the two empty blocks that end a tar file.
func (t tarWriter) end() error {
	_, err := t.w.Write(make([]byte, 2*tarBlock))
	return err
}

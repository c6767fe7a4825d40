package agent

import (
	"fmt"
	"os"
	"testing"
)

func TestOnlyOwnPagesThatNobodyWritesAreShed(t *testing.T) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	text := fmt.Sprintf(`00400000-00a00000 r-xp 00000000 fe:00 7 %[1]s
Rss:                6144 kB
Anonymous:             0 kB
00a00000-00b00000 r--p 00600000 fe:00 7 %[1]s
Anonymous:             0 kB
00b00000-00b20000 r--p 00700000 fe:00 7 %[1]s
Anonymous:            64 kB
00b20000-00b40000 rw-p 00720000 fe:00 7 %[1]s
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 8 /etc/localtime
Anonymous:             0 kB
7f0000002000-7f0000003000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
7f0000004000-7f0000005000 r--p 00000000 fe:00 9 %[1]s.old
Anonymous:             0 kB
rubbish
`, exe)
	got := ownPages([]byte(text))
	if want := "[[4194304 10485760] [10485760 11534336]]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestShedLeavesARunningProgram(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	n := shed(maps)
	// How much is mapped again at once is the page cache's affair: it may hold the
	// file in large pieces. The lab's bench measures what it is worth.
	if want := ownBytes(maps); n == 0 || n != want {
		t.Errorf("%d bytes unmapped of %d", n, want)
	}
}

func ownBytes(maps []byte) (n uintptr) {
	for _, r := range ownPages(maps) {
		n += r[1] - r[0]
	}
	return n
}

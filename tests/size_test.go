package tests

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	cross     = flag.Bool("cross", false, "build for every architecture, not for this one alone")
	writeDeps = flag.Bool("write", false, "write the lists of linked packages")
)

// targets are the architectures that a release is built for, as environment.
var targets = [][]string{
	{"GOARCH=amd64"},
	{"GOARCH=arm64"},
	{"GOARCH=arm", "GOARM=7"},
	{"GOARCH=mipsle", "GOMIPS=softfloat"},
	{"GOARCH=riscv64"},
}

// builds are the variants, with their budgets in bytes (1 MB = 10^6).
var builds = []struct {
	name, tags string
	budget     int64
}{
	{"full", "", 12_000_000},
	{"reduced", "no_redfish,no_http,no_ipmi,no_ssh,no_chips,no_virtual", 9_200_000},
	{"lite", "lite", 6_500_000}, // what a 16 MiB flash has room for beside kernel and root
}

// build runs make build, which alone knows the flags of a release.
func build(t *testing.T, out, tags string, env []string) {
	t.Helper()
	cmd := exec.Command("make", "-s", "-C", root, "build", "OUT="+out, "TAGS="+tags)
	cmd.Env = append(append(os.Environ(), "GOOS=linux"), env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build %v: %v\n%s", env, err, msg)
	}
}

func native() []string { return []string{"GOARCH=" + goEnv("GOARCH")} }

func goEnv(name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func TestBinariesFitTheirBudget(t *testing.T) {
	envs := [][]string{native()}
	if *cross {
		envs = targets
	}
	out := filepath.Join(t.TempDir(), "twinbeat")
	var table strings.Builder
	for _, env := range envs {
		row := strings.TrimPrefix(strings.Join(env, " "), "GOARCH=")
		fmt.Fprintf(&table, "%-26s", row)
		for _, b := range builds {
			build(t, out, b.tags, env)
			info, err := os.Stat(out)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&table, "  %s %6.2f MB of %5.2f", b.name, float64(info.Size())/1e6, float64(b.budget)/1e6)
			if info.Size() > b.budget {
				t.Errorf("%s %s has %d bytes, at most %d", row, b.name, info.Size(), b.budget)
			}
		}
		table.WriteString("\n")
	}
	t.Logf("sizes of the static binaries\n%s", table.String())
}

func TestBinariesAreTheSameFromTwoPlaces(t *testing.T) {
	sums := map[[32]byte]bool{}
	for range 2 {
		// A copy of the tree elsewhere: its path must not be in the binary.
		place := filepath.Join(t.TempDir(), "elsewhere")
		copyTree(t, place)
		out := filepath.Join(place, "dist", "twinbeat")
		cmd := exec.Command("make", "-s", "-C", place, "build", "VERSION=v0.0.0", "OUT="+out)
		cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=false") // the copy has no history
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make build: %v\n%s", err, msg)
		}
		binary, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(binary, []byte(place)) {
			t.Errorf("the binary names the folder it was built in")
		}
		sums[sha256.Sum256(binary)] = true
	}
	if len(sums) != 1 {
		t.Errorf("two builds of the same source differ")
	}
}

// copyTree copies what a build reads.
func copyTree(t *testing.T, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		from := filepath.Join(root, e.Name())
		switch {
		case e.Name() == "dist" || e.Name() == "tests" || strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			err = os.CopyFS(filepath.Join(to, e.Name()), os.DirFS(from))
		default:
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(filepath.Join(to, e.Name()), data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinkedPackagesAreThoseOnTheList(t *testing.T) {
	for _, b := range builds {
		cmd := exec.Command("go", "list", "-deps", "-tags", b.tags, module)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		list := slices.DeleteFunc(strings.Fields(string(out)), private)
		slices.Sort(list)
		got := strings.Join(list, "\n") + "\n"
		file := filepath.Join("testdata", "deps-"+b.name+".txt")
		if *writeDeps {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if more, fewer := difference(got, string(want)), difference(string(want), got); len(more)+len(fewer) > 0 {
			t.Errorf("%s build: new packages %q, gone %q; if that is meant: go test ./tests -run LinkedPackages -write", b.name, more, fewer)
		}
	}
}

// private packages of the standard library come and go with its releases.
func private(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".") && (slices.Contains(strings.Split(name, "/"), "internal") || first == "vendor")
}

func difference(a, b string) []string {
	known := strings.Fields(b)
	return slices.DeleteFunc(strings.Fields(a), func(s string) bool { return slices.Contains(known, s) })
}

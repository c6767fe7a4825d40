// Package tests holds the house rules that no compiler knows: who may import
// whom, what pure packages must not touch, how long a function may be, how big
// the binary. Start reading at rooms; a change of the design changes it there.
package tests

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = ".."
	module = "github.com/twinbeat/twinbeat"
)

// A room is a package's place in the building.
type room struct {
	pure   bool     // no clock, goroutine, I/O, log or randomness
	seeded bool     // may use math/rand/v2, but only sources made from a seed
	may    []string // packages of ours that it may import
}

// drivers are the packages that touch the world. They know neither the
// machine nor the loop.
var drivers = []string{
	"agent/link", "agent/link/serial", "agent/link/mcast", "agent/service", "agent/journal", "agent/control",
	"fence", "fence/exec", "fence/http", "fence/redfish", "fence/snmp", "fence/ipmi", "fence/ssh", "vip/kernel", "vip/gate", "vip/announce",
	"agent/watchdog", "agent/monitor", "agent/notify", "agent/link/cable",
}

// rooms is the import graph of the design: arrows point down.
var rooms = map[string]room{
	"":          {may: []string{"agent/cli"}},
	"agent/cli": {may: []string{"agent", "fence", "agent/config", "agent/control", "agent/report", "agent/wire", "agent/journal", "agent/pair", "agent/sim", "sensors", "sensors/predict", "agent/drill", "agent/link/cable", "agent/survey"}},
	"agent": {may: slices.Concat(drivers, []string{
		"agent/accord", "agent/act", "agent/config", "agent/health", "agent/loop", "agent/notify/alert", "agent/pair", "agent/report", "agent/vital", "agent/wire", "vip",
		"sensors", "sensors/predict", "sensors/rounds", "sensors/sysfs", "sensors/smart", "sensors/i2c", "sensors/ups",
	})},
	"agent/loop": {may: []string{"agent/accord", "agent/act", "agent/health", "agent/pair", "agent/report", "agent/vital", "agent/wire", "vip"}},
	"agent/act":  {},

	"agent/pair":   {pure: true},
	"agent/wire":   {pure: true},
	"agent/report": {pure: true},
	"agent/accord": {pure: true},
	"agent/vital":  {pure: true},
	"agent/drill":  {pure: true, may: []string{"agent/report"}},
	"agent/health": {pure: true},
	"agent/config": {pure: true, may: []string{"vip"}},
	"agent/sim":    {pure: true, seeded: true, may: []string{"agent/config", "agent/health", "agent/journal", "agent/pair", "agent/wire"}},
	"vip":          {pure: true},

	"sensors":                 {pure: true, may: []string{"sensors/predict"}},
	"sensors/rounds":          {may: []string{"sensors"}},
	"sensors/sysfs":           {may: []string{"sensors", "sensors/predict"}},
	"sensors/paced":           {may: []string{"sensors"}},
	"sensors/smart":           {may: []string{"sensors", "sensors/paced", "sensors/predict"}},
	"sensors/i2c":             {may: []string{"sensors", "sensors/paced"}},
	"sensors/ups":             {may: []string{"sensors", "sensors/paced", "sensors/predict"}},
	"sensors/predict":         {pure: true},
	"sensors/predict/boxtest": {pure: true, seeded: true},

	"agent/link":          {},
	"agent/link/linktest": {may: []string{"agent/link"}},
	"agent/link/cable":    {may: []string{"agent/link/serial", "agent/wire"}},
	"agent/link/mcast":    {may: []string{"agent/link"}},
	"agent/link/serial":   {may: []string{"agent/link"}},
	"agent/service":       {},
	"agent/survey":        {may: []string{"agent/service", "agent/watchdog"}}, // each knows how to look for its own
	"agent/watchdog":      {},
	"agent/monitor":       {may: []string{"agent/health", "agent/service", "vip/announce"}},
	"agent/journal":       {may: []string{"agent/report"}},
	"agent/control":       {may: []string{"agent/report"}},
	"agent/notify":        {may: []string{"agent/notify/alert", "agent/report", "agent/service", "fence/http", "fence/snmp"}}, // these two have the bounded client and SNMP
	"agent/notify/alert":  {pure: true, may: []string{"agent/report"}},
	"fence":               {},
	"fence/exec":          {may: []string{"fence", "agent/service"}}, // service knows how to run a program and be rid of it
	"fence/fencetest":     {may: []string{"fence"}},
	"fence/ipmi":          {may: []string{"fence"}},
	"fence/http":          {may: []string{"fence"}},
	"fence/redfish":       {may: []string{"fence", "fence/http"}}, // http has the bounded client, and JSON without guesses
	"fence/snmp":          {may: []string{"fence"}},
	"fence/snmp/snmptest": {},
	"fence/ssh":           {may: []string{"fence"}},
	"vip/announce":        {may: []string{"vip"}},
	"vip/gate":            {may: []string{"vip"}},
	"vip/kernel":          {may: []string{"vip"}},

	"packaging/man": {may: []string{"agent/cli"}}, // a program of its own, for make docs
}

// lodgers are the modules of others, and the one package that may import each.
// golang.org/x/sys may be anywhere but in a pure package.
var lodgers = map[string]string{
	"go.bug.st/serial":                "agent/link/serial",
	"github.com/vishvananda/netlink":  "vip/kernel",
	"github.com/gosnmp/gosnmp":        "fence/snmp",
	"github.com/mdlayher/watchdog":    "agent/watchdog",
	"github.com/google/nftables":      "vip/gate",
	"github.com/BurntSushi/toml":      "agent/config",
	"golang.org/x/sys":                "",
	"golang.org/x/crypto":             "fence/ssh",
	"github.com/google/go-cmp":        "only tests",
	"github.com/rogpeppe/go-internal": "only tests",
	"github.com/vishvananda/netns":    "only tests",
	"github.com/mdlayher/netlink":     "vip/gate", // nftables speaks through it
	"github.com/d2r2/go-i2c":          "sensors/i2c",
	"github.com/d2r2/go-logger":       "sensors/i2c", // go-i2c logs every byte through it
}

// impure are the packages of the standard library that a pure package must
// not import, beyond those whose name starts so.
var impure = []string{
	"os", "net", "log", "syscall", "io/ioutil", "math/rand", "math/rand/v2", "crypto/rand", "os/exec", "os/signal",
	"log/slog", "log/syslog", "net/http", "net/rpc", "net/smtp", "runtime/debug", "plugin", "database/sql", "context", "unsafe",
}

// clocks are the functions of package time that read or wait for a clock.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "NewTimer", "NewTicker", "Tick"}

// seeded are the names of math/rand/v2 that draw from no hidden source.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "PCG", "ChaCha8", "Source", "Zipf"}

// confined are packages of the standard library that only some of ours may import.
var confined = map[string][]string{
	"os/exec":       {"agent/service", "fence/exec"},
	"net/http":      {"fence/http"},
	"text/template": {}, // these two look methods up by name, and
	"html/template": {}, // with that the linker keeps every method of every type
	"unsafe":        {"vip/gate", "vip/kernel", "vip/announce", "agent/link", "agent/link/serial", "agent/link/mcast", "agent/control", "agent", "agent/monitor", "sensors/smart", "sensors/i2c"},
}

// topLevel is everything that may stand beside main.go.
var topLevel = []string{
	"main.go", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "Makefile", "reference.toml", "go.mod", "go.sum",
	"firmware", "agent", "sensors", "fence", "vip", "buildroot", "packaging", "tests", ".ci", ".github", ".git", ".gitignore", "staticcheck.conf",
	"dist", // what make build leaves; not tracked
}

const (
	maxFunction = 60
	maxFile     = 600
	maxNesting  = 3
)

// A source is one parsed file.
type source struct {
	room  string // its folder, from the root
	file  string
	test  bool
	tree  *ast.File
	lines int
	fset  *token.FileSet
}

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", path.Join(s.room, s.file), s.fset.Position(n.Pos()).Line)
}

// sources parses every file of ours, whatever its build tags.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "dist" || len(d.Name()) > 2 && d.Name()[0] == '.'):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		if folder == "." {
			folder = ""
		}
		all = append(all, source{
			room: folder, file: d.Name(), test: strings.HasSuffix(name, "_test.go"), tree: tree,
			lines: strings.Count(string(src), "\n"), fset: fset,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no sources found")
	}
	return all
}

// inTests says whether the folder is the tests' own, which may use everything.
func inTests(folder string) bool { return folder == "tests" || strings.HasPrefix(folder, "tests/") }

func imports(s source) []string {
	var out []string
	for _, i := range s.tree.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			out = append(out, name)
		}
	}
	return out
}

func TestEveryPackageHasItsRoom(t *testing.T) {
	for _, s := range sources(t) {
		if _, ok := rooms[s.room]; !ok && !inTests(s.room) {
			t.Errorf("package %s: ask which room it belongs to, then enter it into rooms", s.room)
		}
	}
}

func TestArrowsPointDown(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || inTests(s.room) {
			continue
		}
		for _, name := range imports(s) {
			ours, isOurs := strings.CutPrefix(name, module)
			if !isOurs {
				continue
			}
			if ours = strings.TrimPrefix(ours, "/"); !slices.Contains(rooms[s.room].may, ours) {
				t.Errorf("%s: %q may not import %q; it may import %q", s.at(s.tree.Name), s.room, ours, rooms[s.room].may)
			}
		}
	}
}

func TestDriversKnowNeitherMachineNorLoop(t *testing.T) {
	for _, d := range append(drivers, "vip", "agent/config", "agent/report") {
		for _, upper := range []string{"agent", "agent/loop", "agent/pair", "agent/cli", "agent/act"} {
			if slices.Contains(rooms[d].may, upper) {
				t.Errorf("the table itself lets %s import %s", d, upper)
			}
		}
	}
}

func TestEachForeignModuleLivesInItsOnePackage(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || inTests(s.room) || strings.HasSuffix(s.room, "test") {
			continue
		}
		for _, name := range imports(s) {
			if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") || strings.HasPrefix(name, module) {
				continue
			}
			owner, module := "", ""
			for m, o := range lodgers {
				if name == m || strings.HasPrefix(name, m+"/") {
					owner, module = o, m
				}
			}
			switch {
			case module == "":
				t.Errorf("%s: module of %s is not in the table of lodgers", s.at(s.tree.Name), name)
			case owner != "" && owner != s.room:
				t.Errorf("%s: %s belongs to %s", s.at(s.tree.Name), module, owner)
			case rooms[s.room].pure && module == "golang.org/x/sys":
				t.Errorf("%s: a pure package makes no system calls", s.at(s.tree.Name))
			}
		}
	}
}

func TestPurePackagesTouchNothing(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !rooms[s.room].pure {
			continue
		}
		for _, name := range imports(s) {
			if slices.Contains(impure, name) && !(name == "math/rand/v2" && rooms[s.room].seeded) {
				t.Errorf("%s: a pure package does not import %s", s.at(s.tree.Name), name)
			}
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a pure package starts no goroutine", s.at(n))
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if ok && x.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
					t.Errorf("%s: a pure package has no clock: time.%s", s.at(n), n.Sel.Name)
				}
				if ok && x.Name == "rand" && x.Obj == nil && !slices.Contains(seeded, n.Sel.Name) {
					t.Errorf("%s: not from a seed: rand.%s", s.at(n), n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestConfinedPackagesStayConfined(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || inTests(s.room) || strings.HasSuffix(s.room, "test") {
			continue
		}
		for _, name := range imports(s) {
			if where, ok := confined[name]; ok && !slices.Contains(where, s.room) {
				t.Errorf("%s: %s may be imported by %q alone", s.at(s.tree.Name), name, where)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	docs := map[string]string{}
	for _, s := range sources(t) {
		if _, known := docs[s.room]; !known {
			docs[s.room] = ""
		}
		if s.tree.Doc != nil && (!s.test || inTests(s.room)) {
			docs[s.room] += s.tree.Doc.Text()
		}
	}
	for folder, doc := range docs {
		if !strings.HasPrefix(doc, "Package ") && !strings.HasPrefix(doc, "Command ") {
			t.Errorf("package %q has no package comment", folder)
		}
	}
}

func TestFilesAndFunctionsFitInTheHead(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if s.lines > maxFile {
			t.Errorf("%s: %d lines, at most %d", path.Join(s.room, s.file), s.lines, maxFile)
		}
		for _, d := range s.tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunction {
				t.Errorf("%s: %s has %d lines, at most %d", s.at(f), f.Name.Name, n, maxFunction)
			}
			if n := nesting(f.Body); n > maxNesting {
				t.Errorf("%s: %s nests %d deep, at most %d", s.at(f), f.Name.Name, n, maxNesting)
			}
		}
	}
}

// nesting is the depth of statements within statements. A function literal
// starts anew, and an else-if is no deeper than its if.
func nesting(n ast.Node) int {
	deepest := 0
	ast.Inspect(n, func(c ast.Node) bool {
		if c == nil || c == n {
			return true
		}
		depth := 0
		switch c := c.(type) {
		case *ast.FuncLit:
			depth = nesting(c.Body)
		case *ast.IfStmt:
			depth = max(1+nesting(c.Body), alternative(c.Else))
		case *ast.ForStmt:
			depth = 1 + nesting(c.Body)
		case *ast.RangeStmt:
			depth = 1 + nesting(c.Body)
		case *ast.SwitchStmt:
			depth = 1 + nesting(c.Body)
		case *ast.TypeSwitchStmt:
			depth = 1 + nesting(c.Body)
		case *ast.SelectStmt:
			depth = 1 + nesting(c.Body)
		default:
			return true
		}
		deepest = max(deepest, depth)
		return false
	})
	return deepest
}

func alternative(s ast.Stmt) int {
	switch s := s.(type) {
	case *ast.IfStmt:
		return max(1+nesting(s.Body), alternative(s.Else))
	case *ast.BlockStmt:
		return 1 + nesting(s)
	default:
		return 0
	}
}

func TestNestingIsCountedAsAReaderDoes(t *testing.T) {
	for src, want := range map[string]int{
		"x()":                                0,
		"if a { b() }":                       1,
		"if a { b() } else if c { d() }":     1,
		"for { if a { switch b { } } }":      3,
		"for { f(func() { if a { b() } }) }": 2,
		"if a { } else { for { } }":          2,
	} {
		e, err := parser.ParseExpr("func() {" + src + "}")
		if err != nil {
			t.Fatal(err)
		}
		if got := nesting(e.(*ast.FuncLit).Body); got != want {
			t.Errorf("%s nests %d deep, want %d", src, got, want)
		}
	}
}

func TestTopLevelHoldsOnlyWhatTheDesignNames(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s does not belong to the top level", e.Name())
		}
	}
}

func TestNoMethodIsLookedUpByName(t *testing.T) {
	cmd := exec.Command("go", "build", "-o", os.DevNull, "-ldflags=-dumpdep", module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, last := 0, ""
	for scan := bufio.NewScanner(out); scan.Scan(); lines++ {
		last = scan.Text()
		if strings.Contains(last, "<ReflectMethod>") {
			t.Errorf("the linker must keep every method of every type: %s", last)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, last)
	}
	if lines < 1000 {
		t.Fatalf("the linker printed %d lines: is -dumpdep still what it was?", lines)
	}
}

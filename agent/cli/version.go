package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

var versionCommand = command{
	name: "version", args: "[-v]", summary: "tell the version, with -v of every part",
	text: `Tell the version of this program. With -v also what it was built from: the Go
release, the target, build tags, the revision and every module.`,
	examples: []string{"twinbeat version -v"},
	flags:    []string{"v"},
	run:      (*shell).version,
}

func (sh *shell) version(o *options, _ []string) error {
	info, ok := debug.ReadBuildInfo()
	text := "twinbeat " + programVersion() + "\n"
	if o.verbose {
		text += fmt.Sprintf("%-12s%s %s/%s\n", "go", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	}
	if o.verbose && ok {
		text += buildText(info)
	}
	return sh.print(text)
}

// programVersion is what the build set, else what "go install module@version"
// recorded.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}

// shownSettings are the build settings that version -v tells, and under which
// name. Others may hold a path of the machine that built it.
var shownSettings = map[string]string{
	"-tags": "tags", "CGO_ENABLED": "cgo", "GOARM": "goarm", "GOMIPS": "gomips", "GOAMD64": "goamd64", "GOARM64": "goarm64", "GORISCV64": "goriscv64",
	"vcs.revision": "revision", "vcs.time": "committed", "vcs.modified": "modified",
}

func buildText(info *debug.BuildInfo) string {
	var b strings.Builder
	for _, s := range info.Settings {
		if name, shown := shownSettings[s.Key]; shown && s.Value != "" {
			fmt.Fprintf(&b, "%-12s%s\n", name, s.Value)
		}
	}
	for _, d := range info.Deps {
		replaced := ""
		if d.Replace != nil { // not with what: it may be a path
			replaced = " (replaced)"
		}
		fmt.Fprintf(&b, "%-12s%s %s%s\n", "module", d.Path, d.Version, replaced)
	}
	return b.String()
}

package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/pawlauth/pawl/api"
)

// What a release knows and the Go toolchain does not: set by the linker
// (-ldflags "-X main.version=..."), and by nothing else.
var version, commit, date string

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*versionCmd) Help() string { return "Example:\n  pawl version --json" }

// build is what this binary is. What is not known is "" and left out.
type build struct {
	Version  string `json:"version"`            // of the module, or "devel"
	Commit   string `json:"commit,omitempty"`   // in full
	Date     string `json:"date,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the tree had changes that are in no commit
	API      string `json:"api"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func (c *versionCmd) Run(std stdio) error {
	b := thisBuild()
	if c.JSON {
		return printJSON(std.out, b)
	}
	from := ""
	if b.Commit != "" {
		from = fmt.Sprintf(", commit %.12s of %s", b.Commit, cmp.Or(b.Date, "an unknown date"))
	}
	_, err := fmt.Fprintf(std.out, "pawl %s (API %s, %s, %s/%s%s)\n", b.Version, b.API, b.Go, b.OS, b.Arch, from)
	return err
}

func thisBuild() build {
	b := build{Version: version, Commit: commit, Date: date, API: api.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "(devel)" {
		b.Version = cmp.Or(b.Version, info.Main.Version)
	}
	b.Version = cmp.Or(b.Version, "devel")
	if !ok || commit != "" {
		return b // the linker's commit goes with the linker's date
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = cmp.Or(b.Date, s.Value)
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// buildVersion is what /v2/auth/version says of the build.
func buildVersion() string { return thisBuild().Version }

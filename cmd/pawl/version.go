package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/pawlauth/pawl/api"
)

// These are set by the linker for a release (-ldflags "-X main.version=..."), and are constant otherwise. They have
// what the Go toolchain cannot supply.
var version, commit, date string

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*versionCmd) Help() string { return "Example:\n  pawl version --json" }

// build describes this binary. Unknown fields are empty, and left out of the JSON.
type build struct {
	Version  string `json:"version"`            // the version of the module, or "devel"
	Commit   string `json:"commit,omitempty"`   // the whole hash
	Date     string `json:"date,omitempty"`     // the time of the commit, as in RFC 3339
	Modified bool   `json:"modified,omitempty"` // whether the source had uncommitted changes
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
	b := build{
		Version: version, Commit: commit, Date: date,
		API: api.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "(devel)" {
		b.Version = cmp.Or(b.Version, info.Main.Version)
	}
	b.Version = cmp.Or(b.Version, "devel")
	if !ok || commit != "" {
		return b // the commit and the date of the linker belong together
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

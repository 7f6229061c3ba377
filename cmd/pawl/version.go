package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/pawlauth/pawl/api"
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*versionCmd) Help() string { return "Example:\n  pawl version --json" }

func (c *versionCmd) Run(std stdio) error {
	if c.JSON {
		return printJSON(std.out, map[string]string{"version": buildVersion(), "api": api.Version, "go": runtime.Version()})
	}
	_, err := fmt.Fprintf(std.out, "pawl %s (API %s, %s)\n", buildVersion(), api.Version, runtime.Version())
	return err
}

// buildVersion is the module's version, or the commit it was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && info.Main.Version == "(devel)" {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}

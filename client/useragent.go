package client

import (
	"runtime/debug"
	"strings"
	"sync"
)

const modulePath = "github.com/pawlauth/pawl"

// userAgent returns the User-Agent of every call: pawl-go with the version of this module, or "devel" if the build does
// not have one (RFC 9110, 10.1.5).
var userAgent = sync.OnceValue(func() string {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range append(info.Deps, &info.Main) {
			if module.Path == modulePath {
				version = module.Version
			}
		}
	}
	if !strings.HasPrefix(version, "v") { // a local build has none, or "(devel)"
		return "pawl-go/devel"
	}
	return "pawl-go/" + version[1:]
})

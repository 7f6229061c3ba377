package testbin

import (
	"os/exec"
	"regexp"
	"testing"
)

// unreachableProxy matches the errors of the go command that cannot reach the module proxy.
var unreachableProxy = regexp.MustCompile(
	`dial tcp|no such host|i/o timeout|connection refused|network is unreachable|module lookup disabled`)

// InModule runs the go command in the folder of a module of its own. The test is skipped if the modules that it
// requires cannot be downloaded, and in the short form.
func InModule(t testing.TB, dir string, args ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it downloads and compiles other modules; run it without -short")
	}
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	if err != nil && unreachableProxy.Match(output) {
		t.Skip("the module proxy is unreachable")
	}
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, output)
	}
}

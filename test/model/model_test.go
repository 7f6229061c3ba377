// Package model_test keeps the model of the rotation true (docs/model).
package model_test

import (
	"os/exec"
	"testing"
)

// TestModel checks the model in its short form: every claim holds over the
// whole state space, and each mutant breaks one.
func TestModel(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not here; make deps installs it", tool)
		}
	}
	out, err := exec.CommandContext(t.Context(), "../../scripts/check-model", "--short").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// Package model_test checks the Spin models of the rotation and of the feed (docs/model).
package model_test

import (
	"os/exec"
	"testing"
)

// TestModel checks the short form of the models: every claim must hold in the whole state space, and each mutant must
// violate a claim.
func TestModel(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing; run \"make deps\"", tool)
		}
	}
	out, err := exec.CommandContext(t.Context(), "../../scripts/check-model", "--short").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

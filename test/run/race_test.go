package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var leftOut = regexp.MustCompile(`(?m)^RACE_OURS = (-gcflags=(\S+)=-race=false)$`)

// TestRaceDetectorSeesAll checks that the packages left out of the race detector have no instance of a generic function
// or of a generic type's method. The linker keeps one of the equal instances of all packages. If that is one without
// the race detector, the detector misses the atomic operations of sync.Map everywhere, and reports races that are none.
func TestRaceDetectorSeesAll(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	flag := leftOut.FindStringSubmatch(string(makefile))
	if flag == nil {
		t.Fatalf("the Makefile has no line %s", leftOut)
	}
	command := exec.Command("go", "list", "-race", flag[1], "-export", "-f", "{{.Export}}", flag[2])
	command.Stderr = os.Stderr
	list, err := command.Output()
	objects := strings.Fields(string(list))
	if err != nil || len(objects) == 0 {
		t.Fatalf("%d packages, %v", len(objects), err)
	}
	for _, object := range objects {
		symbols, err := exec.Command("go", "tool", "nm", object).CombinedOutput()
		if err != nil || !strings.Contains(string(symbols), " T ") {
			t.Fatalf("the symbols of %s: %v\n%.500s", object, err, symbols)
		}
		for symbol := range strings.Lines(string(symbols)) {
			if strings.Contains(symbol, " T ") && strings.Contains(symbol, "[go.shape.") {
				t.Errorf("a package left out of the race detector has the generic function %s", symbol)
			}
		}
	}
}

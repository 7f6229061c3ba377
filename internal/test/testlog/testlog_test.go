package testlog

import (
	"fmt"
	"strings"
	"testing"
)

// TestLog checks that a long log keeps its last lines, each of them whole.
func TestLog(t *testing.T) {
	var log Log
	if log.String() != "" {
		t.Errorf("an empty log has %q", log.String())
	}
	const lines = 20_000
	for i := range lines {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	got, marked := strings.CutPrefix(log.String(), "[...]\n")
	kept := strings.Count(got, "\n")
	var want strings.Builder
	for i := lines - kept; i < lines; i++ {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if !marked || got != want.String() || len(got) > limit || len(got) < limit/2 {
		t.Errorf("%d bytes are kept, from %.20q to %q", len(got), got, got[max(0, len(got)-20):])
	}
}

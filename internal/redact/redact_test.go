package redact_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pawlauth/pawl/internal/redact"
)

// TestLongWords compares LongWords and IsID to regular expressions, for words of about MaxWord characters.
func TestLongWords(t *testing.T) {
	long := regexp.MustCompile(`[A-Za-z0-9._-]{41,}`)
	id := regexp.MustCompile(`^[A-Za-z0-9._-]{1,40}$`)
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for range rapid.IntRange(0, 5).Draw(t, "words") {
			unit := rapid.SampledFrom([]string{"a", "Z", "9", ".", "_", "-", "é", " "}).Draw(t, "unit")
			b.WriteString(strings.Repeat(unit, rapid.IntRange(0, 90).Draw(t, "length")))
			b.WriteString(rapid.SampledFrom([]string{"", " ", "/", ";", "\x00", "@", "`", "{", "["}).Draw(t, "between"))
		}
		text := b.String()
		if got, want := redact.LongWords(text), long.ReplaceAllLiteralString(text, "*"); got != want {
			t.Errorf("LongWords(%q) is %q, want %q", text, got, want)
		}
		if got, want := redact.IsID(text), id.MatchString(text); got != want {
			t.Errorf("IsID(%q) is %v, want %v", text, got, want)
		}
	})
}

//go:build linux

package userimport_test

import (
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/userimport"
)

// FuzzRead reads any file to its end, or rejects it for its first line. Each line counts once, and no error has a hash
// in it.
func FuzzRead(f *testing.F) {
	f.Add(people, false)
	f.Add("\xef\xbb\xbflogin,passwordHash,userId\r\n\"a@example.com\","+bcrypt+",7\r\n,,\n\"a", true)
	f.Add(strings.Repeat("x", 17<<10)+"\n{\"\xff\":1}\n\x00\n{\"login\":\"\\ud800\"}", false)
	f.Fuzz(func(t *testing.T, text string, csv bool) {
		format := userimport.JSONLines
		if csv {
			format = userimport.CSV
		}
		skipped := int64(0)
		summary, err := userimport.Run(t.Context(), strings.NewReader(text), userimport.Config{
			Format: format, Tenant: authority.Tenant{NetworkID: 1},
			Skipped: func(line int64, reason error) {
				skipped++
				inFile := line >= 1 && line <= int64(strings.Count(text, "\n"))+1
				if !inFile || strings.Contains(reason.Error(), bcrypt[7:]) {
					t.Errorf("line %d: %v", line, reason)
				}
			},
		})
		if err != nil && (format != userimport.CSV || summary.Lines > 0 && !strings.HasPrefix(err.Error(), "line ")) {
			t.Errorf("%v, after %d lines", err, summary.Lines)
		}
		if summary.LeftOut != skipped || summary.LeftOut > summary.Lines {
			t.Errorf("the summary is %+v, but %d lines were skipped", summary, skipped)
		}
	})
}

//go:build linux

package userimport_test

import (
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/userimport"
)

// FuzzRead: any file is read to its end, or refused for its first line; each
// line is counted once, and no error has a hash in it.
func FuzzRead(f *testing.F) {
	f.Add(people, false)
	f.Add("\xef\xbb\xbflogin,passwordHash,userId\r\n\"a@example.com\","+bcrypt+",7\r\n,,\n\"a", true)
	f.Add(strings.Repeat("x", 17<<10)+"\n{\"\xff\":1}\n\x00\n{\"login\":\"\\ud800\"}", false)
	f.Fuzz(func(t *testing.T, text string, csv bool) {
		format := userimport.JSONLines
		if csv {
			format = userimport.CSV
		}
		said := 0
		sum, err := userimport.Run(t.Context(), strings.NewReader(text), userimport.Config{Format: format, Standard: authority.Tenant{NetworkID: 1},
			LeftOut: func(line int64, why error) {
				if said++; line < 1 || line > int64(strings.Count(text, "\n"))+1 || strings.Contains(why.Error(), bcrypt[7:]) {
					t.Errorf("line %d: %v", line, why)
				}
			}})
		if err != nil && (format != userimport.CSV || sum.Lines > 0 && !strings.HasPrefix(err.Error(), "line ")) {
			t.Errorf("%v, after %d lines", err, sum.Lines)
		}
		if sum.LeftOut != int64(said) || sum.LeftOut > sum.Lines {
			t.Errorf("%+v, and %d were said", sum, said)
		}
	})
}

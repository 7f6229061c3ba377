package server

import (
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

// TestEventFilter checks that names match without regard to case, that missing fields get their defaults, and that bad
// values are rejected.
func TestEventFilter(t *testing.T) {
	f, page, err := eventFilter("KIND=logout&PageNo=3&from=1970-01-01T00:00:07Z&other=1")
	if want := (audit.Filter{Kind: audit.Logout, From: 7, Limit: 25}); err != nil || f != want || page != 3 {
		t.Errorf("%+v, page %d, %v", f, page, err)
	}
	for _, query := range []string{
		"userId=x", "userId=-1", "pageNo=0", "sessionId=x", "sessionId=", "sessionId=" + token.SessionID{}.String(),
		"to=7", "kind=", "kind=a&kind=b", "%zz",
	} {
		_, _, err := eventFilter(query)
		if err == nil {
			t.Errorf("%q was accepted", query)
		}
		name, _, _ := strings.Cut(query, "=")
		if name == "sessionId" && !strings.HasPrefix(err.Error(), "sessionId ") {
			t.Errorf("%q: %v, want an error that names the field", query, err)
		}
	}
}

package server

import (
	"testing"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// TestErrorTables checks that each kind of error has a status and a code in both forms. net/http panics on a response
// without a status.
func TestErrorTables(t *testing.T) {
	for kind := fault.Internal; kind <= fault.Unavailable; kind++ {
		if row := errorTable[kind]; row.status == 0 || row.code == "" {
			t.Errorf("kind %d: the envelope has status %d and code %q", kind, row.status, row.code)
		}
		if row := oauthErrorTable[kind]; row.status == 0 || row.code == "" {
			t.Errorf("kind %d: OAuth has status %d and code %q", kind, row.status, row.code)
		}
	}
}

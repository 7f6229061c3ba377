package storetest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// Dump has all rows of a store by kind, without the audit and the failure counters.
type Dump map[string]any

// everything is a limit that no test reaches.
const everything = 1_000_000

// ReadDump reads all rows.
func ReadDump(t testing.TB, s Store) Dump {
	t.Helper()
	d := Dump{}
	add := func(kind string, rows any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		d[kind] = rows
	}
	users, err := s.ReadUsers(t.Context(), 0, everything)
	add("users", users, err)
	sessions, err := s.ReadSessions(t.Context(), token.SessionID{}, everything)
	add("sessions", sessions, err)
	apiKeys, err := s.ReadAPIKeys(t.Context(), 0, everything)
	add("API keys", apiKeys, err)
	signingKeys, err := s.SigningKeys(t.Context())
	add("signing keys", signingKeys, err)
	assertions, err := s.ReadAssertions(t.Context(), storecopy.AssertionID{}, everything)
	add("used assertions", assertions, err)
	receivers, err := s.Receivers(t.Context())
	for i := range receivers { // a server changes these fields by itself
		receivers[i].Delivery = authority.Delivery{}
		receivers[i].Lease = authority.Lease{}
	}
	add("receivers", receivers, err)
	return d
}

// Changed returns the kinds of rows that differ between two dumps.
func (d Dump) Changed(after Dump) (kinds []string) {
	for kind := range d {
		if !reflect.DeepEqual(d[kind], after[kind]) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

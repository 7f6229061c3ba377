package sqlite

import (
	"errors"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/store/batch"
)

// TestWithoutReserve: while the reserve is given away what ends something goes
// on, a signing key too, and what does not is refused.
func TestWithoutReserve(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 2)
	for _, id := range []string{"old", "new"} {
		if err := s.AddSigningKey(t.Context(), keyring.SigningKey{ID: id, JWK: "{}"}, false); err != nil {
			t.Fatal(err)
		}
	}
	key, err := s.CreateAPIKey(t.Context(), authority.APIKey{UserID: 1}, authority.APIKeyHash{1})
	if err != nil {
		t.Fatal(err)
	}
	s.reserve.release()
	s.reserve.next = time.Now().Add(time.Hour)
	suspended := authority.Suspended
	_, suspend := s.UpdateUser(t.Context(), 1, authority.UserChange{Status: &suspended})
	for what, err := range map[string]error{
		"end a session":        s.EndSession(t.Context(), ids[0]),
		"end sessions":         s.EndSessions(t.Context(), 1, ids[0]),
		"suspend":              suspend,
		"delete a key":         s.DeleteAPIKey(t.Context(), key.ID),
		"retire a signing key": s.RetireSigningKey(t.Context(), "old", testNow),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.CreateUser(t.Context(), authority.User{Login: "b"}, "hash"); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a new user: %v", err)
	}
}

// TestReserveComesBackUnderEnds: sessions that end all the time do not put off
// the reserve's next try, and so all other steps, for ever.
func TestReserveComesBackUnderEnds(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 2)
	s.reserve.release()
	for began := time.Now(); ; {
		end, step := &batch.Op[write]{}, move(ids[1], 1)
		end.Value.run, end.Value.ends = endOf("id = ?", ids[0][:]), true
		if s.commit([]*batch.Op[write]{end, step}); end.Value.err != nil {
			t.Fatal(end.Value.err)
		}
		if step.Value.moved {
			return
		}
		if time.Since(began) > 10*reserveAfter {
			t.Fatalf("there is room, and a refresh still answers %v", step.Value.err)
		}
	}
}

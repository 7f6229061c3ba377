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

// TestWithoutReserve checks that revocations succeed while the reserve is missing, and that other operations fail.
func TestWithoutReserve(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 2)
	for _, id := range []string{"old", "new"} {
		k := keyring.SigningKey{ID: id, JWK: "{}"}
		if err := s.AddSigningKey(t.Context(), authority.Rights{}, k, false); err != nil {
			t.Fatal(err)
		}
	}
	key, err := s.CreateAPIKey(t.Context(), authority.Rights{}, authority.APIKey{UserID: 1}, authority.APIKeyHash{1})
	if err != nil {
		t.Fatal(err)
	}
	if s.reserve.full.Load() {
		t.Error("the console warns of a full disk, although the reserve is complete")
	}
	s.reserve.release()
	s.reserve.retryAt = time.Now().Add(time.Hour)
	suspended := authority.Suspended
	_, suspendErr := s.UpdateUser(t.Context(), authority.Rights{}, 1, authority.UserChange{Status: &suspended})
	for revocation, err := range map[string]error{
		"end a session":        s.EndSession(t.Context(), authority.Rights{}, ids[0]),
		"end sessions":         endSessions(t, s, authority.EndOptions{Except: ids[0]}),
		"suspend a user":       suspendErr,
		"delete an API key":    s.DeleteAPIKey(t.Context(), authority.Rights{}, key.ID),
		"retire a signing key": s.RetireSigningKey(t.Context(), authority.Rights{}, "old", testNow),
	} {
		if err != nil {
			t.Errorf("%s: %v", revocation, err)
		}
	}
	if removed, done, err := s.Purge(t.Context(), 10); err != nil || removed != 1 || !done {
		t.Errorf("the purge removed %d sessions, done %v, %v", removed, done, err)
	}
	_, err = s.CreateUser(t.Context(), authority.Rights{}, authority.User{Login: "b"}, "hash")
	if !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a new user: %v", err)
	}
	if !s.reserve.full.Load() {
		t.Error("the console does not warn of the full disk")
	}
}

// TestReserveReturnsUnderRevocations checks that a steady stream of revocations does not postpone the restoration of
// the reserve, and with it all other operations, forever.
func TestReserveReturnsUnderRevocations(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 2)
	s.reserve.release()
	for began := time.Now(); ; {
		end, rotation := endOp(ids[0]), rotationOp(ids[1], 1)
		s.commit([]*batch.Op[operation]{end, rotation})
		if end.Value.err != nil {
			t.Fatal(end.Value.err)
		}
		if rotation.Value.rotated {
			return
		}
		if time.Since(began) > 10*reserveRetry {
			t.Fatalf("there is space, and a rotation still fails: %v", rotation.Value.err)
		}
	}
}

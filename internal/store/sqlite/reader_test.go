package sqlite

import (
	"context"
	"errors"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// TestLookupsDoNotWaitForQueries checks that a session is found while long queries use all of their connections, and
// that another query waits until its context ends.
func TestLookupsDoNotWaitForQueries(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 1)
	for range maxQueries {
		conn := <-s.readers.queries
		defer func() { s.readers.queries <- conn }()
	}
	mustBeAt(t, s, ids[0], 1) // Its user is not in the cache.
	if _, rotated, err := s.Rotate(t.Context(), rotationOf(ids[0], 1)); err != nil || !rotated {
		t.Errorf("rotated %v, %v", rotated, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.ListUsers(ended, authority.UserFilter{Limit: 1}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("ListUsers without a connection: %v", err)
	}
}

// TestQueryIsInterrupted checks that a query ends with its context, and its connection works afterwards.
func TestQueryIsInterrupted(t *testing.T) {
	s, _ := withSessions(t, t.TempDir(), 1)
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
	for range 2 * maxQueries {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := list(ctx, s, endless, nil, scanNumber)
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("error %v", err)
		}
	}
	for range 2 * maxQueries {
		if users, err := s.ListUsers(t.Context(), authority.UserFilter{Limit: 1}); err != nil || len(users) != 1 {
			t.Errorf("%v, %v", users, err)
		}
	}
}

// TestClosedStore checks that a closed store rejects all calls.
func TestClosedStore(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, rotateErr := s.Rotate(t.Context(), rotationOf(ids[0], 1))
	_, userErr := s.User(t.Context(), 1)
	for call, err := range map[string]error{
		"Rotate":     rotateErr,
		"User":       userErr,
		"EndSession": s.EndSession(t.Context(), authority.Rights{}, ids[0]),
		"Ready":      s.Ready(t.Context()),
	} {
		if !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

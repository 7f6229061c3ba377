package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// rotationKeys are API keys, changed in some way, and whether a rotation at now with a check is permitted.
var rotationKeys = []struct {
	name      string
	key       authority.APIKey // of the owner; in its session if it is SessionOnly
	open      authority.Access // of the check
	user      func(owner, other *authority.User) int64
	change    func(s *state, key authority.APIKey)
	permitted bool
}{
	{name: "full", key: authority.APIKey{Scope: authority.FullScope}, permitted: true},
	{
		name: "expires later", permitted: true,
		key: authority.APIKey{Scope: authority.FullScope, Expires: now + 1},
	},
	{name: "expired", key: authority.APIKey{Scope: authority.FullScope, Expires: now}},
	{
		name: "removed", key: authority.APIKey{Scope: authority.FullScope},
		change: func(s *state, key authority.APIKey) {
			s.noError(s.DeleteAPIKey(s.Context(), authority.Rights{}, key.ID))
		},
	},
	{name: "no scope", open: authority.VerifyKeys | authority.OpenSessionsKeys},
	{name: "closed to Verify", open: authority.OpenSessionsKeys, key: authority.APIKey{Scope: authority.VerifyScope}},
	{
		name: "open to Verify", open: authority.VerifyKeys, permitted: true,
		key: authority.APIKey{Scope: authority.VerifyScope},
	},
	{
		name: "closed to OpenSessions", open: authority.VerifyKeys,
		key: authority.APIKey{Scope: authority.OpenSessionsScope},
	},
	{
		name: "open to OpenSessions", open: authority.OpenSessionsKeys, permitted: true,
		key: authority.APIKey{Scope: authority.OpenSessionsScope},
	},
	{
		name: "bound to the owner", key: authority.APIKey{Scope: authority.FullScope}, permitted: true,
		user: func(owner, _ *authority.User) int64 { return owner.ID },
	},
	{
		name: "bound to another user", key: authority.APIKey{Scope: authority.FullScope},
		user: func(_, other *authority.User) int64 { return other.ID },
	},
	{
		name: "owner suspended", key: authority.APIKey{Scope: authority.FullScope},
		change: func(s *state, key authority.APIKey) { s.setStatus(key.UserID, authority.Suspended) },
	},
	{
		name: "owner terminated", key: authority.APIKey{Scope: authority.FullScope},
		change: func(s *state, key authority.APIKey) { s.setStatus(key.UserID, authority.Terminated) },
	},
	{
		name: "of a session", permitted: true,
		key: authority.APIKey{Scope: authority.FullScope, Visibility: authority.SessionOnly},
	},
	{
		name: "of an ended session",
		key:  authority.APIKey{Scope: authority.FullScope, Visibility: authority.SessionOnly},
		change: func(s *state, key authority.APIKey) {
			s.noError(s.EndSession(s.Context(), authority.Rights{}, key.Session))
		},
	},
	{
		name: "of a session ended with all others",
		key:  authority.APIKey{Scope: authority.FullScope, Visibility: authority.SessionOnly},
		change: func(s *state, key authority.APIKey) {
			s.mustEndSessions(key.UserID, authority.EndOptions{})
		},
	},
	{
		name: "of an idle session",
		key:  authority.APIKey{Scope: authority.FullScope, Visibility: authority.SessionOnly},
		change: func(s *state, key authority.APIKey) {
			_, _, err := s.Rotate(s.Context(), authority.Rotation{
				Session: key.Session, From: 1, At: now - 10, Lives: authority.Lives{Token: 5, Idle: 10},
			})
			s.noError(err)
		},
	},
}

// testRotateAPIKeys rotates with an API key in each state. A rotation that is not permitted changes nothing, and has
// the same error for every token, so that it reveals nothing about the session.
func testRotateAPIKeys(t *testing.T, s *state) {
	other := s.newUser("other")
	for i, c := range rotationKeys {
		owner := s.newUser(fmt.Sprint("owner", i))
		key := c.key
		key.UserID = owner.ID
		if key.Visibility == authority.SessionOnly {
			key.Session = s.newSession(owner).ID
		} else {
			key.Visibility = authority.Private
		}
		check := &authority.APIKeyCheck{Hash: authority.APIKeyHash{byte(i), 1}, Open: c.open}
		if c.user != nil {
			check.UserID = c.user(owner, other)
		}
		created, err := s.CreateAPIKey(t.Context(), authority.Rights{}, key, check.Hash)
		s.noError(err)
		if _, _, err := s.APIKeyByHash(t.Context(), check.Hash); err != nil { // and into the cache
			t.Fatal(err)
		}
		session := s.newSession(other)
		s.rotate(session.ID, 1, now)
		if c.change != nil {
			c.change(s, created)
		}
		want := s.wantSession(session.ID)
		for _, from := range []uint32{1, 2} {
			got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
				Session: session.ID, From: from, At: now, Lives: oneHour, APIKey: check,
			})
			switch {
			case !c.permitted && (!errors.Is(err, fault.ErrActorEnded) || s.wantSession(session.ID) != want):
				t.Errorf("%s, from %d: rotated %v, %v; want ErrActorEnded", c.name, from, rotated, err)
			case c.permitted && (err != nil || rotated != (from == 2) || got.Session.Generation != from+1):
				t.Errorf("%s, from %d: rotated %v to %+v, %v", c.name, from, rotated, got.Session, err)
			}
		}
		_, _, err = s.Rotate(t.Context(), authority.Rotation{
			Session: token.SessionID{77}, From: 1, At: now, Lives: oneHour, APIKey: check,
		})
		wantErr := fault.ErrActorEnded
		if c.permitted {
			wantErr = fault.ErrNotFound
		}
		if !errors.Is(err, wantErr) {
			t.Errorf("%s, a session that does not exist: %v, want %v", c.name, err, wantErr)
		}
	}
}

// testRotateAgainstKey lets many callers refresh with two API keys and without one, and removes one of the keys. No
// rotation that begins after the removal succeeds with that key, and all others succeed.
func testRotateAgainstKey(t *testing.T, s *state) {
	u := s.newUser("a")
	var removed authority.APIKey
	checks := []*authority.APIKeyCheck{nil, {Hash: authority.APIKeyHash{1}}, {Hash: authority.APIKeyHash{2}}}
	for _, check := range checks[1:] {
		key, err := s.CreateAPIKey(t.Context(), authority.Rights{}, authority.APIKey{
			UserID: u.ID, Visibility: authority.Private, Scope: authority.FullScope,
		}, check.Hash)
		s.noError(err)
		removed = key // the last one
	}
	var isRemoved atomic.Bool
	var started, callers sync.WaitGroup
	for i := range 30 {
		session, check := s.newSession(u), checks[i%3]
		started.Add(1)
		callers.Go(func() {
			for from := uint32(1); from <= 20; from++ {
				late := isRemoved.Load()
				_, rotated, err := s.Rotate(t.Context(), authority.Rotation{
					Session: session.ID, From: from, At: now, Lives: oneHour, APIKey: check,
				})
				if from == 3 {
					started.Done()
				}
				refused := errors.Is(err, fault.ErrActorEnded) && !rotated
				switch {
				case check == checks[2] && refused:
					if from < 3 {
						started.Done()
					}
					if _, _, err = s.Rotate(t.Context(), authority.Rotation{
						Session: session.ID, From: from, At: now, Lives: oneHour,
					}); err != nil {
						t.Errorf("without the removed API key: %v", err)
					}
				case err != nil || !rotated || late && check == checks[2]:
					t.Errorf("caller %d, from %d: rotated %v, %v; the API key was removed before: %v",
						i, from, rotated, err, late)
					return
				}
			}
		})
	}
	started.Wait()
	s.noError(s.DeleteAPIKey(t.Context(), authority.Rights{}, removed.ID))
	isRemoved.Store(true)
	callers.Wait()
}

// testCredentials reads sessions and API keys together and one by one, many at once. Some of them do not exist.
func testCredentials(t *testing.T, s *state) {
	u := s.newUser("a")
	sessions := []authority.Session{s.newSession(u), s.newSession(u), {ID: token.SessionID{77}}}
	hashes := []authority.APIKeyHash{{1}, {2}, {77}}
	keys := make([]authority.APIKey, 2)
	for i := range keys {
		key := authority.APIKey{UserID: u.ID, Visibility: authority.Private, Scope: authority.FullScope, Created: now}
		var err error
		keys[i], err = s.CreateAPIKey(t.Context(), authority.Rights{}, key, hashes[i])
		s.noError(err)
	}
	var callers sync.WaitGroup
	for i := range 60 {
		session, key := i%3, i/3%3
		callers.Go(func() {
			if i >= 45 {
				if _, err := s.RecentSession(t.Context(), sessions[0].ID); err != nil {
					t.Error(err)
				}
				return
			}
			c := s.Credentials(t.Context(), sessions[session].ID, hashes[key])
			switch {
			case key == 2:
				if !errors.Is(c.APIKeyErr, fault.ErrNotFound) {
					t.Errorf("an API key that does not exist: %v", c.APIKeyErr)
				}
				return
			case c.APIKeyErr != nil || c.APIKey != keys[key] || c.Owner.ID != u.ID:
				t.Errorf("API key %+v of %+v, %v; want %+v", c.APIKey, c.Owner, c.APIKeyErr, keys[key])
			case session == 2 && !errors.Is(c.SessionErr, fault.ErrNotFound):
				t.Errorf("a session that does not exist: %v", c.SessionErr)
			case session != 2 && (c.SessionErr != nil || c.Session.Session != sessions[session]):
				t.Errorf("session %+v, %v; want %+v", c.Session.Session, c.SessionErr, sessions[session])
			}
		})
	}
	callers.Wait()
}

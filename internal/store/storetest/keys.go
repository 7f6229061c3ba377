package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
)

// testAPIKeys checks the life of API keys, and the replacement of a primary key.
func testAPIKeys(t *testing.T, s *state) {
	u := s.newUser("a")
	create := func(k authority.APIKey, hash byte) authority.APIKey {
		t.Helper()
		created, err := s.CreateAPIKey(t.Context(), authority.Rights{}, k, authority.APIKeyHash{hash})
		s.noError(err)
		return created
	}
	primary := authority.APIKey{
		UserID: u.ID, Visibility: authority.Private, Primary: true, Mask: "m", Created: now,
	}
	first := create(primary, 1)
	shared := create(authority.APIKey{
		UserID: u.ID, Visibility: authority.Shared, Created: now, Scope: authority.OpenSessionsScope,
		MaxLevel: authority.TPUser, Name: "name", Expires: now + 5,
	}, 2)
	if shared.Scope != authority.OpenSessionsScope || shared.MaxLevel != authority.TPUser || shared.Name != "name" ||
		shared.Expires != now+5 {
		t.Errorf("created %+v", shared)
	}
	k, owner, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{1})
	s.noError(err)
	if k != first || owner.ID != u.ID {
		t.Errorf("key %+v of %+v, want %+v of user %d", k, owner, first, u.ID)
	}
	second := create(primary, 3)
	_, _, err = s.APIKeyByHash(t.Context(), authority.APIKeyHash{1})
	s.wantError(err, fault.ErrNotFound)
	keys, err := s.APIKeys(t.Context(), u.ID)
	s.noError(err)
	if want := []authority.APIKey{shared, second}; !slices.Equal(keys, want) {
		t.Errorf("keys %+v, want %+v", keys, want)
	}
	s.noError(s.DeleteAPIKey(t.Context(), authority.Rights{}, shared.ID))
	s.wantError(s.DeleteAPIKey(t.Context(), authority.Rights{}, shared.ID), fault.ErrNotFound)
	_, err = s.APIKey(t.Context(), shared.ID)
	s.wantError(err, fault.ErrNotFound)
	unowned := authority.APIKey{UserID: 99, Visibility: authority.Private}
	_, err = s.CreateAPIKey(t.Context(), authority.Rights{}, unowned, authority.APIKeyHash{4})
	s.wantError(err, fault.ErrNotFound)
}

// testAPIKeySweep removes three of five API keys in steps of two: those with an expiry that has passed.
func testAPIKeySweep(t *testing.T, s *state) {
	u := s.newUser("a")
	for i, expires := range []int64{0, now, now + 1, now - 1, 1} {
		key := authority.APIKey{UserID: u.ID, Visibility: authority.Private, Expires: expires}
		_, err := s.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{byte(i)})
		s.noError(err)
		_, _, err = s.APIKeyByHash(t.Context(), authority.APIKeyHash{byte(i)}) // and into the cache
		s.noError(err)
	}
	for _, want := range []int{2, 1, 0} {
		removed, err := s.SweepAPIKeys(t.Context(), now, 2)
		s.noError(err)
		if removed != want {
			t.Errorf("%d API keys were removed, want %d", removed, want)
		}
	}
	keys, err := s.APIKeys(t.Context(), u.ID)
	s.noError(err)
	if len(keys) != 2 || keys[0].Expires != 0 || keys[1].Expires != now+1 {
		t.Errorf("kept %+v, want the first and the third", keys)
	}
	_, _, err = s.APIKeyByHash(t.Context(), authority.APIKeyHash{1})
	s.wantError(err, fault.ErrNotFound)
}

// testSessionAPIKeys checks that an API key of visibility SessionOnly ends with its session.
func testSessionAPIKeys(t *testing.T, s *state) {
	u := s.newUser("a")
	ended, kept := s.newSession(u), s.newSession(u)
	key := func(session authority.Session) authority.APIKey {
		return authority.APIKey{UserID: u.ID, Visibility: authority.SessionOnly, Session: session.ID}
	}
	for i, session := range []authority.Session{ended, kept} {
		hash := authority.APIKeyHash{byte(i)}
		_, err := s.CreateAPIKey(t.Context(), authority.Rights{}, key(session), hash)
		s.noError(err)
		_, _, err = s.APIKeyByHash(t.Context(), hash)
		s.noError(err)
	}
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ended.ID))
	_, _, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{0})
	s.wantError(err, fault.ErrNotFound)
	_, _, err = s.APIKeyByHash(t.Context(), authority.APIKeyHash{1})
	s.noError(err)
	_, err = s.CreateAPIKey(t.Context(), authority.Rights{}, key(ended), authority.APIKeyHash{5})
	s.wantError(err, fault.ErrNotFound)
}

// testSealSigningKeys seals keys in many calls at once. Afterwards each key has the JWK of the same call. A call for a
// key that was changed meanwhile changes no key.
func testSealSigningKeys(t *testing.T, s *state) {
	plain := []keyring.SigningKey{
		{ID: "a", JWK: "plain a", PublishedAt: now}, {ID: "b", JWK: "plain b", SignsFrom: now},
	}
	for _, k := range plain {
		s.noError(s.AddSigningKey(t.Context(), authority.Rights{}, k, false))
	}
	seal := func(by string) error {
		return s.SealSigningKeys(t.Context(), []keyring.Sealing{
			{ID: "a", Plaintext: "plain a", Sealed: "a by " + by},
			{ID: "b", Plaintext: "plain b", Sealed: "b by " + by},
		})
	}
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			if err := seal(fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s.reopen()
	keys, err := s.SigningKeys(t.Context())
	s.noError(err)
	_, by, _ := strings.Cut(keys[0].JWK, " by ")
	plain[0].JWK, plain[1].JWK = "a by "+by, "b by "+by
	if want := []keyring.SigningKey{plain[1], plain[0]}; by == "" || !slices.Equal(keys, want) {
		t.Errorf("keys %+v, want %+v", keys, want)
	}
	s.noError(s.SealSigningKeys(t.Context(), []keyring.Sealing{
		{ID: "a", Plaintext: plain[0].JWK, Sealed: "again"}, {ID: "b", Plaintext: "plain b", Sealed: "again"},
	}))
	if again, err := s.SigningKeys(t.Context()); err != nil || !slices.Equal(again, keys) {
		t.Errorf("after a call for a changed key: %+v, %v; want %+v", again, err, keys)
	}
}

// testSigningKeys lets ten nodes add the first key at the same time. One node succeeds. Then the test retires keys.
func testSigningKeys(t *testing.T, s *state) {
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			key := keyring.SigningKey{ID: fmt.Sprint(i), JWK: `{}`}
			if err := s.AddSigningKey(t.Context(), authority.Rights{}, key, true); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	later := keyring.SigningKey{ID: "later", JWK: `{"later":1}`, PublishedAt: now, SignsFrom: now + 300}
	s.noError(s.AddSigningKey(t.Context(), authority.Rights{}, later, false))
	again := keyring.SigningKey{ID: "later", JWK: "another"}
	s.noError(s.AddSigningKey(t.Context(), authority.Rights{}, again, false)) // changes nothing
	keys, err := s.SigningKeys(t.Context())
	s.noError(err)
	if len(keys) != 2 || keys[0] != later || keys[1].RetiredAt != 0 {
		t.Fatalf("keys %+v, want 2, the first %+v", keys, later)
	}
	first := keys[1].ID
	s.noError(s.RetireSigningKey(t.Context(), authority.Rights{}, first, now+5000))
	s.wantError(s.RetireSigningKey(t.Context(), authority.Rights{}, first, now+6000), fault.ErrNotFound)
	s.wantError(s.RetireSigningKey(t.Context(), authority.Rights{}, "unknown", now), fault.ErrNotFound)
	s.wantError(s.RetireSigningKey(t.Context(), authority.Rights{}, later.ID, now), fault.ErrNotFound) // the only one
	keys, err = s.SigningKeys(t.Context())
	s.noError(err)
	if want := []keyring.SigningKey{later, {ID: first, RetiredAt: now + 5000}}; !slices.Equal(keys, want) {
		t.Errorf("keys %+v, want %+v", keys, want)
	}
}

// testRetireRace retires both of two keys at the same time, ten times. Each time one of them must remain.
func testRetireRace(t *testing.T, s *state) {
	s.noError(s.AddSigningKey(t.Context(), authority.Rights{}, keyring.SigningKey{ID: "0"}, false))
	for i := range 10 {
		s.noError(s.AddSigningKey(t.Context(), authority.Rights{}, keyring.SigningKey{ID: fmt.Sprint(i + 1)}, false))
		before := s.activeSigningKeys()
		var group sync.WaitGroup
		for _, id := range before {
			group.Go(func() {
				err := s.RetireSigningKey(t.Context(), authority.Rights{}, id, now)
				if err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if after := s.activeSigningKeys(); len(before) != 2 || len(after) != 1 {
			t.Fatalf("keys %v before and %v after, want 2 and 1", before, after)
		}
	}
}

// activeSigningKeys returns the IDs of the active keys.
func (s *state) activeSigningKeys() (ids []string) {
	s.Helper()
	keys, err := s.SigningKeys(s.Context())
	s.noError(err)
	for _, k := range keys {
		if k.RetiredAt == 0 {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

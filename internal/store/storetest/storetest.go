// Package storetest is the one suite that every store passes whole.
package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/userimport"
)

const now = 1_795_500_000

// Store is everything that a store of Pawl has to do.
type Store interface {
	authority.Store
	userimport.Store
}

// Run tests a store. open returns a handle on the same state at each call
// within one test, after the test closed the handle before.
func Run(t *testing.T, newState func(t *testing.T) (open func() Store)) {
	for name, test := range map[string]func(*testing.T, *state){
		"Rotate": testRotate, "RotateRace": testRotateRace, "RotateAgainstEnd": testRotateAgainstEnd,
		"SessionNeedsUser": testSessionNeedsUser, "EndSessions": testEndSessions, "StatusEndsSessions": testStatusEndsSessions,
		"OpenAgainstSuspend": testOpenAgainstSuspend, "Sweep": testSweep, "Users": testUsers, "ImportUsers": testImportUsers, "ImportRace": testImportRace, "ListUsers": testListUsers, "Passwords": testPasswords,
		"Keys": testKeys, "SessionKeys": testSessionKeys, "SigningKeys": testSigningKeys, "RetireRace": testRetireRace, "Reopen": testReopen,
		"Guard": testGuard, "GuardKnown": testGuardKnown, "GuardAddress": testGuardAddress, "GuardRace": testGuardRace, "GuardSweep": testGuardSweep, "GuardBound": testGuardBound,
		"Events": testEvents, "EventsSweep": testEventsSweep,
	} {
		t.Run(name, func(t *testing.T) {
			open := newState(t)
			s := &state{T: t, Store: open(), open: open}
			t.Cleanup(func() { s.Store.Close() })
			test(t, s)
		})
	}
}

// state is a store under test, with helpers that end the test on an error.
type state struct {
	*testing.T
	Store
	open  func() Store
	count byte
}

func (s *state) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *state) is(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error %v, want %v", err, want)
	}
}

func (s *state) user(login string) *authority.User {
	s.Helper()
	u, err := s.CreateUser(s.Context(), authority.User{Login: login, Email: login, Level: authority.MailboxUser, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 2}, Created: now}, "hash")
	s.ok(err)
	return u
}

func (s *state) session(u *authority.User) authority.Session {
	s.Helper()
	s.count++
	record := authority.SessionWithOrigin{
		Session: authority.Session{ID: token.SessionID{s.count, 9}, UserID: u.ID, Generation: 1, Created: now, Refreshed: now, Expires: now + 3600, Ends: now + 10_000},
		Origin:  authority.Origin{IP: "192.0.2.1", UserAgent: "test"},
	}
	s.ok(s.OpenSession(s.Context(), record, "hash"))
	return record.Session
}

func (s *state) mustLive(id token.SessionID) authority.Session {
	s.Helper()
	live, err := s.Session(s.Context(), id)
	s.ok(err)
	if live.User == nil || live.User.ID != live.Session.UserID {
		s.Fatalf("session of user %d came with user %+v", live.Session.UserID, live.User)
	}
	return live.Session
}

func (s *state) mustBeGone(id token.SessionID) {
	s.Helper()
	_, err := s.Session(s.Context(), id)
	s.is(err, fault.ErrNotFound)
	_, _, err = s.Rotate(s.Context(), authority.Rotation{Session: id, From: 1, At: now, Expires: now + 1})
	s.is(err, fault.ErrNotFound)
}

func testRotate(t *testing.T, s *state) {
	first := s.session(s.user("a"))
	retry := authority.HashIdempotencyKey("k1")
	live, moved, err := s.Rotate(t.Context(), authority.Rotation{Session: first.ID, From: 1, At: now + 5, Expires: now + 3605, IdempotencyKey: retry})
	s.ok(err)
	want := first
	want.Generation, want.Refreshed, want.Previous, want.Expires, want.IdempotencyKey = 2, now+5, now, now+3605, retry
	if !moved || live.Session != want {
		t.Fatalf("moved %v to %+v, want %+v", moved, live.Session, want)
	}
	if got := s.mustLive(first.ID); got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	for _, from := range []uint32{0, 1, 3} {
		live, moved, err := s.Rotate(t.Context(), authority.Rotation{Session: first.ID, From: from, At: now + 6, Expires: now + 3606})
		s.ok(err)
		if moved || live.Session != want {
			t.Errorf("from %d: moved %v to %+v", from, moved, live.Session)
		}
	}
	live, moved, err = s.Rotate(t.Context(), authority.Rotation{Session: first.ID, From: 2, At: now + 9000, Expires: now + 12_600})
	s.ok(err)
	if !moved || live.Session.Expires != first.Ends || live.Session.IdempotencyKey != (authority.IdempotencyKeyHash{}) {
		t.Errorf("expires %d passes the end %d, or the retry key stayed", live.Session.Expires, first.Ends)
	}
	_, _, err = s.Rotate(t.Context(), authority.Rotation{Session: token.SessionID{77}, From: 1, At: now, Expires: now + 1})
	s.is(err, fault.ErrNotFound)
}

// testRotateRace lets 100 callers spend the same generation, ten times over.
func testRotateRace(t *testing.T, s *state) {
	session := s.session(s.user("a"))
	for from := uint32(1); from <= 10; from++ {
		var mu sync.Mutex // guards winners
		winners := 0
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				live, moved, err := s.Rotate(t.Context(), authority.Rotation{Session: session.ID, From: from, At: now, Expires: now + 3600})
				if err != nil || live.Session.Generation != from+1 {
					t.Errorf("generation %d, %v", live.Session.Generation, err)
				}
				if moved {
					mu.Lock()
					winners++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if winners != 1 {
			t.Fatalf("generation %d has %d successors", from, winners)
		}
	}
}

// testRotateAgainstEnd lets rotations race the end of a session: whoever is
// first, it stays ended.
func testRotateAgainstEnd(t *testing.T, s *state) {
	u := s.user("a")
	for range 20 {
		session := s.session(u)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				_, _, err := s.Rotate(t.Context(), authority.Rotation{Session: session.ID, From: 1, At: now, Expires: now + 3600})
				if err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		s.ok(s.EndSession(t.Context(), session.ID))
		s.mustBeGone(session.ID)
		group.Wait()
		s.mustBeGone(session.ID)
	}
}

func testSessionNeedsUser(t *testing.T, s *state) {
	s.is(s.OpenSession(t.Context(), authority.SessionWithOrigin{Session: authority.Session{ID: token.SessionID{1}, UserID: 99, Generation: 1}}, "hash"), fault.ErrNotFound)
	u := s.user("a")
	s.is(s.OpenSession(t.Context(), authority.SessionWithOrigin{Session: authority.Session{ID: token.SessionID{3}, UserID: u.ID, Generation: 1}}, "an older hash"), fault.ErrNotFound)
	suspended := authority.Suspended
	_, err := s.UpdateUser(t.Context(), u.ID, authority.UserChange{Status: &suspended})
	s.ok(err)
	s.is(s.OpenSession(t.Context(), authority.SessionWithOrigin{Session: authority.Session{ID: token.SessionID{2}, UserID: u.ID, Generation: 1}}, "hash"), fault.ErrNotFound)
	s.mustBeGone(token.SessionID{2})
}

func testEndSessions(t *testing.T, s *state) {
	a, b := s.user("a"), s.user("b")
	one, two, other := s.session(a), s.session(a), s.session(b)
	s.ok(s.EndSessions(t.Context(), a.ID, two.ID))
	s.mustBeGone(one.ID)
	s.mustLive(two.ID)
	s.ok(s.EndSessions(t.Context(), a.ID, token.SessionID{}))
	s.mustBeGone(two.ID)
	s.mustLive(other.ID)
	s.ok(s.EndSession(t.Context(), one.ID)) // none there: no error
	list, err := s.Sessions(t.Context(), b.ID, now)
	s.ok(err)
	if len(list) != 1 || list[0].Session != other || list[0].IP != "192.0.2.1" {
		t.Errorf("sessions: %+v", list)
	}
	list, err = s.Sessions(t.Context(), b.ID, other.Expires)
	if s.ok(err); len(list) != 0 {
		t.Errorf("a session that is over is listed: %+v", list)
	}
}

func testStatusEndsSessions(t *testing.T, s *state) {
	for i, status := range []authority.Status{authority.Suspended, authority.Terminated} {
		u := s.user(fmt.Sprint("user", i))
		session := s.session(u)
		key, err := s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.Private}, authority.APIKeyHash{byte(i), 1})
		s.ok(err)
		changed, err := s.UpdateUser(t.Context(), u.ID, authority.UserChange{Status: &status})
		s.ok(err)
		if changed.Status != status {
			t.Errorf("status %v, want %v", changed.Status, status)
		}
		s.mustBeGone(session.ID)
		_, owner, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{byte(i), 1})
		if status == authority.Terminated {
			s.is(err, fault.ErrNotFound)
			active := authority.Active
			_, err = s.UpdateUser(t.Context(), u.ID, authority.UserChange{Status: &active})
			s.is(err, fault.ErrNotFound)
			_, err = s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.Private}, authority.APIKeyHash{9})
			s.is(err, fault.ErrNotFound)
		} else if s.ok(err); owner.Status != status || key.UserID != u.ID {
			t.Errorf("the key's user is %+v", owner)
		} else {
			s.resume(u)
			s.mustBeGone(session.ID) // for good
		}
	}
}

func (s *state) resume(u *authority.User) {
	s.Helper()
	active := authority.Active
	_, err := s.UpdateUser(s.Context(), u.ID, authority.UserChange{Status: &active})
	s.ok(err)
}

// testOpenAgainstSuspend lets logins race a suspension: whichever is first, no
// session outlives it.
func testOpenAgainstSuspend(t *testing.T, s *state) {
	u := s.user("a")
	suspended := authority.Suspended
	for round := range byte(20) {
		var group sync.WaitGroup
		for i := range byte(10) {
			group.Go(func() {
				err := s.OpenSession(t.Context(), authority.SessionWithOrigin{Session: authority.Session{ID: token.SessionID{round, i, 7},
					UserID: u.ID, Generation: 1, Created: now, Refreshed: now, Expires: now + 3600, Ends: now + 3600}}, "hash")
				if err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		group.Go(func() {
			if _, err := s.UpdateUser(t.Context(), u.ID, authority.UserChange{Status: &suspended}); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		s.resume(u)
		for i := range byte(10) {
			s.mustBeGone(token.SessionID{round, i, 7})
		}
	}
}

func testSweep(t *testing.T, s *state) {
	u := s.user("a")
	var sessions []authority.Session
	for range 10 {
		sessions = append(sessions, s.session(u))
	}
	for i := range 5 {
		_, _, err := s.Rotate(t.Context(), authority.Rotation{Session: sessions[i*2].ID, From: 1, At: now, Expires: now + 9000})
		s.ok(err)
	}
	total := 0
	for step := range 5 {
		removed, done, err := s.Sweep(t.Context(), now+3600, 4)
		s.ok(err)
		total += removed
		if done {
			break
		}
		if step == 4 {
			t.Fatal("the sweep of 10 rows in steps of 4 does not come round")
		}
	}
	if total != 5 {
		t.Errorf("swept %d, want 5", total)
	}
	for i, session := range sessions {
		if i%2 == 0 {
			s.mustLive(session.ID)
		} else {
			s.mustBeGone(session.ID)
		}
	}
}

func testUsers(t *testing.T, s *state) {
	u, err := s.CreateUser(t.Context(), authority.User{ID: 4821, Login: "Ada@Example.com", Level: authority.Root, Status: authority.Active}, "hash")
	s.ok(err)
	if u.ID != 4821 {
		t.Errorf("id %d", u.ID)
	}
	_, err = s.CreateUser(t.Context(), authority.User{Login: "ADA@example.COM", Level: authority.Root, Status: authority.Active}, "hash")
	s.is(err, fault.ErrDuplicate)
	found, hash, err := s.UserByLogin(t.Context(), "ada@example.com")
	s.ok(err)
	if *found != *u || hash != "hash" {
		t.Errorf("found %+v %q", found, hash)
	}
	for _, nobody := range []string{"nobody", "", "a\x00b", "ada@example.com\x00"} {
		_, _, err = s.UserByLogin(t.Context(), nobody)
		s.is(err, fault.ErrNotFound)
	}
	name, level, network := "Ada", authority.NetOps, int64(7)
	changed, err := s.UpdateUser(t.Context(), u.ID, authority.UserChange{FirstName: &name, Level: &level, NetworkID: &network})
	s.ok(err)
	want := *u
	want.FirstName, want.Level, want.NetworkID = name, level, network
	if read, err := s.User(t.Context(), u.ID); err != nil || *changed != want || *read != want {
		t.Errorf("changed %+v, read %+v, %v; want %+v", changed, read, err, want)
	}
	_, err = s.User(t.Context(), 99)
	s.is(err, fault.ErrNotFound)
	_, err = s.UpdateUser(t.Context(), 99, authority.UserChange{FirstName: &name})
	s.is(err, fault.ErrNotFound)
}

func testListUsers(t *testing.T, s *state) {
	for i := range 5 {
		_, err := s.CreateUser(t.Context(), authority.User{Login: fmt.Sprint(i), Level: authority.MailboxUser, Status: authority.Active,
			Tenant: authority.Tenant{NetworkID: int64(i % 2), MailboxID: int64(i)}}, "hash")
		s.ok(err)
	}
	zero, three := int64(0), int64(3)
	for _, c := range []struct {
		filter authority.UserFilter
		want   string
	}{
		{authority.UserFilter{Limit: 10}, "01234"}, {authority.UserFilter{Limit: 2, Offset: 2}, "23"}, {authority.UserFilter{}, ""},
		{authority.UserFilter{Limit: 10, NetworkID: &zero}, "024"}, {authority.UserFilter{Limit: 10, MailboxID: &three}, "3"},
		{authority.UserFilter{Limit: 10, Level: authority.Root}, ""}, {authority.UserFilter{Limit: 10, Status: authority.Active}, "01234"},
	} {
		users, err := s.ListUsers(t.Context(), c.filter)
		s.ok(err)
		got := ""
		for _, u := range users {
			got += u.Login
		}
		if got != c.want {
			t.Errorf("%+v lists %q, want %q", c.filter, got, c.want)
		}
	}
}

func testPasswords(t *testing.T, s *state) {
	u := s.user("a")
	one, two := s.session(u), s.session(u)
	s.is(s.SetPassword(t.Context(), u.ID, authority.PasswordChange{Hash: "new", IfHash: "another"}), fault.ErrNotFound)
	s.ok(s.SetPassword(t.Context(), u.ID, authority.PasswordChange{Hash: "new", IfHash: "hash"}))
	s.mustLive(one.ID)
	s.ok(s.SetPassword(t.Context(), u.ID, authority.PasswordChange{Hash: "newer", EndSessions: true, Except: two.ID}))
	s.mustBeGone(one.ID)
	s.mustLive(two.ID)
	if _, hash, err := s.UserByLogin(t.Context(), "a"); err != nil || hash != "newer" {
		t.Errorf("hash %q, %v", hash, err)
	}
	s.is(s.SetPassword(t.Context(), 99, authority.PasswordChange{Hash: "x"}), fault.ErrNotFound)
}

func testKeys(t *testing.T, s *state) {
	u := s.user("a")
	first, err := s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.Private, Primary: true, Mask: "m", Created: now}, authority.APIKeyHash{1})
	s.ok(err)
	shared, err := s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.Shared, Created: now}, authority.APIKeyHash{2})
	s.ok(err)
	if k, owner, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{1}); err != nil || k != first || owner.ID != u.ID {
		t.Errorf("key %+v of %+v, %v", k, owner, err)
	}
	second, err := s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.Private, Primary: true}, authority.APIKeyHash{3})
	s.ok(err)
	_, _, err = s.APIKeyByHash(t.Context(), authority.APIKeyHash{1})
	s.is(err, fault.ErrNotFound)
	keys, err := s.APIKeys(t.Context(), u.ID)
	if s.ok(err); len(keys) != 2 || keys[0] != shared || keys[1] != second {
		t.Errorf("keys %+v", keys)
	}
	s.ok(s.DeleteAPIKey(t.Context(), shared.ID))
	s.is(s.DeleteAPIKey(t.Context(), shared.ID), fault.ErrNotFound)
	_, err = s.APIKey(t.Context(), shared.ID)
	s.is(err, fault.ErrNotFound)
	_, err = s.CreateAPIKey(t.Context(), authority.APIKey{UserID: 99, Visibility: authority.Private}, authority.APIKeyHash{4})
	s.is(err, fault.ErrNotFound)
}

func testSessionKeys(t *testing.T, s *state) {
	u := s.user("a")
	one, two := s.session(u), s.session(u)
	for i, session := range []authority.Session{one, two} {
		_, err := s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.SessionOnly, Session: session.ID}, authority.APIKeyHash{byte(i)})
		s.ok(err)
		_, _, err = s.APIKeyByHash(t.Context(), authority.APIKeyHash{byte(i)})
		s.ok(err)
	}
	s.ok(s.EndSession(t.Context(), one.ID))
	_, _, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{0})
	s.is(err, fault.ErrNotFound)
	_, _, err = s.APIKeyByHash(t.Context(), authority.APIKeyHash{1})
	s.ok(err)
	_, err = s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.SessionOnly, Session: one.ID}, authority.APIKeyHash{5})
	s.is(err, fault.ErrNotFound)
}

// testSigningKeys lets ten nodes start at once: one of them makes the key.
func testSigningKeys(t *testing.T, s *state) {
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			if err := s.AddSigningKey(t.Context(), keyring.SigningKey{ID: fmt.Sprint(i), JWK: `{}`}, true); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	later := keyring.SigningKey{ID: "later", JWK: `{"later":1}`, PublishedAt: now, SignsFrom: now + 300}
	s.ok(s.AddSigningKey(t.Context(), later, false))
	s.ok(s.AddSigningKey(t.Context(), keyring.SigningKey{ID: "later", JWK: "another"}, false)) // there already: it stays
	keys, err := s.SigningKeys(t.Context())
	if s.ok(err); len(keys) != 2 || keys[0] != later || keys[1].RetiredAt != 0 {
		t.Fatalf("keys %+v", keys)
	}
	s.ok(s.RetireSigningKey(t.Context(), keys[1].ID, now+5000))
	s.is(s.RetireSigningKey(t.Context(), keys[1].ID, now+6000), fault.ErrNotFound) // retired already
	s.is(s.RetireSigningKey(t.Context(), "nobody's", now), fault.ErrNotFound)
	s.is(s.RetireSigningKey(t.Context(), later.ID, now), fault.ErrNotFound) // the last
	retired := keyring.SigningKey{ID: keys[1].ID, RetiredAt: now + 5000}
	if keys, err = s.SigningKeys(t.Context()); err != nil || len(keys) != 2 || keys[0] != later || keys[1] != retired {
		t.Errorf("keys %+v, %v", keys, err)
	}
	s.is(s.RetireSigningKey(t.Context(), retired.ID, now), fault.ErrNotFound)
}

// testRetireRace retires two keys at once, again and again: one of them stays.
func testRetireRace(t *testing.T, s *state) {
	s.ok(s.AddSigningKey(t.Context(), keyring.SigningKey{ID: "0"}, false))
	for i := range 10 {
		s.ok(s.AddSigningKey(t.Context(), keyring.SigningKey{ID: fmt.Sprint(i + 1)}, false))
		live := s.liveKeys()
		var group sync.WaitGroup
		for _, id := range live {
			group.Go(func() {
				if err := s.RetireSigningKey(t.Context(), id, now); err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if left := s.liveKeys(); len(live) != 2 || len(left) != 1 {
			t.Fatalf("of %v %v are left", live, left)
		}
	}
}

func (s *state) liveKeys() (ids []string) {
	s.Helper()
	keys, err := s.SigningKeys(s.Context())
	s.ok(err)
	for _, k := range keys {
		if k.RetiredAt == 0 {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

func testReopen(t *testing.T, s *state) {
	u := s.user("a")
	session, ended := s.session(u), s.session(u)
	_, _, err := s.Rotate(t.Context(), authority.Rotation{Session: session.ID, From: 1, At: now + 1, Expires: now + 2, IdempotencyKey: authority.HashIdempotencyKey("k")})
	s.ok(err)
	s.ok(s.EndSession(t.Context(), ended.ID))
	before := s.mustLive(session.ID)
	s.ok(s.Ready(t.Context()))
	s.ok(s.Close())
	s.Store = s.open()
	if after := s.mustLive(session.ID); after != before {
		t.Errorf("before %+v, after %+v", before, after)
	}
	s.mustBeGone(ended.ID)
}

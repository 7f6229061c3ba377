package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// testRotate checks the compare-and-swap, alone.
func testRotate(t *testing.T, s *state) {
	first := s.newSession(s.newUser("a"))
	key := authority.HashIdempotencyKey("k1")
	got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
		Session: first.ID, From: 1, At: now + 5, Lives: authority.Lives{Token: 3600, Idle: 9000}, IdempotencyKey: key,
		Address: 1<<32 - 1,
	})
	s.noError(err)
	want := first
	want.Generation = 2
	want.Previous, want.Refreshed = now, now+5
	want.Expires, want.Idle = now+3605, now+9005
	want.IdempotencyKey = key
	want.Address = 1<<32 - 1
	if !rotated || got.Session != want {
		t.Fatalf("rotated %v to %+v, want %+v", rotated, got.Session, want)
	}
	if read := s.wantSession(first.ID); read != want {
		t.Errorf("read %+v, want %+v", read, want)
	}
	for _, from := range []uint32{0, 1, 3} {
		got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
			Session: first.ID, From: from, At: now + 6, Lives: oneHour,
		})
		s.noError(err)
		if rotated || got.Session != want {
			t.Errorf("from generation %d: rotated %v, session %+v; want false, %+v", from, rotated, got.Session, want)
		}
	}
	got, rotated, err = s.Rotate(t.Context(), authority.Rotation{
		Session: first.ID, From: 2, At: now + 9000, Lives: oneHour,
	})
	s.noError(err)
	if !rotated || got.Session.Expires != first.Ends || got.Session.Idle != first.Ends {
		t.Errorf("rotated %v to %+v; want true, and both times the session's end", rotated, got.Session)
	}
	if got.Session.IdempotencyKey != (authority.IdempotencyKeyHash{}) || got.Session.Address != 0 {
		t.Error("the idempotency key or the address of the refresh before was kept")
	}
	_, _, err = s.Rotate(t.Context(), authority.Rotation{
		Session: token.SessionID{77}, From: 1, At: now, Lives: oneHour,
	})
	s.wantError(err, fault.ErrNotFound)
}

// testRecordReplay checks that the time of a replay is stored for the present generation only, and that the next
// rotation keeps it, unless it is from before the clock went back.
func testRecordReplay(t *testing.T, s *state) {
	session := s.newSession(s.newUser("a"))
	s.rotate(session.ID, 1, now+5)
	want := s.wantSession(session.ID)
	for _, generation := range []uint32{1, 3} {
		s.noError(s.RecordReplay(t.Context(), session.ID, generation, now+30))
		if got := s.wantSession(session.ID); got != want {
			t.Errorf("a replay of generation %d: %+v, want %+v", generation, got, want)
		}
	}
	for _, at := range []int64{now + 30, now + 20} { // the later one remains
		s.noError(s.RecordReplay(t.Context(), session.ID, 2, at))
		want.Previous = now + 30
		if got := s.wantSession(session.ID); got != want {
			t.Errorf("after the replay: %+v, want %+v", got, want)
		}
	}
	s.noError(s.RecordReplay(t.Context(), token.SessionID{77}, 1, now))
	for i, c := range []struct{ at, previous int64 }{
		{at: now + 40, previous: now + 30}, // the time of the replay
		{at: now - 900, previous: now + 40},
		{at: now - 800, previous: now - 900}, // and not now+40, which is too late for a replay
	} {
		s.rotate(session.ID, uint32(2+i), c.at)
		if got := s.wantSession(session.ID); got.Previous != c.previous {
			t.Errorf("after the rotation at %d: previous %d, want %d", c.at-now, got.Previous-now, c.previous-now)
		}
	}
	var group sync.WaitGroup
	for i := range int64(100) { // many at once, as after an outage
		group.Go(func() { s.noError(s.RecordReplay(t.Context(), session.ID, 5, now-790+i)) })
	}
	group.Wait()
	if got := s.wantSession(session.ID); got.Previous < now-790 {
		t.Errorf("after 100 replays at once: previous %d", got.Previous-now)
	}
}

// rotate rotates a session, and fails the test if it cannot.
func (s *state) rotate(id token.SessionID, from uint32, at int64) {
	s.Helper()
	_, rotated, err := s.Rotate(s.Context(), authority.Rotation{Session: id, From: from, At: at, Lives: oneHour})
	s.noError(err)
	if !rotated {
		s.Errorf("generation %d was not rotated", from)
	}
}

// testIdle checks that a session can be refreshed after its token has expired, but not past its idle time, and that
// lists and sweeps use the idle time too.
func testIdle(t *testing.T, s *state) {
	u := s.newUser("a")
	session := s.newSession(u)
	rotate := func(from uint32, at int64) (authority.Session, bool) {
		t.Helper()
		got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
			Session: session.ID, From: from, At: at, Lives: authority.Lives{Token: 60, Idle: 600},
		})
		s.noError(err)
		return got.Session, rotated
	}
	got, rotated := rotate(1, now)
	if !rotated || got.Expires != now+60 || got.Idle != now+600 {
		t.Fatalf("rotated %v to %+v", rotated, got)
	}
	if got, rotated = rotate(2, now+599); !rotated || got.Generation != 3 {
		t.Fatalf("one second before the idle time: rotated %v to %+v", rotated, got)
	}
	idle := got.Idle
	for _, at := range []int64{idle, idle + 1} {
		if again, rotated := rotate(3, at); rotated || again != got {
			t.Errorf("%d s past the idle time: rotated %v to %+v", at-idle, rotated, again)
		}
	}
	for at, want := range map[int64]int{idle - 1: 1, idle: 0} {
		list, err := s.sessionsOf(u, at)
		s.noError(err)
		if len(list) != want {
			t.Errorf("%d sessions are listed at the idle time %+d s, want %d", len(list), at-idle, want)
		}
	}
	_, _, err := s.Sweep(t.Context(), idle-1, 100)
	s.noError(err)
	s.wantSession(session.ID)
}

// testSessionExtras checks that the extras of a session survive rotations and a restart, and that its own lives have
// priority over those of the rotation.
func testSessionExtras(t *testing.T, s *state) {
	u := s.newUser("a")
	all := authority.SessionExtras{
		Claims: `{"plan":"gold"}`, ActorID: u.ID, TokenLife: 10 * time.Second, IdleLife: 50 * time.Second,
	}
	lives := authority.Lives{Token: 60, Idle: 600}
	tests := map[string]struct {
		extras      *authority.SessionExtras
		token, idle int64
	}{
		"none":       {extras: nil, token: 60, idle: 600},
		"all":        {extras: &all, token: 10, idle: 50},
		"token life": {extras: &authority.SessionExtras{TokenLife: 10 * time.Second}, token: 10, idle: 600},
		"idle life":  {extras: &authority.SessionExtras{IdleLife: 30 * time.Second}, token: 30, idle: 30},
		"claims":     {extras: &authority.SessionExtras{Claims: all.Claims}, token: 60, idle: 600},
		"actor":      {extras: &authority.SessionExtras{ActorID: u.ID}, token: 60, idle: 600},
	}
	want := map[token.SessionID]authority.Session{}
	for name, test := range tests {
		session := opening(u, token.SessionID{byte(len(want)), 8})
		session.Address, session.Extras = 7, test.extras
		session.Device = name
		_, err := s.OpenSession(t.Context(), session)
		s.noError(err)
		s.wantEqual(s.wantSession(session.ID), session.Session)
		got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
			Session: session.ID, From: 1, At: now + 1, Lives: lives,
		})
		s.noError(err)
		session.Session.Generation, session.Session.Address = 2, 0
		session.Previous, session.Refreshed = now, now+1
		session.Expires, session.Idle = now+1+test.token, now+1+test.idle
		if !rotated {
			t.Errorf("%s: not rotated", name)
		}
		s.wantEqual(got.Session, session.Session)
		want[session.ID] = session.Session
	}
	s.reopen()
	list, err := s.sessionsOf(u, now)
	s.noError(err)
	if len(list) != len(want) {
		t.Errorf("%d sessions are listed, want %d", len(list), len(want))
	}
	for _, session := range list {
		s.wantEqual(session.Session, want[session.ID])
		s.wantEqual(session.Extras, tests[session.Device].extras)
	}
	for id := range want {
		s.noError(s.EndSession(t.Context(), authority.Rights{}, id))
		s.wantNoSession(id)
	}
}

// testRotateRace lets 100 callers rotate from the same generation, for ten generations.
func testRotateRace(t *testing.T, s *state) {
	session := s.newSession(s.newUser("a"))
	for from := uint32(1); from <= 10; from++ {
		var winners atomic.Int32
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
					Session: session.ID, From: from, At: now, Lives: oneHour,
				})
				if err != nil || got.Session.Generation != from+1 {
					t.Errorf("generation %d, %v; want %d", got.Session.Generation, err, from+1)
				}
				if rotated {
					winners.Add(1)
				}
			})
		}
		group.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("%d callers rotated from generation %d, want 1", n, from)
		}
	}
}

// testRotateAgainstEnd races rotations against the end of a session. Afterwards the session must have ended.
func testRotateAgainstEnd(t *testing.T, s *state) {
	u := s.newUser("a")
	for range 20 {
		session := s.newSession(u)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				_, _, err := s.Rotate(t.Context(), authority.Rotation{
					Session: session.ID, From: 1, At: now, Lives: oneHour,
				})
				if err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		s.noError(s.EndSession(t.Context(), authority.Rights{}, session.ID))
		s.wantNoSession(session.ID)
		group.Wait()
		s.wantNoSession(session.ID)
	}
}

// testSessionNeedsUser checks that a session is opened only for a user who may sign in, with the present hash.
func testSessionNeedsUser(t *testing.T, s *state) {
	open := func(id byte, userID int64, hash string) error {
		session := authority.Session{ID: token.SessionID{id}, UserID: userID, Generation: 1}
		_, err := s.OpenSession(t.Context(), authority.Opening{
			SessionWithOrigin: authority.SessionWithOrigin{Session: session}, PasswordHash: hash,
		})
		return err
	}
	s.wantError(open(1, 99, "hash"), fault.ErrNotFound)
	u := s.newUser("a")
	s.wantError(open(2, u.ID, "an earlier hash"), fault.ErrNotFound)
	s.setStatus(u.ID, authority.Suspended)
	s.wantError(open(3, u.ID, "hash"), fault.ErrNotFound)
	for id := range byte(3) {
		s.wantNoSession(token.SessionID{id + 1})
	}
}

// testEndSessions checks that the sessions of one user end, except one.
func testEndSessions(t *testing.T, s *state) {
	a, b := s.newUser("a"), s.newUser("b")
	ended, kept := s.newSession(a), s.newSession(a)
	other := s.newSession(b)
	s.mustEndSessions(a.ID, authority.EndOptions{Except: kept.ID})
	s.wantNoSession(ended.ID)
	s.wantSession(kept.ID)
	s.mustEndSessions(a.ID, authority.EndOptions{})
	s.wantNoSession(kept.ID)
	s.wantSession(other.ID)
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ended.ID)) // no error for an ended session
	list, err := s.sessionsOf(b, now)
	s.noError(err)
	if len(list) != 1 || list[0].Session != other || list[0].IP != "192.0.2.1" {
		t.Errorf("sessions %+v, want %+v", list, other)
	}
	list, err = s.sessionsOf(b, other.Expires)
	s.noError(err)
	if len(list) != 0 {
		t.Errorf("the list has an expired session: %+v", list)
	}
}

// testStatusEndsSessions checks what a suspension and a termination do to a user's sessions and API keys.
func testStatusEndsSessions(t *testing.T, s *state) {
	for i, status := range []authority.Status{authority.Suspended, authority.Terminated} {
		u := s.newUser(fmt.Sprint("user", i))
		session := s.newSession(u)
		private := authority.APIKey{UserID: u.ID, Visibility: authority.Private}
		hash := authority.APIKeyHash{byte(i), 1}
		_, err := s.CreateAPIKey(t.Context(), authority.Rights{}, private, hash)
		s.noError(err)
		if changed := s.setStatus(u.ID, status); changed.Status != status {
			t.Errorf("status %v, want %v", changed.Status, status)
		}
		s.wantNoSession(session.ID)
		_, owner, err := s.APIKeyByHash(t.Context(), hash)
		if status == authority.Terminated {
			s.wantError(err, fault.ErrNotFound)
			active := authority.Active
			_, err = s.UpdateUser(t.Context(), authority.Rights{}, u.ID, authority.UserChange{Status: &active})
			s.wantError(err, fault.ErrNotFound)
			_, err = s.CreateAPIKey(t.Context(), authority.Rights{}, private, authority.APIKeyHash{9})
			s.wantError(err, fault.ErrNotFound)
			continue
		}
		s.noError(err)
		if owner.ID != u.ID || owner.Status != status {
			t.Errorf("the API key's user is %+v, want user %d with status %v", owner, u.ID, status)
		}
		s.setStatus(u.ID, authority.Active)
		s.wantNoSession(session.ID)
	}
}

// testOpenAgainstSuspend races logins against a suspension. Afterwards no session may exist.
func testOpenAgainstSuspend(t *testing.T, s *state) {
	u := s.newUser("a")
	suspended := authority.Suspended
	for round := range byte(20) {
		var group sync.WaitGroup
		for i := range byte(10) {
			group.Go(func() {
				_, err := s.OpenSession(t.Context(), opening(u, token.SessionID{round, i, 7}))
				if err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		group.Go(func() {
			change := authority.UserChange{Status: &suspended}
			if _, err := s.UpdateUser(t.Context(), authority.Rights{}, u.ID, change); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		s.setStatus(u.ID, authority.Active)
		for i := range byte(10) {
			s.wantNoSession(token.SessionID{round, i, 7})
		}
	}
}

// testSweep sweeps ten sessions in steps of at most four. Half of the sessions are past their idle time, and one of
// these has reached its end.
func testSweep(t *testing.T, s *state) {
	u := s.newUser("a")
	var sessions []authority.Session
	for i := range 10 {
		session := s.newSession(u)
		sessions = append(sessions, session)
		if i%2 == 0 {
			_, _, err := s.Rotate(t.Context(), authority.Rotation{
				Session: session.ID, From: 1, At: now, Lives: authority.Lives{Token: 9000, Idle: 9000},
			})
			s.noError(err)
		}
	}
	o := opening(u, token.SessionID{200})
	o.Ends = o.Idle
	_, err := s.OpenSession(t.Context(), o)
	s.noError(err)
	want := map[token.SessionID]authority.EndReason{o.ID: authority.EndedByEnd}
	for i := 1; i < 10; i += 2 {
		want[sessions[i].ID] = authority.EndedByIdle
	}
	got := map[token.SessionID]authority.EndReason{}
	for done := false; !done; {
		var ended []authority.EndedSession
		ended, done, err = s.Sweep(t.Context(), now+3600, 4)
		s.noError(err)
		if len(ended) > 4 {
			t.Errorf("a step removed %d sessions, want at most 4", len(ended))
		}
		for _, e := range ended {
			if _, twice := got[e.ID]; twice || e.UserID != u.ID {
				t.Errorf("swept %+v, twice %v", e, twice)
			}
			got[e.ID] = e.Reason
		}
	}
	s.wantEqual(got, want)
	s.wantNoSession(o.ID)
	for i, session := range sessions {
		if i%2 == 0 {
			s.wantSession(session.ID)
		} else {
			s.wantNoSession(session.ID)
		}
	}
}

// testReopen checks that sessions are the same after the store was closed and opened.
func testReopen(t *testing.T, s *state) {
	u := s.newUser("a")
	session, ended := s.newSession(u), s.newSession(u)
	_, _, err := s.Rotate(t.Context(), authority.Rotation{
		Session: session.ID, From: 1, At: now + 1, Lives: oneHour, IdempotencyKey: authority.HashIdempotencyKey("k"),
	})
	s.noError(err)
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ended.ID))
	before := s.wantSession(session.ID)
	s.noError(s.Ready(t.Context()))
	s.reopen()
	if after := s.wantSession(session.ID); after != before {
		t.Errorf("session %+v after reopening, want %+v", after, before)
	}
	s.wantNoSession(ended.ID)
}

package sqlite

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// mustPurge purges page by page until nothing remains, and returns how many sessions it removed.
func mustPurge(t *testing.T, s *Store, page int) int {
	t.Helper()
	total := 0
	for {
		removed, done, err := s.Purge(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		if removed > page {
			t.Fatalf("a page of the purge removed %d sessions, want %d at most", removed, page)
		}
		total += removed
		if done {
			return total
		}
	}
}

// mustCount compares the number of rows to a number.
func mustCount(t *testing.T, s *Store, from string, want int) {
	t.Helper()
	if rows, err := count(s.writer, from); err != nil || rows != int64(want) {
		t.Errorf("%d rows of %s, %v; want %d", rows, from, err, want)
	}
}

// mustWriteFew checks that an operation changes a few rows only.
func mustWriteFew(t *testing.T, s *Store, operation func() error) {
	t.Helper()
	changes := func() int64 {
		total, err := queryOne(s.writer, "SELECT total_changes()", nil, scanNumber)
		if err != nil {
			t.Fatal(err)
		}
		return total
	}
	before := changes()
	if err := operation(); err != nil {
		t.Fatal(err)
	}
	if rows := changes() - before; rows > 8 {
		t.Errorf("the operation changed %d rows", rows)
	}
}

// endSessions ends the sessions of user 1.
func endSessions(t *testing.T, s *Store, opts authority.EndOptions) error {
	_, err := s.EndSessions(t.Context(), authority.Rights{}, 1, opts)
	return err
}

func mustSuspend(t *testing.T, s *Store, userID int64) {
	t.Helper()
	suspended := authority.Suspended
	mustWriteFew(t, s, func() error {
		_, err := s.UpdateUser(t.Context(), authority.Rights{}, userID, authority.UserChange{Status: &suspended})
		return err
	})
}

// mustLive checks which of the sessions live: for a check, a rotation, the list, and a copy.
func mustLive(t *testing.T, s *Store, userID int64, ids []token.SessionID, live ...token.SessionID) {
	t.Helper()
	for _, id := range ids {
		want := slices.Contains(live, id)
		_, err := s.Session(t.Context(), id)
		if (err == nil) != want || err != nil && !errors.Is(err, fault.ErrNotFound) {
			t.Fatalf("a check of session %v: %v; want it live: %v", id, err, want)
		}
		_, _, err = s.Rotate(t.Context(), rotationOf(id, 1<<31)) // does not rotate a live session
		if (err == nil) != want || err != nil && !errors.Is(err, fault.ErrNotFound) {
			t.Fatalf("a rotation of session %v: %v; want it live: %v", id, err, want)
		}
	}
	listed, err := sessionsOf(t, s, userID, 0)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := s.ReadSessions(t.Context(), token.SessionID{}, len(ids)+1)
	if err != nil {
		t.Fatal(err)
	}
	copied = slices.DeleteFunc(copied, func(r authority.SessionWithOrigin) bool { return r.UserID != userID })
	if len(listed) != len(live) || len(copied) != len(live) {
		t.Errorf("%d sessions in the list and %d in a copy, want %d", len(listed), len(copied), len(live))
	}
	for _, id := range live {
		mustBeAt(t, s, id, 1)
	}
}

// openOne opens a session of user 1.
func openOne(t *testing.T, s *Store, id token.SessionID) {
	t.Helper()
	r := largeSession(0)
	r.ID = id
	r.UserID = 1
	if _, err := s.OpenSession(t.Context(), openingOf(r)); err != nil {
		t.Error(err)
	}
}

// withManySessions opens a store in dir with one user, and writes sessions of that user in one step.
func withManySessions(t *testing.T, dir string, number int) (*Store, []token.SessionID) {
	t.Helper()
	s, ids := withSessions(t, dir, 1)
	rows := make([]authority.SessionWithOrigin, number-1)
	for i := range rows {
		rows[i] = largeSession(i)
		rows[i].UserID = 1
		ids = append(ids, rows[i].ID)
	}
	if err := s.WriteSessions(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	return s, ids
}

// openOther opens a session of another user.
func openOther(t *testing.T, s *Store) token.SessionID {
	t.Helper()
	user := authority.User{Login: "b", Level: authority.MailboxUser, Status: authority.Active}
	other, err := s.CreateUser(t.Context(), authority.Rights{}, user, "hash")
	if err != nil {
		t.Fatal(err)
	}
	session := authority.SessionWithOrigin{Session: authority.Session{
		ID: token.SessionID{9, 9, 9}, UserID: other.ID, Generation: 1,
		Expires: testNow + 1, Idle: testNow + 1, Ends: testNow + 1,
	}}
	if _, err := s.OpenSession(t.Context(), openingOf(session)); err != nil {
		t.Fatal(err)
	}
	return session.ID
}

// TestEndOfManySessions resets and suspends a user with 50,000 sessions. Each of the two changes a few rows, and ends
// all sessions at once. The purge removes the rows in pages. A crash at any time changes nothing about that.
func TestEndOfManySessions(t *testing.T) {
	const sessions, page = 50_000, 500
	dir := t.TempDir()
	s, ids := withManySessions(t, dir, sessions)
	others := openOther(t, s)
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir)
	}

	kept, opened := ids[7], token.SessionID{8, 8, 8}
	mustWriteFew(t, s, func() error {
		return endSessions(t, s, authority.EndOptions{Except: kept})
	})
	mustLive(t, s, 1, ids, kept)
	mustCount(t, s, "session", sessions+1)
	openOne(t, s, opened)
	ids = append(ids, opened)
	some := []token.SessionID{kept, opened}
	for i := 0; i < sessions; i += 100 {
		some = append(some, ids[i])
	}
	mustLive(t, s, 1, some, kept, opened)
	reopen()
	mustLive(t, s, 1, ids, kept, opened)
	mustCount(t, s, "session", sessions+2)

	if removed, done, err := s.Purge(t.Context(), page); err != nil || removed != page || done {
		t.Fatalf("the first page of the purge removed %d sessions, done %v, %v", removed, done, err)
	}
	mustLive(t, mustOpen(t, copyFiles(t, dir)), 1, some, kept, opened)
	mustSuspend(t, s, 1)
	mustLive(t, s, 1, ids)
	mustLive(t, mustOpen(t, copyFiles(t, dir)), 1, some)
	reopen()
	mustLive(t, s, 1, ids)

	if removed := mustPurge(t, s, page); removed != sessions+1-page {
		t.Errorf("the purge removed %d sessions, want %d", removed, sessions+1-page)
	}
	for range 2 {
		mustLive(t, s, 1, some)
		mustBeAt(t, s, others, 1)
		mustCount(t, s, "session", 1)
		mustCount(t, s, "session_purge", 0)
		if stats := s.Stats(); stats.Sessions != 1 || s.sessions.HasEndedEpochs() {
			t.Errorf("after the purge: %+v, ended epochs: %v", stats, s.sessions.HasEndedEpochs())
		}
		reopen()
	}
}

// epochEnds has each operation that ends all sessions of user 1.
var epochEnds = map[string]func(*testing.T, *Store) error{
	"reset": func(t *testing.T, s *Store) error {
		return endSessions(t, s, authority.EndOptions{})
	},
	"password": func(t *testing.T, s *Store) error {
		change := authority.PasswordChange{Hash: "hash", EndSessions: true}
		return s.SetPassword(t.Context(), authority.Rights{}, 1, change)
	},
	"suspend":   func(t *testing.T, s *Store) error { return setStatus(t, s, authority.Suspended) },
	"terminate": func(t *testing.T, s *Store) error { return setStatus(t, s, authority.Terminated) },
}

func setStatus(t *testing.T, s *Store, status authority.Status) error {
	_, err := s.UpdateUser(t.Context(), authority.Rights{}, 1, authority.UserChange{Status: &status})
	return err
}

// mustHaveNoAPIKey checks that a store has no API key of an id and a hash.
func mustHaveNoAPIKey(t *testing.T, s *Store, id int64, hash authority.APIKeyHash) {
	t.Helper()
	_, _, byHash := s.APIKeyByHash(t.Context(), hash)
	_, byID := s.APIKey(t.Context(), id)
	for call, err := range map[string]error{
		"by hash": byHash,
		"by ID":   byID,
		"delete":  s.DeleteAPIKey(t.Context(), authority.Rights{}, id),
	} {
		if !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("API key %d, %s: %v", id, call, err)
		}
	}
}

// TestEpochEndsKeysAndRights checks that the end of an epoch takes the API keys of the sessions and the rights of their
// callers at once, and the purge removes the rows.
func TestEpochEndsKeysAndRights(t *testing.T) {
	for name, end := range epochEnds {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, ids := withSessions(t, dir, 20)
			sessionKey := func(i int) (authority.APIKey, error) {
				key := authority.APIKey{UserID: 1, Visibility: authority.SessionOnly, Session: ids[i]}
				return s.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{byte(i), 1})
			}
			keys := make([]authority.APIKey, 10)
			for i := range keys {
				var err error
				if keys[i], err = sessionKey(i); err != nil {
					t.Fatal(err)
				}
				if _, _, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{byte(i), 1}); err != nil {
					t.Fatal(err)
				}
			}
			mustWriteFew(t, s, func() error { return end(t, s) })
			mustCount(t, s, "api_key", len(keys))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, dir)
			mustLive(t, s, 1, ids)
			for i, key := range keys {
				mustHaveNoAPIKey(t, s, key.ID, authority.APIKeyHash{byte(i), 1})
			}
			if listed, err := s.APIKeys(t.Context(), 1); err != nil || len(listed) > 0 {
				t.Errorf("the list has the API keys %+v, %v", listed, err)
			}
			if copied, err := s.ReadAPIKeys(t.Context(), 0, 100); err != nil || len(copied) > 0 {
				t.Errorf("a copy has the API keys %+v, %v", copied, err)
			}
			if n, err := s.Count(t.Context()); err != nil || n.Sessions != 0 || n.APIKeys != 0 || n.Users != 1 {
				t.Errorf("the counts are %+v, %v", n, err)
			}
			if _, err := sessionKey(15); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("a new API key of an ended session: %v", err)
			}
			for caller, actor := range map[string]authority.Actor{
				"session": {UserID: 1, Level: authority.MailboxUser, Session: ids[15], Generation: 1},
				"API key": {UserID: 1, Level: authority.MailboxUser, APIKey: keys[0].ID},
			} {
				err := s.EndSession(t.Context(), authority.Rights{Actor: actor}, ids[16])
				if !errors.Is(err, fault.ErrActorEnded) {
					t.Errorf("a write with an ended %s: %v", caller, err)
				}
			}
			if removed := mustPurge(t, s, 3); removed != len(ids) {
				t.Errorf("the purge removed %d sessions, want %d", removed, len(ids))
			}
			for _, table := range []string{"session", "session_purge", "api_key"} {
				mustCount(t, s, table, 0)
			}
		})
	}
}

// TestEpochEndInOneBatch checks that the operations of a batch see the ends of epochs before them, a failed end ends
// nothing, and an epoch may end in the same batch as the removal of the previous epoch's rows.
func TestEpochEndInOneBatch(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 10)
	run := func(run func(*change) error) *batch.Op[operation] {
		return &batch.Op[operation]{Value: operation{run: run}}
	}
	failure := errors.New("failed on purpose")
	end := func(except token.SessionID) *batch.Op[operation] {
		return run(func(c *change) error { return c.endEpochs(1, except) })
	}
	fails := run(func(c *change) error { return errors.Join(c.endEpochs(1, ids[0]), failure) })
	ops := []*batch.Op[operation]{
		fails, rotationOp(ids[1], 1), end(ids[0]), rotationOp(ids[1], 2), rotationOp(ids[0], 1),
		run(func(c *change) error { return c.endEpochs(1, ids[1]) }), // has ended already
		rotationOp(ids[1], 2), rotationOp(ids[0], 2),
	}
	s.commit(ops)
	for i, want := range []error{
		failure, nil, nil, fault.ErrNotFound, nil, nil, fault.ErrNotFound, fault.ErrNotFound,
	} {
		if err := ops[i].Value.err; !errors.Is(err, want) {
			t.Errorf("operation %d: %v, want %v", i, err, want)
		}
	}
	mustLive(t, s, 1, ids)
	next := token.SessionID{7, 7, 7}
	openOne(t, s, next)
	purge := run(func(c *change) error { _, err := c.purge(100, &countedUsers{}); return err })
	s.commit([]*batch.Op[operation]{purge, end(token.SessionID{})})
	mustLive(t, s, 1, append(ids, next))
	mustCount(t, s, "session", 1)
	mustCount(t, s, "session_purge", 1)
	openOne(t, s, ids[0])
	s.commit([]*batch.Op[operation]{end(ids[0]), purge})
	mustLive(t, s, 1, append(ids, next), ids[0])
	mustCount(t, s, "session", 1)
	mustCount(t, s, "session_purge", 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustLive(t, mustOpen(t, dir), 1, append(ids, next), ids[0])
}

// TestEpochEndUnderRaces ends all sessions but one again and again while readers check sessions, and purges. An ended
// session is never found again, and the remaining session is always found.
func TestEpochEndUnderRaces(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 1)
	kept := ids[0]
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Session(t.Context(), kept); err != nil {
					t.Errorf("the kept session: %v", err)
					return
				}
			}
		})
	}
	for round := range byte(20) {
		var opened, group sync.WaitGroup
		for i := range byte(8) {
			id := token.SessionID{round, i, 5}
			opened.Add(1)
			group.Go(func() {
				openOne(t, s, id)
				opened.Done()
				for from := uint32(1); ; from++ {
					if _, _, err := s.Rotate(t.Context(), rotationOf(id, from)); err != nil {
						if !errors.Is(err, fault.ErrNotFound) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		opened.Wait()
		_, err := s.EndSessions(t.Context(), authority.Rights{}, 1, authority.EndOptions{Except: kept})
		if err != nil {
			t.Fatal(err)
		}
		for i := range byte(8) {
			mustBeAt(t, s, token.SessionID{round, i, 5}, 0)
		}
		if round%3 == 0 {
			mustPurge(t, s, 5)
		}
		group.Wait()
	}
	close(stop)
	readers.Wait()
	mustPurge(t, s, 5)
	mustCount(t, s, "session", 1)
}

// TestEndSessionsShareCommits ends the sessions of many users at once. The calls count what they ended, but none waits
// for another one: some of them share a commit.
func TestEndSessionsShareCommits(t *testing.T) {
	const users = 64
	s := mustOpen(t, t.TempDir())
	for id := range int64(users) {
		user := authority.User{
			ID: id + 1, Login: fmt.Sprint(id), Level: authority.General, Status: authority.Active,
		}
		if _, err := s.CreateUser(t.Context(), authority.Rights{}, user, "hash"); err != nil {
			t.Fatal(err)
		}
		session := largeSession(int(id))
		session.UserID = id + 1
		if _, err := s.OpenSession(t.Context(), openingOf(session)); err != nil {
			t.Fatal(err)
		}
	}
	commits := 0
	s.group.Close()
	s.group = batch.New(maxBatchSize, 1, gatherTime, func(ops []*batch.Op[operation]) {
		commits++
		s.commit(ops)
	})
	var group sync.WaitGroup
	for id := range int64(users) {
		group.Go(func() {
			ended, err := s.EndSessions(t.Context(), authority.Rights{}, id+1, authority.EndOptions{CountAt: 1})
			if err != nil || ended != 1 {
				t.Errorf("ended %d sessions of user %d, %v; want 1", ended, id+1, err)
			}
		})
	}
	group.Wait()
	if commits == users {
		t.Errorf("each of the %d calls had a commit of its own", users)
	}
	if removed := mustPurge(t, s, 5); removed != users {
		t.Errorf("the purge removed %d sessions, want %d", removed, users)
	}
}

// TestPurgeDuringCount counts the ended sessions of one user. The sessions of another user can end and be purged
// meanwhile, and those of the first user stay until the end of the count.
func TestPurgeDuringCount(t *testing.T) {
	s, _ := withManySessions(t, t.TempDir(), 20)
	openOther(t, s)
	s.counting.begin(1)
	if err := endSessions(t, s, authority.EndOptions{}); err != nil {
		t.Fatal(err)
	}
	ended, err := s.EndSessions(t.Context(), authority.Rights{}, 2, authority.EndOptions{CountAt: testNow})
	if err != nil || ended != 1 {
		t.Errorf("ended %d sessions, %v; want 1", ended, err)
	}
	if removed := mustPurge(t, s, 5); removed != 1 {
		t.Errorf("the purge removed %d sessions, want the 1 of the other user", removed)
	}
	if ended, err := s.countEnded(t.Context(), lowestEpoch{userID: 1, epoch: 1}, 0); err != nil || ended != 20 {
		t.Errorf("counted %d sessions, %v; want 20", ended, err)
	}
	s.counting.end(1)
	if removed := mustPurge(t, s, 5); removed != 20 {
		t.Errorf("the purge removed %d sessions after the count, want 20", removed)
	}
}

//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// insertSessions inserts sessions of a user directly, and returns their ids.
func insertSessions(t testing.TB, dsn string, user *authority.User, number int) []token.SessionID {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `INSERT INTO pawl.session (id, user_id, generation, created, refreshed,
			previous, expires, ends, attempt, idempotency_key, ip, user_agent, epoch)
		SELECT gen_random_uuid(), id, 1, 0, 0, 0, $1, $1, 0, '', '', '', session_epoch
		FROM pawl.users, generate_series(1, $2) WHERE id = $3 RETURNING id`, int64(farFuture), number, user.ID)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id token.SessionID, err error) {
		err = row.Scan((*[16]byte)(&id))
		return id, err
	})
	if err != nil || len(ids) != number {
		t.Fatalf("inserted %d sessions, %v", len(ids), err)
	}
	return ids
}

// wantEnded checks that each of the sessions is rejected by a check and by a refresh.
func (n node) wantEnded(ids []token.SessionID) {
	n.t.Helper()
	var group sync.WaitGroup
	for page := range slices.Chunk(ids, (len(ids)+255)/256) {
		group.Go(func() {
			for _, id := range page {
				if _, err := n.Session(n.t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
					n.t.Errorf("a check of an ended session: %v, want ErrNotFound", err)
				}
				if rotated, err := n.rotate(id, 1); rotated || !errors.Is(err, fault.ErrNotFound) {
					n.t.Errorf("a refresh of an ended session: rotated %v, %v; want ErrNotFound", rotated, err)
				}
			}
		})
	}
	group.Wait()
}

// sweepAll sweeps all sessions in pages. None of them has timed out, so it reports none.
func (n node) sweepAll(page int) {
	n.t.Helper()
	for {
		ended, done, err := n.Sweep(n.t.Context(), 1, page)
		if err != nil {
			n.t.Fatal(err)
		}
		if len(ended) > 0 {
			n.t.Errorf("the sweep reports %v", ended)
		}
		if done {
			return
		}
	}
}

// endSessions ends the sessions of a user.
func (n node) endSessions(ctx context.Context, userID int64, opts authority.EndOptions) error {
	_, err := n.EndSessions(ctx, authority.Rights{}, userID, opts)
	return err
}

// purgeAll purges in pages, and returns how many sessions it removed. A page reads and locks no row of another page.
func (n node) purgeAll(page int) (total int) {
	n.t.Helper()
	for {
		removed, done, err := n.Purge(n.t.Context(), page)
		if err != nil {
			n.t.Fatal(err)
		}
		if removed > page {
			n.t.Errorf("a page of %d removed %d sessions", page, removed)
		}
		total += removed
		if done {
			return total
		}
	}
}

// manyEnd is a way to end many sessions of a user.
type manyEnd struct {
	name   string
	number int
	keeps  bool // the session to keep stays live
	end    func(id int64, except token.SessionID) error
}

func (n node) setStatus(id int64, status authority.Status) error {
	_, err := n.UpdateUser(n.t.Context(), authority.Rights{}, id, authority.UserChange{Status: &status})
	return err
}

func (n node) manyEnds() []manyEnd {
	ctx := n.t.Context()
	return []manyEnd{
		{name: "reset", number: 50_000, end: func(id int64, _ token.SessionID) error {
			return n.endSessions(ctx, id, authority.EndOptions{})
		}},
		{name: "suspend", number: 20_000, end: func(id int64, _ token.SessionID) error {
			return n.setStatus(id, authority.Suspended)
		}},
		{name: "terminate", number: 500, end: func(id int64, _ token.SessionID) error {
			return n.setStatus(id, authority.Terminated)
		}},
		{name: "reset except one", number: 500, keeps: true, end: func(id int64, except token.SessionID) error {
			return n.endSessions(ctx, id, authority.EndOptions{Except: except})
		}},
		{name: "password except one", number: 500, keeps: true, end: func(id int64, except token.SessionID) error {
			return n.SetPassword(ctx, authority.Rights{}, id, authority.PasswordChange{
				Hash: "hash", EndSessions: true, EndOptions: authority.EndOptions{Except: except},
			})
		}},
	}
}

// checkManyEnd ends many sessions of a new user. It returns the number of ended sessions, and the live sessions. The
// argument number must differ in each call.
func (n node) checkManyEnd(dsn string, number int, c manyEnd) (ended int, live []token.SessionID) {
	n.t.Helper()
	user := n.newUser(c.name)
	ids := insertSessions(n.t, dsn, user, c.number)
	kept := n.newSession(user, byte(number))
	// The sum changes if a transaction updates or locks a row.
	versions := fmt.Sprintf("SELECT sum(xmin::text::bigint + xmax::text::bigint) FROM pawl.session "+
		"WHERE user_id = %d AND id <> '%x'", user.ID, [16]byte(kept))
	before := queryNumber(n.t, dsn, versions)
	if err := c.end(user.ID, kept); err != nil {
		n.t.Fatalf("%s: %v", c.name, err)
	}
	if after := queryNumber(n.t, dsn, versions); after != before {
		n.t.Errorf("%s: changed the rows of ended sessions", c.name)
	}
	rows := queryNumber(n.t, dsn, fmt.Sprintf("SELECT count(*) FROM pawl.session WHERE user_id = %d", user.ID))
	if rows != float64(c.number+1) {
		n.t.Errorf("%s: %v rows remain, want %d", c.name, rows, c.number+1)
	}
	n.wantEnded(ids)
	ended = c.number
	if c.keeps {
		live = append(live, kept)
	} else {
		n.wantEnded([]token.SessionID{kept})
		ended++
	}
	if c.name != "terminate" {
		if err := n.setStatus(user.ID, authority.Active); err != nil {
			n.t.Fatal(err)
		}
		live = append(live, n.newSession(user, byte(100+number)))
	}
	n.wantEnded(ids[:1])
	for _, id := range live {
		n.mustRotate(id, 1)
	}
	list, err := n.Sessions(n.t.Context(), authority.SessionFilter{UserID: user.ID, Now: 1, Limit: 1000})
	if err != nil || len(list) != len(live) {
		n.t.Errorf("%s: the list has %d sessions, %v; want %d", c.name, len(list), err, len(live))
	}
	return ended, live
}

// TestManySessionsEnd ends very many sessions of a user in each way. The transaction touches no row of a session except
// the one to keep, and all others have ended when it returns. The purge removes their rows in pages.
func TestManySessionsEnd(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	var all int
	var live []token.SessionID
	for i, c := range n.manyEnds() {
		ended, remaining := n.checkManyEnd(dsn, i, c)
		all += ended
		live = append(live, remaining...)
	}
	counts, err := n.Count(t.Context())
	if err != nil || counts.Sessions != int64(len(live)) {
		t.Errorf("a copy counts %d sessions, %v; want %d", counts.Sessions, err, len(live))
	}
	if read, err := n.ReadSessions(t.Context(), token.SessionID{}, 1000); err != nil || len(read) != len(live) {
		t.Errorf("a copy reads %d sessions, %v; want %d", len(read), err, len(live))
	}
	if removed := n.purgeAll(500); removed != all {
		t.Errorf("the purge removed %d sessions, want %d", removed, all)
	}
	if queued := queryNumber(t, dsn, "SELECT count(*) FROM pawl.session_purge"); queued != 0 {
		t.Errorf("%v users are queued after the purge", queued)
	}
	for _, id := range live {
		n.mustRotate(id, 2)
	}
	if rows := queryNumber(t, dsn, "SELECT count(*) FROM pawl.session"); rows != float64(len(live)) {
		t.Errorf("%v rows remain after the purge, want %d", rows, len(live))
	}
}

// TestSweepSkipsLockedSessions purges and sweeps while another transaction has locked the row of an ended session. A
// later sweep removes that session.
func TestSweepSkipsLockedSessions(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	user := n.newUser("a")
	ids := insertSessions(t, dsn, user, 10)
	if err := n.endSessions(t.Context(), user.ID, authority.EndOptions{}); err != nil {
		t.Fatal(err)
	}
	lock := openTransaction(t, dsn, "SELECT 1 FROM pawl.session WHERE id = $1 FOR UPDATE", [16]byte(ids[0]))
	if removed := n.purgeAll(4); removed != 9 {
		t.Errorf("the purge removed %d sessions, want 9", removed)
	}
	const countRows = "SELECT count(*) FROM pawl.session"
	n.sweepAll(4)
	if rows := queryNumber(t, dsn, countRows); rows != 1 {
		t.Errorf("%v rows remain after the sweep, want 1", rows)
	}
	endTransaction(t, lock, "ROLLBACK")
	pgtest.Exec(t, dsn, "UPDATE pawl.state SET sweep_begun = 0")
	n.sweepAll(4)
	if rows := queryNumber(t, dsn, countRows); rows != 0 {
		t.Errorf("%v rows remain after the second sweep, want 0", rows)
	}
}

// TestNodesPurgeTogether ends the sessions of several users, and purges on two nodes at once while sign-ins, refreshes
// and terminations of the same users run. Each row is removed once.
func TestNodesPurgeTogether(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	nodes := openNodes(t, dsn)
	const users, sessions = 4, 1000
	var total, live atomic.Int64
	var group sync.WaitGroup
	for i := range byte(users) {
		user := nodes[0].newUser(fmt.Sprint("user", i))
		insertSessions(t, dsn, user, sessions)
		group.Go(func() {
			n := nodes[i%2]
			for round := range byte(5) {
				id := n.newSession(user, 16*i+round)
				n.mustRotate(id, 1)
				if err := n.endSessions(t.Context(), user.ID, authority.EndOptions{}); err != nil {
					t.Error(err)
				}
				total.Add(1)
			}
			if i == 0 {
				if err := n.setStatus(user.ID, authority.Terminated); err != nil {
					t.Error(err)
				}
				return
			}
			n.newSession(user, 16*i+15)
			live.Add(1)
		})
	}
	var removed atomic.Int64
	purge := func() {
		for _, n := range nodes {
			group.Go(func() { removed.Add(int64(n.purgeAll(50))) })
		}
		group.Wait()
	}
	purge()
	purge()
	if want := users*sessions + total.Load(); removed.Load() != want {
		t.Errorf("the purges removed %d sessions, want %d", removed.Load(), want)
	}
	if rows := queryNumber(t, dsn, "SELECT count(*) FROM pawl.session"); rows != float64(live.Load()) {
		t.Errorf("%v rows remain, want %d", rows, live.Load())
	}
}

// explain returns the plan of a statement, after an analysis of the table of sessions.
func explain(t *testing.T, dsn, sql string) string {
	t.Helper()
	pgtest.Exec(t, dsn, "ANALYZE pawl.session")
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), "EXPLAIN "+sql)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// TestPurgeReadsAnIndexRange checks the plan of a page: a range of the index, without a sort.
func TestPurgeReadsAnIndexRange(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	insertSessions(t, dsn, n.newUser("a"), 5000)
	plan := explain(t, dsn, `SELECT s.id FROM pawl.session s WHERE s.user_id = 1 AND s.epoch < 2
		AND (s.epoch, s.created, s.id) > (0, 0, '80000000-0000-0000-0000-000000000000')
		ORDER BY s.epoch, s.created, s.id LIMIT 100 FOR UPDATE SKIP LOCKED`)
	if strings.Contains(plan, "Sort") || !strings.Contains(plan, "Index Scan using session_of_user") ||
		!strings.Contains(plan, "Index Cond: ((user_id = 1) AND (epoch < 2) AND (ROW(epoch, created, id) > ROW(") {
		t.Errorf("the plan of a page:\n%s", plan)
	}
}

// TestSessionCount checks that the estimate counts no session that waits for the purge.
func TestSessionCount(t *testing.T) {
	t.Parallel()
	// A vacuum in another session of PostgreSQL may count rows whose removal is reported later.
	cluster := pgtest.Start(t, "autovacuum=off")
	dsn := cluster.DSN(cluster.Database(t))
	n := open(t, postgres.Config{DSN: dsn})
	defer func() { n.close() }()
	user, other := n.newUser("a"), n.newUser("b")
	insertSessions(t, dsn, user, 3000)
	insertSessions(t, dsn, other, 1000)
	want := func(when string, want int64) {
		t.Helper()
		awaitTrue(t, fmt.Sprintf("%d sessions %s", want, when), func() bool {
			n.close() // its connections report their counters, but PostgreSQL may count them a little later
			n = open(t, postgres.Config{DSN: dsn})
			got, valid := n.SessionCount(t.Context())
			return valid && got == want
		})
	}
	want("before the end", 4000)
	if err := n.endSessions(t.Context(), user.ID, authority.EndOptions{}); err != nil {
		t.Fatal(err)
	}
	want("before the purge", 1000)
	n.purgeAll(100)
	want("after the purge", 1000)
}

// TestEndedSessionStaysEnded resets a user, and keeps a session ended by an earlier reset.
func TestEndedSessionStaysEnded(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(cluster.Database(t))})
	user, other := n.newUser("a"), n.newUser("b")
	ended, others := n.newSession(user, 1), n.newSession(other, 2)
	for _, except := range []token.SessionID{{}, ended, others, ended} {
		_, err := n.EndSessions(t.Context(), authority.Rights{}, user.ID, authority.EndOptions{Except: except})
		if err != nil {
			t.Fatal(err)
		}
		n.wantEnded([]token.SessionID{ended})
	}
	n.mustRotate(others, 1)
}

// writeAs sets the password of a user as that user, with the session or API key of an actor.
func (n node) writeAs(user *authority.User, a authority.Actor) error {
	a.UserID, a.Level = user.ID, user.Level
	target := authority.Target{ID: user.ID, Level: user.Level, Tenant: user.Tenant, Status: user.Status}
	rights := authority.Rights{Actor: a, Target: target}
	return n.SetPassword(n.t.Context(), rights, user.ID, authority.PasswordChange{Hash: "hash"})
}

// TestAPIKeysOfEndedSessions checks that an API key ends with its session although its row remains until a sweep, and
// that neither the key nor the session can make a write.
func TestAPIKeysOfEndedSessions(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	user := n.newUser("a")
	ended, kept := n.newSession(user, 1), n.newSession(user, 2)
	create := func(session token.SessionID, hash byte) (authority.APIKey, error) {
		key := authority.APIKey{UserID: user.ID, Visibility: authority.SessionOnly, Session: session}
		return n.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{hash})
	}
	var keys []authority.APIKey
	for i, session := range []token.SessionID{ended, kept} {
		key, err := create(session, byte(i))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	opts := authority.EndOptions{Except: kept}
	if _, err := n.EndSessions(t.Context(), authority.Rights{}, user.ID, opts); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{fault.ErrNotFound, nil} {
		if _, _, err := n.APIKeyByHash(t.Context(), authority.APIKeyHash{byte(i)}); !errors.Is(err, want) {
			t.Errorf("key %d by its hash: %v, want %v", i, err, want)
		}
		if _, err := n.APIKey(t.Context(), keys[i].ID); !errors.Is(err, want) {
			t.Errorf("key %d by its id: %v, want %v", i, err, want)
		}
		if _, err := create(keys[i].Session, byte(10+i)); !errors.Is(err, want) {
			t.Errorf("another key of session %d: %v, want %v", i, err, want)
		}
	}
	for i, want := range []error{fault.ErrActorEnded, nil} {
		if err := n.writeAs(user, authority.Actor{APIKey: keys[i].ID}); !errors.Is(err, want) {
			t.Errorf("a write with key %d: %v, want %v", i, err, want)
		}
		actor := authority.Actor{Session: keys[i].Session, Generation: 1}
		if err := n.writeAs(user, actor); !errors.Is(err, want) {
			t.Errorf("a write with session %d: %v, want %v", i, err, want)
		}
	}
	list, err := n.APIKeys(t.Context(), user.ID)
	if err != nil || len(list) != 2 {
		t.Errorf("the list has %d keys, %v; want 2", len(list), err)
	}
	records, err := n.ReadAPIKeys(t.Context(), 0, 10)
	if err != nil || len(records) != 2 {
		t.Errorf("a copy reads %d keys, %v; want 2", len(records), err)
	}
	err = n.DeleteAPIKey(t.Context(), authority.Rights{}, keys[0].ID)
	if !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("delete of an ended key: %v, want ErrNotFound", err)
	}
	n.sweepAll(500)
	if rows := queryNumber(t, dsn, "SELECT count(*) FROM pawl.api_key"); rows != 2 {
		t.Errorf("%v keys remain after the sweep, want 2", rows)
	}
}

// TestKeptSessionDuringRefreshes refreshes a session while resets of its user keep it, and while sweeps run. The
// session lives, and each refresh succeeds.
func TestKeptSessionDuringRefreshes(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	nodes := openNodes(t, dsn)
	user := nodes[0].newUser("a")
	id := nodes[0].newSession(user, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var chores sync.WaitGroup
	chores.Go(func() { runUntilDone(ctx, t, dsn, "UPDATE pawl.state SET sweep_begun = 0, sweep_took = 0") })
	chores.Go(func() {
		for ctx.Err() == nil {
			if _, _, err := nodes[0].Sweep(context.Background(), 1, 100); err != nil {
				t.Error(err)
			}
		}
	})
	chores.Go(func() {
		for ctx.Err() == nil {
			opts := authority.EndOptions{Except: id}
			if _, err := nodes[1].EndSessions(context.Background(), authority.Rights{}, user.ID, opts); err != nil {
				t.Error(err)
			}
		}
	})
	for from := uint32(1); from <= 40; from++ {
		nodes[0].mustRotate(id, from)
	}
	cancel()
	chores.Wait()
}

// TestEndReachesStaleNodes ends all sessions of a user on one of two nodes. Both nodes accept a state up to an hour
// old. The node of the end rejects the sessions at once, and the other node does so after the broadcast.
func TestEndReachesStaleNodes(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	config := postgres.Config{DSN: dsn, Staleness: time.Hour}
	nodes := [2]node{openNode(t, config), openNode(t, config)}
	awaitNumber(t, dsn, "SELECT count(*) FROM pawl.feed WHERE until > now()", 1)
	user := nodes[0].newUser("a")
	id := nodes[0].newSession(user, 1)
	for _, n := range nodes {
		if _, err := n.RecentSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nodes[0].EndSessions(t.Context(), authority.Rights{}, user.ID, authority.EndOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[0].RecentSession(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the node of the end: %v, want ErrNotFound", err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := nodes[1].RecentSession(t.Context(), id)
		if errors.Is(err, fault.ErrNotFound) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the other node: %v, want ErrNotFound", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// sessionReads returns how many rows and index entries of sessions a call reads.
func sessionReads(t *testing.T, dsn string, call func(n node)) float64 {
	t.Helper()
	reads := func() float64 {
		return queryNumber(t, dsn, "SELECT seq_tup_read + idx_tup_fetch + (SELECT sum(idx_tup_read) "+
			"FROM pg_stat_all_indexes WHERE relid = t.relid) FROM pg_stat_all_tables t "+
			"WHERE relid = 'pawl.session'::regclass")
	}
	before := reads()
	n := open(t, postgres.Config{DSN: dsn})
	call(n)
	n.close() // its connections report their counters
	return reads() - before
}

// TestPageReadsFewSessions lists a page of sessions, and opens a session, next to very many live and ended sessions.
// Both read few of them.
func TestPageReadsFewSessions(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	ended, user := n.newUser("a"), n.newUser("b")
	last := n.newUser("c")
	insertSessions(t, dsn, ended, 50_000)
	if err := n.endSessions(t.Context(), ended.ID, authority.EndOptions{}); err != nil {
		t.Fatal(err)
	}
	insertSessions(t, dsn, user, 50_000)
	insertSessions(t, dsn, last, 150)
	pgtest.Exec(t, dsn, "ANALYZE pawl.session", "ANALYZE pawl.users")
	network := int64(0)
	for name, f := range map[string]authority.SessionFilter{
		"a page of a user":      {UserID: user.ID},
		"the last user":         {UserID: last.ID, Offset: 100},
		"no live session":       {UserID: ended.ID},
		"a page of all users":   {},
		"a page of the network": {NetworkID: &network, HighestLevel: authority.MailboxUser},
	} {
		f.Now, f.Limit = 1, 100
		reads := sessionReads(t, dsn, func(n node) {
			if _, err := n.Sessions(t.Context(), f); err != nil {
				t.Error(err)
			}
		})
		if reads > 1000 {
			t.Errorf("%s reads %v rows", name, reads)
		}
	}
	reads := sessionReads(t, dsn, func(n node) {
		o := openingOf(user, sessionID(1))
		o.MaxSessions = 10
		if ended, err := n.OpenSession(t.Context(), o); err != nil || len(ended) != authority.MaxEndedAtOnce+1 {
			t.Errorf("a sign-in ended %d sessions, %v; want %d", len(ended), err, authority.MaxEndedAtOnce+1)
		}
	})
	if reads > 1000 {
		t.Errorf("a sign-in reads %v rows", reads)
	}
}

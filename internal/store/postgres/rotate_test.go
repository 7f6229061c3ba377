//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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

// TestContendedSession rotates a session whose row four other transactions lock in turn, so that it is never free. The
// rotations get their turn.
func TestContendedSession(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	id := n.newSession(n.newUser("a"), 1)
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			runUntilDone(ctx, t, dsn, `WITH locked AS MATERIALIZED (SELECT id FROM pawl.session FOR UPDATE)
				SELECT pg_sleep(0.02) FROM locked`)
		})
	}
	for generation := range uint32(5) {
		n.mustRotate(id, generation+1)
	}
	cancel()
	others.Wait()
}

// TestHeldSession rotates many sessions while another transaction has locked one of them. The rotations of the locked
// session fail, and the other rotations of their batches succeed.
func TestHeldSession(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	user := n.newUser("a")
	ids := make([]token.SessionID, 40)
	for i := range ids {
		ids[i] = n.newSession(user, byte(i))
	}
	lock := openTransaction(t, dsn, "SELECT 1 FROM pawl.session WHERE id = $1 FOR UPDATE", [16]byte(ids[0]))
	var group sync.WaitGroup
	for i := range 4 * len(ids) {
		group.Go(func() {
			rotated, err := n.rotate(ids[i%len(ids)], 1)
			switch {
			case i%len(ids) != 0 && err != nil:
				t.Errorf("a session that is not locked: %v", err)
			case i%len(ids) == 0 && (rotated || !errors.Is(err, fault.ErrUnavailable)):
				t.Errorf("the locked session: rotated %v, %v; want ErrUnavailable", rotated, err)
			}
		})
	}
	group.Wait()
	endTransaction(t, lock, "ROLLBACK")
	n.mustRotate(ids[0], 1)
}

// TestSupersededTokenLocksNothing checks that a rotation from an earlier generation locks no row. Otherwise a flood of
// them could lock the row against the client with the current token.
func TestSupersededTokenLocksNothing(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	id := n.newSession(n.newUser("a"), 1)
	n.mustRotate(id, 1)
	const lastLocker = "SELECT xmax::text::bigint FROM pawl.session"
	before := queryNumber(t, dsn, lastLocker)
	if rotated, err := n.rotate(id, 1); err != nil || rotated {
		t.Fatalf("a superseded token: rotated %v, %v", rotated, err)
	}
	if after := queryNumber(t, dsn, lastLocker); after != before {
		t.Errorf("transaction %v locked the row, before it was %v", after, before)
	}
}

// TestNoDeadlock rotates the same sessions on two nodes in opposite orders. Each generation has one successor, and
// PostgreSQL counts no deadlock.
func TestNoDeadlock(t *testing.T) {
	// These options force the plan of a large table. The plan reads the rows in the order of the arrays.
	// PostgreSQL compiles the plan otherwise, because these options make it look expensive.
	cluster := pgtest.Start(t, "enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off", "jit=off")
	dsn := cluster.DSN(cluster.Database(t))
	nodes := [2]node{open(t, postgres.Config{DSN: dsn}), open(t, postgres.Config{DSN: dsn})}
	user := nodes[0].newUser("a")
	ids := make([]token.SessionID, 64)
	for i := range ids {
		ids[i] = nodes[0].newSession(user, byte(i*37))
	}
	const rounds = 30
	for from := uint32(1); from <= rounds; from++ {
		var mu sync.Mutex // guards successors
		successors := map[token.SessionID]int{}
		var group sync.WaitGroup
		for i, n := range nodes {
			order := slices.Clone(ids)
			if i == 1 {
				slices.Reverse(order)
			}
			for _, id := range order {
				group.Go(func() {
					r := authority.Rotation{Session: id, From: from, Lives: farLives}
					_, rotated, err := n.Rotate(t.Context(), r)
					if err != nil {
						t.Error(err)
					}
					if rotated {
						mu.Lock()
						successors[id]++
						mu.Unlock()
					}
				})
			}
		}
		group.Wait()
		for _, id := range ids {
			if successors[id] != 1 {
				t.Fatalf("generation %d of %v has %d successors", from, id, successors[id])
			}
		}
	}
	for _, n := range nodes { // closing a connection reports its statistics
		n.close()
	}
	const deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
	if n := queryNumber(t, dsn, deadlocks); n != 0 {
		t.Errorf("%v deadlocks", n)
	}
}

// TestMixedBatches puts duplicates, replays and rotations of the next generation into the same batches of two nodes.
// Each generation has one winner, and every caller gets the row as it is.
func TestMixedBatches(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	nodes := openNodes(t, cluster.DSN(cluster.Database(t)))
	user := nodes[0].newUser("a")
	const (
		sessions = 8
		rounds   = 60
		callers  = 10
	)
	var wins [sessions][rounds + 2]atomic.Int32 // by session and generation
	call := func(s, caller int, from uint32) {
		result, rotated, err := nodes[(s+caller)%2].Rotate(t.Context(), authority.Rotation{
			Session: sessionID(byte(s)), From: from, At: int64(caller), Lives: farLives,
			IdempotencyKey: authority.HashIdempotencyKey(fmt.Sprint(caller % 3)),
		})
		session := &result.Session
		switch {
		case err != nil:
			t.Errorf("session %d from %d: %v", s, from, err)
		case rotated && (session.Generation != from+1 || session.Refreshed != int64(caller)):
			t.Errorf("session %d from %d: winner %d got generation %d of caller %d",
				s, from, caller, session.Generation, session.Refreshed)
		case rotated:
			wins[s][from].Add(1)
		case session.Generation == from:
			t.Errorf("session %d from %d: not rotated, but still at that generation", s, from)
		}
	}
	for from := uint32(1); from <= rounds; from++ {
		var group sync.WaitGroup
		for s := range sessions {
			if from == 1 {
				nodes[0].newSession(user, byte(s))
			}
			for caller := range callers {
				group.Go(func() { call(s, caller, from) })
			}
			if from > 1 {
				group.Go(func() { call(s, callers, from-1) })
			}
		}
		group.Wait()
	}
	for s := range sessions {
		for from := 1; from <= rounds; from++ {
			if n := wins[s][from].Load(); n != 1 {
				t.Errorf("session %d, generation %d: %d winners", s, from, n)
			}
		}
	}
}

// TestHotSessions rotates the same few sessions a thousand times at once on two nodes, with and without an
// Idempotency-Key, while the database is vacuumed, dumped and swept. Each generation has one winner, and no rotation
// fails.
func TestHotSessions(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	nodes := openNodes(t, dsn)
	user := nodes[0].newUser("a")
	ctx, cancel := context.WithCancel(t.Context())
	var chores sync.WaitGroup
	chores.Go(func() { runUntilDone(ctx, t, dsn, "VACUUM (FREEZE, ANALYZE) pawl.session") })
	chores.Go(func() {
		runUntilDone(ctx, t, dsn, "BEGIN ISOLATION LEVEL REPEATABLE READ",
			"LOCK TABLE pawl.session IN ACCESS SHARE MODE",
			"SELECT count(*) FROM pawl.session, pg_sleep(0.05)", "COMMIT")
	})
	chores.Go(func() {
		for ctx.Err() == nil {
			if _, _, err := nodes[0].Sweep(context.Background(), math.MaxInt32, 2); err != nil {
				t.Error(err)
			}
		}
	})
	const (
		sessions = 4
		rounds   = 8
		callers  = 256
	)
	for s := range sessions {
		nodes[0].newSession(user, byte(s))
	}
	for from := uint32(1); from <= rounds; from++ {
		var wins [sessions]atomic.Int32
		var group sync.WaitGroup
		for i := range sessions * callers {
			s, caller := i/callers, i%callers
			group.Go(func() {
				r := authority.Rotation{Session: sessionID(byte(s)), From: from, Lives: farLives}
				if s%2 == 1 {
					r.IdempotencyKey = authority.HashIdempotencyKey("key")
				}
				_, rotated, err := nodes[caller%2].Rotate(t.Context(), r)
				if err != nil {
					t.Errorf("session %d from %d: %v", s, from, err)
				}
				if rotated {
					wins[s].Add(1)
				}
			})
		}
		group.Wait()
		for s := range sessions {
			if n := wins[s].Load(); n != 1 {
				t.Errorf("session %d, generation %d: %d winners", s, from, n)
			}
		}
	}
	cancel()
	chores.Wait()
}

// runUntilDone runs statements in turn, on one connection, until ctx ends.
func runUntilDone(ctx context.Context, t *testing.T, dsn string, statements ...string) {
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := conn.Exec(context.Background(), statements[i%len(statements)]); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestEndDuringRefreshes ends a session while two nodes refresh it as fast as they can. As soon as the call returns,
// the session has ended on both nodes.
func TestEndDuringRefreshes(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	nodes := openNodes(t, cluster.DSN(cluster.Database(t)))
	user := nodes[0].newUser("a")
	setStatus := func(status authority.Status) error {
		_, err := nodes[1].UpdateUser(t.Context(), authority.Rights{}, user.ID, authority.UserChange{Status: &status})
		return err
	}
	ends := []func(token.SessionID) error{
		func(id token.SessionID) error { return nodes[0].EndSession(t.Context(), authority.Rights{}, id) },
		func(token.SessionID) error {
			return nodes[1].endSessions(t.Context(), user.ID, authority.EndOptions{})
		},
		func(token.SessionID) error { return setStatus(authority.Suspended) },
	}
	for i := range 60 {
		id := nodes[0].newSession(user, byte(i))
		var refreshes atomic.Int64
		var group sync.WaitGroup
		for _, n := range nodes {
			group.Go(func() {
				for from := uint32(1); ; refreshes.Add(1) {
					r := authority.Rotation{Session: id, From: from, Lives: farLives}
					result, _, err := n.Rotate(t.Context(), r)
					if errors.Is(err, fault.ErrNotFound) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					from = result.Session.Generation
				}
			})
		}
		for refreshes.Load() < 4 && !t.Failed() {
			time.Sleep(100 * time.Microsecond)
		}
		if err := ends[i%len(ends)](id); err != nil {
			t.Error(err)
		}
		for number, n := range nodes {
			if _, err := n.Session(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("end %d: node %d returns %v, want ErrNotFound", i%len(ends), number, err)
			}
		}
		group.Wait()
		if err := setStatus(authority.Active); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeyRemovedDuringRotation removes an API key after a refresh has begun, while another transaction has locked the
// session. The refresh is refused.
func TestKeyRemovedDuringRotation(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	user := n.newUser("a")
	id := n.newSession(user, 1)
	key := authority.APIKey{UserID: user.ID, Visibility: authority.Private, Scope: authority.FullScope}
	hash := authority.APIKeyHash{1}
	key, err := n.CreateAPIKey(t.Context(), authority.Rights{}, key, hash)
	if err != nil {
		t.Fatal(err)
	}
	lock := openTransaction(t, dsn, "SELECT 1 FROM pawl.session WHERE id = $1 FOR UPDATE", [16]byte(id))
	result := make(chan error)
	go func() {
		_, _, err := n.Rotate(t.Context(), authority.Rotation{
			Session: id, From: 1, Lives: farLives, APIKey: &authority.APIKeyCheck{Hash: hash},
		})
		result <- err
	}()
	const tries = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%k.hash = ANY%'"
	for queryNumber(t, dsn, tries) < 2 { // the other one is this query
		select {
		case err := <-result:
			t.Fatalf("the refresh did not wait for the session: %v", err)
		default:
		}
	}
	if err := n.DeleteAPIKey(t.Context(), authority.Rights{}, key.ID); err != nil {
		t.Fatal(err)
	}
	endTransaction(t, lock, "ROLLBACK")
	if err := <-result; !errors.Is(err, fault.ErrActorEnded) {
		t.Errorf("the refresh: %v, want ErrActorEnded", err)
	}
	n.mustRotate(id, 1)
}

// TestLargestBatch rotates thousands of sessions at once, while other nodes need the changes, until a statement has
// rotated more than fit into a row of pawl.revocation. The rows have the changes of all rotations.
func TestLargestBatch(t *testing.T) {
	t.Parallel()
	const largest = 2048
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	dsn := cluster.DSN(database)
	n := openNode(t, postgres.Config{DSN: dsn})
	n.BatchRotations(largest)
	ids := insertSessions(t, dsn, n.newUser("a"), 2*largest)
	cluster.Exec(t, database, "UPDATE pawl.feed SET until = 'infinity'")
	const (
		// inStatement counts the changes of the largest statement, and all counts those of all statements.
		inStatement = `SELECT coalesce(max(n), 0) FROM
			(SELECT sum(octet_length(changes)) / 24 AS n FROM pawl.revocation GROUP BY xid) AS statements`
		all     = "SELECT sum(octet_length(changes)) / 24 FROM pawl.revocation"
		waiting = "SELECT least(count(*), 2) FROM pg_locks WHERE NOT granted"
	)
	deadline := time.Now().Add(30 * time.Second)
	rounds := uint32(0)
	for queryNumber(t, dsn, inStatement) <= 256 {
		if time.Now().After(deadline) {
			t.Fatal("no statement rotated more than 256 sessions")
		}
		rounds++
		lock := openTransaction(t, dsn, "LOCK TABLE pawl.session")
		var group sync.WaitGroup
		for _, id := range ids {
			group.Go(func() { n.mustRotate(id, rounds) })
		}
		awaitNumber(t, dsn, waiting, 2) // both committers; the other rotations gather meanwhile
		endTransaction(t, lock, "ROLLBACK")
		group.Wait()
	}
	if got, want := queryNumber(t, dsn, all), len(ids)*int(rounds); int(got) != want {
		t.Errorf("%v changes of %d rotations", got, want)
	}
	if got := queryNumber(t, dsn, "SELECT max(octet_length(changes)) / 24 FROM pawl.revocation"); got > 256 {
		t.Errorf("a row has %v changes, want at most 256", got)
	}
}

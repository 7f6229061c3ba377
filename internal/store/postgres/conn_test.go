//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

const countLockWaits = "SELECT count(*) FROM pg_stat_activity " +
	"WHERE wait_event_type = 'Lock' AND datname = current_database()"

// TestVanishedNode cuts off a node inside a transaction, as a power cut does. The transaction ends without it, and
// releases its locks.
func TestVanishedNode(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	dsn := cluster.DSN(database)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	n := openNode(t, postgres.Config{DSN: dsn})
	vanishing := openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr)})
	user := n.newUser("a")
	lock := openTransaction(t, dsn, "SELECT 1 FROM pawl.users FOR UPDATE")
	var group sync.WaitGroup
	group.Go(func() { // it gets the lock after the proxy has stalled, and never gets the answer
		change := authority.PasswordChange{Hash: "other", EndSessions: true}
		_ = vanishing.SetPassword(t.Context(), authority.Rights{}, user.ID, change)
	})
	awaitNumber(t, dsn, countLockWaits, 1)
	proxy.Stall()
	endTransaction(t, lock, "ROLLBACK")
	awaitNumber(t, dsn, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", 1)
	status := authority.Suspended
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := n.UpdateUser(t.Context(), authority.Rights{}, user.ID, authority.UserChange{Status: &status})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the locks of a node that disappeared remain: %v", err)
		}
	}
	proxy.Pass()
	group.Wait()
}

// TestRoomForRefreshes makes thousands of calls of one user that wait for each other. The refreshes and checks of
// another user all succeed.
func TestRoomForRefreshes(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(cluster.Database(t))})
	flooder := n.newUser("a")
	id := n.newSession(n.newUser("victim"), 1)
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	var group sync.WaitGroup
	flood := func(caller, number int) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		hash := authority.APIKeyHash(fmt.Appendf(nil, "%16d%16d", caller, number))
		_, _ = n.CreateAPIKey(ctx, authority.Rights{}, authority.APIKey{UserID: flooder.ID, Primary: true}, hash)
		_ = n.Ready(ctx)
	}
	for caller := range 2000 {
		group.Go(func() {
			for number := 0; ctx.Err() == nil; number++ {
				calls.Add(1)
				flood(caller, number)
			}
		})
	}
	for calls.Load() < 2000 {
		time.Sleep(time.Millisecond)
	}
	for from := uint32(1); from <= 20; from++ {
		n.mustRotate(id, from)
		if result, err := n.Session(t.Context(), id); err != nil || result.Session.Generation != from+1 {
			t.Errorf("check %d during the flood: generation %d, %v", from, result.Session.Generation, err)
		}
	}
	cancel()
	group.Wait()
}

// TestSilentHost stalls the first of two hosts, as a power cut does. The next refresh reaches the second host.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	first, second := pgtest.NewProxy(t, cluster.Addr), pgtest.NewProxy(t, cluster.Addr)
	n := openNode(t, postgres.Config{DSN: pgtest.DSN(database, first.Addr, second.Addr)})
	user := n.newUser("a")
	id := n.newSession(user, 1)
	var group sync.WaitGroup
	for range 300 { // so that the pool has all its connections
		group.Go(func() {
			if _, err := n.User(t.Context(), user.ID); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	first.Stall()
	n.mustRotate(id, 1)
	first.Pass()
}

// TestSlowConnection opens a store on a database that is too busy to accept a connection for a while. The start waits
// for longer than a refresh does.
func TestSlowConnection(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	proxy.Stall()
	time.AfterFunc(2*time.Second, proxy.Pass) // later than the limit of a refresh
	n := openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr)})
	n.mustRotate(n.newSession(n.newUser("a"), 1), 1)
}

// TestReadCommitted changes the database's default isolation. The reset of a password still ends a session opened by a
// concurrent sign-in.
func TestReadCommitted(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	dsn := cluster.DSN(database)
	cluster.Exec(t, "postgres", "ALTER DATABASE "+database+" SET default_transaction_isolation = 'repeatable read'")
	n := openNode(t, postgres.Config{DSN: dsn})
	user := n.newUser("a")
	id := sessionID(9)
	signIn := openTransaction(t, dsn, `INSERT INTO pawl.session (id, user_id, generation, created, refreshed, previous,
			expires, ends, idempotency_key, attempt, ip, user_agent)
		SELECT $1, id, 1, 0, 0, 0, $2::bigint, $2::bigint, '', 0, '', '' FROM pawl.users WHERE id = $3 FOR SHARE`,
		[16]byte(id), int64(farFuture), user.ID)
	done := make(chan error)
	go func() {
		change := authority.PasswordChange{Hash: "new", EndSessions: true}
		done <- n.SetPassword(context.Background(), authority.Rights{}, user.ID, change)
	}()
	awaitNumber(t, dsn, countLockWaits, 1)
	endTransaction(t, signIn, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := n.Session(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the session of the former password: %v, want ErrNotFound", err)
	}
}

// TestOnlyThePrimary pauses a replica and ends a session on the primary. A node returns the end even if its address
// prefers the replica, because no setting lets a node read from a replica.
func TestOnlyThePrimary(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	primary := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	id := primary.newSession(primary.newUser("a"), 1)
	standby := cluster.Standby(t, "s", cluster.Addr)
	anyTarget := strings.Replace(standby.DSN(database), "read-write", "any", 1)
	pgtest.Exec(t, anyTarget, "SELECT pg_wal_replay_pause()")
	dsn := strings.Replace(pgtest.DSN(database, standby.Addr, cluster.Addr), "read-write", "prefer-standby", 1)
	n := openNode(t, postgres.Config{DSN: dsn})
	if err := primary.EndSession(t.Context(), authority.Rights{}, id); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Session(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an ended session: %v, want ErrNotFound", err)
	}
}

// TestErrorsOmitPassword opens stores with faulty addresses. No error contains a part of the password.
func TestErrorsOmitPassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://pawl:SECRET/XYZZY@db/pawl",
		"postgres://pawl:/SECRETXYZZY@127.0.0.1:1/pawl?pool_max_conns=abc",
		"postgres://pawl:SEC:RET%zzXYZZY@db/pawl",
		"postgres://pawl:SECRET@XYZZY@127.0.0.1:1/pawl",
		"postgres://pawl:SECRET#XYZZY@db/pawl",
		"postgres://pawl:SECRET?XYZZY@db/pawl",
		"postgres://pawl:SECRET XYZZY@127.0.0.1:1/pawl",
		"postgres://pawl:SECRET[XYZZY@db/pawl",
		"postgres://pawl@db/pawl?password=SECRET%XYZZY",
		"postgres://pawl@127.0.0.1:1/pawl?password=SECRETXYZZY&sslmode=nonsense",
		"postgres://pawl:SECRETXYZZY@db:badport/pawl",
		"postgres://pawl:SECRETXYZZY@db/pawl?sslmode=nonsense",
		"postgres://pawl:SECRETXYZZY@127.0.0.1:1/pawl?connect_timeout=1",
		"postgres://pawl:SECRETXYZZY@127.0.0.1:1/pawl?pool_max_conns=abc",
		"postgres://pawl:SECRETXYZZY@127.0.0.1:1/pawl?sslrootcert=/nowhere",
	} {
		_, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn})
		if text := fmt.Sprint(err); err == nil || strings.Contains(text, "SEC") || strings.Contains(text, "XYZZY") {
			t.Errorf("%s: %s", dsn, text)
		}
	}
}

// TestRightsOnSchemaSuffice opens a store as a database user with all rights on the schema, and no other rights.
func TestRightsOnSchemaSuffice(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	cluster.Exec(t, database,
		"CREATE ROLE limited LOGIN", "CREATE SCHEMA pawl", "GRANT ALL ON SCHEMA pawl TO limited")
	openNode(t, postgres.Config{DSN: strings.Replace(cluster.DSN(database), "pawl@", "limited@", 1)})
}

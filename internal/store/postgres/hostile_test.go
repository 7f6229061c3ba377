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

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// store is a node's, with what the tests do to it.
type store struct {
	*postgres.Store
	t *testing.T
}

func openNode(t *testing.T, c postgres.Config) store {
	t.Helper()
	s := open(t, c)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return store{s, t}
}

func (s store) user(login string) *authority.User {
	s.t.Helper()
	u, err := s.CreateUser(s.t.Context(), authority.User{Login: login, Level: authority.Root, Status: authority.Active}, "hash")
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// session makes one at generation 1; n tells it apart.
func (s store) session(user *authority.User, n byte) token.SessionID {
	s.t.Helper()
	id := token.SessionID{n, 15: 7}
	err := s.OpenSession(s.t.Context(), authority.SessionWithOrigin{Session: authority.Session{ID: id, UserID: user.ID, Generation: 1, Expires: 1 << 40, Ends: 1 << 40}}, "hash")
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s store) rotate(id token.SessionID, from uint32) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	_, moved, err = s.Rotate(ctx, authority.Rotation{Session: id, From: from, Expires: 1 << 40})
	return moved, err
}

// ghost is a transaction of a node that has vanished: nobody ends it.
func ghost(t *testing.T, dsn, sql string, args ...any) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestHeldSession: one session that another transaction holds fails, and the
// others of its batches do not.
func TestHeldSession(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	node := openNode(t, postgres.Config{DSN: dsn})
	user := node.user("a")
	ids := make([]token.SessionID, 40)
	for i := range ids {
		ids[i] = node.session(user, byte(i))
	}
	held := ghost(t, dsn, "SELECT 1 FROM pawl.session WHERE id = $1 FOR UPDATE", [16]byte(ids[0]))
	var group sync.WaitGroup
	for i := range 4 * len(ids) {
		group.Go(func() {
			moved, err := node.rotate(ids[i%len(ids)], 1)
			switch {
			case i%len(ids) != 0 && err != nil:
				t.Errorf("a session that nobody holds: %v", err)
			case i%len(ids) == 0 && (moved || !errors.Is(err, fault.ErrUnavailable)):
				t.Errorf("the session that is held: moved %v, %v; want ErrUnavailable", moved, err)
			}
		})
	}
	group.Wait()
	if _, err := held.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if moved, err := node.rotate(ids[0], 1); err != nil || !moved {
		t.Errorf("once it is free: moved %v, %v", moved, err)
	}
}

// TestVanishedNode: a node's transaction that hangs in the air, as after a power
// cut, ends by itself, and with it its locks.
func TestVanishedNode(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	node, vanishing := openNode(t, postgres.Config{DSN: cluster.DSN(database)}), openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr)})
	user := node.user("a")
	held := ghost(t, cluster.DSN(database), "SELECT 1 FROM pawl.users FOR UPDATE")
	var group sync.WaitGroup
	group.Go(func() { // it gets its locks when the ghost lets go, and then hears of nothing
		_ = vanishing.SetPassword(t.Context(), user.ID, authority.PasswordChange{Hash: "other", EndSessions: true})
	})
	waitFor(t, cluster, database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 1)
	proxy.Stall()
	if _, err := held.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, cluster, database, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", 1)
	status := authority.Suspended
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := node.UpdateUser(t.Context(), user.ID, authority.UserChange{Status: &status})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the locks of a node that vanished stay: %v", err)
		}
	}
	proxy.Pass()
	group.Wait()
}

func waitFor(t *testing.T, cluster *pgtest.Cluster, database, sql string, want int64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); number(t, cluster.DSN(database), sql) != float64(want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %d of %s", want, sql)
		}
	}
}

// TestRoomForRefreshes lets thousands of calls of one user wait for each other:
// the refreshes and checks of another all work.
func TestRoomForRefreshes(t *testing.T) {
	cluster := pgtest.Start(t)
	node := openNode(t, postgres.Config{DSN: cluster.DSN(cluster.Database(t))})
	flooder, victim := node.user("a"), node.user("victim")
	id := node.session(victim, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	var group sync.WaitGroup
	for i := range 2000 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				calls.Add(1)
				call, done := context.WithTimeout(ctx, 10*time.Second)
				_, _ = node.CreateAPIKey(call, authority.APIKey{UserID: flooder.ID, Primary: true}, authority.APIKeyHash(fmt.Appendf(nil, "%16d%16d", i, n)))
				_ = node.Ready(call)
				done()
			}
		})
	}
	for calls.Load() < 2000 {
		time.Sleep(time.Millisecond)
	}
	for from := uint32(1); from <= 20; from++ {
		if moved, err := node.rotate(id, from); err != nil || !moved {
			t.Errorf("refresh %d while another floods: moved %v, %v", from, moved, err)
		}
		if live, err := node.Session(t.Context(), id); err != nil || live.Session.Generation != from+1 {
			t.Errorf("check %d while another floods: generation %d, %v", from, live.Session.Generation, err)
		}
	}
	cancel()
	group.Wait()
}

// TestSilentHost: the first host goes without a word, as in a power cut. The
// first refresh after it already reaches the second host.
func TestSilentHost(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	first, second := pgtest.NewProxy(t, cluster.Addr), pgtest.NewProxy(t, cluster.Addr)
	node := openNode(t, postgres.Config{DSN: pgtest.DSN(database, first.Addr, second.Addr)})
	user := node.user("a")
	id := node.session(user, 1)
	var group sync.WaitGroup
	for range 300 { // fills the pool
		group.Go(func() {
			if _, err := node.User(t.Context(), user.ID); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	first.Stall()
	if moved, err := node.rotate(id, 1); err != nil || !moved {
		t.Errorf("moved %v, %v", moved, err)
	}
	first.Pass()
}

// TestReadCommitted: with another default in the database, the reset of a
// password still ends a session that a login under way has just opened.
func TestReadCommitted(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	cluster.Exec(t, "postgres", "ALTER DATABASE "+database+" SET default_transaction_isolation = 'repeatable read'")
	node := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	user := node.user("a")
	id := token.SessionID{9}
	login := ghost(t, cluster.DSN(database), `INSERT INTO pawl.session (id, user_id, generation, created, refreshed, previous, expires, ends, idempotency_key, attempt, ip, user_agent)
		SELECT $1, id, 1, 0, 0, 0, 1::bigint << 40, 1::bigint << 40, '', 0, '', '' FROM pawl.users WHERE id = $2 FOR SHARE`, [16]byte(id), user.ID)
	done := make(chan error)
	go func() {
		done <- node.SetPassword(context.Background(), user.ID, authority.PasswordChange{Hash: "new", EndSessions: true})
	}()
	waitFor(t, cluster, database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 1)
	if _, err := login.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := node.Session(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the session of the old password: %v, want ErrNotFound", err)
	}
}

// TestOnlyThePrimary: no setting lets a node answer from a replica, which may
// not know yet that a session has ended.
func TestOnlyThePrimary(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	primary := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	id := primary.session(primary.user("a"), 1)
	standby := cluster.Standby(t, "s", cluster.Addr)
	pgtest.Exec(t, strings.Replace(standby.DSN(database), "read-write", "any", 1), "SELECT pg_wal_replay_pause()")
	node := openNode(t, postgres.Config{DSN: strings.Replace(pgtest.DSN(database, standby.Addr, cluster.Addr), "read-write", "prefer-standby", 1)})
	if err := primary.EndSession(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Session(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an ended session: %v, want ErrNotFound", err)
	}
}

// TestPasswordStaysOut: what is wrong with an address is said without it.
func TestPasswordStaysOut(t *testing.T) {
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

// TestSchemaIsThere: whoever may do all in the schema needs nothing else.
func TestSchemaIsThere(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	cluster.Exec(t, database, "CREATE ROLE limited LOGIN", "CREATE SCHEMA pawl", "GRANT ALL ON SCHEMA pawl TO limited")
	openNode(t, postgres.Config{DSN: strings.Replace(cluster.DSN(database), "pawl@", "limited@", 1)})
}

// TestExclusive: who moves the whole store is let in when nobody else is there, and
// then nobody else is.
func TestAlone(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	node := open(t, postgres.Config{DSN: dsn})
	if _, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Exclusive: true}); err == nil || !strings.Contains(err.Error(), "stop all") {
		t.Errorf("beside a node: %v", err)
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	mover := open(t, postgres.Config{DSN: dsn, Exclusive: true})
	if _, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn}); err == nil || !strings.Contains(err.Error(), "being copied") {
		t.Errorf("a node beside a copy: %v", err)
	}
	if _, err := mover.Count(t.Context()); err != nil {
		t.Errorf("the copy itself: %v", err)
	}
	cluster.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
	if _, err := mover.Count(t.Context()); err == nil {
		t.Error("the copy does not learn that others may have come")
	}
	if err := mover.Close(); err != nil {
		t.Error(err)
	}
	openNode(t, postgres.Config{DSN: dsn})
}

// TestAloneInTurn: who comes right after another has closed is let in, though
// the server has not yet noticed.
func TestAloneInTurn(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	for i := range 40 {
		s, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Exclusive: i%2 == 1})
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFencedNode: a node that has lost its connections while the store is copied
// is kept out, says so, and comes back by itself.
func TestFencedNode(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	node := openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr) + "&pool_max_conns=2", Staleness: time.Millisecond})
	id := node.session(node.user("a"), 1)
	proxy.Drop()
	mover := open(t, postgres.Config{DSN: cluster.DSN(database) + "&pool_max_conns=2", Exclusive: true})
	proxy.Pass()
	for name, err := range map[string]error{
		"a refresh":    func() error { _, err := node.rotate(id, 1); return err }(),
		"a check":      func() error { _, err := node.Session(t.Context(), id); return err }(),
		"another call": node.EndSession(t.Context(), id),
		"ready":        node.Ready(t.Context()),
	} {
		if !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("%s during a copy: %v, want ErrUnavailable", name, err)
		}
	}
	if err := mover.Close(); err != nil {
		t.Error(err)
	}
	if moved, err := node.rotate(id, 1); err != nil || !moved {
		t.Errorf("after the copy: moved %v, %v", moved, err)
	}
}

// TestAloneLeavesTheSchema: who is refused, because another is there, has not
// changed the schema under it; and two connections are enough to make one.
func TestAloneLeavesTheSchema(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	dsn := cluster.DSN(database) + "&pool_max_conns=2"
	there := ghost(t, cluster.DSN(database), "SELECT pg_advisory_lock_shared(x'5061776d'::bigint)")
	if _, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Exclusive: true}); err == nil || !strings.Contains(err.Error(), "stop all") {
		t.Errorf("beside another: %v", err)
	}
	if n := number(t, cluster.DSN(database), "SELECT count(*) FROM pg_namespace WHERE nspname = 'pawl'"); n != 0 {
		t.Error("the schema was made")
	}
	if err := there.Close(t.Context()); err != nil {
		t.Error(err)
	}
	openNode(t, postgres.Config{DSN: dsn, Exclusive: true})
}

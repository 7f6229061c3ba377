//go:build linux

package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		dsn := cluster.DSN(cluster.Database(t))
		return func() storetest.Store { return open(t, postgres.Config{DSN: dsn}) }
	})
}

// farFuture is a time that no test reaches.
const farFuture = 1 << 40

// farLives are the lives of sessions that never expire in a test.
var farLives = authority.Lives{Token: farFuture, Idle: farFuture}

// node is the store of a node, with helpers for tests.
type node struct {
	*postgres.Store
	t testing.TB
}

// open opens a store. The test has to close the store.
func open(t testing.TB, c postgres.Config) node {
	t.Helper()
	s, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return node{s, t}
}

// openNode opens a store, and closes it when the test ends.
func openNode(t testing.TB, c postgres.Config) node {
	t.Helper()
	n := open(t, c)
	t.Cleanup(n.close)
	return n
}

// openNodes opens the stores of two nodes on one database, and closes them when the test ends.
func openNodes(t testing.TB, dsn string) [2]node {
	t.Helper()
	return [2]node{openNode(t, postgres.Config{DSN: dsn}), openNode(t, postgres.Config{DSN: dsn})}
}

func (n node) close() {
	n.t.Helper()
	if err := n.Close(); err != nil {
		n.t.Error(err)
	}
}

// newUser creates an active user with the password hash "hash".
func (n node) newUser(login string) *authority.User {
	n.t.Helper()
	user := authority.User{Login: login, Level: authority.MailboxUser, Status: authority.Active}
	u, err := n.CreateUser(n.t.Context(), authority.Rights{}, user, "hash")
	if err != nil {
		n.t.Fatal(err)
	}
	return u
}

// sessionID returns the id of a test's session with a number.
func sessionID(number byte) token.SessionID { return token.SessionID{number, 15: 7} }

// sessionOf returns a session in its first generation.
func sessionOf(user *authority.User, id token.SessionID) authority.SessionWithOrigin {
	return authority.SessionWithOrigin{Session: authority.Session{
		ID: id, UserID: user.ID, Generation: 1, Expires: farFuture, Idle: farFuture, Ends: farFuture,
	}}
}

// openingOf returns the opening of sessionOf, without a cap.
func openingOf(user *authority.User, id token.SessionID) authority.Opening {
	return authority.Opening{SessionWithOrigin: sessionOf(user, id), PasswordHash: "hash"}
}

// newSession opens a session with sessionID(number).
func (n node) newSession(user *authority.User, number byte) token.SessionID {
	n.t.Helper()
	id := sessionID(number)
	if _, err := n.OpenSession(n.t.Context(), openingOf(user, id)); err != nil {
		n.t.Fatal(err)
	}
	return id
}

func (n node) rotate(id token.SessionID, from uint32) (rotated bool, err error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Second)
	defer cancel()
	_, rotated, err = n.Rotate(ctx, authority.Rotation{Session: id, From: from, Lives: farLives})
	return rotated, err
}

// mustRotate fails the test unless the rotation succeeds.
func (n node) mustRotate(id token.SessionID, from uint32) {
	n.t.Helper()
	if rotated, err := n.rotate(id, from); err != nil || !rotated {
		n.t.Errorf("rotation from generation %d: rotated %v, %v", from, rotated, err)
	}
}

// openTransaction runs a statement and leaves its transaction open, like a disappeared node.
func openTransaction(t *testing.T, dsn, sql string, args ...any) *pgx.Conn {
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

// endTransaction runs COMMIT or ROLLBACK.
func endTransaction(t *testing.T, conn *pgx.Conn, how string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), how); err != nil {
		t.Fatal(err)
	}
}

// queryNumber returns the number selected by a query.
func queryNumber(t testing.TB, dsn, sql string) (number float64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&number); err != nil {
		t.Fatal(err)
	}
	return number
}

// awaitNumber waits until a query selects a number.
func awaitNumber(t *testing.T, dsn, sql string, want int64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for queryNumber(t, dsn, sql) != float64(want) {
		if time.Now().After(deadline) {
			t.Fatalf("no result of %d from %s", want, sql)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestNodesShareCounters begins many attempts at once on two nodes. The nodes admit the five free ones together.
func TestNodesShareCounters(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	nodes := openNodes(t, cluster.DSN(cluster.Database(t)))
	account := throttle.HashLogin("ada")
	var admitted atomic.Int64
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			id := throttle.AttemptID{byte(i + 1)}
			attempt := throttle.Attempt{ID: id, Account: account, Address: fmt.Sprint(i), At: 1000}
			wait, _, err := nodes[i%2].BeginAttempt(t.Context(), attempt)
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				admitted.Add(1)
			}
		})
	}
	group.Wait()
	if n := admitted.Load(); n != 5 {
		t.Errorf("two nodes admitted %d attempts, want 5", n)
	}
	options := authority.EndOptions{ClearAttempts: new(account)}
	if _, err := nodes[0].EndSessions(t.Context(), authority.Rights{}, 0, options); err != nil {
		t.Fatal(err)
	}
	wait, _, err := nodes[1].BeginAttempt(t.Context(), throttle.Attempt{Account: account, Address: "a", At: 1000})
	if err != nil || wait != 0 {
		t.Errorf("after the other node cleared the attempts: wait %v, %v", wait, err)
	}
}

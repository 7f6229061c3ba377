//go:build linux

package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// logBuffer is a log that a test can read while a node writes.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) contains(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.text.String(), text)
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// rotateUntilDone repeats a rotation until its outcome is known.
func (n node) rotateUntilDone(id token.SessionID, from uint32) {
	n.t.Helper()
	for n.t.Context().Err() == nil {
		rotated, err := n.rotate(id, from)
		if err == nil {
			if !rotated {
				n.t.Errorf("the rotation from generation %d was refused", from)
			}
			return
		}
		if !errors.Is(err, fault.ErrUnavailable) {
			n.t.Fatal(err)
		}
	}
}

// replacement is a primary and a standby that is promoted while the primary lives on.
type replacement struct {
	primary, standby *pgtest.Cluster
	database         string
}

// newReplacement starts a primary with a standby. If synchronous is set, each commit waits for the standby.
func newReplacement(t *testing.T, synchronous bool) replacement {
	t.Helper()
	r := replacement{primary: pgtest.Start(t)}
	r.database = r.primary.Database(t)
	r.standby = r.primary.Standby(t, "s", r.primary.Addr)
	if synchronous {
		r.primary.SetStandbys(t, "s")
	}
	return r
}

// TestReplacedPrimary promotes the standby while the primary lives on and accepts writes. A node whose address names
// the primary first moves to the standby, so does a node that starts then, and neither goes back while the standby is
// unreachable.
func TestReplacedPrimary(t *testing.T) {
	t.Parallel()
	r := newReplacement(t, false)
	front := pgtest.NewProxy(t, r.standby.Addr)
	dsn := pgtest.DSN(r.database, r.primary.Addr, front.Addr)
	var log logBuffer
	n := openNode(t, postgres.Config{DSN: dsn, PrimaryLog: log.logger()})
	id := n.newSession(n.newUser("a"), 1)
	n.mustRotate(id, 1)
	awaitNumber(t, strings.Replace(r.standby.DSN(r.database), "read-write", "any", 1),
		"SELECT coalesce(max(generation), 0) FROM pawl.session", 2) // it may have no row yet
	r.standby.Promote(t)
	newDSN := r.standby.DSN(r.database)
	awaitTrue(t, "the pool to move", func() bool {
		_, _ = n.Session(t.Context(), id)
		// The watcher has one connection, the pool has the others.
		return queryNumber(t, newDSN, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pawl'") >= 2
	})
	n.rotateUntilDone(id, 2)
	if generation := queryNumber(t, newDSN, "SELECT generation FROM pawl.session"); generation != 3 {
		t.Errorf("the new primary has generation %v, want 3", generation)
	}
	if generation := queryNumber(t, r.primary.DSN(r.database), "SELECT generation FROM pawl.session"); generation != 2 {
		t.Errorf("the replaced primary has generation %v, want 2", generation)
	}
	late := openNode(t, postgres.Config{DSN: dsn})
	late.mustRotate(id, 3)
	if !log.contains("the database has no synchronous standby") || !log.contains("the database has a new primary") {
		t.Errorf("the log lacks a fact: %s", &log.text)
	}
	front.Drop()
	for _, node := range []node{n, late} {
		if _, err := node.Session(t.Context(), id); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("a check while only the replaced primary answers: %v, want ErrUnavailable", err)
		}
		if rotated, err := node.rotate(id, 2); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("a refresh while only the replaced primary answers: rotated %v, %v; want ErrUnavailable",
				rotated, err)
		}
	}
}

// TestLease promotes the synchronous standby while the primary lives on, and a node reaches only the primary. No answer
// of the node disagrees with a change that another node has made on the new primary.
func TestLease(t *testing.T) {
	t.Parallel()
	r := newReplacement(t, true)
	n := openNode(t, postgres.Config{DSN: r.primary.DSN(r.database)})
	user := n.newUser("a")
	id, other := n.newSession(user, 1), n.newSession(user, 2)
	n.mustRotate(id, 1)
	if _, err := n.Session(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.standby.Promote(t)
	moved := openNode(t, postgres.Config{DSN: r.standby.DSN(r.database)})
	moved.mustRotate(id, 2)
	moved.mustRotate(other, 1)
	if got, err := n.Session(t.Context(), id); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a check by the replaced primary: generation %d, %v; want ErrUnavailable", got.Session.Generation, err)
	}
	if _, _, err := n.APIKeyByHash(t.Context(), authority.APIKeyHash{1}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a check of an API key by the replaced primary: %v, want ErrUnavailable", err)
	}
	if _, err := n.User(t.Context(), user.ID); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a user by the replaced primary: %v, want ErrUnavailable", err)
	}
	// The successor is not current on the replaced primary: it would be refused there.
	if rotated, err := n.rotate(id, 3); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a refresh by the replaced primary: rotated %v, %v; want ErrUnavailable", rotated, err)
	}
	if err := n.Ready(t.Context()); err == nil {
		t.Error("a node that reaches only the replaced primary is ready")
	}
}

// TestLeaseOfTwoStandbys has two synchronous standbys, and promotes one of them. The other one still follows the
// replaced primary. If one of them is enough for a commit, there is no lease: a node that reaches only the replaced
// primary believes it, as docs/operations.md states, and the log warns of it. A node that reaches all hosts does not.
// If every commit waits for both standbys, the replaced primary gives no more answers.
func TestLeaseOfTwoStandbys(t *testing.T) {
	t.Parallel()
	r := newReplacement(t, false)
	r.primary.Standby(t, "s2", r.primary.Addr)
	var log logBuffer
	n := openNode(t, postgres.Config{DSN: r.primary.DSN(r.database), PrimaryLog: log.logger()})
	whole := openNode(t, postgres.Config{DSN: pgtest.DSN(r.database, r.primary.Addr, r.standby.Addr)})
	id := n.newSession(n.newUser("a"), 1)
	r.primary.SetStandbys(t, "ANY 2 (s, s2)")
	awaitLog(t, &log, "every commit waits for each standby that may be promoted")
	n.mustRotate(id, 1)
	r.primary.SetStandbys(t, "ANY 1 (s, s2)")
	awaitLog(t, &log, "a commit waits for 1 of several standbys")
	r.standby.Promote(t)
	moved := openNode(t, postgres.Config{DSN: r.standby.DSN(r.database)})
	moved.mustRotate(id, 2)
	got, err := n.Session(t.Context(), id)
	if err != nil || got.Session.Generation != 2 {
		t.Errorf("a check by the replaced primary without a lease: generation %d, %v; docs/operations.md states 2",
			got.Session.Generation, err)
	}
	awaitTrue(t, "the node that reaches all hosts", func() bool {
		got, err := whole.Session(t.Context(), id)
		return err == nil && got.Session.Generation == 3
	})
	r.primary.SetStandbys(t, "ANY 2 (s, s2)")
	awaitTrue(t, "the replaced primary to answer no more", func() bool {
		_, err := n.Session(t.Context(), id)
		return errors.Is(err, fault.ErrUnavailable)
	})
}

// awaitLog waits until the log contains a text.
func awaitLog(t *testing.T, log *logBuffer, text string) {
	t.Helper()
	awaitTrue(t, "the log: "+text, func() bool { return log.contains(text) })
}

// awaitTrue waits until a condition is true.
func awaitTrue(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// TestCancelledWaitIsNoLease cancels all waits for a standby, as an operator can. PostgreSQL then answers that a commit
// succeeded, but no check may rest on it.
func TestCancelledWaitIsNoLease(t *testing.T) {
	t.Parallel()
	r := newReplacement(t, true)
	dsn := r.primary.DSN(r.database)
	n := openNode(t, postgres.Config{DSN: dsn})
	id := n.newSession(n.newUser("a"), 1)
	r.standby.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	var operator sync.WaitGroup
	operator.Go(func() {
		runUntilDone(ctx, t, dsn, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	})
	awaitTrue(t, "the lease to expire", func() bool {
		_, err := n.Session(t.Context(), id)
		return errors.Is(err, fault.ErrUnavailable)
	})
	for range 3 {
		if _, err := n.Session(t.Context(), id); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("a check without the standby: %v, want ErrUnavailable", err)
		}
	}
	cancel()
	operator.Wait()
}

// TestTimelineNotPermitted denies a node the functions that return the timeline, as some managed databases do. The node
// works, and the log names the risk.
func TestTimelineNotPermitted(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	cluster.Exec(t, database,
		"CREATE ROLE limited LOGIN", "CREATE SCHEMA pawl", "GRANT ALL ON SCHEMA pawl TO limited",
		"REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC")
	front := pgtest.NewProxy(t, cluster.Addr)
	dsn := strings.Replace(pgtest.DSN(database, cluster.Addr, front.Addr), "pawl@", "limited@", 1)
	var log logBuffer
	n := openNode(t, postgres.Config{DSN: dsn, PrimaryLog: log.logger()})
	id := n.newSession(n.newUser("a"), 1)
	n.mustRotate(id, 1)
	if _, err := n.Session(t.Context(), id); err != nil {
		t.Error(err)
	}
	if !log.contains("the database does not permit pg_walfile_name") {
		t.Errorf("the log lacks a warning: %s", &log.text)
	}
}

// TestHostThatRejectsTheLogin names a host first that rejects the login, as a standby without the latest password does.
// A node reaches the primary behind that host at its start, and with later connections.
func TestHostThatRejectsTheLogin(t *testing.T) {
	t.Parallel()
	rejecting, primary := pgtest.Start(t), pgtest.Start(t)
	rejecting.RequirePassword(t, "pawl")
	database := primary.Database(t)
	n := openNode(t, postgres.Config{DSN: pgtest.DSN(database, rejecting.Addr, primary.Addr)})
	id := n.newSession(n.newUser("a"), 1)
	const terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pawl'"
	primary.Exec(t, "postgres", terminate)
	n.rotateUntilDone(id, 1)
}

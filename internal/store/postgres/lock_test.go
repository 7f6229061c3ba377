//go:build linux

package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestExclusive checks that an exclusive store opens only if no other store is open, prevents other stores from opening
// while it is open, and notices the loss of its lock.
func TestExclusive(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := open(t, postgres.Config{DSN: dsn})
	requireOpenError(t, postgres.Config{DSN: dsn, Exclusive: true}, "stop all")
	n.close()
	copier := open(t, postgres.Config{DSN: dsn, Exclusive: true})
	requireOpenError(t, postgres.Config{DSN: dsn}, "being copied")
	if _, err := copier.Count(t.Context()); err != nil {
		t.Errorf("the exclusive store itself: %v", err)
	}
	cluster.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
	if _, err := copier.Count(t.Context()); err == nil {
		t.Error("the exclusive store does not notice the loss of its lock")
	}
	copier.close()
	openNode(t, postgres.Config{DSN: dsn})
}

// requireOpenError checks that Open fails with an error containing a text.
func requireOpenError(t *testing.T, c postgres.Config, text string) {
	t.Helper()
	s, err := postgres.Open(t.Context(), c)
	if err == nil {
		s.Close()
	}
	if !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("Open with Exclusive %v: %v, want %q", c.Exclusive, err, text)
	}
}

// TestExclusiveInTurn opens each store right after the one before was closed, when the server may not have noticed yet.
func TestExclusiveInTurn(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	for i := range 40 {
		s, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Exclusive: i%2 == 1})
		if err != nil {
			t.Fatalf("store %d: %v", i, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestExclusiveFencesNode disconnects a node and opens an exclusive store. Until the exclusive store is closed, the
// node returns ErrUnavailable. Afterwards the node works again without a restart.
func TestExclusiveFencesNode(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	dsn := pgtest.DSN(database, proxy.Addr) + "&pool_max_conns=2"
	n := openNode(t, postgres.Config{DSN: dsn, Staleness: time.Millisecond})
	id := n.newSession(n.newUser("a"), 1)
	proxy.Drop()
	copier := open(t, postgres.Config{DSN: cluster.DSN(database) + "&pool_max_conns=2", Exclusive: true})
	proxy.Pass()
	_, refreshErr := n.rotate(id, 1)
	_, checkErr := n.Session(t.Context(), id)
	for name, err := range map[string]error{
		"a refresh": refreshErr,
		"a check":   checkErr,
		"the end":   n.EndSession(t.Context(), authority.Rights{}, id),
		"readiness": n.Ready(t.Context()),
	} {
		if !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("%s during a copy: %v, want ErrUnavailable", name, err)
		}
	}
	copier.close()
	n.mustRotate(id, 1)
}

// TestExclusiveKeepsSchema checks that a rejected exclusive store has not changed the schema under the other store, and
// that two connections are enough to create a schema.
func TestExclusiveKeepsSchema(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	dsn := cluster.DSN(database) + "&pool_max_conns=2"
	other := openTransaction(t, cluster.DSN(database), "SELECT pg_advisory_lock_shared(x'5061776d'::bigint)")
	requireOpenError(t, postgres.Config{DSN: dsn, Exclusive: true}, "stop all")
	schemas := queryNumber(t, cluster.DSN(database), "SELECT count(*) FROM pg_namespace WHERE nspname = 'pawl'")
	if schemas != 0 {
		t.Error("the rejected store has created the schema")
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
	openNode(t, postgres.Config{DSN: dsn, Exclusive: true})
}

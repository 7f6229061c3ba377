//go:build linux

package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

func exec(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// openRow opens a store, or returns its error.
func openRow(t *testing.T, dsn string, exclusive bool) (*Store, error) {
	t.Helper()
	return Open(t.Context(), Config{DSN: dsn, Exclusive: exclusive})
}

// mustOpenRow opens a store.
func mustOpenRow(t *testing.T, dsn string, exclusive bool) *Store {
	t.Helper()
	s, err := openRow(t, dsn, exclusive)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refuseRow checks that a store cannot be opened.
func refuseRow(t *testing.T, dsn string, exclusive bool, text string) {
	t.Helper()
	s, err := openRow(t, dsn, exclusive)
	if err == nil {
		s.Close()
		t.Fatalf("a store with Exclusive %v was opened beside another one", exclusive)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %q, want %q", err, text)
	}
}

// TestRowLocks checks, on an engine without advisory locks, that nodes which start at once create the schema once, and
// that nodes and an exclusive store keep each other out, also after one of them was killed.
func TestRowLocks(t *testing.T) {
	dsn := otherEngine(t, withoutAdvisoryLocks).newDatabase(t)
	nodes := make([]*Store, 2)
	var group sync.WaitGroup
	for i := range nodes {
		group.Go(func() {
			var err error
			if nodes[i], err = openRow(t, dsn, false); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	refuseRow(t, dsn, true, "stop all")
	for _, n := range nodes {
		n.Close()
	}

	// A killed node leaves its row behind.
	exec(t, dsn, "INSERT INTO pawl.node VALUES (1, now() + interval '1 hour')")
	refuseRow(t, dsn, true, "stop all")
	exec(t, dsn, "UPDATE pawl.node SET until = now()")
	copier := mustOpenRow(t, dsn, true)
	defer copier.Close()
	refuseRow(t, dsn, false, "being copied")
	if _, err := copier.Count(t.Context()); err != nil {
		t.Errorf("the exclusive store itself: %v", err)
	}

	// A killed exclusive store loses its transaction.
	exec(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
	if _, err := copier.Count(t.Context()); err == nil {
		t.Error("the exclusive store does not notice the loss of its lock")
	}
	mustOpenRow(t, dsn, false).Close()
}

// TestExpiredRow checks that a node whose row is not valid answers nothing, and works again after a renewal.
func TestExpiredRow(t *testing.T) {
	n := mustOpenRow(t, otherEngine(t, withoutAdvisoryLocks).newDatabase(t), false)
	defer n.Close()
	n.rowLocks.mu.Lock()
	n.rowLocks.renewed = time.Now().Add(-time.Hour)
	n.rowLocks.mu.Unlock()
	if err := n.Ready(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a node without a valid row: %v, want ErrUnavailable", err)
	}
	if err := n.renewRow(t.Context()); err != nil {
		t.Error(err)
	}
	if err := n.Ready(t.Context()); err != nil {
		t.Errorf("after a renewal: %v", err)
	}
}

//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestNothingIsSaidBeforeTheStandbyHasIt: while no synchronous standby answers,
// no step is called done, also not one that is asked for again, when the first
// try has left nothing to do.
func TestNothingIsSaidBeforeTheStandbyHasIt(t *testing.T) {
	cluster := pgtest.Start(t)
	node := openNode(t, postgres.Config{DSN: cluster.DSN(cluster.Database(t))})
	user, other := node.user("a"), node.user("b")
	ended, refreshed, keyed := node.session(user, 1), node.session(other, 2), node.session(other, 3)
	node.session(user, 4)
	key, err := node.CreateAPIKey(t.Context(), authority.APIKey{UserID: user.ID}, authority.APIKeyHash{1})
	if err != nil {
		t.Fatal(err)
	}
	suspended := authority.Suspended
	steps := map[string]func(context.Context) error{
		"EndSession":  func(ctx context.Context) error { return node.EndSession(ctx, ended) },
		"EndSessions": func(ctx context.Context) error { return node.EndSessions(ctx, user.ID, token.SessionID{}) },
		"DeleteKey":   func(ctx context.Context) error { return node.DeleteAPIKey(ctx, key.ID) },
		"SetPassword": func(ctx context.Context) error {
			return node.SetPassword(ctx, user.ID, authority.PasswordChange{Hash: "new", EndSessions: true})
		},
		"UpdateUser": func(ctx context.Context) error {
			_, err := node.UpdateUser(ctx, user.ID, authority.UserChange{Status: &suspended})
			return err
		},
		"Rotate": func(ctx context.Context) error {
			_, _, err := node.Rotate(ctx, authority.Rotation{Session: refreshed, From: 1, Expires: 1 << 40})
			return err
		},
		"Rotate with a key": func(ctx context.Context) error {
			_, _, err := node.Rotate(ctx, authority.Rotation{Session: keyed, From: 1, Expires: 1 << 40, IdempotencyKey: authority.HashIdempotencyKey("k")})
			return err
		},
	}
	standby(t, cluster, "nobody")
	for _, try := range []string{"first", "second"} {
		var group sync.WaitGroup
		for name, step := range maps.All(steps) {
			group.Go(func() {
				if err := step(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("%s try of %s: %v, want ErrUnavailable", try, name, err)
				}
			})
		}
		group.Wait()
	}
	standby(t, cluster, "")
}

// standby names the synchronous standby, and returns once the server holds to it.
func standby(t *testing.T, cluster *pgtest.Cluster, name string) {
	t.Helper()
	cluster.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '"+name+"'", "SELECT pg_reload_conf()")
	want := int64(len(name))
	waitFor(t, cluster, "postgres", "SELECT length(current_setting('synchronous_standby_names'))", want)
}

// TestWaitCutShort: an operator who cancels what waits for the standby makes
// PostgreSQL call it done. Pawl does not.
func TestWaitCutShort(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	node := store{open(t, postgres.Config{DSN: dsn}), t}
	user := node.user("a")
	id := node.session(user, 1)
	standby(t, cluster, "nobody")
	ctx, cancel := context.WithCancel(t.Context())
	var canceller sync.WaitGroup
	canceller.Go(func() {
		operator, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			t.Error(err)
			return
		}
		defer operator.Close(context.Background())
		for ctx.Err() == nil {
			if _, err := operator.Exec(context.Background(), "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if moved, err := node.rotate(id, 1); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a refresh that no standby has: moved %v, %v", moved, err)
	}
	if err := node.EndSession(t.Context(), id); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("the end of a session that no standby has heard of: %v", err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
	mover := open(t, postgres.Config{DSN: dsn, Exclusive: true})
	if err := mover.WriteUsers(t.Context(), []authority.UserWithHash{{User: authority.User{ID: 9, Login: "b"}}}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a copy that no standby has: %v", err)
	}
	if err := mover.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	canceller.Wait()
	standby(t, cluster, "")
}

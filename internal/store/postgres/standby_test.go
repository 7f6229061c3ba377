//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestStandbyConfirmsChanges makes each change while no standby answers. No call succeeds, and neither does a second
// call, although the first one has left nothing to change.
func TestStandbyConfirmsChanges(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(cluster.Database(t))})
	user, other := n.newUser("a"), n.newUser("b")
	n.newSession(user, 1)
	n.newSession(other, 2)
	n.newSession(other, 3)
	n.newSession(user, 4)
	apiKey := authority.APIKey{UserID: user.ID}
	key, err := n.CreateAPIKey(t.Context(), authority.Rights{}, apiKey, authority.APIKeyHash{1})
	if err != nil {
		t.Fatal(err)
	}
	suspended := authority.Suspended
	rotate := func(ctx context.Context, r authority.Rotation) error {
		_, _, err := n.Rotate(ctx, r)
		return err
	}
	changes := map[string]func(context.Context) error{
		"EndSession": func(ctx context.Context) error { return n.EndSession(ctx, authority.Rights{}, sessionID(1)) },
		"EndSessions": func(ctx context.Context) error {
			return n.endSessions(ctx, user.ID, authority.EndOptions{})
		},
		"DeleteAPIKey": func(ctx context.Context) error { return n.DeleteAPIKey(ctx, authority.Rights{}, key.ID) },
		"SetPassword": func(ctx context.Context) error {
			change := authority.PasswordChange{Hash: "new", EndSessions: true}
			return n.SetPassword(ctx, authority.Rights{}, user.ID, change)
		},
		"UpdateUser": func(ctx context.Context) error {
			_, err := n.UpdateUser(ctx, authority.Rights{}, user.ID, authority.UserChange{Status: &suspended})
			return err
		},
		"Rotate": func(ctx context.Context) error {
			return rotate(ctx, authority.Rotation{Session: sessionID(2), From: 1, Lives: farLives})
		},
		"Rotate with an Idempotency-Key": func(ctx context.Context) error {
			key := authority.HashIdempotencyKey("k")
			return rotate(ctx, authority.Rotation{
				Session: sessionID(3), From: 1, Lives: farLives, IdempotencyKey: key,
			})
		},
	}
	cluster.SetStandbys(t, "missing")
	for _, try := range []string{"first", "second"} {
		var group sync.WaitGroup
		for name, change := range changes {
			group.Go(func() {
				if err := change(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("%s call of %s: %v, want ErrUnavailable", try, name, err)
				}
			})
		}
		group.Wait()
	}
	cluster.SetStandbys(t, "")
}

// TestStandbyConfirmsReplays makes many identical rotations at once, with and without an Idempotency-Key, while no
// standby answers. No caller gets the successor, and neither does a caller who repeats a rotation without its key.
func TestStandbyConfirmsReplays(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(cluster.Database(t))})
	user := n.newUser("a")
	sessions := map[string]token.SessionID{"": n.newSession(user, 1), "key": n.newSession(user, 2)}
	cluster.SetStandbys(t, "missing")
	var group sync.WaitGroup
	for key, id := range sessions {
		r := authority.Rotation{
			Session: id, From: 1, Lives: farLives, IdempotencyKey: authority.HashIdempotencyKey(key),
		}
		for range 64 {
			group.Go(func() {
				result, rotated, err := n.Rotate(t.Context(), r)
				if !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("Idempotency-Key %q: rotated %v to generation %d, %v; want ErrUnavailable",
						key, rotated, result.Session.Generation, err)
				}
			})
		}
	}
	group.Wait()
	result, _, err := n.Rotate(t.Context(), authority.Rotation{Session: sessions["key"], From: 1, Lives: farLives})
	if !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("repeated without its key: generation %d, %v; want ErrUnavailable", result.Session.Generation, err)
	}
	cluster.SetStandbys(t, "")
}

// TestCancelledWait cancels the wait for the standby, as an operator can. PostgreSQL then answers that the commit
// succeeded, and Pawl must not.
func TestCancelledWait(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := open(t, postgres.Config{DSN: dsn})
	id := n.newSession(n.newUser("a"), 1)
	cluster.SetStandbys(t, "missing")
	ctx, cancel := context.WithCancel(t.Context())
	var operator sync.WaitGroup
	operator.Go(func() {
		runUntilDone(ctx, t, dsn, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	})
	if rotated, err := n.rotate(id, 1); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a refresh that no standby has: rotated %v, %v; want ErrUnavailable", rotated, err)
	}
	if err := n.EndSession(t.Context(), authority.Rights{}, id); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("the end of a session that no standby has: %v, want ErrUnavailable", err)
	}
	n.close()
	copier := open(t, postgres.Config{DSN: dsn, Exclusive: true})
	users := []authority.UserWithHash{{User: authority.User{ID: 9, Login: "b"}}}
	if err := copier.WriteUsers(t.Context(), users); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a copy that no standby has: %v, want ErrUnavailable", err)
	}
	copier.close()
	cancel()
	operator.Wait()
	cluster.SetStandbys(t, "")
}

// TestOtherWarnings sends a warning unrelated to the standby with every change. The changes succeed.
func TestOtherWarnings(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	id := n.newSession(n.newUser("a"), 1)
	cluster.Exec(t, database,
		`CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE WARNING 'of something else'; RETURN coalesce(NEW, OLD); END $$`,
		"CREATE TRIGGER warn BEFORE UPDATE OR DELETE ON pawl.session FOR EACH ROW EXECUTE FUNCTION warn()")
	n.mustRotate(id, 1)
	if err := n.EndSession(t.Context(), authority.Rights{}, id); err != nil {
		t.Error(err)
	}
}

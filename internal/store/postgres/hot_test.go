//go:build linux

package postgres_test

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestHotSessions: two nodes have a thousand refreshes at once of the same few
// sessions, with and without an Idempotency-Key, while the database is vacuumed,
// dumped and swept. Each generation has one winner, and nobody is turned away.
func TestHotSessions(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	nodes := []store{openNode(t, postgres.Config{DSN: dsn}), openNode(t, postgres.Config{DSN: dsn})}
	user := nodes[0].user("a")
	ctx, cancel := context.WithCancel(t.Context())
	var chores sync.WaitGroup
	chore := func(statements ...string) {
		chores.Go(func() {
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
		})
	}
	chore("VACUUM (FREEZE, ANALYZE) pawl.session")
	chore("BEGIN ISOLATION LEVEL REPEATABLE READ", "LOCK TABLE pawl.session IN ACCESS SHARE MODE", "SELECT count(*) FROM pawl.session, pg_sleep(0.05)", "COMMIT")
	chores.Go(func() {
		for ctx.Err() == nil {
			if _, _, err := nodes[0].Sweep(context.Background(), math.MaxInt32, 2); err != nil {
				t.Error(err)
			}
		}
	})
	const sessions, rounds, callers = 4, 8, 256
	for from := uint32(1); from <= rounds; from++ {
		var wins [sessions]atomic.Int32
		var group sync.WaitGroup
		for n := range sessions {
			if from == 1 {
				nodes[0].session(user, byte(n))
			}
			for caller := range callers {
				group.Go(func() {
					r := authority.Rotation{Session: token.SessionID{byte(n), 15: 7}, From: from, Expires: 1 << 40}
					if n%2 == 1 {
						r.IdempotencyKey = authority.HashIdempotencyKey("key")
					}
					_, moved, err := nodes[caller%2].Rotate(t.Context(), r)
					if err != nil {
						t.Errorf("session %d from %d: %v", n, from, err)
					}
					if moved {
						wins[n].Add(1)
					}
				})
			}
		}
		group.Wait()
		for n := range sessions {
			if won := wins[n].Load(); won != 1 {
				t.Errorf("session %d, generation %d: %d winners", n, from, won)
			}
		}
	}
	cancel()
	chores.Wait()
}

// TestOldTokenHoldsNothing: a refresh with an old token takes no lock. Else a
// flood of them on many nodes would hold the row against its owner.
func TestOldTokenHoldsNothing(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	node := openNode(t, postgres.Config{DSN: dsn})
	id := node.session(node.user("a"), 1)
	if moved, err := node.rotate(id, 1); err != nil || !moved {
		t.Fatalf("moved %v, %v", moved, err)
	}
	const holder = "SELECT xmax::text::bigint FROM pawl.session" // who has locked it last
	before := number(t, dsn, holder)
	if moved, err := node.rotate(id, 1); err != nil || moved {
		t.Fatalf("an old token: moved %v, %v", moved, err)
	}
	if after := number(t, dsn, holder); after != before {
		t.Errorf("the row was locked: %v, before %v", after, before)
	}
}

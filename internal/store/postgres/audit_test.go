//go:build linux

package postgres_test

import (
	"context"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestEventsWaitForEarlierOnes checks that events do not appear before those with lower ids: a node and an import wait
// until another node, which has taken its ids already, has committed.
func TestEventsWaitForEarlierOnes(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn})
	users := []authority.UserWithHash{{User: authority.User{Login: "a", Status: authority.Active}, PasswordHash: "h"}}
	event := audit.Event{At: 1, Kind: audit.UserCreated}
	for name, add := range map[string]func(context.Context) error{
		"events": func(ctx context.Context) error { return n.AddEvents(ctx, []audit.Event{event}) },
		"an import": func(ctx context.Context) error {
			_, err := n.ImportUsers(ctx, users, event)
			return err
		},
	} {
		earlier := openTransaction(t, dsn, "SELECT FROM pawl.lock WHERE name = 'events' FOR UPDATE")
		_, err := earlier.Exec(t.Context(), "INSERT INTO pawl.event (at, kind, user_id, caller_id, address, request,"+
			" detail) VALUES (0, '', 0, 0, '', '', 'earlier')")
		if err != nil {
			t.Fatal(err)
		}
		added := make(chan error, 1)
		go func() { added <- add(t.Context()) }()
		awaitNumber(t, dsn, countLockWaits, 1)
		if _, err := earlier.Exec(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		if err := <-added; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		const lastIsEarlier = "SELECT count(*) FROM (SELECT detail FROM pawl.event ORDER BY id DESC LIMIT 1) AS last" +
			" WHERE detail = 'earlier'"
		if queryNumber(t, dsn, lastIsEarlier) != 0 {
			t.Errorf("%s: have a lower id than the events that appeared before", name)
		}
	}
}

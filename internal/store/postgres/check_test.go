//go:build linux

package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// damages are changes that the constraints of the tables forbid, with the problems that Check finds.
var damages = []struct{ sql, repair, problem string }{
	{
		sql: "UPDATE pawl.session SET user_id = 99", repair: "UPDATE pawl.session SET user_id = 1",
		problem: "2 sessions have no user, for example 01",
	},
	{
		sql: "UPDATE pawl.session SET epoch = 5", repair: "UPDATE pawl.session SET epoch = 0",
		problem: "2 sessions are of a later epoch",
	},
	{
		sql: "UPDATE pawl.session SET generation = 0", repair: "UPDATE pawl.session SET generation = 1",
		problem: "2 sessions have no generation",
	},
	{
		sql: "UPDATE pawl.api_key SET user_id = 99", repair: "UPDATE pawl.api_key SET user_id = 1",
		problem: "1 API keys have no user, for example 2",
	},
	{sql: "DELETE FROM pawl.session", problem: "1 API keys belong to a session that does not exist"},
}

// TestCheck damages a store in each way that Check looks for, with the constraints turned off, while a node uses it.
func TestCheck(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	check := func() (storecopy.Report, error) { return postgres.Check(t.Context(), postgres.Config{DSN: dsn}) }
	if _, err := check(); !errors.Is(err, storecopy.ErrMissing) {
		t.Errorf("a database without a store: %v", err)
	}
	n := openNode(t, postgres.Config{DSN: dsn})
	root := authority.User{Login: "root", Level: authority.Root, Status: authority.Active}
	admin, err := n.CreateUser(t.Context(), authority.Rights{}, root, "hash")
	if err != nil {
		t.Fatal(err)
	}
	lasting := authority.APIKey{UserID: admin.ID}
	lasting, err = n.CreateAPIKey(t.Context(), authority.Rights{}, lasting, authority.APIKeyHash{2})
	if err != nil {
		t.Fatal(err)
	}
	if report, err := check(); err != nil || len(report.Problems) > 0 {
		t.Errorf("a store with no API key of a session: %+v, %v", report, err)
	}
	if err := n.DeleteAPIKey(t.Context(), authority.Rights{}, lasting.ID); err != nil {
		t.Fatal(err)
	}
	key := authority.APIKey{UserID: admin.ID, Session: n.newSession(admin, 1)}
	if _, err := n.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{1}); err != nil {
		t.Fatal(err)
	}
	n.newSession(admin, 2)
	want := storecopy.Counts{Users: 1, Sessions: 2, APIKeys: 1}
	if report, err := check(); err != nil || len(report.Problems) > 0 || report.Counts != want {
		t.Fatalf("a whole store: %+v, %v; want %+v", report, err, want)
	}
	for _, damage := range damages {
		pgtest.Exec(t, dsn, "SET session_replication_role = replica", damage.sql)
		report, err := check()
		if err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), damage.problem) {
			t.Errorf("%s: %+v, %v; want %q", damage.sql, report, err, damage.problem)
		}
		if damage.repair != "" {
			pgtest.Exec(t, dsn, damage.repair)
		}
	}
	for _, end := range []struct {
		sql  string
		want error
	}{
		{sql: "DELETE FROM pawl.api_key; UPDATE pawl.state SET copying = true", want: storecopy.ErrIncomplete},
		{sql: "UPDATE pawl.state SET copying = false; DELETE FROM pawl.users", want: storecopy.ErrNoAdministrator},
	} {
		pgtest.Exec(t, dsn, end.sql)
		if _, err := check(); !errors.Is(err, end.want) {
			t.Errorf("%s: %v, want %v", end.sql, err, end.want)
		}
	}
}

//go:build linux

package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestWarningsOfCitus suspends a user, and gets each warning by which Citus reports that a worker may not have a
// commit. The suspension is then not confirmed. PostgreSQL sends the warnings, and the routine of each is replaced by
// the one of Citus, so that the test runs without Citus.
func TestWarningsOfCitus(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	config, err := ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var severity, routine string
	config.pool.ConnConfig.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if n.Message == "of a worker" {
			n.SeverityUnlocalized, n.Routine = severity, routine
		}
		markCancelledWait(conn, n)
	}
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	login := authority.User{Login: "a", Level: authority.MailboxUser, Status: authority.Active}
	user, err := s.CreateUser(t.Context(), authority.Rights{}, login, "hash")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, dsn, `CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE WARNING 'of a worker'; RETURN NEW; END $$`)
	exec(t, dsn, "CREATE TRIGGER warn BEFORE UPDATE ON pawl.users FOR EACH ROW EXECUTE FUNCTION warn()")
	suspend := func() error {
		change := authority.UserChange{Status: new(authority.Suspended)}
		_, err := s.UpdateUser(t.Context(), authority.Rights{}, user.ID, change)
		return err
	}
	severity = "WARNING"
	for _, routine = range []string{
		"DefaultCitusNoticeReceiver", "FinishRemoteTransactionCommit", "StartRemoteTransactionCommit",
		"HandleRemoteTransactionConnectionError", "HandleRemoteTransactionResultError", "ReportConnectionError",
		"ReportResultError", "WarnAboutLeakedPreparedTransaction", "",
	} {
		if err := suspend(); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("after a warning of %q: %v, want ErrUnavailable", routine, err)
		}
	}
	severity, routine = "DEBUG", "DefaultCitusNoticeReceiver"
	if err := suspend(); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("after a warning of a worker at the commit: %v, want ErrUnavailable", err)
	}
	severity, routine = "WARNING", "exec_stmt_raise"
	if err := suspend(); err != nil {
		t.Errorf("after another warning: %v", err)
	}
}

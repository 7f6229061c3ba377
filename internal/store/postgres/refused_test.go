//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// refusals make a database refuse what touches a session: so many times, with a
// SQLSTATE.
const refusals = `CREATE SEQUENCE refusals; CREATE TABLE refusal (code text, times bigint); INSERT INTO refusal VALUES ('', 0);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE r refusal; BEGIN
		SELECT * INTO r FROM refusal;
		IF nextval('refusals') <= r.times THEN RAISE EXCEPTION USING ERRCODE = r.code, MESSAGE = 'refused'; END IF;
		RETURN coalesce(NEW, OLD);
	END $$`

const forGood = 1 << 40

// TestRefusedByTheDatabase: the database refuses each step, once or for good, as
// it works or at its commit. After a conflict the step is tried again; all else
// is said to be unavailable.
func TestRefusedByTheDatabase(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	node := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	user := node.user("a")
	cluster.Exec(t, database, refusals)
	steps := map[string]func(context.Context, token.SessionID) error{
		"Rotate": func(ctx context.Context, id token.SessionID) error {
			_, moved, err := node.Rotate(ctx, authority.Rotation{Session: id, From: 1, Expires: 1 << 40})
			if err == nil && !moved {
				t.Error("Rotate: not moved, and no error")
			}
			return err
		},
		"EndSession": func(ctx context.Context, id token.SessionID) error { return node.EndSession(ctx, id) },
		"EndSessions": func(ctx context.Context, _ token.SessionID) error {
			return node.EndSessions(ctx, user.ID, token.SessionID{})
		},
		"OpenSession": func(ctx context.Context, id token.SessionID) error {
			id[14]++
			return node.OpenSession(ctx, authority.SessionWithOrigin{Session: authority.Session{ID: id, UserID: user.ID, Generation: 1, Expires: 1 << 40, Ends: 1 << 40}}, "hash")
		},
		"SetPassword": func(ctx context.Context, _ token.SessionID) error {
			return node.SetPassword(ctx, user.ID, authority.PasswordChange{Hash: "hash", EndSessions: true})
		},
	}
	for when, trigger := range map[string]string{
		"at work":   "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON pawl.session FOR EACH ROW EXECUTE FUNCTION refuse()",
		"at commit": "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON pawl.session DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
	} {
		for name, step := range steps {
			try := func(code string, times int64) error {
				cluster.Exec(t, database, "DROP TRIGGER IF EXISTS refuse ON pawl.session", "DELETE FROM pawl.session")
				id := node.session(user, 1)
				cluster.Exec(t, database, "SELECT setval('refusals', 1, false)", fmt.Sprintf("UPDATE refusal SET code = '%s', times = %d", code, times), trigger)
				return step(t.Context(), id)
			}
			for _, code := range []string{"40003", "57P01", "57014", "53300", "53100", "25006", "58030", "55P03", "XX001", "0A000"} {
				if err := try(code, 1); err != nil && !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("%s refused %s with %s: %v", name, when, code, err)
				}
			}
			for _, code := range []string{"40001", "40P01"} {
				if err := try(code, 1); err != nil {
					t.Errorf("%s refused %s with %s once: %v", name, when, code, err)
				}
			}
			for _, code := range []string{"40001", "53100"} {
				if err := try(code, forGood); !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("%s refused %s with %s for good: %v", name, when, code, err)
				}
			}
		}
	}
}

// TestColumnChanged: a newer node, or an operator, has changed a column's type
// under statements that are prepared. Refreshes and checks do not fail.
func TestColumnChanged(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	node := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	user := node.user("a")
	id := node.session(user, 1)
	for from, columnType := range []string{"", "varchar(300)", "text"} {
		if columnType != "" {
			cluster.Exec(t, database, "ALTER TABLE pawl.users ALTER COLUMN login TYPE "+columnType)
		}
		if _, err := node.Session(t.Context(), id); err != nil {
			t.Errorf("a check, login %s: %v", columnType, err)
		}
		if moved, err := node.rotate(id, uint32(from)+1); err != nil || !moved {
			t.Errorf("a refresh, login %s: moved %v, %v", columnType, moved, err)
		}
		if _, err := node.User(t.Context(), user.ID); err != nil && !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("another call, login %s: %v", columnType, err)
		}
	}
}

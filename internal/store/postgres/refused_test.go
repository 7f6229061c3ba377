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

// createRefuse creates a trigger function that fails with the SQLSTATE and as many times as the table refusal has.
const createRefuse = `CREATE SEQUENCE refusals;
	CREATE TABLE refusal (code text, times bigint);
	INSERT INTO refusal VALUES ('', 0);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE r refusal; BEGIN
		SELECT * INTO r FROM refusal;
		IF nextval('refusals') <= r.times THEN RAISE EXCEPTION USING ERRCODE = r.code, MESSAGE = 'refused'; END IF;
		RETURN coalesce(NEW, OLD);
	END $$`

const always = 1 << 40

var unavailableCodes = []string{
	"40003", "57P01", "57014", "53300", "53100", "25006", "58030", "55P03", "XX001", "0A000",
}

// refuseTriggers has the triggers refusing a change of a table, by the moment of the refusal.
var refuseTriggers = map[string]string{
	"in the statement": `CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON pawl.%s
		FOR EACH ROW EXECUTE FUNCTION refuse()`,
	"at the commit": `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON pawl.%s
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`,
}

// TestDatabaseErrors makes the database fail each change with a SQLSTATE, once or always, in the statement or at the
// commit. After a conflict the change is tried again; every other error is ErrUnavailable.
func TestDatabaseErrors(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	user := n.newUser("a")
	cluster.Exec(t, database, createRefuse)
	changes := map[string]func(context.Context, token.SessionID) error{
		"Rotate": func(ctx context.Context, id token.SessionID) error {
			_, rotated, err := n.Rotate(ctx, authority.Rotation{Session: id, From: 1, Lives: farLives})
			if err == nil && !rotated {
				t.Error("Rotate: not rotated, and no error")
			}
			return err
		},
		"EndSession": func(ctx context.Context, id token.SessionID) error {
			return n.EndSession(ctx, authority.Rights{}, id)
		},
		"EndSessions": func(ctx context.Context, _ token.SessionID) error {
			return n.endSessions(ctx, user.ID, authority.EndOptions{})
		},
		"OpenSession": func(ctx context.Context, id token.SessionID) error {
			id[14]++
			_, err := n.OpenSession(ctx, openingOf(user, id))
			return err
		},
		"SetPassword": func(ctx context.Context, _ token.SessionID) error {
			change := authority.PasswordChange{Hash: "hash", EndSessions: true}
			return n.SetPassword(ctx, authority.Rights{}, user.ID, change)
		},
	}
	for when, trigger := range refuseTriggers {
		for name, change := range changes {
			try := func(code string, times int64) error {
				cluster.Exec(t, database, "DROP TRIGGER IF EXISTS refuse ON pawl.session",
					"DROP TRIGGER IF EXISTS refuse ON pawl.users", "DELETE FROM pawl.session")
				id := n.newSession(user, 1)
				cluster.Exec(t, database, "SELECT setval('refusals', 1, false)",
					fmt.Sprintf("UPDATE refusal SET code = '%s', times = %d", code, times),
					fmt.Sprintf(trigger, "session"), fmt.Sprintf(trigger, "users"))
				return change(t.Context(), id)
			}
			for _, code := range unavailableCodes {
				if err := try(code, 1); err != nil && !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("%s with %s %s: %v, want ErrUnavailable or nil", name, code, when, err)
				}
			}
			for _, code := range []string{"40001", "40P01"} {
				if err := try(code, 1); err != nil {
					t.Errorf("%s with %s once %s: %v", name, code, when, err)
				}
			}
			for _, code := range []string{"40001", "53100"} {
				if err := try(code, always); !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("%s with %s always %s: %v, want ErrUnavailable", name, code, when, err)
				}
			}
		}
	}
}

// TestColumnChanged changes the type of a column read by prepared statements, as a newer node or an operator may do.
// Refreshes and checks do not fail.
func TestColumnChanged(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	user := n.newUser("a")
	id := n.newSession(user, 1)
	for from, columnType := range []string{"", "varchar(300)", "text"} {
		if columnType != "" {
			cluster.Exec(t, database, "ALTER TABLE pawl.users ALTER COLUMN login TYPE "+columnType)
		}
		if _, err := n.Session(t.Context(), id); err != nil {
			t.Errorf("a check, login %s: %v", columnType, err)
		}
		n.mustRotate(id, uint32(from)+1)
		if _, err := n.User(t.Context(), user.ID); err != nil && !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("User, login %s: %v, want ErrUnavailable or nil", columnType, err)
		}
	}
}

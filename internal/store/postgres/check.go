package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// rules has queries for the rows that contradict other rows. The constraints of the tables forbid most of them, but
// constraints can be dropped, and a damaged index can miss a row.
var rules = []struct{ what, rows string }{
	{
		what: "sessions have no user",
		rows: "id FROM pawl.session s WHERE NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.id = s.user_id)",
	},
	{
		what: "sessions are of a later epoch than their user",
		rows: "s.id FROM pawl.session s JOIN pawl.users u ON u.id = s.user_id WHERE s.epoch > u.session_epoch",
	},
	{
		what: "sessions have no generation",
		rows: "id FROM pawl.session WHERE generation < 1",
	},
	{
		what: "API keys have no user",
		rows: "id FROM pawl.api_key k WHERE NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.id = k.user_id)",
	},
	{
		what: "API keys belong to a session that does not exist",
		rows: "id FROM pawl.api_key WHERE session_id IS NOT NULL AND session_id NOT IN " + // a short list
			"(SELECT s.id FROM pawl.session s JOIN pawl.api_key k ON k.session_id = s.id)",
	},
}

// Check reads a whole store in one snapshot, and returns what is damaged. It changes nothing, and nodes may use the
// store. It returns storecopy.ErrMissing for a database without a schema, storecopy.ErrIncomplete, and
// storecopy.ErrNoAdministrator.
func Check(ctx context.Context, c Config) (report storecopy.Report, err error) {
	pool, _, err := newBulkPool(ctx, c)
	if err != nil {
		return report, err
	}
	defer pool.Close()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return report, explainConnect(err)
	}
	defer conn.Release()
	latest, err := latestVersion()
	if err != nil {
		return report, err
	}
	version, err := schemaVersion(ctx, conn.Conn())
	switch {
	case err != nil:
		return report, explainConnect(err)
	case version == 0:
		return report, storecopy.ErrMissing
	case version != latest:
		return report, fmt.Errorf("the database has schema version %d, and this Pawl checks version %d: "+
			"run the Pawl of that version, or start this one to migrate the schema", version, latest)
	}
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	tx, err := conn.BeginTx(ctx, snapshot)
	if err != nil {
		return report, explain(err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // nothing was changed
	if err := checkRows(ctx, tx, &report); err != nil {
		return report, explainConnect(err)
	}
	return report, nil
}

func checkRows(ctx context.Context, tx pgx.Tx, report *storecopy.Report) error {
	for _, rule := range rules {
		var count int64
		var example string
		sql := "SELECT count(*), coalesce(min(id::text), '') FROM (SELECT " + rule.rows + ") AS wrong (id)"
		if err := tx.QueryRow(ctx, sql).Scan(&count, &example); err != nil {
			return err
		}
		if count > 0 {
			report.Problems = append(report.Problems, storecopy.Problem(count, rule.what, example))
		}
	}
	if len(report.Problems) > 0 {
		return nil
	}
	if err := requireUsable(ctx, tx); err != nil {
		return err
	}
	var err error
	report.Counts, err = scanCounts(tx.QueryRow(ctx, countRows))
	return err
}

// requireUsable returns storecopy.ErrIncomplete for the target of an incomplete copy, and storecopy.ErrNoAdministrator
// for a store without a user of level Root.
func requireUsable(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) error {
	var copying, administered bool
	sql := "SELECT (SELECT copying FROM pawl.state), EXISTS (SELECT 1 FROM pawl.users WHERE level = $1)"
	err := db.QueryRow(ctx, sql, authority.Root).Scan(&copying, &administered)
	switch {
	case err != nil:
		return err
	case copying:
		return storecopy.ErrIncomplete
	case !administered:
		return storecopy.ErrNoAdministrator
	}
	return nil
}

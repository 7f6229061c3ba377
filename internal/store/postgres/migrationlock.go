package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// lockMigrations makes nodes that start at the same time migrate one after the other. The lock ends with unlock or with
// the connection. The returned context ends if the lock is lost.
//
// Without advisory locks, the lock is a row of pawl.node that is valid for a time. An open transaction with the lock of
// a row would not do, because YugabyteDB creates an index only after every open transaction has ended.
func (s *Store) lockMigrations(
	ctx context.Context, conn *pgx.Conn,
) (locked context.Context, unlock func(), err error) {
	if !s.rowLocks.needed.Load() {
		_, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock)
		return ctx, func() {}, err
	}
	for _, sql := range []string{
		"CREATE SCHEMA IF NOT EXISTS pawl",
		"CREATE TABLE IF NOT EXISTS pawl.node (number integer PRIMARY KEY, until timestamptz NOT NULL)",
	} {
		if err := repeatable(ctx, conn, sql); err != nil {
			return ctx, nil, err
		}
	}
	until, err := takeMigrations(ctx, conn)
	if err != nil {
		return ctx, nil, err
	}
	locked, lose := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var lost error
		if until, lost = keepMigrations(renewing, conn, until); lost != nil {
			lose(lost)
		}
	}()
	unlock = func() {
		stop()
		<-done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hotTimeout)
		defer cancel()
		// An error leaves the row for rowLife.
		_, _ = conn.Exec(ctx, "DELETE FROM pawl.node WHERE number = $1 AND until = $2", migratingNode, until)
		lose(nil)
	}
	if err := s.checkNotExclusive(ctx, conn); err != nil {
		unlock()
		return ctx, nil, err
	}
	return locked, unlock, nil
}

// migratingNode is the number of the row for the node that migrates. The other numbers are random.
const migratingNode = 0

var errMigrationsLost = errors.New("the lock of the migrations was lost: start this node again")

// takeMigrations waits until no other node migrates, and returns until when this one may.
func takeMigrations(ctx context.Context, conn *pgx.Conn) (until time.Time, err error) {
	const take = "INSERT INTO pawl.node AS n (number, until) VALUES ($1, clock_timestamp() + interval '" + rowLifeSQL +
		"') ON CONFLICT (number) DO UPDATE SET until = excluded.until WHERE n.until < clock_timestamp() RETURNING until"
	for {
		err := conn.QueryRow(ctx, take, migratingNode).Scan(&until)
		if !errors.Is(err, pgx.ErrNoRows) && !isConflict(err) {
			return until, err
		}
		select {
		case <-ctx.Done():
			return until, fmt.Errorf("another node migrates the schema: %w", ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// keepMigrations keeps the lock until ctx ends. It returns until when the lock is valid, and an error if it was lost.
func keepMigrations(ctx context.Context, conn *pgx.Conn, until time.Time) (time.Time, error) {
	const renew = "UPDATE pawl.node SET until = clock_timestamp() + interval '" + rowLifeSQL +
		"' WHERE number = $1 AND until = $2 RETURNING until"
	ticker := time.NewTicker(rowLife / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return until, nil
		case <-ticker.C:
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), hotTimeout)
		err := conn.QueryRow(limited, renew, migratingNode, until).Scan(&until)
		cancel()
		if err != nil && !isConflict(err) {
			return until, errors.Join(errMigrationsLost, err)
		}
	}
}

// checkNotExclusive returns errLocked if another store has the exclusive lock, which must not see a change of the
// schema. Such a store has the lock before it looks for the row of a node, and this node has the row already.
func (s *Store) checkNotExclusive(ctx context.Context, conn *pgx.Conn) error {
	if s.rowLocks.exclusive != nil {
		return nil
	}
	const (
		exists = "SELECT to_regclass('pawl.lock') IS NOT NULL"
		lock   = "SELECT name FROM pawl.lock WHERE name = 'store' FOR SHARE NOWAIT"
	)
	var found bool
	if err := conn.QueryRow(ctx, exists).Scan(&found); err != nil || !found {
		return err
	}
	return retryWhile(ctx, errLocked, func() error {
		_, err := conn.Exec(ctx, lock)
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeLockNotAvailable {
			return errLocked
		}
		return err
	})
}

// duplicateCodes are the SQLSTATEs, or classes of them, of a schema, a table or a type that exists already.
var duplicateCodes = []string{codeUniqueViolation, "42P0", "42710"}

// repeatable runs a statement, and runs it again after a conflict with the same statement of another node. PostgreSQL
// reports the conflict of two CREATE ... IF NOT EXISTS as a duplicate.
func repeatable(ctx context.Context, conn *pgx.Conn, sql string) error {
	for try := 1; ; try++ {
		_, err := conn.Exec(ctx, sql)
		refused, ok := errors.AsType[*pgconn.PgError](err)
		duplicate := ok && hasAnyPrefix(refused.Code, duplicateCodes)
		if !isConflict(err) && !duplicate || try == maxTries {
			return err
		}
	}
}

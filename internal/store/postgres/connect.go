package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	openTimeout = 30 * time.Second          // for connecting and migrating at the start
	openConnect = openTimeout / 3           // connectTimeout at the start
	lockTimeout = bulkTimeout - time.Second // for a statement waiting for a lock
	idleTimeout = 2 * bulkTimeout           // for a transaction waiting for its node
)

// newPool opens a pool of prepared connections, each with the shared lock unless the store locks exclusively. If f is
// nil, the pool connects to any writable host.
func newPool(ctx context.Context, c Config, node int32, f *fence) (*pgxpool.Pool, error) {
	if c.pool == nil {
		parsed, err := ParseConfig(c.DSN)
		if err != nil {
			return nil, err
		}
		c.pool = parsed.pool
	}
	config := c.pool.Copy()
	locks := c.locks
	if locks == nil {
		locks = new(rowLocks)
	}
	if f != nil {
		config.ConnConfig.ValidateConnect = f.validate
		if config.BeforeConnect == nil { // useCitus sets one
			config.BeforeConnect = f.orderHosts
		}
	}
	config.BeforeConnect = c.patiently(config.BeforeConnect)
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		err := prepareConnection(ctx, conn)
		if err == nil && c.coordinator {
			err = forwardWarnings(ctx, conn)
		}
		if err == nil && !c.Exclusive {
			err = locks.note(lockShared(ctx, conn))
		}
		if err == nil {
			err = locks.note(lockNode(ctx, conn, node))
		}
		return err
	}
	config.MinConns = 1 // one connection always holds the lock
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("the address of the database cannot be used: %w", err)
	}
	return pool, nil
}

// patiently adds openConnect to a function that configures a new connection (BeforeConnect of pgxpool). Calls have
// little time for a connection, but a start needs one even if the database is so busy that it takes seconds.
func (c Config) patiently(
	configure func(context.Context, *pgx.ConnConfig) error,
) func(context.Context, *pgx.ConnConfig) error {
	return func(ctx context.Context, connection *pgx.ConnConfig) error {
		var err error
		if configure != nil {
			err = configure(ctx, connection)
		}
		if connection.ConnectTimeout == connectTimeout && (c.opened == nil || !c.opened.Load()) {
			connection.ConnectTimeout = openConnect
		}
		return err
	}
}

// prepareConnection sets what the statements rely on, regardless of the defaults of the database:
//
//   - A commit is on disk before it is answered. A stricter setting than "on" stays.
//   - A statement sees every earlier commit.
//   - A statement stops waiting for a lock before its call times out.
//   - A warning reaches this node.
//   - A node does not keep its locks if it disappears inside a transaction.
//
// Settings unknown to the engine are skipped.
func prepareConnection(ctx context.Context, conn *pgx.Conn) error {
	const sql = `SELECT set_config(s.name, w.value, false) FROM pg_settings s JOIN (VALUES
			('synchronous_commit', 'on'), ('client_min_messages', 'notice'),
			('default_transaction_isolation', 'read committed'), ('lock_timeout', $1),
			('idle_in_transaction_session_timeout', $2), ('tcp_keepalives_idle', $2)
		) AS w (name, value) ON s.name = w.name WHERE s.name <> 'synchronous_commit' OR s.setting = 'off'`
	_, err := conn.Exec(ctx, sql, milliseconds(lockTimeout), milliseconds(idleTimeout))
	delete(conn.PgConn().CustomData(), cancelledWait) // a warning at the start is about no commit
	return err
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) + "ms" }

// explainConnect adds the remedy to an error of Open.
func explainConnect(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && (refused.Code == codeInvalidPassword || refused.Code == codeInvalidAuthorization):
		return fmt.Errorf("the database rejects the user or the password: %w; check both in the store's address", err)
	case ok && refused.Code == codeUndefinedDatabase:
		return fmt.Errorf("the database does not exist: %w; create it with createdb", err)
	case ok && refused.Code == codeInsufficientPrivilege:
		return fmt.Errorf("the database user lacks a right that Pawl needs: %w; "+
			"grant it CREATE on the database, or ALL on the schema pawl and its tables", err)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the database cannot be reached: %w; "+
			"check the host and the port, and that one of the hosts can be written to", err)
	}
	return err
}

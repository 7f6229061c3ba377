package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// If the server has a synchronous standby, a call succeeds only once the standby has its change, because a failover
// must not undo the change. PostgreSQL waits for the standby before it answers a COMMIT. This file handles the two
// cases where the wait is not enough: an operator cancels the wait and PostgreSQL answers early (unconfirmed), or a
// statement reads the change of another COMMIT that is still waiting (confirmOn).

// cancelledWait marks a connection whose commit stopped waiting for the standby.
const cancelledWait = "pawl.cancelled-wait"

var errUnconfirmed = errors.New("the wait for the standby was cancelled: only the primary may have the change")

// markCancelledWait marks the connection if PostgreSQL warns that it stopped waiting for the standby. The warning is
// recognized by the server routine that sends it, because its text is in the language of the operator. Other warnings
// are ignored: for example, PostgreSQL warns at every commit when it runs low on transaction ids, long before it
// rejects any.
func markCancelledWait(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" && (n.Routine == "SyncRepWaitForLSN" || n.Routine == "") {
		conn.CustomData()[cancelledWait] = true
	}
}

// unconfirmed reports whether a commit on the connection stopped waiting for the standby.
func unconfirmed(conn *pgx.Conn) bool {
	return conn.PgConn().CustomData()[cancelledWait] != nil
}

// confirmSQL writes an empty message to the write-ahead log. The message changes no row and waits for no lock.
const confirmSQL = "SELECT pg_logical_emit_message(true, 'pawl'::text, ''::text)"

// confirmOn returns once the standby has every change read on the connection before. confirmOn commits a message. The
// message follows those changes in the log, and its commit waits for the standby.
func confirmOn(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, confirmSQL)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeUndefinedFunction {
		return nil // an engine without a log of its own: every commit that can be read there is durable
	}
	if err == nil && unconfirmed(conn) {
		return errUnconfirmed
	}
	return err
}

// confirm is for a call that found nothing to change. An earlier try with a lost answer may have made the change on the
// primary only, so the standby must have the change before the call succeeds.
func (s *Store) confirm(ctx context.Context) error {
	_, err := withBulkConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) (none, error) {
		return none{}, confirmOn(ctx, conn)
	})
	return err
}

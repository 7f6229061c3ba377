package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/token"
)

// If the server has a synchronous standby, a call succeeds only once the standby has its change, because a failover
// must not undo the change. PostgreSQL waits for the standby before it answers a COMMIT. This file handles the two
// cases where the wait is not enough: an operator cancels the wait and PostgreSQL answers early (unconfirmed), or a
// statement reads the change of another COMMIT that is still waiting (confirmOn).

// cancelledWait marks a connection whose commit stopped waiting for the standby.
const cancelledWait = "pawl.cancelled-wait"

var errUnconfirmed = errors.New("the wait for the standby was cancelled: only the primary may have the change")

// markCancelledWait marks the connection if PostgreSQL warns that it stopped waiting for the standby, or Citus that a
// worker may not have committed. The warning is recognized by the server routine that sends it, because its text is in
// the language of the operator. Other warnings are ignored: for example, PostgreSQL warns at every commit when it runs
// low on transaction ids, long before it rejects any. Only from a worker of Citus does every warning count, because
// Citus does not pass on the routine.
func markCancelledWait(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" && (n.Routine == "SyncRepWaitForLSN" || n.Routine == "" ||
		slices.Contains(citusRoutines, n.Routine)) {
		conn.CustomData()[cancelledWait] = true
	}
	if n.SeverityUnlocalized == "DEBUG" && n.Routine == citusNoticeReceiver { // see forwardWarnings
		conn.CustomData()[cancelledWait] = true
	}
}

// forwardWarnings makes the coordinator of Citus forward the warnings of its workers. At a commit it forwards them as
// debugging messages, whatever their level was.
func forwardWarnings(ctx context.Context, conn *pgx.Conn) error {
	const sql = `SELECT set_config('citus.worker_min_messages', 'warning', false),
		set_config('client_min_messages', 'debug1', false)`
	_, err := conn.Exec(ctx, sql)
	return err
}

// citusNoticeReceiver is the routine of Citus that passes on a message of a worker.
var citusNoticeReceiver = "DefaultCitusNoticeReceiver"

// citusRoutines are the routines of Citus that warn of a commit that failed on a worker, or pass on a warning of a
// worker. Until Citus has mended such a commit, up to a minute later, the worker answers from the rows before it.
var citusRoutines = []string{
	citusNoticeReceiver, "FinishRemoteTransactionCommit", "StartRemoteTransactionCommit",
	"HandleRemoteTransactionConnectionError", "HandleRemoteTransactionResultError", "ReportConnectionError",
	"ReportResultError", "WarnAboutLeakedPreparedTransaction",
}

// unconfirmed reports whether a commit on the connection stopped waiting for the standby, or failed on a worker.
func unconfirmed(conn *pgx.Conn) bool {
	return conn.PgConn().CustomData()[cancelledWait] != nil
}

// confirmSQL writes an empty message to the write-ahead log. The message changes no row and waits for no lock.
const confirmSQL = "SELECT pg_logical_emit_message(true, 'pawl'::text, ''::text)"

// confirmOn returns once the standby has every change of the sessions read on the connection before. confirmOn commits
// a message. The message follows those changes in the log, and its commit waits for the standby. Only Citus needs the
// sessions, because they may be on other servers.
func (s *Store) confirmOn(ctx context.Context, conn *pgx.Conn, sessions []token.SessionID) error {
	if len(sessions) > 0 && s.citus != nil {
		return s.confirmShards(ctx, conn, sessions)
	}
	_, err := conn.Exec(ctx, confirmSQL)
	if isUnsupported(err) {
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
		if s.citus != nil {
			if err := s.confirmShards(ctx, conn, s.idOfEach()); err != nil {
				return none{}, err
			}
		}
		return none{}, s.confirmOn(ctx, conn, nil)
	})
	return err
}

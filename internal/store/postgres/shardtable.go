package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// Citus plans a statement on pawl.session each time, and the worker plans the result again. Planning costs far more
// than the execution. So refreshes and checks use the tables of a shard at its worker, pawl.session_N, with the plans
// that PostgreSQL caches.
//
// A shard may move to another worker at any time. Citus then has an exclusive lock of the shard's metadata at every
// server until that server has the new place. A refresh takes the same lock shared, as Citus itself does for a write,
// and then looks whether the shard is still at this server. A check takes no lock, so that it does not wait for a move.
// It looks after the read. If the shard has left, the batch goes through Citus.

// shardTables are the statements on the tables of a shard at its worker.
type shardTables struct {
	shard            int64
	rotate, sessions string
	atThisServer     string
}

// newShardTables returns nil if the sessions are not distributed.
func newShardTables(p shardPlace) *shardTables {
	if p.shard == 0 {
		return nil
	}
	here := fmt.Sprintf("EXISTS (SELECT 1 FROM pg_catalog.pg_dist_placement p JOIN pg_catalog.pg_dist_local_group g "+
		"ON g.groupid = p.groupid WHERE p.shardid = %d)", p.shard)
	tables := strings.NewReplacer("pawl.session ", fmt.Sprintf("pawl.session_%d ", p.shard),
		"pawl.users ", fmt.Sprintf("pawl.users_%d ", p.users))
	return &shardTables{
		shard:        p.shard,
		rotate:       tables.Replace(selectRotations + " AND " + here + updateRotated + returnRotated + endRotated),
		sessions:     tables.Replace(sessionsSQL),
		atThisServer: "SELECT " + here,
	}
}

// errShardMoved means that a shard is no longer at this server. The statement has had no effect.
var errShardMoved = errors.New("the shard is no longer at this worker of Citus")

// shardMovedCodes are the SQLSTATEs of a statement on the table of a shard that has left the worker or was split, or on
// a table that Pawl does not own.
var shardMovedCodes = []string{codeUndefinedTable, codeInternal, codeInsufficientPrivilege}

// rotateRows rotates sessions of the shard.
func (t *shardTables) rotateRows(ctx context.Context, conn *pgx.Conn, args []any) (rotated []rotatedRow, err error) {
	const lock = "SELECT lock_shard_metadata(5, ARRAY[$1::bigint])" // 5 is ShareLock
	var queries pgx.Batch
	queries.Queue(lock, t.shard)
	queries.Queue(t.rotate, args...).Query(func(rows pgx.Rows) (err error) {
		rotated, err = pgx.CollectRows(rows, scanRotatedRow)
		return err
	})
	err = t.send(ctx, conn, &queries) // sets rotated
	return rotated, err
}

// readSessions reads sessions of the shard.
func (t *shardTables) readSessions(
	ctx context.Context, conn *pgx.Conn, ids []token.SessionID,
) (found map[token.SessionID]authority.SessionWithUser, err error) {
	var queries pgx.Batch
	queries.Queue(t.sessions, sessionsArgs(ids)...).Query(func(rows pgx.Rows) (err error) {
		found, err = toMap(rows, len(ids), scanSessionByID)
		return err
	})
	err = t.send(ctx, conn, &queries) // sets found
	return found, err
}

// send sends statements in one trip and one transaction, and then looks whether the shard is at this server.
func (t *shardTables) send(ctx context.Context, conn *pgx.Conn, queries *pgx.Batch) error {
	queries.Queue(t.atThisServer).QueryRow(func(row pgx.Row) error {
		var here bool
		err := row.Scan(&here)
		if err == nil && !here {
			err = errShardMoved
		}
		return err
	})
	err := conn.SendBatch(ctx, queries).Close()
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if ok && slices.Contains(shardMovedCodes, refused.Code) {
		err = errShardMoved
	}
	return err
}

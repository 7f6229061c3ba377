package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// settled is a session as it is, and which attempt has moved it there.
type settled struct {
	live    authority.SessionWithUser
	attempt int64
}

// settle decides the rotations that moved nothing now, by what their rows are.
// One whose row is where the caller thought is left for another try: it was held.
func settle(ctx context.Context, conn *pgx.Conn, ops []*rotationOp) error {
	var open []*rotation
	for _, op := range ops {
		if op.Value.again {
			open = append(open, &op.Value)
		}
	}
	if len(open) == 0 {
		return nil
	}
	found, err := readSettled(ctx, conn, open)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(open, func(r *rotation) bool { return r.succeeded(found[r.Session]) }) {
		if err := confirmOn(ctx, conn); err != nil {
			return err
		}
	}
	for _, r := range open {
		row, there := found[r.Session]
		switch {
		case !there:
			r.decide(row.live, false, fault.ErrNotFound)
		case row.live.Session.Generation != r.From:
			r.decide(row.live, r.succeeded(row) && row.attempt == r.attempt, nil)
		}
	}
	return nil
}

// succeeded reports whether the row is where this attempt has moved it, or one
// whose answer may be given again for this one. Both are answered with the
// successor, though the commit that made it may be on this machine only.
func (r *rotation) succeeded(row settled) bool {
	session := &row.live.Session
	return session.Generation == r.From+1 && (row.attempt == r.attempt || session.IdempotencyKey == r.IdempotencyKey)
}

func readSettled(ctx context.Context, conn *pgx.Conn, open []*rotation) (map[token.SessionID]settled, error) {
	found := make(map[token.SessionID]settled, len(open))
	wanted := make([][16]byte, len(open))
	for i, r := range open {
		wanted[i] = r.Session
	}
	rows, err := conn.Query(ctx, "SELECT "+liveColumns+", s.attempt"+fromLive, wanted, int64(authority.Suspended))
	return found, each(rows, err, func(rows pgx.Rows) (err error) {
		var row settled
		row.live, err = scanLive(rows, &row.attempt)
		found[row.live.Session.ID] = row
		return err
	})
}

// confirmSQL writes to the log and to no row: what was read before it is as
// durable as its commit, for which no lock is waited for.
const confirmSQL = "SELECT pg_logical_emit_message(true, 'pawl'::text, ''::text)"

// confirmOn returns once what was read on the connection is as durable as a
// commit that is answered.
func confirmOn(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, confirmSQL)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeUndefinedFunction {
		return nil // an engine with no log of its own: what can be read there is as durable as it gets
	}
	return cmp.Or(err, warning(conn))
}

// confirm is for a step that found nothing left to do. An earlier try, whose
// answer was lost, may have done it on this machine only; what is written now,
// and waits for the standby, comes after that.
func (s *Store) confirm(ctx context.Context) error {
	return explain(s.onOther(ctx, confirmOn))
}

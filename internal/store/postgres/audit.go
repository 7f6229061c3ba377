package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

const eventColumns = "at, kind, user_id, session_id, caller_id, address, request, detail"

// AddEvents adds events.
func (s *Store) AddEvents(ctx context.Context, events []audit.Event) error {
	var batch pgx.Batch
	for i := range events {
		e := &events[i]
		batch.Queue("INSERT INTO pawl.event ("+eventColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
			e.At, string(e.Kind), e.User, sessionOrNull(e.Session), e.Caller, e.Address, e.Request, e.Detail)
	}
	_, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (none, error) {
		return none{}, tx.SendBatch(ctx, &batch).Close()
	})
	return err
}

// Events returns a page of events, the newest first.
func (s *Store) Events(ctx context.Context, f audit.Filter) ([]audit.Event, error) {
	where, args := eventsWhere(f)
	scan := func(row pgx.CollectableRow) (e audit.Event, err error) {
		var session *[16]byte
		err = row.Scan(&e.ID, &e.At, &e.Kind, &e.User, &session, &e.Caller, &e.Address, &e.Request, &e.Detail)
		if session != nil {
			e.Session = *session
		}
		return e, err
	}
	return query(ctx, s, scan, "SELECT id, "+eventColumns+" FROM pawl.event e WHERE "+where+
		" ORDER BY at DESC, id DESC LIMIT $1 OFFSET $2", args...)
}

func eventsWhere(f audit.Filter) (string, []any) {
	conditions := []string{"true"}
	args := []any{f.Limit, f.Offset}
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if f.User != 0 {
		add("user_id = $%d", f.User)
	}
	if f.Kind != "" {
		add("kind = $%d", string(f.Kind))
	}
	if f.Session != (token.SessionID{}) {
		add("session_id = $%d", [16]byte(f.Session))
	}
	if f.From != 0 {
		add("at >= $%d", f.From)
	}
	if f.To != 0 {
		add("at <= $%d", f.To)
	}
	if f.NetworkID != nil {
		add("user_id IN (SELECT id FROM pawl.users WHERE network_id = $%d)", *f.NetworkID)
	}
	if f.MailboxID != nil {
		add("user_id IN (SELECT id FROM pawl.users WHERE mailbox_id = $%d)", *f.MailboxID)
	}
	if f.HighestLevel != 0 {
		add("NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.id = e.user_id AND u.level < $%d)", int64(f.HighestLevel))
	}
	return strings.Join(conditions, " AND "), args
}

// SweepEvents removes old events. Events being removed by another node are left to it.
func (s *Store) SweepEvents(ctx context.Context, before int64, limit int) (int, error) {
	const sql = `DELETE FROM pawl.event WHERE id IN
		(SELECT id FROM pawl.event WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`
	tag, err := s.exec(ctx, sql, before, limit)
	return int(tag.RowsAffected()), err
}

package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

// AddEvents adds events.
func (s *Store) AddEvents(ctx context.Context, events []audit.Event) error {
	return s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var batch pgx.Batch
		for i := range events {
			e := &events[i]
			batch.Queue("INSERT INTO pawl.event (at, kind, user_id, session_id, caller_id, address, request, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
				e.At, string(e.Kind), e.User, sessionOrNull(e.Session), e.Caller, e.Address, e.Request, e.Detail)
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
}

// Events returns a page of events, the newest first.
func (s *Store) Events(ctx context.Context, f audit.Filter) ([]audit.Event, error) {
	where, args := eventsWhere(f)
	events := []audit.Event{}
	err := s.query(ctx, "SELECT id, at, kind, user_id, session_id, caller_id, address, request, detail FROM pawl.event e WHERE "+
		strings.Join(where, " AND ")+" ORDER BY at DESC, id DESC LIMIT $1 OFFSET $2", args, func(rows pgx.Rows) error {
		var e audit.Event
		var session *[16]byte
		err := rows.Scan(&e.ID, &e.At, &e.Kind, &e.User, &session, &e.Caller, &e.Address, &e.Request, &e.Detail)
		if session != nil {
			e.Session = *session
		}
		events = append(events, e)
		return err
	})
	return events, err
}

func eventsWhere(f audit.Filter) (where []string, args []any) {
	where, args = []string{"true"}, []any{f.Limit, f.Offset}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
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
	return where, args
}

// SweepEvents removes old events; those that another node is at are left to it.
func (s *Store) SweepEvents(ctx context.Context, before int64, limit int) (removed int, err error) {
	err = s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "DELETE FROM pawl.event WHERE id IN (SELECT id FROM pawl.event WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)", before, limit)
		removed = int(tag.RowsAffected())
		return err
	})
	return removed, err
}

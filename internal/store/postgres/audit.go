package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

const eventColumns = "at, kind, user_id, session_id, caller_id, address, request, detail, network_id, mailbox_id, " +
	"actor_id"

// lockEvents makes the transactions that add events follow one another, so that events appear in the order of their
// ids.
const lockEvents = "SELECT name FROM pawl.lock WHERE name = 'events' FOR UPDATE"

// addEvents adds events in their order. It is one statement, so that a node that disappears does not keep the lock.
const addEvents = `WITH locked AS MATERIALIZED (` + lockEvents + `)
	INSERT INTO pawl.event (` + eventColumns + `)
	SELECT n.at, n.kind, n.user_id, n.session_id, n.caller_id, n.address, n.request, n.detail,
		CASE WHEN n.known THEN n.network_id ELSE u.network_id END,
		CASE WHEN n.known THEN n.mailbox_id ELSE u.mailbox_id END,
		n.actor_id
	FROM locked, unnest($1::bigint[], $2::text[], $3::bigint[], $4::uuid[], $5::bigint[], $6::text[], $7::text[],
			$8::text[], $9::bigint[], $10::bigint[], $11::boolean[], $12::bigint[]) WITH ORDINALITY
		AS n (at, kind, user_id, session_id, caller_id, address, request, detail, network_id, mailbox_id, known,
			actor_id, nr)
	LEFT JOIN pawl.users u ON u.id = n.user_id AND NOT n.known
	ORDER BY n.nr`

// AddEvents adds events.
func (s *Store) AddEvents(ctx context.Context, events []audit.Event) error {
	_, err := s.exec(ctx, addEvents,
		column(events, func(e *audit.Event) int64 { return e.At }),
		column(events, func(e *audit.Event) string { return string(e.Kind) }),
		column(events, func(e *audit.Event) int64 { return e.User }),
		column(events, func(e *audit.Event) *[16]byte { return sessionOrNull(e.Session) }),
		column(events, func(e *audit.Event) int64 { return e.Caller }),
		column(events, func(e *audit.Event) string { return e.Address }),
		column(events, func(e *audit.Event) string { return e.Request }),
		column(events, func(e *audit.Event) string { return e.Detail }),
		column(events, func(e *audit.Event) int64 { return e.Tenant.NetworkID }),
		column(events, func(e *audit.Event) int64 { return e.Tenant.MailboxID }),
		column(events, func(e *audit.Event) bool { return e.Tenant.Known }),
		column(events, func(e *audit.Event) int64 { return e.Actor }))
	return err
}

// Events returns a page of events.
func (s *Store) Events(ctx context.Context, f audit.Filter) ([]audit.Event, error) {
	scan := func(row pgx.CollectableRow) (e audit.Event, err error) {
		var session *[16]byte
		var networkID, mailboxID *int64
		err = row.Scan(&e.ID, &e.At, &e.Kind, &e.User, &session, &e.Caller, &e.Address, &e.Request, &e.Detail,
			&networkID, &mailboxID, &e.Actor)
		if session != nil {
			e.Session = *session
		}
		if networkID != nil && mailboxID != nil {
			e.Tenant = audit.Tenant{NetworkID: *networkID, MailboxID: *mailboxID, Known: true}
		}
		return e, err
	}
	sql, args := selectEvents(&f)
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) ([]audit.Event, error) {
		if _, err := tx.Exec(ctx, readInOrder); err != nil {
			return nil, err
		}
		return collect(ctx, tx, scan, sql, args...)
	})
}

// selectEvents returns the query for a page of events.
func selectEvents(f *audit.Filter) (sql string, args []any) {
	where, args := eventsWhere(f)
	order := "at DESC, id DESC"
	if f.After != nil {
		order = "id"
	}
	return "SELECT id, " + eventColumns + " FROM pawl.event e WHERE " + where +
		" ORDER BY " + order + " LIMIT $1 OFFSET $2", args
}

func eventsWhere(f *audit.Filter) (string, []any) {
	conditions := []string{"true"}
	args := []any{f.Limit, f.Offset}
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	lead := f.Lead()
	equal := func(by audit.Lead, column string, value any) {
		if lead == by {
			add(column+" = $%d", value)
			return
		}
		// PostgreSQL searches no index for this form. So it reads a page in the order of the lead's index.
		add("CASE "+column+" WHEN $%d THEN true END", value)
	}
	if f.User != 0 {
		equal(audit.ByUser, "user_id", f.User)
	}
	if f.Kind != "" {
		equal(audit.ByKind, "kind", string(f.Kind))
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
	if f.After != nil {
		add("id > $%d", *f.After)
	}
	if f.Before != nil {
		args = append(args, f.Before.At, f.Before.ID)
		conditions = append(conditions, fmt.Sprintf("(at, id) < ($%d, $%d)", len(args)-1, len(args)))
	}
	if f.NetworkID != nil {
		equal(audit.ByTenant, "network_id", *f.NetworkID)
	}
	if f.MailboxID != nil {
		equal(audit.ByTenant, "mailbox_id", *f.MailboxID)
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

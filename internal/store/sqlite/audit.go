package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

// insertEvent adds an event. If the tenant is not given, it is the present one of the user.
const insertEvent = `INSERT INTO event (at, kind, user_id, session_id, caller_id, address, request, detail,
		network_id, mailbox_id, actor_id)
	SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
		iif(?9, ?10, (SELECT network_id FROM user WHERE id = ?3)),
		iif(?9, ?11, (SELECT mailbox_id FROM user WHERE id = ?3)),
		?12`

// eventValues returns the values of insertEvent.
func eventValues(e *audit.Event) args {
	return args{
		e.At, string(e.Kind), e.User, nullableSession(e.Session), e.Caller, e.Address, e.Request, e.Detail,
		e.Tenant.Known, e.Tenant.NetworkID, e.Tenant.MailboxID, e.Actor,
	}
}

func scanEvent(stmt *sqlite.Stmt) audit.Event {
	e := audit.Event{
		ID:      stmt.ColumnInt64(0),
		At:      stmt.ColumnInt64(1),
		Kind:    audit.Kind(stmt.ColumnText(2)),
		User:    stmt.ColumnInt64(3),
		Caller:  stmt.ColumnInt64(5),
		Address: stmt.ColumnText(6),
		Request: stmt.ColumnText(7),
		Detail:  stmt.ColumnText(8),
		Actor:   stmt.ColumnInt64(11),
	}
	stmt.ColumnBytes(4, e.Session[:])
	if !stmt.ColumnIsNull(9) {
		e.Tenant = audit.Tenant{NetworkID: stmt.ColumnInt64(9), MailboxID: stmt.ColumnInt64(10), Known: true}
	}
	return e
}

// AddEvents adds events.
func (s *Store) AddEvents(ctx context.Context, events []audit.Event) error {
	return s.write(ctx, normal, func(c *change) error { return insertAll(c, insertEvent, events, eventValues) })
}

// Events returns a page of events.
func (s *Store) Events(ctx context.Context, f audit.Filter) ([]audit.Event, error) {
	sql, a := selectEvents(&f)
	return list(ctx, s, sql, a, scanEvent)
}

// selectEvents returns the query for a page of events.
func selectEvents(f *audit.Filter) (sql string, a args) {
	where := eventConditions(f)
	order := "at DESC, id DESC"
	if f.After != nil {
		order = "id"
	}
	return "SELECT id, at, kind, user_id, session_id, caller_id, address, request, detail, network_id, mailbox_id," +
			" actor_id FROM event" + where.sql() + " ORDER BY " + order + " LIMIT ? OFFSET ?",
		append(where.args, f.Limit, f.Offset)
}

func eventConditions(f *audit.Filter) conditions {
	where := conditions{}
	lead := f.Lead()
	equal := func(by audit.Lead, column string, value any) {
		if lead != by {
			column = "+" + column // SQLite does not search an index for an expression
		}
		where.add(column+" = ?", value)
	}
	if f.User != 0 {
		equal(audit.ByUser, "user_id", f.User)
	}
	if f.Kind != "" {
		equal(audit.ByKind, "kind", string(f.Kind))
	}
	if f.Session != (token.SessionID{}) {
		where.add("session_id = ?", f.Session[:])
	}
	if f.From != 0 {
		where.add("at >= ?", f.From)
	}
	if f.To != 0 {
		where.add("at <= ?", f.To)
	}
	if f.After != nil {
		where.add("id > ?", *f.After)
	}
	if f.Before != nil {
		where.add("(at, id) < (?, ?)", f.Before.At, f.Before.ID)
	}
	if f.NetworkID != nil {
		equal(audit.ByTenant, "network_id", *f.NetworkID)
	}
	if f.MailboxID != nil {
		equal(audit.ByTenant, "mailbox_id", *f.MailboxID)
	}
	if f.HighestLevel != 0 {
		where.add("NOT EXISTS (SELECT 1 FROM user WHERE id = event.user_id AND level < ?)", int64(f.HighestLevel))
	}
	return where
}

// SweepEvents removes events from before a time, at most limit.
func (s *Store) SweepEvents(ctx context.Context, before int64, limit int) (int, error) {
	return s.deleteRows(ctx, "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at < ? LIMIT ?)", before,
		int64(limit))
}

// deleteRows runs a DELETE, and returns the number of deleted rows.
func (s *Store) deleteRows(ctx context.Context, sql string, a ...any) (int, error) {
	return tx(ctx, s, normal, func(c *change) (int, error) {
		err := execute(c.conn, sql, a...)
		return c.conn.Changes(), err
	})
}

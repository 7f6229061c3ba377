package sqlite

import (
	"context"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

const insertEvent = "INSERT INTO event (at, kind, user_id, session_id, caller_id, address, request, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

// eventValues are what insertEvent binds.
func eventValues(e *audit.Event) []any {
	return []any{e.At, string(e.Kind), e.User, sessionOrNull(e.Session), e.Caller, e.Address, e.Request, e.Detail}
}

// AddEvents adds events.
func (s *Store) AddEvents(ctx context.Context, events []audit.Event) error {
	return s.copyIn(ctx, insertEvent, len(events), func(i int) []any { return eventValues(&events[i]) }, nil)
}

// Events returns a page of events, the newest first.
func (s *Store) Events(ctx context.Context, f audit.Filter) ([]audit.Event, error) {
	where, args := eventsWhere(f)
	events := []audit.Event{}
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT id, at, kind, user_id, session_id, caller_id, address, request, detail FROM event WHERE " +
			strings.Join(where, " AND ") + " ORDER BY at DESC, id DESC LIMIT ? OFFSET ?")
		bind(stmt, append(args, f.Limit, f.Offset)...)
		return each(stmt, func() {
			e := audit.Event{ID: stmt.ColumnInt64(0), At: stmt.ColumnInt64(1), Kind: audit.Kind(stmt.ColumnText(2)), User: stmt.ColumnInt64(3),
				Caller: stmt.ColumnInt64(5), Address: stmt.ColumnText(6), Request: stmt.ColumnText(7), Detail: stmt.ColumnText(8)}
			stmt.ColumnBytes(4, e.Session[:])
			events = append(events, e)
		})
	})
	return events, err
}

func eventsWhere(f audit.Filter) (where []string, args []any) {
	where = []string{"true"}
	add := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if f.User != 0 {
		add("user_id = ?", f.User)
	}
	if f.Kind != "" {
		add("kind = ?", string(f.Kind))
	}
	if f.Session != (token.SessionID{}) {
		add("session_id = ?", f.Session[:])
	}
	if f.From != 0 {
		add("at >= ?", f.From)
	}
	if f.To != 0 {
		add("at <= ?", f.To)
	}
	if f.NetworkID != nil {
		add("user_id IN (SELECT id FROM user WHERE network_id = ?)", *f.NetworkID)
	}
	if f.MailboxID != nil {
		add("user_id IN (SELECT id FROM user WHERE mailbox_id = ?)", *f.MailboxID)
	}
	return where, args
}

// SweepEvents removes old events.
func (s *Store) SweepEvents(ctx context.Context, before int64, limit int) (int, error) {
	return s.deleteSome(ctx, "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at < ? LIMIT ?)", before, limit)
}

// deleteSome runs a statement that deletes rows, limit at most.
func (s *Store) deleteSome(ctx context.Context, sql string, when int64, limit int) (int, error) {
	var removing int
	err := s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		stmt := conn.Prep(sql)
		bind(stmt, when, int64(limit))
		err := each(stmt, func() {})
		removing = conn.Changes()
		return err
	}, nil)
	if err != nil {
		return 0, err // and removing may still be written to
	}
	return removing, nil
}

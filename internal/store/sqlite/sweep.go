package sqlite

import (
	"context"
	"errors"
	"sync"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// sweepCursor is where the next step of the sweep begins.
type sweepCursor struct {
	mu   sync.Mutex // also lets one sweep run at a time
	next token.SessionID
}

// Sweep goes through the sessions in the order of their ids: an index on the
// time would cost every refresh a page.
func (s *Store) Sweep(ctx context.Context, now int64, limit int) (count int, done bool, err error) {
	s.cursor.mu.Lock()
	defer s.cursor.mu.Unlock()
	next, seen := s.cursor.next, 0
	var over []token.SessionID
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT id, expires FROM session WHERE id > ? ORDER BY id LIMIT ?")
		bind(stmt, next[:], int64(limit))
		return each(stmt, func() {
			stmt.ColumnBytes(0, next[:])
			expires := stmt.ColumnInt64(1)
			if e, ok := s.memory.peek(&next); ok {
				expires = int64(e.expires)
			}
			if expires <= now {
				over = append(over, next)
			}
			seen++
		})
	})
	if err == nil && len(over) > 0 {
		count, err = s.endOver(ctx, over, now)
	}
	if err != nil {
		return 0, false, err
	}
	if seen < limit {
		next = token.SessionID{}
	}
	s.cursor.next = next
	return count, seen < limit, nil
}

// endOver ends those of the sessions that have not moved on meanwhile.
func (s *Store) endOver(ctx context.Context, ids []token.SessionID, now int64) (count int, err error) {
	err = s.end(ctx, func(conn *sqlite.Conn, out *removed) error {
		for _, id := range ids {
			session, err := s.current(id)
			if errors.Is(err, fault.ErrNotFound) || err == nil && session.Expires > now {
				continue
			}
			if err != nil {
				return err
			}
			if err := out.deleteSessions(conn, "id = ?", id[:]); err != nil {
				return err
			}
		}
		count = len(out.sessions)
		return nil
	}, nil)
	if err != nil {
		return 0, err // and count may still be written to
	}
	return count, nil
}

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/token"
)

const sessionColumns = "id, user_id, generation, created, refreshed, previous, expires, ends, retry_key"

func scanSession(stmt *sqlite.Stmt) authority.Session {
	s := authority.Session{
		UserID: stmt.ColumnInt64(1), Generation: uint32(stmt.ColumnInt64(2)), Created: stmt.ColumnInt64(3),
		Refreshed: stmt.ColumnInt64(4), Previous: stmt.ColumnInt64(5), Expires: stmt.ColumnInt64(6), Ends: stmt.ColumnInt64(7),
	}
	stmt.ColumnBytes(0, s.ID[:])
	stmt.ColumnBytes(8, s.RetryKey[:])
	return s
}

// retryBytes stores the zero key as nothing.
func retryBytes(k authority.RetryKey) []byte {
	if k == (authority.RetryKey{}) {
		return []byte{}
	}
	return k[:]
}

// OpenSession adds a session of a user who may sign in.
func (s *Store) OpenSession(ctx context.Context, r authority.SessionRecord, passwordHash string) error {
	return s.write(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("INSERT INTO session (" + sessionColumns + `, ip, user_agent)
			SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM user WHERE id = ? AND status < ? AND password_hash = ?`)
		bind(stmt, r.ID[:], int64(r.Generation), r.Created, r.Refreshed, r.Previous, r.Expires, r.Ends,
			retryBytes(r.RetryKey), r.IP, r.UserAgent, r.UserID, int64(authority.Suspended), passwordHash)
		return changeOne(conn, stmt)
	}, func() { s.memory.putSession(r.Session) })
}

// Session returns a session and its user, from memory once it has been seen.
func (s *Store) Session(ctx context.Context, id token.SessionID) (authority.Live, error) {
	session, err := s.memory.session(id, func() (authority.Session, error) { return s.loadSession(ctx, id) })
	if err != nil {
		return authority.Live{}, err
	}
	user, err := s.User(ctx, session.UserID)
	return authority.Live{Session: session, User: user}, err
}

func (s *Store) loadSession(ctx context.Context, id token.SessionID) (session authority.Session, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		session, err = selectSession(conn, id)
		return err
	})
	return session, err
}

func selectSession(conn *sqlite.Conn, id token.SessionID) (session authority.Session, err error) {
	stmt := conn.Prep("SELECT " + sessionColumns + " FROM session WHERE id = ?")
	bind(stmt, id[:])
	err = one(stmt, func() { session = scanSession(stmt) })
	return session, err
}

// Rotate hands the rotation to the group commit.
func (s *Store) Rotate(ctx context.Context, r authority.Rotation) (authority.Live, bool, error) {
	op := &batch.Op[write]{Value: write{rotation: r}}
	if err := s.group.Do(ctx, op); err != nil {
		return authority.Live{}, false, fmt.Errorf("%w: %w", authority.ErrUnavailable, err)
	}
	w := &op.Value
	if w.err != nil {
		return authority.Live{}, false, w.err
	}
	user, err := s.User(context.WithoutCancel(ctx), w.live.Session.UserID)
	if err != nil {
		return authority.Live{}, false, err
	}
	w.live.User = user
	return w.live, w.moved, nil
}

// rotate is the compare-and-swap, within the batch's transaction.
func (s *Store) rotate(w *write) error {
	r := &w.rotation
	if brokenCompare {
		found, _ := selectSession(s.writer, r.Session)
		r.From = found.Generation
	}
	stmt := s.writer.Prep(`UPDATE session SET generation = generation + 1, previous = refreshed, refreshed = ?, expires = min(?, ends), retry_key = ?
		WHERE id = ? AND generation = ? RETURNING ` + sessionColumns)
	bind(stmt, r.At, r.Expires, retryBytes(r.RetryKey), r.Session[:], int64(r.From))
	err := one(stmt, func() { w.live.Session, w.moved = scanSession(stmt), true })
	if errors.Is(err, authority.ErrNotFound) {
		w.live.Session, w.err = selectSession(s.writer, r.Session)
		err = w.err
	}
	if errors.Is(err, authority.ErrNotFound) {
		return nil // the step's own outcome
	}
	return err
}

// EndSession ends a session and its keys.
func (s *Store) EndSession(ctx context.Context, id token.SessionID) error {
	return s.endSessions(ctx, "id = ?", id[:])
}

// EndSessions ends the sessions of a user but for one, and their keys.
func (s *Store) EndSessions(ctx context.Context, userID int64, except token.SessionID) error {
	return s.endSessions(ctx, "user_id = ? AND id <> ?", userID, except[:])
}

func (s *Store) endSessions(ctx context.Context, where string, args ...any) error {
	var out removed
	return s.write(ctx, func(conn *sqlite.Conn) error {
		return out.deleteSessions(conn, where, args...)
	}, func() { s.memory.forget(out) })
}

// removed is what a step removed, for memory to follow after the commit.
type removed struct {
	sessions []token.SessionID
	keys     []authority.KeyHash
}

func (g *removed) deleteSessions(conn *sqlite.Conn, where string, args ...any) error {
	if err := g.deleteKeys(conn, "session_id IN (SELECT id FROM session WHERE "+where+")", args...); err != nil {
		return err
	}
	stmt := conn.Prep("DELETE FROM session WHERE " + where + " RETURNING id")
	bind(stmt, args...)
	return each(stmt, func() {
		var id token.SessionID
		stmt.ColumnBytes(0, id[:])
		g.sessions = append(g.sessions, id)
	})
}

func (g *removed) deleteKeys(conn *sqlite.Conn, where string, args ...any) error {
	stmt := conn.Prep("DELETE FROM api_key WHERE " + where + " RETURNING hash")
	bind(stmt, args...)
	return each(stmt, func() {
		var hash authority.KeyHash
		stmt.ColumnBytes(0, hash[:])
		g.keys = append(g.keys, hash)
	})
}

// Sessions lists the live sessions of a user.
func (s *Store) Sessions(ctx context.Context, userID, now int64) (records []authority.SessionRecord, err error) {
	records = []authority.SessionRecord{}
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + sessionColumns + ", ip, user_agent FROM session WHERE user_id = ? AND expires > ? ORDER BY created, id")
		bind(stmt, userID, now)
		return each(stmt, func() {
			records = append(records, authority.SessionRecord{Session: scanSession(stmt),
				Origin: authority.Origin{IP: stmt.ColumnText(9), UserAgent: stmt.ColumnText(10)}})
		})
	})
	return records, err
}

// sweepCursor is where the next step of the sweep begins.
type sweepCursor struct {
	mu   sync.Mutex // also lets one sweep run at a time
	next token.SessionID
}

// Sweep goes through the sessions in the order of their ids: an index on the
// time would cost every refresh a second page.
func (s *Store) Sweep(ctx context.Context, now int64, limit int) (count int, done bool, err error) {
	s.cursor.mu.Lock()
	defer s.cursor.mu.Unlock()
	var last token.SessionID
	seen, over := 0, 0
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT id, expires FROM session WHERE id > ? ORDER BY id LIMIT ?")
		bind(stmt, s.cursor.next[:], int64(limit))
		return each(stmt, func() {
			stmt.ColumnBytes(0, last[:])
			seen++
			if stmt.ColumnInt64(1) <= now {
				over++
			}
		})
	})
	if err == nil && over > 0 {
		var out removed
		err = s.write(ctx, func(conn *sqlite.Conn) error {
			return out.deleteSessions(conn, "id > ? AND id <= ? AND expires <= ?", s.cursor.next[:], last[:], now)
		}, func() { s.memory.forget(out) })
		count = len(out.sessions)
	}
	if err != nil {
		return 0, false, err
	}
	if seen < limit {
		last = token.SessionID{}
	}
	s.cursor.next = last
	return count, seen < limit, nil
}

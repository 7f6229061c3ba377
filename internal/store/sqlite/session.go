package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

const sessionColumns = "id, user_id, generation, created, refreshed, previous, expires, ends, retry_key"

func scanSession(stmt *sqlite.Stmt) authority.Session {
	s := authority.Session{
		UserID: stmt.ColumnInt64(1), Generation: uint32(stmt.ColumnInt64(2)), Created: stmt.ColumnInt64(3),
		Refreshed: stmt.ColumnInt64(4), Previous: stmt.ColumnInt64(5), Expires: stmt.ColumnInt64(6), Ends: stmt.ColumnInt64(7),
	}
	stmt.ColumnBytes(0, s.ID[:])
	stmt.ColumnBytes(8, s.IdempotencyKey[:])
	return s
}

// scanRecord reads a row with what the step log has over it, which memory knows.
func (s *Store) scanRecord(stmt *sqlite.Stmt) authority.SessionWithOrigin {
	r := authority.SessionWithOrigin{Session: scanSession(stmt), Origin: authority.Origin{IP: stmt.ColumnText(9), UserAgent: stmt.ColumnText(10)}}
	if e, ok := s.memory.peek(&r.ID); ok {
		r.Session = e.unpack()
	}
	return r
}

// records returns at most limit sessions in the order of their ids, from the
// one after the given id on. It is how all are read: page by page, each from
// the last one's last id; a session that lives through it is seen once.
func (s *Store) records(ctx context.Context, after token.SessionID, limit int) (page []authority.SessionWithOrigin, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + sessionColumns + ", ip, user_agent FROM session WHERE id > ? ORDER BY id LIMIT ?")
		bind(stmt, after[:], int64(limit))
		return each(stmt, func() { page = append(page, s.scanRecord(stmt)) })
	})
	return page, err
}

// retryBytes stores the zero key as nothing.
func retryBytes(k authority.IdempotencyKeyHash) []byte {
	if k == (authority.IdempotencyKeyHash{}) {
		return []byte{}
	}
	return k[:]
}

// OpenSession adds a session of a user who may sign in. It needs no record in
// the step log: the row is the state until the first move.
func (s *Store) OpenSession(ctx context.Context, r authority.SessionWithOrigin, passwordHash string) error {
	return s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		return insertSession(conn, r, passwordHash)
	}, func() {
		e := pack(r.Session)
		s.memory.put(&e)
	})
}

func insertSession(conn *sqlite.Conn, r authority.SessionWithOrigin, passwordHash string) error {
	stmt := conn.Prep("INSERT INTO session (" + sessionColumns + `, ip, user_agent)
		SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM user WHERE id = ? AND status < ? AND password_hash = ?`)
	bind(stmt, r.ID[:], int64(r.Generation), r.Created, r.Refreshed, r.Previous, r.Expires, r.Ends,
		retryBytes(r.IdempotencyKey), r.IP, r.UserAgent, r.UserID, int64(authority.Suspended), passwordHash)
	return changeOne(conn, stmt)
}

// Session returns a session and its user, from memory once it has been seen.
func (s *Store) Session(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	session, err := s.memory.session(id, func() (authority.Session, error) { return s.loadSession(ctx, id) })
	if err != nil {
		return authority.SessionWithUser{}, err
	}
	user, err := s.User(ctx, session.UserID)
	return authority.SessionWithUser{Session: session, User: user}, err
}

// RecentSession is Session: memory is never behind.
func (s *Store) RecentSession(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	return s.Session(ctx, id)
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

// Rotate hands the rotation to the group commit, unless memory shows already
// that it cannot move.
func (s *Store) Rotate(ctx context.Context, r authority.Rotation) (authority.SessionWithUser, bool, error) {
	session, err := s.memory.session(r.Session, func() (authority.Session, error) { return s.loadSession(ctx, r.Session) })
	if err != nil {
		return authority.SessionWithUser{}, false, err
	}
	moved := false
	if session.Generation == r.From {
		op := &batch.Op[write]{Value: write{rotation: r}}
		if err := s.group.Do(ctx, op); err != nil {
			return authority.SessionWithUser{}, false, fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
		}
		if err := op.Value.err; err != nil {
			return authority.SessionWithUser{}, false, err
		}
		session, moved = op.Value.session, op.Value.moved
	}
	user, err := s.User(context.WithoutCancel(ctx), session.UserID)
	if err != nil {
		return authority.SessionWithUser{}, false, err
	}
	return authority.SessionWithUser{Session: session, User: user}, moved, nil
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
	return s.end(ctx, endOf(where, args...), nil)
}

func endOf(where string, args ...any) func(*sqlite.Conn, *removed) error {
	return func(conn *sqlite.Conn, out *removed) error { return out.deleteSessions(conn, where, args...) }
}

// removed is what a step removed, for memory to follow after the commit.
type removed struct {
	sessions []token.SessionID
	keys     []authority.APIKeyHash
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
		var hash authority.APIKeyHash
		stmt.ColumnBytes(0, hash[:])
		g.keys = append(g.keys, hash)
	})
}

// Sessions lists the live sessions of a user.
func (s *Store) Sessions(ctx context.Context, userID, now int64) (records []authority.SessionWithOrigin, err error) {
	records = []authority.SessionWithOrigin{}
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + sessionColumns + ", ip, user_agent FROM session WHERE user_id = ? ORDER BY created, id")
		bind(stmt, userID)
		return each(stmt, func() {
			if r := s.scanRecord(stmt); r.Expires > now {
				records = append(records, r)
			}
		})
	})
	return records, err
}

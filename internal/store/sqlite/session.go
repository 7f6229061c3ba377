package sqlite

import (
	"context"
	"slices"
	"sync"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// OpenSession adds a session of a user who may sign in. The row of a session has only the immutable fields. The
// rotation log has its state from the first generation on.
func (s *Store) OpenSession(ctx context.Context, o authority.Opening) ([]authority.EndedSession, error) {
	return tx(ctx, s, normal, func(c *change) ([]authority.EndedSession, error) {
		epoch, err := queryOne(c.conn, `INSERT INTO session (id, user_id, epoch, created, ip, user_agent)
			SELECT ?1, id, session_epoch, ?3, ?4, ?5 FROM user WHERE id = ?2 AND status < ?6 AND password_hash = ?7
			RETURNING epoch`,
			args{o.ID[:], o.UserID, o.Created, o.IP, o.UserAgent, int64(authority.Suspended), o.PasswordHash},
			scanNumber)
		if err != nil {
			return nil, err
		}
		c.states = append(c.states, sessionlog.State{Session: o.Session, Epoch: uint32(epoch)})
		return c.endExcess(&o, epoch)
	})
}

// endExcess ends the excess sessions of the user of a new session.
func (c *change) endExcess(o *authority.Opening, epoch int64) ([]authority.EndedSession, error) {
	if o.MaxSessions == 0 {
		return nil, nil
	}
	ids, err := queryAll(c.conn, "SELECT id FROM session WHERE user_id = ? AND epoch = ? AND id <> ? LIMIT ?",
		args{o.UserID, epoch, o.ID[:], int64(o.MaxSessions + authority.MaxEndedAtOnce)}, scanSessionID)
	if err != nil || len(ids) < o.MaxSessions {
		return nil, err
	}
	others := make([]authority.Session, 0, len(ids))
	for _, id := range ids {
		if state, exists := c.sessions.Get(id); exists {
			others = append(others, state.Session)
		}
	}
	ended := o.Excess(others)
	for _, s := range ended {
		if err := c.deleteSessions("id = ?", s.ID[:]); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// Session returns a session and its user.
func (s *Store) Session(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	session, exists := s.sessions.Get(id)
	if !exists {
		return authority.SessionWithUser{}, fault.ErrNotFound
	}
	user, err := s.User(ctx, session.UserID)
	return authority.SessionWithUser{Session: session, User: user}, err
}

// RecentSession is Session, because memory is never stale.
func (s *Store) RecentSession(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	return s.Session(ctx, id)
}

// Rotate submits the rotation to the group commit, unless memory shows that another rotation came first.
func (s *Store) Rotate(ctx context.Context, r authority.Rotation) (authority.SessionWithUser, bool, error) {
	session, exists := s.sessions.Get(r.Session)
	if !exists {
		return authority.SessionWithUser{}, false, fault.ErrNotFound
	}
	rotated := false
	if session.Generation == r.From {
		op := &batch.Op[operation]{Value: operation{rotation: r}}
		if err := s.submit(ctx, op); err != nil {
			return authority.SessionWithUser{}, false, err
		}
		session, rotated = op.Value.session, op.Value.rotated
	}
	user, err := s.User(context.WithoutCancel(ctx), session.UserID)
	if err != nil {
		return authority.SessionWithUser{}, false, err
	}
	return authority.SessionWithUser{Session: session, User: user}, rotated, nil
}

// EndSession ends a session and its API keys.
func (s *Store) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	return s.writeAs(ctx, r, revocation, func(c *change) error { return c.deleteSessions("id = ?", id[:]) })
}

// EndSessions ends the sessions of a user except one, and their API keys.
func (s *Store) EndSessions(
	ctx context.Context, r authority.Rights, userID int64, opts authority.EndOptions,
) error {
	return s.writeAs(ctx, r, revocation, func(c *change) error { return c.endSessions(userID, opts) })
}

// endSessions ends the sessions of a user except one, and clears the failure counters if the options require it.
func (c *change) endSessions(userID int64, opts authority.EndOptions) error {
	if err := c.clearAttempts(opts.ClearAttempts); err != nil {
		return err
	}
	return c.endEpochs(userID, opts.Except)
}

// Sessions lists the sessions of a user with an unexpired token.
func (s *Store) Sessions(ctx context.Context, userID, now int64) ([]authority.SessionWithOrigin, error) {
	sql := selectSessions + " WHERE user_id = ?1 AND epoch = (SELECT session_epoch FROM user WHERE user.id = ?1)" +
		" ORDER BY created, id"
	rows, err := list(ctx, s, sql, args{userID}, scanSession)
	expired := func(r authority.SessionWithOrigin) bool { return r.Expires <= now }
	return slices.DeleteFunc(s.addStates(rows), expired), err
}

const selectSessions = "SELECT id, ip, user_agent FROM session"

// scanSession reads a row of selectSessions. addStates adds the rest.
func scanSession(stmt *sqlite.Stmt) authority.SessionWithOrigin {
	r := authority.SessionWithOrigin{Origin: authority.Origin{IP: stmt.ColumnText(1), UserAgent: stmt.ColumnText(2)}}
	r.ID = scanSessionID(stmt)
	return r
}

// addStates adds to each row the state of its session, and removes the sessions that ended while the rows were read.
func (s *Store) addStates(rows []authority.SessionWithOrigin) []authority.SessionWithOrigin {
	complete := rows[:0]
	for _, r := range rows {
		session, exists := s.sessions.Get(r.ID)
		if exists {
			r.Session = session
			complete = append(complete, r)
		}
	}
	return complete
}

func scanSessionID(stmt *sqlite.Stmt) token.SessionID {
	var id token.SessionID
	stmt.ColumnBytes(0, id[:])
	return id
}

// sweepPosition is where the next call of Sweep continues.
type sweepPosition struct {
	mu   sync.Mutex // also keeps two calls of Sweep from running at once
	next int
}

// Sweep removes sessions with an expired token. It searches the memory, not the file, so that an idle store does not
// read all of its rows once a minute.
func (s *Store) Sweep(ctx context.Context, now int64, limit int) (removed int, done bool, err error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	ids, next, done := s.sessions.Expired(s.sweep.next, now, limit)
	if len(ids) > 0 {
		removed, err = tx(ctx, s, revocation, func(c *change) (int, error) { return c.endExpired(ids, now) })
		if err != nil {
			return 0, false, err
		}
	}
	s.sweep.next = next
	return removed, done, nil
}

// endExpired ends the sessions, except those refreshed since Expired found them.
func (c *change) endExpired(ids []token.SessionID, now int64) (int, error) {
	for _, id := range ids {
		session, exists := c.sessions.Get(id)
		if !exists || session.Expires > now {
			continue
		}
		if err := c.deleteSessions("id = ?", id[:]); err != nil {
			return 0, err
		}
	}
	return len(c.ended), nil
}

package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

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
		return c.openSession(o, o.PasswordHash)
	})
}

// opened is the result of OpenSessionFor.
type opened struct {
	user  *authority.User
	ended []authority.EndedSession
}

// OpenSessionFor adds a session, and its user too if there is a new one.
func (s *Store) OpenSessionFor(
	ctx context.Context, r authority.Rights, o authority.Opening,
) (*authority.User, []authority.EndedSession, error) {
	result, err := txAs(ctx, s, r, normal, func(c *change) (result opened, err error) {
		if err := c.useAssertion(o); err != nil {
			return result, err
		}
		o := o
		if o.NewUser != nil {
			if result.user, err = c.createUser(o.NewUser); err != nil {
				return result, err
			}
			o.UserID = result.user.ID
		}
		if result.ended, err = c.openSession(o, nil); err == nil && result.user == nil {
			result.user, err = c.findUser(o.UserID)
		}
		return result, err
	})
	return result.user, result.ended, err
}

const insertAssertion = "INSERT INTO used_assertion (id, expires) VALUES (?, ?)"

// useAssertion marks the assertion of an opening as used. It also forgets a few expired ones, so that the table stays
// as small as the assertions of a few minutes.
func (c *change) useAssertion(o authority.Opening) error {
	if o.Assertion == nil {
		return nil
	}
	const forget = `DELETE FROM used_assertion WHERE id IN
		(SELECT id FROM used_assertion WHERE expires <= ? ORDER BY expires LIMIT 10)`
	if err := execute(c.conn, forget, o.Created); err != nil {
		return err
	}
	err := unique(execute(c.conn, insertAssertion, o.Assertion.ID[:], o.Assertion.Expires))
	if errors.Is(err, fault.ErrDuplicate) {
		return fault.ErrAssertionUsed
	}
	return err
}

// openSession adds a session. Any password hash of the user is right if passwordHash is nil.
func (c *change) openSession(o authority.Opening, passwordHash any) ([]authority.EndedSession, error) {
	epoch, err := queryOne(c.conn, `INSERT INTO session (id, user_id, epoch, created, ip, user_agent, device)
		SELECT ?1, id, session_epoch, ?3, ?4, ?5, ?6 FROM user
		WHERE id = ?2 AND status < ?7 AND password_hash = coalesce(?8, password_hash) RETURNING epoch`,
		args{
			o.ID[:], o.UserID, o.Created, o.IP, o.UserAgent, o.Device, int64(authority.Suspended), passwordHash,
		}, scanNumber)
	if err != nil {
		return nil, err
	}
	if err := c.addSession(&o.Session, uint32(epoch)); err != nil {
		return nil, err
	}
	return c.endExcess(&o, epoch)
}

// addSession adds the state and the extras of a session with a row.
func (c *change) addSession(s *authority.Session, epoch uint32) error {
	c.states = append(c.states, sessionlog.State{Session: *s, Epoch: epoch, HasExtras: s.Extras != nil})
	if s.Extras == nil {
		return nil
	}
	return execute(c.conn, `INSERT INTO session_extras
			(session_id, claims, actor_id, token_life, idle_life, actor_epoch)
		VALUES (?1, ?2, ?3, ?4, ?5, coalesce((SELECT session_epoch FROM user WHERE id = ?3), 0))`,
		s.ID[:], s.Extras.Claims, s.Extras.ActorID,
		int64(s.Extras.TokenLife/time.Second), int64(s.Extras.IdleLife/time.Second))
}

// get returns a session from memory. Only a session with extras needs a query.
func (s *Store) get(ctx context.Context, id token.SessionID) (authority.Session, error) {
	state, exists := s.sessions.Get(id)
	if !exists {
		return authority.Session{}, fault.ErrNotFound
	}
	err := s.addExtras(ctx, &state)
	return state.Session, err
}

// addExtras adds the extras to the state of a session that has any.
func (s *Store) addExtras(ctx context.Context, state *sessionlog.State) (err error) {
	if state.HasExtras {
		state.Extras, err = s.sessionExtras(ctx, state.ID)
	}
	return err
}

// sessionExtras returns the extras of a session, usually from the cache.
func (s *Store) sessionExtras(ctx context.Context, id token.SessionID) (*authority.SessionExtras, error) {
	return s.extras.get(id, func() (*authority.SessionExtras, error) {
		const sql = "SELECT claims, actor_id, token_life, idle_life FROM session_extras WHERE session_id = ?"
		return find(ctx, s, sql, args{id[:]}, func(stmt *sqlite.Stmt) *authority.SessionExtras {
			return &authority.SessionExtras{
				Claims:    stmt.ColumnText(0),
				ActorID:   stmt.ColumnInt64(1),
				TokenLife: time.Duration(stmt.ColumnInt64(2)) * time.Second,
				IdleLife:  time.Duration(stmt.ColumnInt64(3)) * time.Second,
			}
		})
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
	for i := range ended {
		if err := c.deleteEnded(&ended[i]); err != nil {
			return nil, err
		}
		c.revokedSessions = append(c.revokedSessions, ended[i].ID)
	}
	return ended, nil
}

// deleteEnded deletes a session ended by the store, and completes e. The memory has no extras.
func (c *change) deleteEnded(e *authority.EndedSession) error {
	if state, exists := c.sessions.Get(e.ID); exists && state.HasExtras {
		var err error
		const sql = "SELECT actor_id FROM session_extras WHERE session_id = ?"
		if e.ActorID, err = queryOne(c.conn, sql, args{e.ID[:]}, scanNumber); err != nil {
			return err
		}
	}
	return c.deleteSessions("id = ?", e.ID[:])
}

// Session returns a session and its user.
func (s *Store) Session(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	state, exists := s.sessions.Get(id)
	if !exists {
		return authority.SessionWithUser{}, fault.ErrNotFound
	}
	if err := s.addExtras(ctx, &state); err != nil {
		return authority.SessionWithUser{}, err
	}
	user, err := s.User(ctx, state.UserID)
	return authority.SessionWithUser{Session: state.Session, User: user}, err
}

// RecentSession is Session, because memory is never stale.
func (s *Store) RecentSession(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	return s.Session(ctx, id)
}

// Rotate submits the rotation to the group commit, unless memory shows that it is too late.
func (s *Store) Rotate(ctx context.Context, r authority.Rotation) (authority.SessionWithUser, bool, error) {
	if r.APIKey != nil {
		if err := s.permits(ctx, &r); err != nil { // for the rotations that are not submitted
			return authority.SessionWithUser{}, false, err
		}
	}
	session, err := s.get(ctx, r.Session)
	if err != nil {
		return authority.SessionWithUser{}, false, err
	}
	rotated := false
	if r.Rotates(&session) {
		op := &batch.Op[operation]{Value: operation{rotation: r, extras: session.Extras}}
		if err := s.submit(ctx, op); err != nil {
			return authority.SessionWithUser{}, false, err
		}
		session, rotated = op.Value.session, op.Value.rotated
		session.Extras = op.Value.extras
	}
	user, err := s.User(context.WithoutCancel(ctx), session.UserID)
	if err != nil {
		return authority.SessionWithUser{}, false, err
	}
	return authority.SessionWithUser{Session: session, User: user}, rotated, nil
}

// RecordReplay stores the time of a replay.
func (s *Store) RecordReplay(ctx context.Context, id token.SessionID, generation uint32, at int64) error {
	return s.write(ctx, normal, func(c *change) error {
		state, exists := c.sessions.Get(id)
		if exists && state.Generation == generation && state.RecordReplay(at) {
			c.states = append(c.states, state)
		}
		return nil
	})
}

// EndSession ends a session and its API keys.
func (s *Store) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	return s.writeAs(ctx, r, urgent, func(c *change) error {
		c.revokedSessions = append(c.revokedSessions, id)
		return c.deleteSessions("id = ?", id[:])
	})
}

// EndSessions ends the sessions of a user except one, and their API keys. It counts the ended sessions after the
// commit, so that other writes do not wait for the count. Meanwhile it keeps the purge from removing sessions of the
// user.
func (s *Store) EndSessions(
	ctx context.Context, r authority.Rights, userID int64, opts authority.EndOptions,
) (ended int64, err error) {
	if opts.CountAt != 0 {
		s.counting.begin(userID)
		defer func() {
			s.counting.end(userID)
			s.signalEnded()
		}()
	}
	epochs, err := txAs(ctx, s, r, urgent, func(c *change) ([]lowestEpoch, error) {
		err := c.endSessions(userID, opts)
		return c.endedEpochs, err
	})
	if err != nil || len(epochs) == 0 || opts.CountAt == 0 {
		return 0, err
	}
	return s.countEnded(context.WithoutCancel(ctx), epochs[0], opts.CountAt)
}

// endSessions ends the sessions of a user except one, and clears the failure counters if the options require it.
func (c *change) endSessions(userID int64, opts authority.EndOptions) error {
	if err := c.clearAttempts(opts.ClearAttempts); err != nil {
		return err
	}
	return c.endEpochs(userID, opts.Except)
}

const selectSessions = "SELECT id, ip, user_agent, device FROM session"

// listSessions returns the sessions of a query that begins with selectSessions.
func (s *Store) listSessions(ctx context.Context, sql string, a args) ([]authority.SessionWithOrigin, error) {
	rows, err := list(ctx, s, sql, a, scanSession)
	if err != nil {
		return nil, err
	}
	return s.addStates(ctx, rows)
}

// scanSession reads a row of selectSessions. addStates adds the rest.
func scanSession(stmt *sqlite.Stmt) authority.SessionWithOrigin {
	r := authority.SessionWithOrigin{Origin: authority.Origin{
		IP: stmt.ColumnText(1), UserAgent: stmt.ColumnText(2), Device: stmt.ColumnText(3),
	}}
	r.ID = scanSessionID(stmt)
	return r
}

// addStates adds to each row the state of its session, and removes the sessions that ended while the rows were read.
func (s *Store) addStates(
	ctx context.Context, rows []authority.SessionWithOrigin,
) ([]authority.SessionWithOrigin, error) {
	complete := rows[:0]
	for _, r := range rows {
		var err error
		r.Session, err = s.get(ctx, r.ID)
		switch {
		case err == nil:
			complete = append(complete, r)
		case !errors.Is(err, fault.ErrNotFound):
			return nil, err
		}
	}
	return complete, nil
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

// Sweep removes sessions past their idle time. It searches the memory, not the file, so that an idle store does not
// read all of its rows once a minute.
func (s *Store) Sweep(
	ctx context.Context, now int64, limit int,
) (ended []authority.EndedSession, done bool, err error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	ids, next, done := s.sessions.Expired(s.sweep.next, now, limit)
	if len(ids) > 0 {
		ended, err = tx(ctx, s, urgent, func(c *change) ([]authority.EndedSession, error) {
			return c.endExpired(ids, now)
		})
		if err != nil {
			return nil, false, err
		}
	}
	s.sweep.next = next
	return ended, done, nil
}

// endExpired ends the sessions, except those refreshed since Expired found them.
func (c *change) endExpired(ids []token.SessionID, now int64) ([]authority.EndedSession, error) {
	var ended []authority.EndedSession
	for _, id := range ids {
		session, exists := c.sessions.Get(id)
		reason := session.TimedOut(now)
		if !exists || reason == 0 {
			continue
		}
		e := authority.EndedSession{ID: id, UserID: session.UserID, Reason: reason}
		if err := c.deleteEnded(&e); err != nil {
			return nil, err
		}
		ended = append(ended, e)
	}
	return ended, nil
}

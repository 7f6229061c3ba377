package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Sessions returns a page of live sessions. It first finds the users in their order, and then the sessions of each user
// until the page is full. An ended epoch is never read, however many of its sessions wait for the purge.
func (s *Store) Sessions(ctx context.Context, f authority.SessionFilter) ([]authority.SessionWithOrigin, error) {
	return read(ctx, s, func(conn *sqlite.Conn) ([]authority.SessionWithOrigin, error) {
		p := &sessionPage{
			ctx: ctx, store: s, conn: conn, now: f.Now, skip: int(f.Offset), room: int(f.Limit),
			rows: []authority.SessionWithOrigin{},
		}
		if f.Session != (token.SessionID{}) {
			p.skip, p.room = 0, 1
			err := p.add(p.live([]token.SessionID{f.Session}))
			return p.rows, err
		}
		if p.room == 0 {
			return p.rows, nil
		}
		sql, a := sessionOwners(&f)
		err := queryWhile(conn, sql, a, func(stmt *sqlite.Stmt) (more bool, err error) {
			err = p.addUser(stmt.ColumnInt64(0), stmt.ColumnInt64(1))
			return p.room > 0, err
		})
		return p.rows, err
	})
}

// sessionOwners returns a query for the id and the epoch of each user matched by a filter, in order.
func sessionOwners(f *authority.SessionFilter) (sql string, a args) {
	if f.UserID != 0 {
		return "SELECT id, session_epoch FROM user WHERE id = ?", args{f.UserID}
	}
	if f.NetworkID == nil {
		// Each step of the recursion finds the next user with a session by a search of the index.
		return `WITH RECURSIVE owner (id) AS (
				SELECT min(user_id) FROM session WHERE user_id >= ? UNION ALL
				SELECT (SELECT min(user_id) FROM session WHERE user_id > owner.id) FROM owner WHERE owner.id IS NOT NULL
			)
			SELECT user.id, session_epoch FROM owner CROSS JOIN user ON user.id = owner.id WHERE level >= ?`,
			args{f.From.UserID, int64(f.HighestLevel)}
	}
	where := conditions{}
	where.add("network_id = ?", *f.NetworkID)
	if f.MailboxID != nil {
		where.add("mailbox_id = ?", *f.MailboxID)
	}
	if f.From != (authority.UserPosition{}) {
		where.add("(mailbox_id, id) >= (?, ?)", f.From.MailboxID, f.From.UserID)
	}
	where.add("level >= ?", int64(f.HighestLevel))
	return "SELECT id, session_epoch FROM user" + where.sql() +
		" AND EXISTS (SELECT 1 FROM session WHERE user_id = user.id AND epoch = session_epoch)" +
		" ORDER BY mailbox_id, id", where.args
}

// sessionPage collects a page of sessions.
type sessionPage struct {
	ctx   context.Context
	store *Store
	conn  *sqlite.Conn
	now   int64
	skip  int // live sessions that are still to be passed over before the page
	room  int // sessions that are still missing from the page
	rows  []authority.SessionWithOrigin
}

// addUser adds the sessions of a user that belong to the page. The index has the sessions of a user in the order of
// their ids, because the purge needs that order. So addUser reads and sorts all of them if there are not too many.
func (p *sessionPage) addUser(userID, epoch int64) error {
	ids, err := p.nextIDs(userID, epoch, token.SessionID{}, authority.HighestSessionCap+1)
	if err != nil {
		return err
	}
	if len(ids) <= authority.HighestSessionCap {
		live := p.live(ids)
		slices.SortFunc(live, func(a, b authority.Session) int {
			return cmp.Or(cmp.Compare(a.Created, b.Created), bytes.Compare(a.ID[:], b.ID[:]))
		})
		return p.add(live)
	}
	for len(ids) > 0 && p.room > 0 {
		if err := p.add(p.live(ids)); err != nil {
			return err
		}
		if ids, err = p.nextIDs(userID, epoch, ids[len(ids)-1], authority.HighestSessionCap); err != nil {
			return err
		}
	}
	return nil
}

const selectSessionIDs = "SELECT id FROM session WHERE user_id = ? AND epoch = ? AND id > ? ORDER BY id LIMIT ?"

// nextIDs returns the ids of a user's sessions after one of them.
func (p *sessionPage) nextIDs(userID, epoch int64, after token.SessionID, limit int64) ([]token.SessionID, error) {
	return queryAll(p.conn, selectSessionIDs, args{userID, epoch, after[:], limit}, scanSessionID)
}

// live returns the states of the live sessions among some ids.
func (p *sessionPage) live(ids []token.SessionID) []authority.Session {
	live := make([]authority.Session, 0, len(ids))
	for _, id := range ids {
		if state, exists := p.store.sessions.Get(id); exists && state.Idle > p.now {
			live = append(live, state.Session)
		}
	}
	return live
}

// add adds the sessions that belong to the page.
func (p *sessionPage) add(sessions []authority.Session) error {
	skipped := min(p.skip, len(sessions))
	p.skip -= skipped
	for _, session := range sessions[skipped:] {
		if p.room == 0 {
			return nil
		}
		row, err := queryOne(p.conn, selectSessions+" WHERE id = ?", args{session.ID[:]}, scanSession)
		if err == nil {
			row.Session, err = p.store.get(p.ctx, session.ID)
		}
		if errors.Is(err, fault.ErrNotFound) {
			continue // the session has ended meanwhile
		}
		if err != nil {
			return err
		}
		p.rows = append(p.rows, row)
		p.room--
	}
	return nil
}

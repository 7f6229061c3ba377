package sqlite

import (
	"context"
	"errors"
	"sync"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// This file ends all sessions of a user in one step, however many there are. A session carries its user's epoch at the
// sign-in, and lives while the user has the same epoch. endEpochs adds one to the epoch of the user, so that a
// revocation is one short commit. After that, Purge removes the rows page by page.

const (
	// liveSession is the condition that a row of session is of no ended epoch.
	liveSession = `NOT EXISTS (SELECT 1 FROM session_purge
		WHERE session_purge.user_id = session.user_id AND session_purge.epoch > session.epoch)`
	// liveAPIKey is the condition that a row of api_key does not belong to a session of an ended epoch.
	liveAPIKey = `(api_key.session_id IS NULL OR EXISTS (SELECT 1 FROM session
		WHERE session.id = api_key.session_id AND ` + liveSession + `))`
)

// lowestEpoch is the lowest live epoch of a user.
type lowestEpoch struct {
	userID int64
	epoch  uint32
}

func scanLowestEpoch(stmt *sqlite.Stmt) lowestEpoch {
	return lowestEpoch{userID: stmt.ColumnInt64(0), epoch: uint32(stmt.ColumnInt64(1))}
}

// lowestEpochs returns the users of session_purge, for the memory.
func lowestEpochs(conn *sqlite.Conn) (map[int64]uint32, error) {
	lowest := map[int64]uint32{}
	err := query(conn, "SELECT user_id, epoch FROM session_purge", nil, func(stmt *sqlite.Stmt) {
		e := scanLowestEpoch(stmt)
		lowest[e.userID] = e.epoch
	})
	return lowest, err
}

// endEpochs ends all sessions of a user except one, which may be zero, and their API keys.
func (c *change) endEpochs(userID int64, except token.SessionID) error {
	kept, keep := c.sessions.Get(except)
	sql := "UPDATE user SET session_epoch = session_epoch + 1 WHERE id = ? RETURNING session_epoch"
	epoch, err := queryOne(c.conn, sql, args{userID}, scanNumber)
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.endedEpochs = append(c.endedEpochs, lowestEpoch{userID: userID, epoch: uint32(epoch)})
	c.revokedUser = userID
	if keep && kept.UserID == userID {
		kept.Epoch = uint32(epoch)
		c.states = append(c.states, kept)
		if err := execute(c.conn, "UPDATE session SET epoch = ? WHERE id = ?", epoch, except[:]); err != nil {
			return err
		}
	}
	return execute(c.conn, "INSERT OR REPLACE INTO session_purge (user_id, epoch) VALUES (?, ?)", userID, epoch)
}

// countEnded counts the sessions of the last epoch before a lowest live one whose Idle is after a time.
func (s *Store) countEnded(ctx context.Context, lowest lowestEpoch, at int64) (ended int64, err error) {
	return read(ctx, s, func(conn *sqlite.Conn) (ended int64, err error) {
		sql := "SELECT id FROM session WHERE user_id = ? AND epoch = ?"
		err = query(conn, sql, args{lowest.userID, int64(lowest.epoch) - 1}, func(stmt *sqlite.Stmt) {
			if session, exists := s.sessions.Find(scanSessionID(stmt)); exists && session.Idle > at {
				ended++
			}
		})
		return ended, err
	})
}

// Ended returns a channel that receives a value once the epochs of a user have ended.
func (s *Store) Ended() <-chan struct{} { return s.ended }

// signalEnded sends to Ended if an operation of a commit has ended epochs.
func (s *Store) signalEnded() {
	select {
	case s.ended <- struct{}{}:
	default: // the receiver has not seen an earlier value yet
	}
}

// Purge removes a page of the sessions of ended epochs. In a page, the rows of a user are in the order of their ids,
// which is the order of the table, so that a commit writes few pages of the file.
//
// The sessions of a user whose ended sessions are being counted stay. Purge reports done if no others remain, because
// the end of the count signals Ended again.
func (s *Store) Purge(ctx context.Context, limit int) (removed int, done bool, err error) {
	if !s.sessions.HasEndedEpochs() {
		return 0, true, nil
	}
	page, err := tx(ctx, s, urgent, func(c *change) (purgedPage, error) { return c.purge(limit, &s.counting) })
	done = page.removed == 0 && page.counted || !s.sessions.HasEndedEpochs()
	return page.removed, err == nil && done, err
}

// countedUsers has the users whose ended sessions are being counted. It lets EndSessions count after its commit without
// a lock that keeps other calls waiting.
type countedUsers struct {
	mu    sync.Mutex
	calls map[int64]int // by user; guarded by mu
}

// begin adds a user. It returns before the commit that ends the sessions begins.
func (u *countedUsers) begin(userID int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls[userID]++
}

// end removes a user.
func (u *countedUsers) end(userID int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls[userID]--
	if u.calls[userID] == 0 {
		delete(u.calls, userID)
	}
}

func (u *countedUsers) has(userID int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls[userID] > 0
}

// purgedPage is the result of a purge.
type purgedPage struct {
	removed int
	counted bool // whether the sessions of a counted user remain
}

// purge removes sessions of ended epochs, and their API keys. It visits at most limit rows. It reads session_purge in
// its own transaction, because an earlier operation of the batch may have ended another epoch.
func (c *change) purge(limit int, counting *countedUsers) (page purgedPage, err error) {
	users, err := queryAll(c.conn, "SELECT user_id, epoch FROM session_purge LIMIT ?", args{int64(limit)},
		scanLowestEpoch)
	if err != nil {
		return page, err
	}
	for _, user := range users {
		if counting.has(user.userID) {
			page.counted = true
			continue
		}
		removed := len(c.ended)
		rest := limit - removed - len(c.purged)
		if rest <= 0 {
			break
		}
		err := c.deleteSessions(
			"id IN (SELECT id FROM session WHERE user_id = ? AND epoch < ? ORDER BY epoch, id LIMIT ?)",
			user.userID, int64(user.epoch), int64(rest))
		if err != nil {
			return page, err
		}
		if len(c.ended)-removed == rest {
			break // More of them may remain.
		}
		if err := execute(c.conn, "DELETE FROM session_purge WHERE user_id = ?", user.userID); err != nil {
			return page, err
		}
		c.purged = append(c.purged, user.userID)
	}
	page.removed = len(c.ended)
	return page, nil
}

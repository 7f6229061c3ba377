package sqlite

import (
	"context"
	"errors"

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
func (s *Store) Purge(ctx context.Context, limit int) (removed int, done bool, err error) {
	s.purging.Lock()
	defer s.purging.Unlock()
	if !s.sessions.HasEndedEpochs() {
		return 0, true, nil
	}
	removed, err = tx(ctx, s, revocation, func(c *change) (int, error) { return c.purge(limit) })
	return removed, err == nil && !s.sessions.HasEndedEpochs(), err
}

// purge removes sessions of ended epochs, and their API keys. It visits at most limit rows. It reads session_purge in
// its own transaction, because an earlier operation of the batch may have ended another epoch.
func (c *change) purge(limit int) (int, error) {
	users, err := queryAll(c.conn, "SELECT user_id, epoch FROM session_purge LIMIT ?", args{int64(limit)},
		scanLowestEpoch)
	if err != nil {
		return 0, err
	}
	for _, user := range users {
		removed := len(c.ended)
		page := limit - removed - len(c.purged)
		if page <= 0 {
			break
		}
		err := c.deleteSessions(
			"id IN (SELECT id FROM session WHERE user_id = ? AND epoch < ? ORDER BY epoch, id LIMIT ?)",
			user.userID, int64(user.epoch), int64(page))
		if err != nil {
			return 0, err
		}
		if len(c.ended)-removed == page {
			break // More of them may remain.
		}
		if err := execute(c.conn, "DELETE FROM session_purge WHERE user_id = ?", user.userID); err != nil {
			return 0, err
		}
		c.purged = append(c.purged, user.userID)
	}
	return len(c.ended), nil
}

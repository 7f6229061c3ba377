package sqlite

import (
	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/token"
)

// change is one operation's part of a transaction. The operation writes to the database through conn, and records in
// the other fields which sessions, users and API keys changed. The committer then updates the memory.
type change struct {
	conn     *sqlite.Conn
	sessions *sessionlog.Batch // has the changes of the earlier operations; the operation only reads it

	states         []sessionlog.State // of the sessions opened or moved to another epoch
	ended          []token.SessionID
	endedEpochs    []lowestEpoch // by endEpochs
	purged         []int64       // the users without a session of an ended epoch
	deletedAPIKeys []authority.APIKeyHash
	user           *authority.User       // the changed user, or nil
	deletedUsers   bool                  // all users were deleted
	clearedAccount *throttle.AccountHash // the account without counters, or nil

	// For the feed: the sessions whose tokens have ended before their exp, and the user whose earlier tokens have ended
	// or have outdated claims. 0 is none.
	revokedSessions []token.SessionID
	revokedUser     int64
}

// deleteSessions deletes sessions and their API keys.
func (c *change) deleteSessions(where string, a ...any) error {
	if err := c.deleteAPIKeys("session_id IN (SELECT id FROM session WHERE "+where+")", a...); err != nil {
		return err
	}
	ended, err := queryAll(c.conn, "DELETE FROM session WHERE "+where+" RETURNING id", a, scanSessionID)
	c.ended = append(c.ended, ended...)
	return err
}

// deleteAPIKeys deletes API keys.
func (c *change) deleteAPIKeys(where string, a ...any) error {
	deleted, err := queryAll(c.conn, "DELETE FROM api_key WHERE "+where+" RETURNING hash", a, scanAPIKeyHash)
	c.deletedAPIKeys = append(c.deletedAPIKeys, deleted...)
	return err
}

// updateSessions adds the change to its batch, so that the later operations see it.
func (c *change) updateSessions() {
	for _, state := range c.states {
		c.sessions.Put(state)
	}
	for _, id := range c.ended {
		c.sessions.End(id)
	}
	for _, e := range c.endedEpochs {
		c.sessions.EndEpochs(e.userID, e.epoch)
	}
	for _, userID := range c.purged {
		c.sessions.ForgetEpochs(userID)
	}
}

// revoked returns the change for the feed. The tokens of a user issued in this second or before have ended.
func (c *change) revoked(second int64) (changes []revocation.Change) {
	for _, id := range c.revokedSessions {
		changes = append(changes, revocation.SessionEnded(id))
	}
	if c.revokedUser != 0 {
		changes = append(changes, revocation.UserChanged(c.revokedUser, second))
	}
	return changes
}

// updateCaches brings the caches up to date after the commit.
func (c *change) updateCaches(s *Store) {
	for _, hash := range c.deletedAPIKeys {
		s.apiKeys.remove(hash)
	}
	if len(c.endedEpochs) > 0 {
		s.signalEnded()
	}
	if c.user != nil {
		s.users.put(c.user.ID, c.user)
	}
	if c.deletedUsers {
		s.users.clear()
		s.extras.clear() // a restarted copy adds the same sessions again
	}
}

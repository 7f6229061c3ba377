package sqlite

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// A session with an actor has the actor's epoch at the opening, so that the end of all sessions of the actor ends it
// too. No other session pays for that: SessionActor compares the two epochs, and it is called only for those sessions.

// SessionActor returns the actor and the user of a session. It reads both in one statement, and so at one moment.
func (s *Store) SessionActor(ctx context.Context, session authority.Session) (actor, user *authority.User, err error) {
	const sql = "SELECT " + userColumns + ` FROM user WHERE id = ?1
		OR id = ?2 AND session_epoch = (SELECT actor_epoch FROM session_extras WHERE session_id = ?3)`
	users, err := list(ctx, s, sql, args{session.UserID, session.Extras.ActorID, session.ID[:]}, scanUser)
	for _, u := range users {
		if u.ID == session.UserID {
			user = u
		} else {
			actor = u
		}
	}
	if err == nil && user == nil {
		err = fault.ErrNotFound
	}
	return actor, user, err
}

// ofLiveActor is the condition that a row of session has no actor, or one whose sessions have not all ended since.
const ofLiveActor = `NOT EXISTS (SELECT 1 FROM session_extras JOIN user ON user.id = session_extras.actor_id
	WHERE session_extras.session_id = session.id AND user.session_epoch <> session_extras.actor_epoch)`

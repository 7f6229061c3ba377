package postgres

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// A session with an actor has the actor's epoch at the opening, so that the end of all sessions of the actor ends it
// too. No other session pays for that: SessionActor compares the two epochs, and it is called only for those sessions.

// SessionActor returns the actor and the user of a session. It reads both in one statement, and so at one moment.
func (s *Store) SessionActor(ctx context.Context, session authority.Session) (actor, user *authority.User, err error) {
	const sql = "SELECT " + userColumns + ` FROM pawl.users u WHERE u.id = $1
		OR u.id = $2 AND u.session_epoch = (SELECT actor_epoch FROM pawl.session WHERE id = $3)`
	users, err := query(ctx, s, scanUser, sql, session.UserID, session.Extras.ActorID, [16]byte(session.ID))
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

// ofLiveActor is the condition that a session has no actor, or one whose sessions have not all ended since.
const ofLiveActor = "(s.actor_id IS NULL OR NOT EXISTS (SELECT 1 FROM pawl.users a " +
	"WHERE a.id = s.actor_id AND a.session_epoch <> s.actor_epoch))"

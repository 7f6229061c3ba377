package postgres

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	// pageOfUser selects a page of the live sessions of the user $1.
	pageOfUser = "SELECT " + sessionWithOriginColumns + ` FROM pawl.session s
		WHERE s.user_id = $1 AND s.epoch = (SELECT session_epoch FROM pawl.users WHERE id = $1) AND ` + idle + ` > $2
		ORDER BY s.created, s.id OFFSET $3 LIMIT $4`

	// oneSession selects the session $1, if it is live.
	oneSession = "SELECT " + sessionWithOriginColumns + ` FROM pawl.users u JOIN pawl.session s ON s.user_id = u.id
		AND s.epoch = u.session_epoch WHERE s.id = $1 AND ` + idle + " > $2"

	// nextUser selects the users with a session of level $1 or below, from the user $5 on, in the order of their ids.
	// Each step of the recursion finds the next one by a search of the index.
	nextUser = `WITH RECURSIVE owner (id) AS (
			SELECT min(user_id) FROM pawl.session WHERE user_id >= $5 UNION ALL
			SELECT (SELECT min(user_id) FROM pawl.session WHERE user_id > owner.id)
			FROM owner WHERE owner.id IS NOT NULL
		)
		SELECT page.* FROM owner CROSS JOIN LATERAL
			(SELECT id, session_epoch FROM pawl.users WHERE id = owner.id AND level >= $1 OFFSET 0) u`
	// nextOfTenant selects the users of the network $6, and of the mailbox $8 unless it is NULL. It begins at the
	// mailbox $7 and the user $5.
	nextOfTenant = `SELECT page.* FROM (SELECT id, session_epoch FROM pawl.users
			WHERE network_id = $6 AND ($8::bigint IS NULL OR mailbox_id = $8) AND (mailbox_id, id) >= ($7, $5)
				AND level >= $1
			ORDER BY mailbox_id, id) u`
	// pageOfUsers selects a page of the live sessions of those users. PostgreSQL executes a LATERAL join in the order
	// of the users, and only until the page is full. The inner limit makes it read a user's sessions in the order of
	// the index, instead of sorting all of them.
	pageOfUsers = " CROSS JOIN LATERAL (SELECT " + sessionWithOriginColumns + ` FROM pawl.session s
			WHERE s.user_id = u.id AND s.epoch = u.session_epoch AND ` + idle + ` > $2 ORDER BY s.created, s.id
			LIMIT $3::bigint + $4::bigint) page
		OFFSET $3 LIMIT $4`

	// pageOfShards selects a page on Citus, which supports no LATERAL join with a limit. Each shard returns a page.
	pageOfShards = "SELECT " + sessionWithOriginColumns + ` FROM pawl.users u JOIN pawl.session s ON s.user_id = u.id
		AND s.epoch = u.session_epoch WHERE u.level >= $1 AND ` + idle + " > $2"
	ofTenant = ` AND u.network_id = $6 AND ($8::bigint IS NULL OR u.mailbox_id = $8)
		AND (u.mailbox_id, u.id) >= ($7, $5)`
	pageEnd = ", s.created, s.id OFFSET $3 LIMIT $4"
)

// Sessions returns a page of live sessions. It reads no session of an ended epoch, however many wait for the purge.
func (s *Store) Sessions(ctx context.Context, f authority.SessionFilter) ([]authority.SessionWithOrigin, error) {
	if f.Session != (token.SessionID{}) {
		return query(ctx, s, scanSessionWithOrigin, oneSession, [16]byte(f.Session), f.Now)
	}
	if f.UserID != 0 && s.citus != nil {
		return s.sessionsOfUser(ctx, f)
	}
	if f.UserID != 0 {
		return query(ctx, s, scanSessionWithOrigin, pageOfUser, f.UserID, f.Now, f.Offset, f.Limit)
	}
	args := []any{int64(f.HighestLevel), f.Now, f.Offset, f.Limit, f.From.UserID}
	if f.NetworkID == nil && s.citus != nil {
		return query(ctx, s, scanSessionWithOrigin, pageOfShards+" AND u.id >= $5 ORDER BY u.id"+pageEnd, args...)
	}
	if f.NetworkID == nil {
		return query(ctx, s, scanSessionWithOrigin, nextUser+pageOfUsers, args...)
	}
	args = append(args, *f.NetworkID, f.From.MailboxID, f.MailboxID)
	if s.citus != nil {
		sql := pageOfShards + ofTenant + " ORDER BY u.mailbox_id, u.id" + pageEnd
		return query(ctx, s, scanSessionWithOrigin, sql, args...)
	}
	return query(ctx, s, scanSessionWithOrigin, nextOfTenant+pageOfUsers, args...)
}

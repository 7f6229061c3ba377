package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// withRights is withTx for a write that needs rights. They are checked inside the transaction, before op runs.
//
// Every such write locks rows in the same order, so that two of them cannot deadlock: users by id, the session of the
// caller, the API key of the caller, and then the rows changed by op. The locks last until the commit, so that none of
// what was checked can change before the write is durable.
func withRights[T any](
	ctx context.Context, s *Store, r authority.Rights, op func(context.Context, pgx.Tx) (T, error),
) (T, error) {
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (T, error) {
		err := s.lockReferences(ctx, tx)
		if err == nil {
			err = checkRights(ctx, tx, r, deletable)
		}
		if err != nil {
			var zero T
			return zero, err
		}
		return op(ctx, tx)
	})
}

// Two writes with a shared lock of one row would deadlock if both then changed the row. So a write locks a row
// exclusively from the beginning if the write may change the row.
const (
	shared    = " FOR SHARE"
	exclusive = " FOR NO KEY UPDATE"
	deletable = " FOR UPDATE"
)

// checkRights locks what the rights name, and checks the rights. The session and the API key of the caller are locked
// with the given strength: deletable, because a caller may end the one used for the call, or shared. All locks take one
// round trip to the server.
func checkRights(ctx context.Context, tx pgx.Tx, r authority.Rights, strength string) error {
	if r.Actor.UserID == 0 {
		return nil
	}
	var present authority.Present
	var locks pgx.Batch
	lockUsers(&locks, r, &present)
	if r.Actor.Session != (token.SessionID{}) {
		sql := "SELECT " + sessionWithOriginColumns + fromLiveSession + " WHERE s.id = $1" + strength + " OF s"
		locks.Queue(sql, [16]byte(r.Actor.Session)).Query(eachRow(scanSessionWithOrigin,
			func(s authority.SessionWithOrigin) { present.Session = &s.Session }))
	}
	if r.Actor.APIKey != 0 {
		sql := "SELECT " + apiKeyColumns + fromLiveAPIKey + " AND k.id = $1" + strength + " OF k"
		locks.Queue(sql, r.Actor.APIKey).Query(eachRow(scanAPIKey,
			func(k authority.APIKey) { present.APIKey = &k }))
	}
	if err := tx.SendBatch(ctx, &locks).Close(); err != nil {
		return err
	}
	return r.Check(present)
}

// lockUsers adds the locks of the caller, the target and the session actor to a batch, in the order of their ids.
func lockUsers(locks *pgx.Batch, r authority.Rights, present *authority.Present) {
	ids := []int64{r.Actor.UserID, r.Target.ID, r.SessionActor.ID}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if id == 0 {
			continue
		}
		lock := shared
		if id == r.Target.ID {
			lock = exclusive
		}
		locks.Queue(selectUser+lock, id).Query(eachRow(scanUser, func(user *authority.User) {
			if id == r.Actor.UserID {
				present.Actor = user
			}
			if id == r.Target.ID {
				present.Target = user
			}
			if id == r.SessionActor.ID {
				present.SessionActor = user
			}
		}))
	}
}

// eachRow returns a function that calls use with each row of a statement in a batch.
func eachRow[T any](scan pgx.RowToFunc[T], use func(T)) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scan)
		for _, row := range all {
			use(row)
		}
		return err
	}
}

// lockRoots locks a user and all active users of level Root, and reports whether the user is one of the latter. If
// several changes each take the level from one of these users, each change sees the earlier ones.
func lockRoots(ctx context.Context, tx pgx.Tx, id int64) (isRoot bool, err error) {
	users, err := collect(ctx, tx, scanUser, "SELECT "+userColumns+
		" FROM pawl.users u WHERE u.level = $1 AND u.status = $2 OR u.id = $3 ORDER BY u.id"+exclusive,
		int64(authority.Root), int64(authority.Active), id)
	for _, u := range users {
		if u.ID == id {
			isRoot = u.Level == authority.Root && u.Status == authority.Active
		}
	}
	return isRoot, err
}

// checkLastRoot returns ErrLastRoot if no active Root is left.
func checkLastRoot(ctx context.Context, tx pgx.Tx) error {
	tag, err := tx.Exec(ctx, "SELECT 1 FROM pawl.users WHERE level = $1 AND status = $2 LIMIT 1",
		int64(authority.Root), int64(authority.Active))
	if err == nil && tag.RowsAffected() == 0 {
		err = fault.ErrLastRoot
	}
	return err
}

// mayTakeRoot reports whether a change may take the level or the status from an active Root. Without rights, before is
// zero, and every user may be one.
func mayTakeRoot(before authority.Target, c authority.UserChange) bool {
	if before.ID != 0 && (before.Level != authority.Root || before.Status != authority.Active) {
		return false
	}
	return c.Level != nil && *c.Level != authority.Root || c.Status != nil && *c.Status != authority.Active
}

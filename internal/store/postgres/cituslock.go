package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
)

// The transactions of a commit in two phases have row locks at several servers. Each server releases its own when its
// part commits, so a transaction that waited for the lock of one server may not see the changes at another one yet. The
// coordinator releases an advisory lock last, after every server has committed. Two kinds of them take the place of the
// row locks:
//
//   - usersLock is exclusive for transactions that change users or API keys, and shared for sign-ins. A lock of a row
//     of a reference table would also lock the table, so that two transactions deadlock if both read with a lock and
//     then write.
//   - usersLock with the id of a user is exclusive for sign-ins of that user, and shared for lists of the user's
//     sessions.
//
// A transaction takes them first, in this order.

// usersLock is the key, or the first key, of the advisory locks above ("Pawp" in ASCII).
const usersLock = 0x50617770

// lockReferences makes the transactions that change users or API keys follow one another on Citus.
func (s *Store) lockReferences(ctx context.Context, tx pgx.Tx) error {
	if s.citus == nil {
		return nil
	}
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(usersLock))
	return err
}

// lockOpening makes the sign-ins of a user follow one another on Citus, and keeps the users and API keys as they are.
// An opening that creates its user locks like any other change of users.
func (s *Store) lockOpening(ctx context.Context, tx pgx.Tx, o *authority.Opening) error {
	if s.citus == nil {
		return nil
	}
	if o.NewUser != nil {
		return s.lockReferences(ctx, tx)
	}
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock_shared($1), pg_advisory_xact_lock($2, $3)",
		int64(usersLock), int32(usersLock), int32(o.UserID))
	return err
}

// sessionsOfUser lists sessions of one user on Citus between two sign-ins of the user, so that the list does not have
// both a new session and the session that it replaced.
func (s *Store) sessionsOfUser(ctx context.Context, f authority.SessionFilter) ([]authority.SessionWithOrigin, error) {
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) ([]authority.SessionWithOrigin, error) {
		const lock = "SELECT pg_advisory_xact_lock_shared($1, $2)"
		if _, err := tx.Exec(ctx, lock, int32(usersLock), int32(f.UserID)); err != nil {
			return nil, err
		}
		return collect(ctx, tx, scanSessionWithOrigin, pageOfUser, f.UserID, f.Now, f.Offset, f.Limit)
	})
}

// insertSession adds a session on Citus, with the epochs of its user and its actor. An INSERT with a SELECT would run
// as a COPY there, which Citus commits in one phase even if the transaction ends a session at another worker.
func insertSession(ctx context.Context, tx pgx.Tx, o *authority.Opening, epoch, actorEpoch int32) error {
	const insert = "INSERT INTO pawl.session (user_id, epoch, actor_epoch, " + sessionInsertColumns + `) VALUES
		($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`
	values := append([]any{o.UserID, epoch, actorEpoch}, sessionInsertValues(&o.SessionWithOrigin)...)
	_, err := tx.Exec(ctx, insert, values...)
	return err
}

// lockUsersRow makes transactions that add the first Root, or a receiver, follow one another.
const lockUsersRow = "SELECT name FROM pawl.lock WHERE name = 'users' FOR UPDATE"

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

// CreateUser adds a user. If the caller has chosen the id, the sequence of ids moves past it.
func (s *Store) CreateUser(
	ctx context.Context, r authority.Rights, u authority.User, passwordHash string,
) (*authority.User, error) {
	return withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (*authority.User, error) {
		return createUser(ctx, tx, &authority.UserWithHash{User: u, PasswordHash: passwordHash})
	})
}

// CreateFirstRoot adds the first user of level Root. The lock keeps out every other call of it.
func (s *Store) CreateFirstRoot(ctx context.Context, u authority.User, passwordHash string) (*authority.User, error) {
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (*authority.User, error) {
		if err := s.lockReferences(ctx, tx); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, lockUsersRow); err != nil {
			return nil, err
		}
		tag, err := tx.Exec(ctx, "SELECT 1 FROM pawl.users WHERE level = $1 LIMIT 1", int64(authority.Root))
		if err == nil && tag.RowsAffected() > 0 {
			err = fault.ErrHasAdministrator
		}
		if err != nil {
			return nil, err
		}
		return createUser(ctx, tx, &authority.UserWithHash{User: u, PasswordHash: passwordHash})
	})
}

func createUser(ctx context.Context, tx pgx.Tx, u *authority.UserWithHash) (*authority.User, error) {
	const (
		passID = "SELECT setval('pawl.users_id_seq', greatest($1, (SELECT last_value FROM pawl.users_id_seq)))"
		insert = `INSERT INTO pawl.users AS u (id, login, login_folded, external_id, password_hash, email, first_name,
				last_name, network_id, mailbox_id, level, status, created)
			VALUES (coalesce(nullif($1, 0), nextval('pawl.users_id_seq')),
				$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			RETURNING ` + userColumns
	)
	if u.ID != 0 {
		if _, err := tx.Exec(ctx, passID, u.ID); err != nil {
			return nil, err
		}
	}
	return collectOne(ctx, tx, scanUser, insert,
		u.ID, u.Login, prepare.LoginKey(u.Login), u.ExternalID, u.PasswordHash, u.Email, u.FirstName, u.LastName,
		u.NetworkID, u.MailboxID, int64(u.Level), int64(u.Status), u.Created)
}

// User returns a user.
func (s *Store) User(ctx context.Context, id int64) (*authority.User, error) {
	return queryOne(ctx, s, scanUser, selectUser, id)
}

const selectUser = "SELECT " + userColumns + " FROM pawl.users u WHERE u.id = $1"

// UserByLogin finds a user by the prepared form of the login. A login without a prepared form does not exist.
func (s *Store) UserByLogin(
	ctx context.Context, login string,
) (user *authority.User, passwordHash string, err error) {
	key := prepare.LoginKey(login)
	if key == "" {
		return nil, "", fault.ErrNotFound
	}
	u, err := queryOne(ctx, s, scanUserWithHash,
		"SELECT "+userWithHashColumns+" FROM pawl.users u WHERE u.login_folded = $1", key)
	if err != nil {
		return nil, "", err
	}
	return new(u.User), u.PasswordHash, nil // a copy, which does not keep the hash in memory
}

// UserByExternalID finds a user by the external id. The second condition lets PostgreSQL use the index.
func (s *Store) UserByExternalID(ctx context.Context, externalID string) (*authority.User, error) {
	return queryOne(ctx, s, scanUser,
		"SELECT "+userColumns+" FROM pawl.users u WHERE u.external_id = $1 AND u.external_id <> ''", externalID)
}

// UpdateUser changes a user, and ends the sessions not permitted by the new status. Either UpdateUser waits for the
// user's row until a concurrent sign-in has committed, or the sign-in waits for UpdateUser. So no session remains.
func (s *Store) UpdateUser(
	ctx context.Context, r authority.Rights, id int64, c authority.UserChange,
) (*authority.User, error) {
	const update = `UPDATE pawl.users u SET email = coalesce($1, email), first_name = coalesce($2, first_name),
			last_name = coalesce($3, last_name), network_id = coalesce($4, network_id),
			mailbox_id = coalesce($5, mailbox_id), level = coalesce($6, level), status = coalesce($7, status),
			external_id = coalesce($11, external_id),
			session_epoch = session_epoch + (coalesce($7, status) >= $10)::integer
		WHERE id = $8 AND status <> $9 RETURNING ` + userColumns
	user, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (*authority.User, error) {
		var takesRoot bool
		err := s.lockReferences(ctx, tx)
		if err != nil {
			return nil, err
		}
		if mayTakeRoot(r.Target, c) {
			if takesRoot, err = lockRoots(ctx, tx, id); err != nil {
				return nil, err
			}
		}
		if err := checkRights(ctx, tx, r, deletable); err != nil {
			return nil, err
		}
		user, err := collectOne(ctx, tx, scanUser, update, c.Email, c.FirstName, c.LastName, c.NetworkID, c.MailboxID,
			numberOrNull(c.Level), numberOrNull(c.Status), id, int64(authority.Terminated), int64(authority.Suspended),
			c.ExternalID)
		if err == nil && takesRoot {
			err = checkLastRoot(ctx, tx)
		}
		if err == nil && !user.Status.MaySignIn() {
			err = s.endEpochs(ctx, tx, id, token.SessionID{}) // before the API keys, in the order of Purge
		} else if err == nil {
			err = s.publishUser(ctx, tx, id, c)
		}
		if err == nil && user.Status == authority.Terminated {
			_, err = tx.Exec(ctx, "DELETE FROM pawl.api_key WHERE user_id = $1", id)
		}
		return user, err
	})
	if err != nil {
		return nil, err
	}
	if user.Status.MaySignIn() {
		s.recent.userChanged(id)
	} else {
		s.userEnded(id)
	}
	return user, nil
}

// publishUser publishes the change of a user who keeps the sessions. The user's tokens are affected if they have one of
// the changed fields as a claim.
func (s *Store) publishUser(ctx context.Context, tx pgx.Tx, id int64, c authority.UserChange) error {
	if c.Level == nil && c.NetworkID == nil && c.MailboxID == nil && c.ExternalID == nil {
		return s.publishTouched(ctx, tx, id)
	}
	return s.publish(ctx, tx, revocation.UserChanged(id, s.feed.Second()))
}

// numberOrNull returns a level or a status for a statement.
func numberOrNull[T ~uint8](p *T) *int64 {
	if p == nil {
		return nil
	}
	return new(int64(*p))
}

// SetPassword replaces a password hash, and ends the user's sessions if the caller asks for it.
func (s *Store) SetPassword(ctx context.Context, r authority.Rights, id int64, c authority.PasswordChange) error {
	const update = `UPDATE pawl.users SET password_hash = $1, session_epoch = session_epoch + $5::boolean::integer
		WHERE id = $2 AND status <> $3 AND $4 IN ('', password_hash)`
	_, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (none, error) {
		err := requireRow(tx.Exec(ctx, update, c.Hash, id, int64(authority.Terminated), c.IfHash, c.EndSessions))
		if err == nil && c.EndSessions {
			err = s.endEpochs(ctx, tx, id, c.Except)
		}
		if err == nil {
			err = clearAttempts(ctx, tx, c.ClearAttempts)
		}
		return none{}, err
	})
	if err == nil && c.EndSessions {
		s.userEnded(id)
	}
	return err
}

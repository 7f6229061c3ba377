package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// CreateUser adds a user. An id of the caller's choice also moves the sequence
// on, so that it is not given to another.
func (s *Store) CreateUser(ctx context.Context, u authority.User, passwordHash string) (user *authority.User, err error) {
	err = s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if u.ID != 0 {
			if _, err := tx.Exec(ctx, "SELECT setval('pawl.users_id_seq', greatest($1, (SELECT last_value FROM pawl.users_id_seq)))", u.ID); err != nil {
				return err
			}
		}
		row := tx.QueryRow(ctx, `INSERT INTO pawl.users AS u (id, login, login_folded, password_hash, email, first_name, last_name, network_id, mailbox_id, level, status, created)
			VALUES (coalesce(nullif($1, 0), nextval('pawl.users_id_seq')), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING `+userColumns,
			u.ID, u.Login, strings.ToLower(u.Login), passwordHash, u.Email, u.FirstName, u.LastName, u.NetworkID, u.MailboxID,
			int64(u.Level), int64(u.Status), u.Created)
		user, err = scanUser(row)
		return err
	})
	return orNil(user, err)
}

// orNil keeps what a step that failed wrote from its caller.
func orNil[T any](p *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// User returns a user.
func (s *Store) User(ctx context.Context, id int64) (user *authority.User, err error) {
	err = s.queryOne(ctx, "SELECT "+userColumns+" FROM pawl.users u WHERE u.id = $1", []any{id}, func(row pgx.Rows) error {
		user, err = scanUser(row)
		return err
	})
	return orNil(user, err)
}

// UserByLogin finds a user without regard to case. PostgreSQL takes no NUL in a
// text, so no login has one.
func (s *Store) UserByLogin(ctx context.Context, login string) (user *authority.User, hash string, err error) {
	if strings.ContainsRune(login, 0) {
		return nil, "", fault.ErrNotFound
	}
	err = s.queryOne(ctx, "SELECT "+userColumns+", u.password_hash FROM pawl.users u WHERE u.login_folded = $1", []any{strings.ToLower(login)},
		func(row pgx.Rows) error {
			user, err = scanUser(row, &hash)
			return err
		})
	user, err = orNil(user, err)
	return user, hash, err
}

// ListUsers returns a page of users by id.
func (s *Store) ListUsers(ctx context.Context, f authority.UserFilter) ([]authority.User, error) {
	where, args := []string{"true"}, []any{f.Limit, f.Offset}
	match := func(column string, value int64) {
		args = append(args, value)
		where = append(where, fmt.Sprintf("u.%s = $%d", column, len(args)))
	}
	if f.NetworkID != nil {
		match("network_id", *f.NetworkID)
	}
	if f.MailboxID != nil {
		match("mailbox_id", *f.MailboxID)
	}
	if f.Level != 0 {
		match("level", int64(f.Level))
	}
	if f.Status != 0 {
		match("status", int64(f.Status))
	}
	users := []authority.User{}
	err := s.query(ctx, "SELECT "+userColumns+" FROM pawl.users u WHERE "+strings.Join(where, " AND ")+" ORDER BY u.id LIMIT $1 OFFSET $2",
		args, func(rows pgx.Rows) error {
			u, err := scanUser(rows)
			users = append(users, *u)
			return err
		})
	return users, err
}

// UpdateUser changes a user, and ends what the new status ends. A login that
// is under way waits for the user's row, or is waited for: so no session stays.
func (s *Store) UpdateUser(ctx context.Context, id int64, c authority.UserChange) (user *authority.User, err error) {
	var ended []token.SessionID
	err = s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row := tx.QueryRow(ctx, `UPDATE pawl.users u SET email = coalesce($1, email), first_name = coalesce($2, first_name), last_name = coalesce($3, last_name),
			network_id = coalesce($4, network_id), mailbox_id = coalesce($5, mailbox_id), level = coalesce($6, level), status = coalesce($7, status)
			WHERE id = $8 AND status <> $9 RETURNING `+userColumns,
			c.Email, c.FirstName, c.LastName, c.NetworkID, c.MailboxID, number(c.Level), number(c.Status), id, int64(authority.Terminated))
		if user, err = scanUser(row); err != nil || user.Status.MaySignIn() {
			return err
		}
		if user.Status == authority.Terminated {
			if _, err := tx.Exec(ctx, "DELETE FROM pawl.api_key WHERE user_id = $1", id); err != nil {
				return err
			}
		}
		ended, err = deleteSessions(ctx, tx, "user_id = $1", id)
		return err
	})
	if err == nil {
		s.recent.end(ended)
		s.recent.expireAll()
	}
	return orNil(user, err)
}

// number is a level or a status as the database has it, or NULL.
func number[T ~uint8](p *T) *int64 {
	if p == nil {
		return nil
	}
	return new(int64(*p))
}

// SetPassword replaces a password hash, and ends sessions if asked to.
func (s *Store) SetPassword(ctx context.Context, id int64, c authority.PasswordChange) error {
	var ended []token.SessionID
	err := s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := changeOne(tx.Exec(ctx, "UPDATE pawl.users SET password_hash = $1 WHERE id = $2 AND status <> $3 AND $4 IN ('', password_hash)",
			c.Hash, id, int64(authority.Terminated), c.IfHash))
		if err != nil || !c.EndSessions {
			return err
		}
		ended, err = deleteSessions(ctx, tx, "user_id = $1 AND id <> $2", id, [16]byte(c.Except))
		return err
	})
	if err == nil {
		s.recent.end(ended)
	}
	return err
}

package sqlite

import (
	"context"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

const userColumns = "id, login, email, first_name, last_name, network_id, mailbox_id, level, status, created"

func scanUser(stmt *sqlite.Stmt) *authority.User {
	return &authority.User{
		ID: stmt.ColumnInt64(0), Login: stmt.ColumnText(1), Email: stmt.ColumnText(2),
		FirstName: stmt.ColumnText(3), LastName: stmt.ColumnText(4),
		Tenant: authority.Tenant{NetworkID: stmt.ColumnInt64(5), MailboxID: stmt.ColumnInt64(6)},
		Level:  authority.Level(stmt.ColumnInt64(7)), Status: authority.Status(stmt.ColumnInt64(8)), Created: stmt.ColumnInt64(9),
	}
}

const insertUser = `INSERT INTO user (id, login, login_folded, password_hash, email, first_name, last_name, network_id, mailbox_id, level, status, created)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// userValues are what insertUser binds.
func userValues(u authority.User, passwordHash string) []any {
	var id any
	if u.ID != 0 {
		id = u.ID
	}
	return []any{id, u.Login, strings.ToLower(u.Login), passwordHash, u.Email, u.FirstName, u.LastName,
		u.NetworkID, u.MailboxID, int64(u.Level), int64(u.Status), u.Created}
}

// CreateUser adds a user.
func (s *Store) CreateUser(ctx context.Context, u authority.User, passwordHash string) (*authority.User, error) {
	var user *authority.User
	err := s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		stmt := conn.Prep(insertUser + " RETURNING " + userColumns)
		bind(stmt, userValues(u, passwordHash)...)
		return unique(one(stmt, func() { user = scanUser(stmt) }))
	}, nil)
	if err != nil {
		return nil, err // and user may still be written to
	}
	return user, nil
}

// unique turns SQLite's word for it into ErrDuplicate.
func unique(err error) error {
	switch sqlite.ErrCode(err) {
	case sqlite.ResultConstraintUnique, sqlite.ResultConstraintPrimaryKey, sqlite.ResultConstraintRowID:
		return fault.ErrDuplicate
	}
	return err
}

// User returns a user, from memory once it has been seen.
func (s *Store) User(ctx context.Context, id int64) (*authority.User, error) {
	return s.memory.users.get(id, func() (user *authority.User, err error) {
		err = s.read(ctx, func(conn *sqlite.Conn) error {
			stmt := conn.Prep("SELECT " + userColumns + " FROM user WHERE id = ?")
			bind(stmt, id)
			return one(stmt, func() { user = scanUser(stmt) })
		})
		return user, err
	})
}

// UserByLogin finds a user without regard to case.
func (s *Store) UserByLogin(ctx context.Context, login string) (user *authority.User, hash string, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + userColumns + ", password_hash FROM user WHERE login_folded = ?")
		bind(stmt, strings.ToLower(login))
		return one(stmt, func() { user, hash = scanUser(stmt), stmt.ColumnText(10) })
	})
	return user, hash, err
}

// ListUsers returns a page of users by id.
func (s *Store) ListUsers(ctx context.Context, f authority.UserFilter) ([]authority.User, error) {
	where, args := []string{"true"}, []any{}
	match := func(column string, value int64) {
		where, args = append(where, column+" = ?"), append(args, value)
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
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + userColumns + " FROM user WHERE " + strings.Join(where, " AND ") + " ORDER BY id LIMIT ? OFFSET ?")
		bind(stmt, append(args, f.Limit, f.Offset)...)
		return each(stmt, func() { users = append(users, *scanUser(stmt)) })
	})
	return users, err
}

// UpdateUser changes a user, and ends what the new status ends.
func (s *Store) UpdateUser(ctx context.Context, id int64, c authority.UserChange) (*authority.User, error) {
	var user *authority.User
	write := s.write
	if c.Status != nil && !c.Status.MaySignIn() {
		write = s.end
	}
	err := write(ctx, func(conn *sqlite.Conn, out *removed) error {
		stmt := conn.Prep(`UPDATE user SET email = coalesce(?, email), first_name = coalesce(?, first_name), last_name = coalesce(?, last_name),
			network_id = coalesce(?, network_id), mailbox_id = coalesce(?, mailbox_id), level = coalesce(?, level), status = coalesce(?, status)
			WHERE id = ? AND status <> ? RETURNING ` + userColumns)
		bind(stmt, orNull(c.Email), orNull(c.FirstName), orNull(c.LastName), orNull(c.NetworkID), orNull(c.MailboxID),
			number(c.Level), number(c.Status), id, int64(authority.Terminated))
		if err := one(stmt, func() { user = scanUser(stmt) }); err != nil {
			return err
		}
		if user.Status.MaySignIn() {
			return nil
		}
		if user.Status == authority.Terminated {
			if err := out.deleteKeys(conn, "user_id = ?", id); err != nil {
				return err
			}
		}
		return out.deleteSessions(conn, "user_id = ?", id)
	}, func() {
		s.memory.users.put(id, user)
	})
	if err != nil {
		return nil, err // and user may still be written to
	}
	return user, nil
}

func orNull[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func number[T ~uint8](p *T) any {
	if p == nil {
		return nil
	}
	return int64(*p)
}

// SetPassword replaces a password hash, and ends sessions if asked to.
func (s *Store) SetPassword(ctx context.Context, id int64, c authority.PasswordChange) error {
	return s.write(ctx, func(conn *sqlite.Conn, out *removed) error {
		stmt := conn.Prep("UPDATE user SET password_hash = ?1 WHERE id = ?2 AND status <> ?3 AND ?4 IN ('', password_hash)")
		bind(stmt, c.Hash, id, int64(authority.Terminated), c.IfHash)
		if err := changeOne(conn, stmt); err != nil || !c.EndSessions {
			return err
		}
		return out.deleteSessions(conn, "user_id = ? AND id <> ?", id, c.Except[:])
	}, nil)
}

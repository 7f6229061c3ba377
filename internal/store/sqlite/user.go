package sqlite

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/token"
)

const userColumns = "id, login, external_id, email, first_name, last_name, network_id, mailbox_id, level, status, " +
	"created"

func scanUser(stmt *sqlite.Stmt) *authority.User {
	return &authority.User{
		ID:         stmt.ColumnInt64(0),
		Login:      stmt.ColumnText(1),
		ExternalID: stmt.ColumnText(2),
		Email:      stmt.ColumnText(3),
		FirstName:  stmt.ColumnText(4),
		LastName:   stmt.ColumnText(5),
		Tenant:     authority.Tenant{NetworkID: stmt.ColumnInt64(6), MailboxID: stmt.ColumnInt64(7)},
		Level:      authority.Level(stmt.ColumnInt64(8)),
		Status:     authority.Status(stmt.ColumnInt64(9)),
		Created:    stmt.ColumnInt64(10),
	}
}

const (
	selectUserByID         = "SELECT " + userColumns + " FROM user WHERE id = ?"
	selectUserByExternalID = "SELECT " + userColumns + " FROM user WHERE external_id = ? AND external_id <> ''"
	selectUsersWithHash    = "SELECT " + userColumns + ", password_hash FROM user"
)

func scanUserWithHash(stmt *sqlite.Stmt) authority.UserWithHash {
	return authority.UserWithHash{User: *scanUser(stmt), PasswordHash: stmt.ColumnText(11)}
}

const insertUser = `INSERT INTO user (id, login, login_folded, external_id, password_hash, email, first_name, last_name,
	network_id, mailbox_id, level, status, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// userValues returns the values of insertUser. The ID 0 asks SQLite for the next one.
func userValues(u *authority.UserWithHash) args {
	var id any
	if u.ID != 0 {
		id = u.ID
	}
	return args{
		id, u.Login, prepare.LoginKey(u.Login), u.ExternalID, u.PasswordHash, u.Email, u.FirstName, u.LastName,
		u.NetworkID, u.MailboxID, int64(u.Level), int64(u.Status), u.Created,
	}
}

// CreateUser adds a user.
func (s *Store) CreateUser(
	ctx context.Context, r authority.Rights, u authority.User, passwordHash string,
) (*authority.User, error) {
	return txAs(ctx, s, r, normal, func(c *change) (*authority.User, error) {
		return c.createUser(&authority.UserWithHash{User: u, PasswordHash: passwordHash})
	})
}

// CreateFirstRoot adds the first user of level Root.
func (s *Store) CreateFirstRoot(ctx context.Context, u authority.User, passwordHash string) (*authority.User, error) {
	return tx(ctx, s, normal, func(c *change) (*authority.User, error) {
		const count = "SELECT count(*) FROM user WHERE level = ?"
		roots, err := queryOne(c.conn, count, args{int64(authority.Root)}, scanNumber)
		if err == nil && roots > 0 {
			err = fault.ErrHasAdministrator
		}
		if err != nil {
			return nil, err
		}
		return c.createUser(&authority.UserWithHash{User: u, PasswordHash: passwordHash})
	})
}

func (c *change) createUser(u *authority.UserWithHash) (*authority.User, error) {
	if err := c.checkExternalID(0, u.ExternalID); err != nil {
		return nil, err
	}
	user, err := queryOne(c.conn, insertUser+" RETURNING "+userColumns, userValues(u), scanUser)
	return user, unique(err)
}

// checkExternalID returns ErrExternalIDTaken if another user than userID has the external id.
func (c *change) checkExternalID(userID int64, externalID string) error {
	other, err := queryOne(c.conn, selectUserByExternalID, args{externalID}, scanUser)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return nil
	case err == nil && other.ID != userID:
		return fault.ErrExternalIDTaken
	}
	return err
}

// User returns a user, usually from the cache.
func (s *Store) User(ctx context.Context, id int64) (*authority.User, error) {
	return s.users.get(id, func() (*authority.User, error) {
		return find(ctx, s, selectUserByID, args{id}, scanUser)
	})
}

// UserByLogin finds a user by the prepared form of the login. If the login has no prepared form, the user does not
// exist.
func (s *Store) UserByLogin(ctx context.Context, login string) (*authority.User, string, error) {
	key := prepare.LoginKey(login)
	if key == "" {
		return nil, "", fault.ErrNotFound
	}
	sql := selectUsersWithHash + " WHERE login_folded = ?"
	user, err := find(ctx, s, sql, args{key}, scanUserWithHash)
	if err != nil {
		return nil, "", err
	}
	return &user.User, user.PasswordHash, nil
}

// UserByExternalID finds a user by the external id. The second condition of the statement lets SQLite use the index.
func (s *Store) UserByExternalID(ctx context.Context, externalID string) (*authority.User, error) {
	return find(ctx, s, selectUserByExternalID, args{externalID}, scanUser)
}

// ListUsers returns a page of users by ID.
func (s *Store) ListUsers(ctx context.Context, f authority.UserFilter) ([]authority.User, error) {
	return read(ctx, s, func(conn *sqlite.Conn) ([]authority.User, error) {
		dense, err := isDense(conn, f.Search)
		if err != nil {
			return nil, err
		}
		sql, a := selectUsers(f, dense)
		return queryAll(conn, sql, a, func(stmt *sqlite.Stmt) authority.User { return *scanUser(stmt) })
	})
}

// selectUsers returns the statement of a list. If the search is dense, the users are read in the order of their ids.
// Otherwise the ids come from the indexes of the searched columns. A "+" keeps SQLite from an index.
func selectUsers(f authority.UserFilter, dense bool) (sql string, a args) {
	where := conditions{}
	network, other := "network_id = ?", ""
	if f.Search != (authority.Search{}) {
		where.addSearch(f.Search, dense)
		if !dense || f.MailboxID == nil {
			network = "+" + network // because a network may have most of the users
		}
		if !dense {
			other = "+"
		}
	}
	if f.NetworkID != nil {
		where.add(network, *f.NetworkID)
	}
	if f.MailboxID != nil {
		where.add("mailbox_id = ?", *f.MailboxID)
	}
	if f.Level != 0 {
		where.add(other+"level = ?", int64(f.Level))
	}
	if f.Status != 0 {
		where.add(other+"status = ?", int64(f.Status))
	}
	if f.After != 0 {
		where.add("id > ?", f.After)
	}
	sql = "SELECT " + userColumns + " FROM user" + where.sql() + " ORDER BY id LIMIT ? OFFSET ?"
	return sql, append(where.args, f.Limit, f.Offset)
}

// searchRange is the range of a column that has a prefix.
type searchRange struct{ column, prefix string }

// searchRanges returns the ranges of a search. Each of the columns has an index.
func searchRanges(s authority.Search) (ranges []searchRange) {
	if s.Login != "" {
		ranges = append(ranges, searchRange{column: "login_folded", prefix: s.Login})
	}
	if s.ExternalID != "" {
		ranges = append(ranges, searchRange{column: "external_id", prefix: s.ExternalID})
	}
	for _, column := range []string{"lower(email)", "lower(last_name)", "lower(first_name || ' ' || last_name)"} {
		ranges = append(ranges, searchRange{column: column, prefix: s.Text})
	}
	return ranges
}

// condition returns the condition that a user is in the range. The index of external ids has no empty ones, so SQLite
// uses it only for a condition that excludes them.
func (r searchRange) condition(dense bool) (sql string, a args) {
	column := r.column
	if dense {
		column = "+" + column
	}
	sql = column + " >= ? AND " + column + " < ?"
	if r.column == "external_id" {
		sql += " AND external_id <> ''"
	}
	return sql, args{r.prefix, r.prefix + string(unicode.MaxRune)}
}

// isDense reports whether so many users match a search that they should be read in the order of their ids. It reads a
// bounded part of the indexes.
func isDense(conn *sqlite.Conn, s authority.Search) (bool, error) {
	if s == (authority.Search{}) {
		return false, nil
	}
	for _, r := range searchRanges(s) {
		sql, a := countMatches(r)
		n, err := queryOne(conn, sql, a, scanNumber)
		if err != nil || n >= authority.DenseSearch {
			return err == nil, err
		}
	}
	return false, nil
}

// countMatches returns the statement that counts the users in a range, up to authority.DenseSearch.
func countMatches(r searchRange) (sql string, a args) {
	condition, a := r.condition(false)
	sql = "SELECT count(*) FROM (SELECT 1 FROM user WHERE " + condition + " LIMIT ?)"
	return sql, append(a, int64(authority.DenseSearch))
}

// addSearch adds the condition that one of the searched columns has the prefix. If the search is not dense, the
// condition is that the id is among those that the indexes have.
func (c *conditions) addSearch(s authority.Search, dense bool) {
	opening, prefix := "id IN (", "SELECT id FROM user WHERE "
	separator := " UNION ALL "
	if dense {
		opening, prefix = "(", ""
		separator = " OR "
	}
	var ranges []string
	var limits args
	for _, r := range searchRanges(s) {
		sql, a := r.condition(dense)
		ranges = append(ranges, prefix+sql)
		limits = append(limits, a...)
	}
	c.add(opening+strings.Join(ranges, separator)+")", limits...)
}

// UpdateUser changes a user, and ends the sessions and API keys as the new status requires.
func (s *Store) UpdateUser(
	ctx context.Context, r authority.Rights, id int64, u authority.UserChange,
) (*authority.User, error) {
	urgency := normal
	if u.Status != nil && !u.Status.MaySignIn() {
		urgency = urgent
	}
	values := args{
		nullable(u.Email), nullable(u.FirstName), nullable(u.LastName), nullable(u.ExternalID), nullable(u.NetworkID),
		nullable(u.MailboxID), nullableNumber(u.Level), nullableNumber(u.Status), id, int64(authority.Terminated),
	}
	return txAs(ctx, s, r, urgency, func(c *change) (*authority.User, error) {
		before, err := c.findUser(id)
		if err != nil {
			return nil, err
		}
		if u.ExternalID != nil {
			if err := c.checkExternalID(id, *u.ExternalID); err != nil {
				return nil, err
			}
		}
		user, err := queryOne(c.conn, `UPDATE user SET email = coalesce(?, email),
			first_name = coalesce(?, first_name), last_name = coalesce(?, last_name),
			external_id = coalesce(?, external_id),
			network_id = coalesce(?, network_id), mailbox_id = coalesce(?, mailbox_id),
			level = coalesce(?, level), status = coalesce(?, status)
			WHERE id = ? AND status <> ? RETURNING `+userColumns, values, scanUser)
		if err != nil {
			return nil, err
		}
		if err := c.checkLastRoot(before, user); err != nil {
			return nil, err
		}
		c.user = user
		if before.Level != user.Level || before.Tenant != user.Tenant || before.ExternalID != user.ExternalID {
			c.revokedUser = id // because its tokens have these claims
		}
		if user.Status == authority.Terminated {
			// The keys of sessions end with their epoch.
			if err := c.deleteAPIKeys("user_id = ? AND session_id IS NULL", id); err != nil {
				return nil, err
			}
		}
		if !user.Status.MaySignIn() {
			if err := c.endEpochs(id, token.SessionID{}); err != nil {
				return nil, err
			}
		}
		return user, nil
	})
}

// SetPassword replaces a password hash, and ends sessions if the change requires it.
func (s *Store) SetPassword(ctx context.Context, r authority.Rights, id int64, p authority.PasswordChange) error {
	return s.writeAs(ctx, r, normal, func(c *change) error {
		err := executeOne(c.conn,
			"UPDATE user SET password_hash = ?1 WHERE id = ?2 AND status <> ?3 AND ?4 IN ('', password_hash)",
			p.Hash, id, int64(authority.Terminated), p.IfHash)
		if err != nil {
			return err
		}
		if !p.EndSessions {
			return c.clearAttempts(p.ClearAttempts)
		}
		return c.endSessions(id, p.EndOptions)
	})
}

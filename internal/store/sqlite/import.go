package sqlite

import (
	"context"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/userimport"
)

// ImportUsers adds the users whose login and id are free.
func (s *Store) ImportUsers(ctx context.Context, users []authority.UserWithHash, e audit.Event) ([]userimport.Imported, error) {
	found := make([]userimport.Imported, len(users))
	err := s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		for i := range users {
			if err := importUser(conn, users[i], e, &found[i]); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err // and found may still be written to
	}
	return found, nil
}

// importUser looks first: a row that is refused would use up an id.
func importUser(conn *sqlite.Conn, u authority.UserWithHash, e audit.Event, found *userimport.Imported) error {
	if err := findLogin(conn, u.Login, &found.UserWithHash); err != nil || found.ID != 0 {
		return err
	}
	insert := conn.Prep(insertUser + " ON CONFLICT DO NOTHING") // with the id of another
	bind(insert, userValues(u.User, u.PasswordHash)...)
	if err := each(insert, func() {}); err != nil || conn.Changes() == 0 {
		return err
	}
	found.Added = true
	if err := findLogin(conn, u.Login, &found.UserWithHash); err != nil {
		return err
	}
	event := conn.Prep(insertEvent)
	e.User = found.ID
	bind(event, eventValues(&e)...)
	return each(event, func() {})
}

// findLogin reads who has a login; nobody leaves found as it is.
func findLogin(conn *sqlite.Conn, login string, found *authority.UserWithHash) error {
	stmt := conn.Prep("SELECT " + userColumns + ", password_hash FROM user WHERE login_folded = ?")
	bind(stmt, strings.ToLower(login))
	return each(stmt, func() { found.User, found.PasswordHash = *scanUser(stmt), stmt.ColumnText(10) })
}

package sqlite

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/userimport"
)

// ImportUsers adds the users with an unused login and ID.
func (s *Store) ImportUsers(
	ctx context.Context, users []authority.UserWithHash, e audit.Event,
) ([]userimport.Imported, error) {
	return tx(ctx, s, normal, func(c *change) ([]userimport.Imported, error) {
		imported := make([]userimport.Imported, len(users))
		for i := range users {
			var err error
			if imported[i], err = importUser(c.conn, &users[i], e); err != nil {
				return nil, err
			}
		}
		return imported, nil
	})
}

// importUser searches for the login and the external id before it adds a user, because a rejected INSERT would use up
// an ID.
func importUser(conn *sqlite.Conn, u *authority.UserWithHash, e audit.Event) (userimport.Imported, error) {
	byLogin, login := selectUsersWithHash+" WHERE login_folded = ?", args{prepare.LoginKey(u.Login)}
	present, err := queryOne(conn, byLogin, login, scanUserWithHash)
	if !errors.Is(err, fault.ErrNotFound) {
		return userimport.Imported{UserWithHash: present}, err
	}
	holders, err := queryAll(conn, selectUserByExternalID, args{u.ExternalID}, scanUser)
	if err != nil || len(holders) > 0 {
		return userimport.Imported{}, err
	}
	err = execute(conn, insertUser+" ON CONFLICT DO NOTHING", userValues(u)...) // The ID may be taken.
	if err != nil || conn.Changes() == 0 {
		return userimport.Imported{}, err
	}
	added, err := queryOne(conn, byLogin, login, scanUserWithHash)
	if err != nil {
		return userimport.Imported{}, err
	}
	e.User = added.ID
	return userimport.Imported{UserWithHash: added, Added: true}, execute(conn, insertEvent, eventValues(&e)...)
}

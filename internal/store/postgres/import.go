package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/userimport"
)

const (
	// addUsers adds users and their events. It skips existing logins and external ids before it takes ids from the
	// sequence, so that a repeated import uses none. ON CONFLICT covers users added by another node meanwhile. The
	// order is always the same, so that two imports cannot deadlock.
	addUsers = `WITH added AS (
		INSERT INTO pawl.users (id, login, login_folded, external_id, password_hash, email, first_name, last_name,
			network_id, mailbox_id, level, status, created)
		SELECT coalesce(nullif(n.id, 0), nextval('pawl.users_id_seq')), n.login, n.folded, n.external, n.hash, n.email,
			n.first, n.last, n.network, n.mailbox, n.level, n.status, n.created
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
				$9::bigint[], $10::smallint[], $11::smallint[], $12::bigint[], $20::text[])
			AS n (id, folded, login, hash, email, first, last, network, mailbox, level, status, created, external)
		WHERE NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.login_folded = n.folded)
			AND NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.external_id = n.external AND u.external_id <> '')
		ORDER BY n.folded
		ON CONFLICT DO NOTHING RETURNING id, login_folded, network_id, mailbox_id
	), events AS (
		INSERT INTO pawl.event (at, kind, user_id, session_id, caller_id, address, request, detail, network_id,
			mailbox_id)
		SELECT $13::bigint, $14::text, id, $15::uuid, $16::bigint, $17::text, $18::text, $19::text, network_id,
			mailbox_id FROM added
	)
	SELECT login_folded FROM added`

	// passIDs moves the sequence past the chosen ids of the users to be added by addUsers.
	passIDs = `WITH chosen AS (
		SELECT max(n.id) AS id FROM unnest($1::bigint[], $2::text[]) AS n (id, folded)
		WHERE NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.login_folded = n.folded)
			AND NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.id = n.id)
	)
	SELECT setval('pawl.users_id_seq', chosen.id) FROM chosen, pawl.users_id_seq WHERE last_value <= chosen.id`
)

// ImportUsers adds the users with a free login, external id and id. For each user, it returns the one with the login
// now.
func (s *Store) ImportUsers(
	ctx context.Context, users []authority.UserWithHash, e audit.Event,
) ([]userimport.Imported, error) {
	ids := column(users, func(u *authority.UserWithHash) int64 { return u.ID })
	logins := column(users, func(u *authority.UserWithHash) string { return prepare.LoginKey(u.Login) })
	args := []any{
		ids,
		logins,
		column(users, func(u *authority.UserWithHash) string { return u.Login }),
		column(users, func(u *authority.UserWithHash) string { return u.PasswordHash }),
		column(users, func(u *authority.UserWithHash) string { return u.Email }),
		column(users, func(u *authority.UserWithHash) string { return u.FirstName }),
		column(users, func(u *authority.UserWithHash) string { return u.LastName }),
		column(users, func(u *authority.UserWithHash) int64 { return u.NetworkID }),
		column(users, func(u *authority.UserWithHash) int64 { return u.MailboxID }),
		column(users, func(u *authority.UserWithHash) int16 { return int16(u.Level) }),
		column(users, func(u *authority.UserWithHash) int16 { return int16(u.Status) }),
		column(users, func(u *authority.UserWithHash) int64 { return u.Created }),
		e.At, string(e.Kind), sessionOrNull(e.Session), e.Caller, e.Address, e.Request, e.Detail,
		column(users, func(u *authority.UserWithHash) string { return u.ExternalID }),
	}
	chosen := slices.ContainsFunc(ids, func(id int64) bool { return id != 0 })
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) ([]userimport.Imported, error) {
		if chosen {
			if _, err := tx.Exec(ctx, passIDs, ids, logins); err != nil {
				return nil, err
			}
		}
		if _, err := tx.Exec(ctx, lockEvents, int64(eventLock)); err != nil {
			return nil, err
		}
		added, err := collect(ctx, tx, pgx.RowTo[string], addUsers, args...)
		if err != nil {
			return nil, err
		}
		existing, err := collectMap(ctx, tx, len(users), scanImported, "SELECT "+userWithHashColumns+
			" FROM pawl.users u WHERE u.login_folded = ANY ($1)", logins)
		if err != nil {
			return nil, err
		}
		for _, login := range added {
			user := existing[login]
			user.Added = true
			existing[login] = user
		}
		imported := make([]userimport.Imported, len(users))
		for i, login := range logins {
			imported[i] = existing[login]
		}
		return imported, nil
	})
}

// column returns one field of each row, for an array of a statement.
func column[Row, T any](rows []Row, field func(*Row) T) []T {
	values := make([]T, len(rows))
	for i := range rows {
		values[i] = field(&rows[i])
	}
	return values
}

// scanImported reads a user, and returns the prepared form of its login as the key.
func scanImported(row pgx.CollectableRow) (string, userimport.Imported, error) {
	u, err := scanUserWithHash(row)
	return prepare.LoginKey(u.Login), userimport.Imported{UserWithHash: u}, err
}

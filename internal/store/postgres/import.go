package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/userimport"
)

const (
	// readTaken reads the users with the login, the id or the external id of a user to be imported.
	readTaken = `SELECT u.id, u.login_folded, u.external_id FROM pawl.users u WHERE u.login_folded = ANY ($1)
		OR u.id = ANY ($2) OR u.external_id <> '' AND u.external_id = ANY ($3)`

	// addUsers adds users. ON CONFLICT covers users added by another node meanwhile. The order is always the same, so
	// that two imports cannot deadlock.
	addUsers = `INSERT INTO pawl.users AS u (id, login, login_folded, external_id, password_hash, email, first_name,
			last_name, network_id, mailbox_id, level, status, created)
		SELECT coalesce(nullif(n.id, 0), nextval('pawl.users_id_seq')), n.login, n.folded, n.external, n.hash, n.email,
			n.first, n.last, n.network, n.mailbox, n.level, n.status, n.created
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
				$9::bigint[], $10::smallint[], $11::smallint[], $12::bigint[], $13::text[])
			AS n (id, folded, login, hash, email, first, last, network, mailbox, level, status, created, external)
		ORDER BY n.folded
		ON CONFLICT DO NOTHING RETURNING ` + userWithHashColumns

	// addImported adds the events of added users.
	addImported = `INSERT INTO pawl.event (at, kind, user_id, session_id, caller_id, address, request, detail,
			network_id, mailbox_id)
		SELECT $1::bigint, $2::text, n.id, $3::uuid, $4::bigint, $5::text, $6::text, $7::text, n.network, n.mailbox
		FROM unnest($8::bigint[], $9::bigint[], $10::bigint[]) AS n (id, network, mailbox)`

	// passIDs moves the sequence past an id.
	passIDs = "SELECT setval('pawl.users_id_seq', $1::bigint) FROM pawl.users_id_seq WHERE last_value <= $1::bigint"
)

// ImportUsers adds the users with a free login, external id and id. For each user, it returns the one with the login
// now.
func (s *Store) ImportUsers(
	ctx context.Context, users []authority.UserWithHash, e audit.Event,
) ([]userimport.Imported, error) {
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) ([]userimport.Imported, error) {
		if err := s.lockReferences(ctx, tx); err != nil {
			return nil, err
		}
		free, maxID, err := freeUsers(ctx, tx, users)
		if err != nil {
			return nil, err
		}
		if maxID > 0 {
			if _, err := tx.Exec(ctx, passIDs, maxID); err != nil {
				return nil, err
			}
		}
		if _, err := tx.Exec(ctx, lockEvents); err != nil {
			return nil, err
		}
		added, err := collectMap(ctx, tx, len(free), scanImported, addUsers, importArgs(free)...)
		if err != nil {
			return nil, err
		}
		var all []userimport.Imported
		for _, login := range slices.Sorted(maps.Keys(added)) {
			all = append(all, added[login])
		}
		_, err = tx.Exec(ctx, addImported,
			e.At, string(e.Kind), sessionOrNull(e.Session), e.Caller, e.Address, e.Request, e.Detail,
			column(all, func(u *userimport.Imported) int64 { return u.ID }),
			column(all, func(u *userimport.Imported) int64 { return u.NetworkID }),
			column(all, func(u *userimport.Imported) int64 { return u.MailboxID }))
		if err != nil {
			return nil, err
		}
		logins := column(users, func(u *authority.UserWithHash) string { return prepare.LoginKey(u.Login) })
		existing, err := collectMap(ctx, tx, len(users), scanImported, "SELECT "+userWithHashColumns+
			" FROM pawl.users u WHERE u.login_folded = ANY ($1)", logins)
		if err != nil {
			return nil, err
		}
		imported := make([]userimport.Imported, len(users))
		for i, login := range logins {
			imported[i] = existing[login]
			_, imported[i].Added = added[login]
		}
		return imported, nil
	})
}

// freeUsers returns the users whose login and external id are free, and the highest of their chosen ids that is free
// too. A repeated import thus takes no ids from the sequence. Citus would not run the comparison and the insert in one
// statement.
func freeUsers(
	ctx context.Context, tx pgx.Tx, users []authority.UserWithHash,
) (free []authority.UserWithHash, maxID int64, err error) {
	type taken struct {
		id              int64
		login, external string
	}
	scan := func(row pgx.CollectableRow) (t taken, err error) {
		err = row.Scan(&t.id, &t.login, &t.external)
		return t, err
	}
	rows, err := collect(ctx, tx, scan, readTaken,
		column(users, func(u *authority.UserWithHash) string { return prepare.LoginKey(u.Login) }),
		column(users, func(u *authority.UserWithHash) int64 { return u.ID }),
		column(users, func(u *authority.UserWithHash) string { return u.ExternalID }))
	if err != nil {
		return nil, 0, err
	}
	ids := map[int64]bool{}
	logins, externals := map[string]bool{}, map[string]bool{}
	for _, t := range rows {
		ids[t.id] = true
		logins[t.login] = true
		externals[t.external] = t.external != ""
	}
	for _, u := range users {
		if logins[prepare.LoginKey(u.Login)] || externals[u.ExternalID] {
			continue
		}
		free = append(free, u)
		if !ids[u.ID] {
			maxID = max(maxID, u.ID)
		}
	}
	return free, maxID, nil
}

// importArgs returns the arguments of addUsers.
func importArgs(users []authority.UserWithHash) []any {
	return []any{
		column(users, func(u *authority.UserWithHash) int64 { return u.ID }),
		column(users, func(u *authority.UserWithHash) string { return prepare.LoginKey(u.Login) }),
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
		column(users, func(u *authority.UserWithHash) string { return u.ExternalID }),
	}
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

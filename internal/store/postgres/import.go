package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/userimport"
)

// addUsers leaves out who is there before it asks for ids, so that a second
// import uses none up; what another node adds meanwhile is the conflict. In one
// order, so that two imports at once do not wait for each other in a circle.
const addUsers = `WITH added AS (
	INSERT INTO pawl.users (id, login, login_folded, password_hash, email, first_name, last_name, network_id, mailbox_id, level, status, created)
	SELECT coalesce(nullif(n.id, 0), nextval('pawl.users_id_seq')), n.login, n.folded, n.hash, n.email, n.first, n.last, n.network, n.mailbox, n.level, n.status, n.created
	FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::smallint[], $11::smallint[], $12::bigint[])
		AS n (id, login, folded, hash, email, first, last, network, mailbox, level, status, created)
	WHERE NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.login_folded = n.folded) ORDER BY n.folded
	ON CONFLICT DO NOTHING RETURNING id, login_folded
), events AS (
	INSERT INTO pawl.event (at, kind, user_id, session_id, caller_id, address, request, detail)
	SELECT $13::bigint, $14::text, id, $15::uuid, $16::bigint, $17::text, $18::text, $19::text FROM added
)
SELECT login_folded FROM added`

// passIDs moves the sequence past ids of the caller's choice: past none that is
// left out.
const passIDs = `WITH chosen AS (
	SELECT max(n.id) AS id FROM unnest($1::bigint[], $2::text[]) AS n (id, folded)
	WHERE NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.login_folded = n.folded) AND NOT EXISTS (SELECT 1 FROM pawl.users u WHERE u.id = n.id)
)
SELECT setval('pawl.users_id_seq', chosen.id) FROM chosen, pawl.users_id_seq WHERE last_value <= chosen.id`

// ImportUsers adds the users whose login and id are free.
func (s *Store) ImportUsers(ctx context.Context, users []authority.UserWithHash, e audit.Event) (found []userimport.Imported, err error) {
	args, chosen := importArgs(users, e)
	err = s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if chosen {
			if _, err := tx.Exec(ctx, passIDs, args[0], args[2]); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, addUsers, args...)
		added := map[string]bool{}
		var folded string
		if err := each(rows, err, func(row pgx.Rows) error { err := row.Scan(&folded); added[folded] = true; return err }); err != nil {
			return err
		}
		found, err = whoHas(ctx, tx, users, added)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// whoHas returns, for each user, the one that has the login now.
func whoHas(ctx context.Context, tx pgx.Tx, users []authority.UserWithHash, added map[string]bool) ([]userimport.Imported, error) {
	logins := make([]string, len(users))
	for i := range users {
		logins[i] = strings.ToLower(users[i].Login)
	}
	there := map[string]userimport.Imported{}
	rows, err := tx.Query(ctx, "SELECT "+userColumns+", u.password_hash FROM pawl.users u WHERE u.login_folded = ANY($1)", logins)
	err = each(rows, err, func(row pgx.Rows) error {
		var hash string
		u, err := scanUser(row, &hash)
		if err == nil {
			folded := strings.ToLower(u.Login)
			there[folded] = userimport.Imported{UserWithHash: authority.UserWithHash{User: *u, PasswordHash: hash}, Added: added[folded]}
		}
		return err
	})
	found := make([]userimport.Imported, len(users))
	for i, folded := range logins {
		found[i] = there[folded]
	}
	return found, err
}

// importArgs are what addUsers needs, and whether an id was chosen.
func importArgs(users []authority.UserWithHash, e audit.Event) (args []any, chosen bool) {
	n := len(users)
	ids, networks, mailboxes, created := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	levels, statuses := make([]int16, n), make([]int16, n)
	texts := [6][]string{}
	for i := range texts {
		texts[i] = make([]string, n)
	}
	for i := range users {
		u := &users[i]
		chosen = chosen || u.ID != 0
		ids[i], networks[i], mailboxes[i], created[i] = u.ID, u.NetworkID, u.MailboxID, u.Created
		levels[i], statuses[i] = int16(u.Level), int16(u.Status)
		for column, text := range []string{u.Login, strings.ToLower(u.Login), u.PasswordHash, u.Email, u.FirstName, u.LastName} {
			texts[column][i] = text
		}
	}
	return []any{ids, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], networks, mailboxes, levels, statuses, created,
		e.At, string(e.Kind), sessionOrNull(e.Session), e.Caller, e.Address, e.Request, e.Detail}, chosen
}

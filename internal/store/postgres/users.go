package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
)

// This file lists users. A search compares prefixes of several columns, each of which has an index. The planner of
// PostgreSQL cannot know how many users match, and right after an import it has no statistics either, so a search
// counts them first, and then leaves the planner one plan only.

// ListUsers returns a page of users in the order of their ids.
func (s *Store) ListUsers(ctx context.Context, f authority.UserFilter) ([]authority.User, error) {
	scan := func(row pgx.CollectableRow) (authority.User, error) {
		u, err := scanUser(row)
		return *u, err
	}
	if f.Search == (authority.Search{}) {
		sql, args := selectUsers(f, false)
		return query(ctx, s, scan, sql, args...)
	}
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) ([]authority.User, error) {
		dense, err := isDense(ctx, tx, f.Search)
		if err != nil {
			return nil, err
		}
		sql, args := selectUsers(f, dense)
		return collect(ctx, tx, scan, sql, args...)
	})
}

// selectUsers returns the statement of a list. If the search is dense, the users are read in the order of their ids.
// Otherwise their ids come from the indexes of the searched columns. A "+ 0" keeps PostgreSQL from an index.
func selectUsers(f authority.UserFilter, dense bool) (sql string, args []any) {
	where := []string{"true"}
	args = []any{f.Limit, f.Offset}
	id, network := "u.id", "u.network_id"
	mailbox := "u.mailbox_id"
	if f.Search != (authority.Search{}) {
		args = append(args, searchArgs(f.Search)...)
		if dense {
			where = append(where, "("+searchCondition+") IS TRUE") // no index serves that
		} else {
			where = append(where, "u.id = ANY (ARRAY("+selectMatches()+"))")
			id = "u.id + 0"
		}
		if !dense || f.NetworkID == nil || f.MailboxID == nil {
			network += " + 0" // because a network or a mailbox may have most of the users
			mailbox += " + 0"
		}
	}
	match := func(column string, value int64) {
		args = append(args, value)
		where = append(where, fmt.Sprintf("%s = $%d", column, len(args)))
	}
	if f.NetworkID != nil {
		match(network, *f.NetworkID)
	}
	if f.MailboxID != nil {
		match(mailbox, *f.MailboxID)
	}
	if f.Level != 0 {
		match("u.level", int64(f.Level))
	}
	if f.Status != 0 {
		match("u.status", int64(f.Status))
	}
	if f.After != 0 {
		args = append(args, f.After)
		where = append(where, fmt.Sprintf("%s > $%d", id, len(args)))
	}
	return "SELECT " + userColumns + " FROM pawl.users u WHERE " + strings.Join(where, " AND ") +
		" ORDER BY " + id + " LIMIT $1 OFFSET $2", args
}

// The conditions that a column is in the range of a prefix, with the parameters of searchArgs from $3 on.
const (
	inLogin    = `$3 <> '' AND u.login_folded COLLATE "C" >= $3 AND u.login_folded COLLATE "C" < $4`
	inEmail    = `lower(u.email COLLATE "C") >= $5 AND lower(u.email COLLATE "C") < $6`
	inLastName = `lower(u.last_name COLLATE "C") >= $5 AND lower(u.last_name COLLATE "C") < $6`
	inName     = `lower((u.first_name || ' ' || u.last_name) COLLATE "C") >= $5
		AND lower((u.first_name || ' ' || u.last_name) COLLATE "C") < $6`
	inExternalID = `$7 <> '' AND u.external_id <> ''
		AND u.external_id COLLATE "C" >= $7 AND u.external_id COLLATE "C" < $8`

	searchCondition = inLogin + " OR " + inEmail + " OR " + inLastName + " OR " + inName + " OR " + inExternalID
)

func searchArgs(s authority.Search) []any {
	end := string(unicode.MaxRune)
	return []any{s.Login, s.Login + end, s.Text, s.Text + end, s.ExternalID, s.ExternalID + end}
}

// searchColumns are the searched columns, each with the order of its index.
var searchColumns = []struct{ condition, order string }{
	{condition: inLogin, order: `u.login_folded COLLATE "C"`},
	{condition: inEmail, order: `lower(u.email COLLATE "C")`},
	{condition: inLastName, order: `lower(u.last_name COLLATE "C")`},
	{condition: inName, order: `lower((u.first_name || ' ' || u.last_name) COLLATE "C")`},
	{condition: inExternalID, order: `u.external_id COLLATE "C"`},
}

// eachColumn returns a subquery for each searched column that selects something of up to DenseSearch matches. The order
// makes PostgreSQL stop there, because it reads the index in that order.
func eachColumn(what string) (all []string) {
	for _, column := range searchColumns {
		all = append(all, fmt.Sprintf("(SELECT %s FROM pawl.users u WHERE %s ORDER BY %s LIMIT %d)",
			what, column.condition, column.order, authority.DenseSearch))
	}
	return all
}

func selectMatches() string { return strings.Join(eachColumn("u.id"), " UNION ALL ") }

// countMatches returns the statement that counts the matches of the column with most of them, up to DenseSearch. Its
// parameters begin at $3, as those of selectUsers.
func countMatches() string {
	var counts []string
	for _, matches := range eachColumn("1") {
		counts = append(counts, "(SELECT count(*) FROM "+matches+" matches)")
	}
	return "SELECT greatest(" + strings.Join(counts, ", ") + ") >= $1 AND $2"
}

func countArgs(s authority.Search) []any {
	return append([]any{int64(authority.DenseSearch), true}, searchArgs(s)...)
}

// The settings of the planner, until the end of the transaction. Settings unknown to the engine are skipped.
const (
	// readInOrder is for the count, a dense search and a list of events, and maySort for every other search.
	readInOrder = `SELECT set_config(name, 'off', true) FROM pg_settings
		WHERE name IN ('enable_seqscan', 'enable_bitmapscan', 'enable_sort')`
	maySort = "SELECT set_config(name, 'on', true) FROM pg_settings WHERE name = 'enable_sort'"
)

// isDense reports whether so many users match a search that they should be read in the order of their ids, and sets the
// planner accordingly. It reads a bounded part of the indexes.
func isDense(ctx context.Context, tx pgx.Tx, s authority.Search) (dense bool, err error) {
	var batch pgx.Batch
	batch.Queue(readInOrder)
	batch.Queue(countMatches(), countArgs(s)...).QueryRow(func(row pgx.Row) error { return row.Scan(&dense) })
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil || dense {
		return dense, err
	}
	_, err = tx.Exec(ctx, maySort)
	return false, err
}

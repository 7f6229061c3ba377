package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// standbys are the standbys for which a commit waits.
type standbys struct {
	names    string // synchronous_standby_names
	commit   string // synchronous_commit
	required int    // how many standbys confirm a commit; 0 if it waits for none
	total    int    // how many standbys are named; 0 if any standby counts
}

// leases reports whether a confirmed commit shows that no standby has been promoted. Every standby that may be promoted
// has to confirm it. If one of several is enough, the others still confirm the commits of a primary that one of them
// has replaced.
func (s standbys) leases() bool { return s.total > 0 && s.required >= s.total }

func readStandbysOn(ctx context.Context, conn *pgx.Conn) (standbys, error) {
	const sql = "SELECT coalesce(current_setting('synchronous_standby_names', true), '')," +
		" coalesce(current_setting('synchronous_commit', true), '')"
	var names, commit string
	if err := conn.QueryRow(ctx, sql).Scan(&names, &commit); err != nil {
		return standbys{}, err
	}
	return newStandbys(names, commit), nil
}

// newStandbys interprets the two settings. PostgreSQL has checked their syntax.
func newStandbys(names, commit string) standbys {
	s := standbys{names: names, commit: commit}
	if commit == "off" || commit == "local" {
		return s // a commit waits for no standby
	}
	list := names
	s.required = 1
	if head, rest, found := cutUnquoted(names, '('); found {
		list, _, _ = cutUnquoted(rest, ')')
		fields := strings.Fields(head)
		if len(fields) > 0 {
			s.required, _ = strconv.Atoi(fields[len(fields)-1])
		}
	}
	for more := strings.TrimSpace(list) != ""; more; {
		var name string
		name, list, more = cutUnquoted(list, ',')
		if strings.TrimSpace(name) == "*" {
			s.total = 0
			return s
		}
		s.total++
	}
	if s.total == 0 {
		s.required = 0
	}
	return s
}

// cutUnquoted is strings.Cut at a character outside double quotes.
func cutUnquoted(text string, separator byte) (before, after string, found bool) {
	quoted := false
	for i := range len(text) {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == separator && !quoted:
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

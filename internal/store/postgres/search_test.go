package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestSearchPlans checks the plans of a search, before and after PostgreSQL has statistics. The count before it reads a
// bounded part of each index. A dense search reads the users by their ids, and any other one reads all five indexes.
func TestSearchPlans(t *testing.T) {
	conn := connectToUsers(t)
	check := func(name, sql string, args []any, never []string, want ...string) {
		t.Helper()
		checkPlan(t, conn, name, sql, args, never, want...)
	}
	indexes := strings.Fields(`users_search_login users_search_email users_search_last_name users_search_name
		users_search_external_id`)
	search, err := authority.NewSearch("u")
	if err != nil {
		t.Fatal(err)
	}
	network, mailbox := int64(1), int64(7)
	all := authority.UserFilter{Search: search, Limit: 51, After: 3}
	inNetwork, inMailbox := all, all
	inNetwork.NetworkID = &network
	inMailbox.NetworkID, inMailbox.MailboxID = &network, &mailbox
	for range 2 {
		set := func(sql string) {
			t.Helper()
			if _, err := conn.Exec(t.Context(), strings.ReplaceAll(sql, ", true)", ", false)")); err != nil {
				t.Fatal(err)
			}
		}
		set(readInOrder)
		ordered := []string{"Seq Scan", "Bitmap", "Sort"}
		check("count", countMatches(), countArgs(search), ordered, indexes...)
		for name, test := range map[string]struct {
			filter authority.UserFilter
			index  string
		}{
			"all":     {filter: all, index: "Index Scan using users_pkey"},
			"network": {filter: inNetwork, index: "Index Scan using users_pkey"},
			"mailbox": {filter: inMailbox, index: "Index Scan using users_tenant"},
		} {
			sql, args := selectUsers(test.filter, true)
			check("dense, "+name, sql, args, ordered, test.index)
		}
		set(maySort)
		for _, filter := range []authority.UserFilter{all, inNetwork, inMailbox} {
			sql, args := selectUsers(filter, false)
			check("sparse", sql, args, []string{"Seq Scan", "users_tenant", "Bitmap"},
				append(indexes, "Index Cond: (id = ANY (")...)
		}
		set("ANALYZE pawl.users")
	}
}

// TestEventPlans checks that each filter of the events searches the index of its rarest condition, in its order. With
// statistics, PostgreSQL may read the events by their time instead, if it expects to find a page soon.
func TestEventPlans(t *testing.T) {
	conn := connectToUsers(t)
	const events = `INSERT INTO pawl.event (at, kind, user_id, session_id, caller_id, address, request, detail,
			network_id, mailbox_id)
		SELECT i, CASE WHEN i % 1000 = 0 THEN 'theft' ELSE 'login' END, i % 1000, gen_random_uuid(), 0, '', '', '',
			i % 3, i % 30
		FROM generate_series(1, 100000) i`
	if _, err := conn.Exec(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	tenant, session := int64(1), token.SessionID{1}
	if _, err := conn.Exec(t.Context(), strings.ReplaceAll(readInOrder, ", true)", ", false)")); err != nil {
		t.Fatal(err)
	}
	for _, statistics := range []bool{false, true} {
		for index, filters := range map[string][]audit.Filter{
			"event_session": {{Session: session}, {Session: session, Kind: audit.Login, User: 1, NetworkID: &tenant}},
			"event_user":    {{User: 1}, {User: 1, Kind: audit.Login, NetworkID: &tenant, MailboxID: &tenant}},
			"event_kind":    {{Kind: audit.Login}, {Kind: audit.Theft, NetworkID: &tenant, From: 1, To: 2}},
			"event_tenant":  {{NetworkID: &tenant}, {NetworkID: &tenant, Kind: audit.Login, From: 1}},
			"event_mailbox": {{NetworkID: &tenant, MailboxID: &tenant, Before: &audit.Position{At: 1, ID: 1}}},
			"event_at":      {{}, {From: 1, To: 2}},
			"event_pkey":    {{After: new(int64)}, {After: new(int64), Kind: audit.Login}},
		} {
			for _, filter := range filters {
				filter.HighestLevel, filter.Limit = 7, 51
				sql, args := selectEvents(&filter)
				want := index
				if statistics {
					want = "using event_"
				}
				checkPlan(t, conn, index, sql, args, []string{"Seq Scan", "Bitmap", "Sort"}, want)
			}
		}
		if _, err := conn.Exec(t.Context(), "ANALYZE pawl.event"); err != nil {
			t.Fatal(err)
		}
	}
}

// connectToUsers returns a connection to a store with 20,000 users, of which PostgreSQL has no statistics.
func connectToUsers(t *testing.T) *pgx.Conn {
	t.Helper()
	cluster := pgtest.Start(t, "autovacuum=off")
	dsn := cluster.DSN(cluster.Database(t))
	config, err := ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	pgtest.Exec(t, dsn, `INSERT INTO pawl.users (login, login_folded, external_id, password_hash, email, first_name,
			last_name, network_id, mailbox_id, level, status, created)
		SELECT 'u' || i, 'u' || i, 'u' || i, '', 'u' || i, 'u', 'u' || i, 1, i % 10, 7, 2, 0
		FROM generate_series(1, 20000) i`)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// checkPlan checks that the plan of a statement has some parts, and never has others.
func checkPlan(t *testing.T, conn *pgx.Conn, name, sql string, args []any, never []string, want ...string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "EXPLAIN "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	plan := strings.Join(lines, "\n")
	for _, part := range want {
		if !strings.Contains(plan, part) {
			t.Errorf("%s: the plan has no %s:\n%s", name, part, plan)
		}
	}
	for _, part := range never {
		if strings.Contains(plan, part) {
			t.Errorf("%s: the plan has %s:\n%s", name, part, plan)
		}
	}
}

package sqlite

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// TestListReadsIndexRanges checks the plans of the queries for a page of sessions and for a sign-in: searches of
// indexes without a sort or a scan, so that their work does not depend on how many sessions there are.
func TestListReadsIndexRanges(t *testing.T) {
	s, _ := withSessions(t, t.TempDir(), 1)
	network, mailbox := int64(1), int64(2)
	queries := map[string]string{"sessions of a user": selectSessionIDs}
	for name, f := range map[string]authority.SessionFilter{
		"a user":  {UserID: 1},
		"all":     {},
		"network": {NetworkID: &network, HighestLevel: authority.NetworkAdmin},
		"mailbox": {NetworkID: &network, MailboxID: &mailbox, HighestLevel: authority.MailboxAdmin},
	} {
		queries[name], _ = sessionOwners(&f)
	}
	for name, sql := range queries {
		plan, err := queryAll(s.writer, "EXPLAIN QUERY PLAN "+sql, nil, func(stmt *sqlite.Stmt) string {
			return stmt.ColumnText(3)
		})
		if err != nil {
			t.Fatal(err)
		}
		searches := slices.ContainsFunc(plan, func(step string) bool { return strings.HasPrefix(step, "SEARCH ") })
		full := slices.ContainsFunc(plan, func(step string) bool {
			// "SCAN owner" reads the recursive part step by step. min(user_id) is the first entry of the index.
			return strings.Contains(step, "TEMP B-TREE") || strings.HasPrefix(step, "SCAN user") ||
				step == "SCAN session" || strings.Contains(step, "MATERIALIZE")
		})
		if !searches || full {
			t.Errorf("%s: the plan of %s is\n%s", name, sql, strings.Join(plan, "\n"))
		}
	}
}

// TestSearchPlans checks the plans of a search. The count before it reads a bounded part of each index. A dense search
// reads the users by their ids, and any other one reads all five indexes.
func TestSearchPlans(t *testing.T) {
	s, _ := withSessions(t, t.TempDir(), 1)
	search, err := authority.NewSearch("u")
	if err != nil {
		t.Fatal(err)
	}
	explain := func(sql string) string {
		t.Helper()
		plan, err := queryAll(s.writer, "EXPLAIN QUERY PLAN "+sql, nil, func(stmt *sqlite.Stmt) string {
			return stmt.ColumnText(3)
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(plan, "\n")
	}
	for _, r := range searchRanges(search) {
		sql, _ := countMatches(r)
		plan := explain(sql)
		if !strings.Contains(plan, "SEARCH user USING COVERING INDEX") || strings.Contains(plan, "SCAN user") {
			t.Errorf("the plan of %s is\n%s", sql, plan)
		}
	}
	network, mailbox := int64(1), int64(7)
	all := authority.UserFilter{Search: search, Limit: 51}
	after, inNetwork := all, all
	after.After, after.Level = 3, authority.Root
	inNetwork.NetworkID = &network
	inMailbox := inNetwork
	inMailbox.MailboxID = &mailbox
	for plan, filters := range map[string][]authority.UserFilter{
		"SCAN user": {all, inNetwork}, "user_level (level=? AND rowid>?)": {after}, "user_tenant": {inMailbox},
	} {
		for _, filter := range filters {
			sql, _ := selectUsers(filter, true)
			if got := explain(sql); !strings.Contains(got, plan) || strings.Contains(got, "TEMP B-TREE") {
				t.Errorf("dense: the plan of %s is\n%s", sql, got)
			}
			sql, _ = selectUsers(filter, false)
			if got := explain(sql); strings.Count(got, "SEARCH user USING COVERING INDEX") != 5 ||
				!strings.Contains(got, "SEARCH user USING INTEGER PRIMARY KEY (rowid=?)") ||
				strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") {
				t.Errorf("sparse: the plan of %s is\n%s", sql, got)
			}
		}
	}
}

// TestManySessionsOfAUser lists the sessions of a user with more sessions than a list sorts, and with as many ended
// ones, and opens a session with a cap far below their number.
func TestManySessionsOfAUser(t *testing.T) {
	const sessions = authority.HighestSessionCap + 2500
	s, ids := withManySessions(t, t.TempDir(), sessions)
	if err := endSessions(t, s, authority.EndOptions{Except: ids[0]}); err != nil {
		t.Fatal(err)
	}
	live := []token.SessionID{ids[0]}
	rows := make([]authority.SessionWithOrigin, sessions)
	var group errgroup.Group
	group.SetLimit(64)
	for i := range rows {
		rows[i] = largeSession(sessions + i)
		rows[i].UserID = 1
		live = append(live, rows[i].ID)
		group.Go(func() error {
			_, err := s.OpenSession(t.Context(), openingOf(rows[i]))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	var got []token.SessionID
	f := authority.SessionFilter{UserID: 1, Limit: 500}
	for ; ; f.Offset += f.Limit {
		page, err := s.Sessions(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			got = append(got, r.ID)
		}
		if len(page) < int(f.Limit) {
			break
		}
	}
	compare := func(a, b token.SessionID) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(live, compare)
	if !slices.Equal(got, live) { // in the order of the ids
		t.Errorf("the pages have %d sessions, want the %d live ones in order", len(got), len(live))
	}
	o := openingOf(largeSession(2 * sessions))
	o.UserID, o.MaxSessions = 1, 10
	ended, err := s.OpenSession(t.Context(), o)
	if err != nil || len(ended) != authority.MaxEndedAtOnce+1 {
		t.Errorf("a sign-in ended %d sessions, %v; want %d", len(ended), err, authority.MaxEndedAtOnce+1)
	}
}

package console_test

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// crowded is a server with people of two networks, as the API created them, by id.
type crowded struct {
	*testing.T
	pawl   *pawltest.Server
	people map[int64]api.User
	latest string // the session that was refreshed last
}

const crowdPassword = "L1sted!person"

// TestLists compares each list of the console with the people and sessions that the API has created. The tests share a
// server with each store, and need no browser.
func TestLists(t *testing.T) {
	onBothStores(t, func(t *testing.T, pawl *pawltest.Server) {
		c := newCrowd(t, pawl)
		for name, test := range map[string]func(crowded){
			"people": testPeopleList, "sessions": testSessionList, "tenants": testTenants,
		} {
			t.Run(name, func(t *testing.T) {
				c.T = t
				test(c)
			})
		}
	})
}

// newCrowd creates 150 people with several levels, tenants and statuses. Those who are not suspended have a session.
// The oldest session was refreshed last.
func newCrowd(t *testing.T, pawl *pawltest.Server) crowded {
	t.Helper()
	c := crowded{T: t, pawl: pawl, people: map[int64]api.User{}}
	admin := adminOf(pawl)
	levels := []api.Level{api.LevelMailboxUser, api.LevelMailboxAdmin, api.LevelNetworkAdmin}
	users := make([]api.User, 150)
	tokens := make([]api.Token, len(users))
	for group := range 3 {
		atOnce(t, len(users)/3, func(i int) (err error) {
			i += group * len(users) / 3
			users[i], err = admin.CreateUser(t.Context(), api.CreateUserRequest{
				Login: fmt.Sprintf("login%03d@example.com", i), Email: fmt.Sprintf("mail%03d@example.com", i),
				ExternalID: fmt.Sprintf("ext%03d", i), LastName: fmt.Sprintf("Name%03d", i), Password: crowdPassword,
				NetworkID: new(int64(1 + i%2)), MailboxID: new(int64(7 + i%5)), AuthLevel: levels[i%3],
			})
			if err != nil {
				return err
			}
			if i%10 != 9 {
				tokens[i], err = admin.OpenSession(t.Context(), api.OpenSessionRequest{UserID: users[i].UserID})
				return err
			}
			users[i], err = admin.UpdateUser(t.Context(), api.UpdateUserRequest{
				UserID: users[i].UserID, Status: new(api.StatusSuspended),
			})
			return err
		})
		pawl.Clock.Add(time.Minute)
	}
	for _, user := range users {
		c.people[user.UserID] = user
	}
	if _, err := admin.Refresh(t.Context(), tokens[0].Token); err != nil {
		t.Fatal(err)
	}
	c.latest = liveSessions(t, pawl, api.SessionsRequest{UserID: &users[0].UserID})[0].SessionID
	return c
}

// visit returns a visitor who is signed in.
func (c crowded) visit(login, password string) *visitor {
	c.Helper()
	v := newVisitor(c.T, c.pawl)
	v.signIn(login, password, "")
	return v
}

// root returns an administrator of all tenants.
func (c crowded) root() *visitor {
	c.Helper()
	return c.visit(pawltest.AdminLogin, pawltest.AdminPassword)
}

var (
	personLinks = regexp.MustCompile(`<td class="who" data-label="(?:Login|Person)"><a href="/console/people/(\d+)">`)
	sessionRows = regexp.MustCompile(`name="s" value="([^"]+)"`)
)

// rows returns the first groups of all matches on the pages of a list, in their order.
func (v *visitor) rows(path string, row *regexp.Regexp) (all []string) {
	v.tb.Helper()
	for _, page := range v.pagesFrom(path) {
		for _, match := range row.FindAllStringSubmatch(page, -1) {
			all = append(all, match[1])
		}
	}
	return all
}

// matching returns the ids of the people that match, in their order.
func (c crowded) matching(match func(api.User) bool) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(c.people)) {
		if match(c.people[id]) {
			ids = append(ids, strconv.FormatInt(id, 10))
		}
	}
	return ids
}

// testPeopleList walks through the people with each filter, and searches for each column.
func testPeopleList(c crowded) {
	v := c.root()
	for query, match := range map[string]func(api.User) bool{
		"q=login":                  func(api.User) bool { return true },
		"q=login&level=NetOps":     func(api.User) bool { return false },
		"q=login&status=Suspended": func(u api.User) bool { return u.Status == api.StatusSuspended },
		"level=MailboxAdmin&network=2": func(u api.User) bool {
			return u.AuthLevel == api.LevelMailboxAdmin && u.NetworkID == 2
		},
		"network=2":           func(u api.User) bool { return u.NetworkID == 2 },
		"network=1&mailbox=8": func(u api.User) bool { return u.NetworkID == 1 && u.MailboxID == 8 },
		"status=Suspended":    func(u api.User) bool { return u.Status == api.StatusSuspended },
		"q=login007":          func(u api.User) bool { return u.Login == "login007@example.com" },
		"q=mail008":           func(u api.User) bool { return u.Login == "login008@example.com" },
		"q=ext009":            func(u api.User) bool { return u.Login == "login009@example.com" },
		"q=name010":           func(u api.User) bool { return u.Login == "login010@example.com" },
	} {
		if got, want := v.rows("/people?"+query, personLinks), c.matching(match); !slices.Equal(got, want) {
			c.Errorf("%s has the people %v, want %v", query, got, want)
		}
	}
}

// testSessionList walks through all sessions. The most recently refreshed one is first.
func testSessionList(c crowded) {
	v := c.root()
	all := liveSessions(c.T, c.pawl, api.SessionsRequest{All: true, RecordsPerPage: new(int64(500))})
	refreshed := map[string]int64{}
	for _, s := range all {
		refreshed[s.SessionID] = cmp.Or(s.LastRefreshed, &s.Created).Unix()
	}
	got := v.rows("/sessions", sessionRows)
	sorted := slices.IsSortedFunc(got, func(a, b string) int { return cmp.Compare(refreshed[b], refreshed[a]) })
	if !sorted || !slices.Contains(got[:10], c.latest) {
		c.Errorf("the sessions are not sorted by the last refresh: %v", got)
	}
	slices.Sort(got)
	if want := slices.Sorted(maps.Keys(refreshed)); !slices.Equal(got, want) {
		c.Errorf("the pages have %d sessions, want %d", len(got), len(want))
	}
}

// testTenants walks through each list and both exports as an administrator of a network, and as one of a mailbox. Each
// shows the people of the tenant and no others. Sessions and events are shown only of those who are not above the
// administrator.
func testTenants(c crowded) {
	for _, test := range []struct {
		login string
		below []api.Level
		has   func(api.User) bool
	}{
		{
			login: "login005@example.com",
			below: []api.Level{api.LevelNetworkAdmin, api.LevelMailboxAdmin, api.LevelMailboxUser},
			has:   func(u api.User) bool { return u.NetworkID == 2 },
		},
		{
			login: "login004@example.com", below: []api.Level{api.LevelMailboxAdmin, api.LevelMailboxUser},
			has: func(u api.User) bool { return u.NetworkID == 1 && u.MailboxID == 11 },
		},
	} {
		v := c.visit(test.login, crowdPassword)
		below := func(u api.User) bool { return test.has(u) && slices.Contains(test.below, u.AuthLevel) }
		sessions := func(u api.User) bool { return below(u) && u.Status != api.StatusSuspended }
		check := func(list string, got []string, match func(api.User) bool) {
			c.Helper()
			want := c.matching(match)
			slices.Sort(got)
			got = slices.Compact(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || len(want) < 5 {
				c.Errorf("%s: %s has the people %v, want %v", test.login, list, got, want)
			}
		}
		check("people", v.rows("/people", personLinks), test.has)
		check("sessions", v.rows("/sessions", personLinks), sessions)
		check("audit", v.rows("/audit", personLinks), below)
		_, text := v.send("/audit/csv", nil)
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			c.Fatal(err)
		}
		var csvUsers, jsonUsers []string
		for _, row := range rows[1:] {
			csvUsers = append(csvUsers, row[3])
		}
		check("CSV", csvUsers, below)
		_, text = v.send("/audit/jsonl", nil)
		for line := range strings.Lines(text) {
			var event struct {
				User json.Number `json:"userId"`
			}
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				c.Fatal(err)
			}
			jsonUsers = append(jsonUsers, event.User.String())
		}
		check("JSON lines", jsonUsers, below)
	}
}

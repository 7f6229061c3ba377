package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/pawltest"
)

// TestNamedEffects compares the number of sessions in each question with the number that are live, up to 500 and above.
func TestNamedEffects(t *testing.T) { onBothStores(t, testNamedEffects) }

func testNamedEffects(t *testing.T, pawl *pawltest.Server) {
	v := adminVisitor(t, pawl)
	check := func(path, want string) {
		t.Helper()
		response, text := v.send(path, nil)
		if response.StatusCode != http.StatusOK || !strings.Contains(html.UnescapeString(text), want) {
			t.Errorf("%s has %s without %q", path, response.Status, want)
		}
	}
	opened := 0
	for _, test := range []struct {
		sessions int
		want     string
	}{
		{sessions: 0, want: " has no live session now."}, {sessions: 1, want: "Ends 1 session of "},
		{sessions: 500, want: "Ends 500 sessions of "}, {sessions: 501, want: "Ends more than 500 sessions of "},
	} {
		openMany(t, pawl, test.sessions-opened)
		opened = test.sessions
		for _, action := range []string{"end-all", "suspend", "remove", "password"} {
			check(personLink+action, test.want)
		}
		check(personLink+"remove", "Deletes 1 API key.")
	}
	check(strings.TrimSuffix(personLink, "/"), "More than 500 live sessions")
}

// TestPasswordEffect names how many other sessions a new password of one's own ends.
func TestPasswordEffect(t *testing.T) {
	pawl := newPawl(t)
	v := newVisitor(t, pawl)
	v.signIn(pawltest.Login, pawltest.Password, "")
	for _, test := range []struct {
		opened int
		want   string
	}{
		{opened: 0}, {opened: 2, want: "Ends 2 sessions of "}, {opened: 498, want: "Ends 500 sessions of "},
		{opened: 1, want: "Ends more than 500 sessions of "},
	} {
		openMany(t, pawl, test.opened)
		_, text := v.send(personLink+"password", nil)
		if test.want == "" && strings.Contains(text, "Ends ") || !strings.Contains(text, test.want) {
			t.Errorf("after %d more sessions, the form lacks %q: %s", test.opened, test.want, text)
		}
	}
}

// TestSetPasswordEndsSessions sets a password with and without the end of the sessions, and reads both events of it.
func TestSetPasswordEndsSessions(t *testing.T) {
	onBothStores(t, func(t *testing.T, pawl *pawltest.Server) {
		session := signedIn(t, pawl)
		v := adminVisitor(t, pawl)
		for _, end := range []bool{false, true} {
			form := url.Values{"password": {"An0ther!one"}}
			if end {
				form.Set("end", "on")
			}
			response, text := v.send(personLink+"password", form)
			if response.StatusCode != http.StatusSeeOther || live(t, session) == end {
				t.Errorf("with end %v: %s, the session is live: %v; %s", end, response.Status, live(t, session), text)
			}
		}
		_, err := pawl.Client().Login(t.Context(), pawltest.Login, "An0ther!one")
		if err != nil {
			t.Error(err)
		}
		await(t, "the events are missing", func() bool { // the audit is written after the answer
			_, lines := v.send("/audit/jsonl?user="+pawltest.Login, nil)
			return strings.Count(lines, `"passwordSet"`) == 2 && strings.Count(lines, `"sessionsReset"`) == 1
		})
	})
}

var (
	countOfSessions = regexp.MustCompile(`(\d+) live sessions`)
	sessionInLink   = regexp.MustCompile(`/sessions/([^"/]+)/end`)
)

// TestSessionPagesOfPerson walks through the pages of the sessions of a person. Each session is on one page; 500 are
// sorted by their last refresh.
func TestSessionPagesOfPerson(t *testing.T) {
	var ahead atomic.Int64 // seconds
	clock := pawltest.WithConfig(func(c *app.Config) {
		c.Console = console.DefaultPath
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	})
	t.Run("sqlite", func(t *testing.T) { testSessionPagesOfPerson(t, newPawl(t, clock), &ahead) })
	t.Run("postgres", func(t *testing.T) {
		cluster := pgtest.Start(t)
		store := pawltest.WithPostgres(cluster.DSN(cluster.Database(t)))
		testSessionPagesOfPerson(t, newPawl(t, clock, store), &ahead)
	})
}

func testSessionPagesOfPerson(t *testing.T, pawl *pawltest.Server, ahead *atomic.Int64) {
	person := strings.TrimSuffix(personLink, "/")
	v := adminVisitor(t, pawl)
	latest, err := pawl.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	openMany(t, pawl, 120)
	walkPerson := func(want int) {
		t.Helper()
		pages := len(v.pagesFrom(person))
		links := v.rows(person, endLink)
		slices.Sort(links)
		if once := slices.Compact(slices.Clone(links)); len(links) != want || len(once) != want ||
			pages != (want+49)/50 {
			t.Errorf("%d pages have %d sessions, %d of them once, want %d", pages, len(links), len(once), want)
		}
	}
	walkPerson(121)
	for _, path := range []string{person + "?after=%00", person + "?after=-5", person + "?after=1e9"} {
		if response, text := v.send(path, nil); response.StatusCode != http.StatusOK ||
			strings.Count(text, "/end?") != 50 {
			t.Errorf("%s has %s", path, response.Status)
		}
	}
	_, text := v.send(person, nil)
	if count := countOfSessions.FindStringSubmatch(text); count == nil || count[1] != "121" {
		t.Errorf("the page names %q sessions, want 121", count)
	}
	ahead.Add(10)
	if _, err = pawl.Client().Refresh(t.Context(), latest.Token); err != nil {
		t.Fatal(err)
	}
	all := liveSessions(t, pawl, api.SessionsRequest{UserID: ofPerson.UserID, RecordsPerPage: new(int64(500))})
	refreshed := slices.IndexFunc(all, func(s api.Session) bool { return s.Refreshes == 1 })
	if refreshed < 0 {
		t.Fatal("no session is refreshed")
	}
	_, text = v.send(person, nil)
	if first := sessionInLink.FindStringSubmatch(text); first == nil || first[1] != all[refreshed].SessionID {
		t.Errorf("the first session is %q, want the refreshed one, %s", first, all[refreshed].SessionID)
	}
	openMany(t, pawl, 380)
	walkPerson(501)
}

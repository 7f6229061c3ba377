package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

const rowIDs = `[...document.querySelectorAll("[name=s]")].map((box) => box.value).join(" ")`

// rowsOfPerson is rowIDs without the sessions of others, such as that of the test's browser.
var rowsOfPerson = fmt.Sprintf(`[...document.querySelectorAll("tr")].
	filter((row) => row.querySelector('.who a[href$="%s"]')).
	map((row) => row.querySelector("[name=s]").value).join(" ")`, strings.TrimSuffix(personLink, "/"))

// TestBackToList ends sessions from a filtered list, from its second page, and from the second page of a person. The
// browser returns to the same page each time, without the ended sessions.
func TestBackToList(t *testing.T) {
	for name, scripts := range map[string]bool{"with the script": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			pawl := newPawl(t)
			seed(t, pawl, 0)
			openMany(t, pawl, 106)
			b := newTab(t, pawl)
			if !scripts {
				b.disableScripts()
			}
			b.signIn(pawltest.AdminLogin, pawltest.AdminPassword)
			end := func(query, selector, notice string, gone ...string) {
				t.Helper()
				b.confirm(selector)
				if at := eval[string](b, `location.search`); at != query+"&done="+notice {
					t.Errorf("the browser is at %q, want %q", at, query)
				}
				if b.text(".notice") == "(none)" {
					t.Errorf("%s has no notice", query)
				}
				for _, id := range gone {
					if strings.Contains(eval[string](b, `document.documentElement.innerHTML`), id) {
						t.Errorf("the session %s is in the list", id)
					}
				}
			}
			b.open("/sessions?address=203.0.113.")
			for range 2 { // the second time from a page with a notice
				id := strings.Fields(eval[string](b, rowIDs))[1]
				end("?address=203.0.113.", "#found tr:nth-child(2) a[data-ask]", "session-ended", id)
			}
			if rows := eval[int](b, `document.querySelectorAll("[name=s]").length`); rows != 2 {
				t.Errorf("the list has %d rows, want 2", rows)
			}

			b.open("/sessions")
			b.click("[rel=next]")
			b.until(`location.search.startsWith("?after=")`)
			second := eval[string](b, `location.search`)
			ids := strings.Fields(eval[string](b, rowsOfPerson))
			b.click(`#found [value="` + ids[0] + `"]`)
			b.click(`#found [value="` + ids[2] + `"]`)
			end(second, "#found button", "selected-ended", ids[0], ids[2])

			b.open(strings.TrimSuffix(personLink, "/"))
			b.click("[rel=next]")
			b.until(`location.search.startsWith("?after=")`)
			second = eval[string](b, `location.search`)
			end(second, "#sessions-table tbody tr:nth-child(2) a[data-ask]", "session-ended")
			if strings.Contains(eval[string](b, `document.querySelector("[rel=next]").href`), "done=") {
				t.Error("the next page repeats the notice")
			}
		})
	}
}

// TestBackIsLocal sends hostile addresses to return to. The answer leads to the page of the person, or to the list.
func TestBackIsLocal(t *testing.T) {
	pawl := newPawl(t)
	openMany(t, pawl, 20)
	v := adminVisitor(t, pawl)
	links := v.rows("/sessions", endLink)
	links = slices.DeleteFunc(links, func(link string) bool { return !strings.HasPrefix(link, personLink) })
	person := "/console" + strings.TrimSuffix(personLink, "/") + "?done=session-ended"
	for i, back := range []string{
		"", "//evil.example", "https://evil.example/", ".evil.example", "@evil.example", `/\evil.example`,
		"/../v2/", "/%2e%2e/v2", "javascript:alert(1)", "/sessions\r\nX: 1", "//", "/\t/evil.example",
	} {
		question, text := v.send(links[i]+"?back="+url.QueryEscape(back), nil)
		if question.StatusCode != http.StatusOK || strings.Contains(text, `href="/console`+back+`"`) && back != "" {
			t.Errorf("%q: the question has %s", back, question.Status)
		}
		response, _ := v.send(links[i], url.Values{"back": {back}})
		if got := response.Header.Get("Location"); got != person {
			t.Errorf("%q leads to %q, want %q", back, got, person)
		}
	}
	id := strings.TrimPrefix(strings.TrimSuffix(links[19], "/end"), personLink+"sessions/")
	response, _ := v.send("/sessions/end", url.Values{"s": {id}, "back": {"//evil.example"}})
	if got := response.Header.Get("Location"); got != "/console/sessions?done=selected-ended" {
		t.Errorf("the selection leads to %q", got)
	}
}

// failingStore fails to end a session after a number of them.
type failingStore struct {
	app.Store
	left *atomic.Int64
}

func (s failingStore) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	if s.left.Add(-1) < 0 {
		return fault.ErrUnavailable
	}
	return s.Store.EndSession(ctx, r, id)
}

// TestSelectionEndsInPart loses the store in the middle of a selection. The page names how many sessions have ended.
func TestSelectionEndsInPart(t *testing.T) {
	left := new(atomic.Int64)
	left.Store(3)
	pawl := newPawl(t, pawltest.WithConfig(func(c *app.Config) {
		c.Console = console.DefaultPath
		c.WrapStore = func(s app.Store) app.Store { return failingStore{Store: s, left: left} }
	}))
	openMany(t, pawl, 5)
	v := adminVisitor(t, pawl)
	form := url.Values{}
	for _, s := range liveSessions(t, pawl, ofPerson) {
		form.Add("s", s.SessionID)
	}
	response, text := v.send("/sessions/end", form)
	if response.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "Nothing was changed") ||
		!strings.Contains(text, "3 of the 5 selected sessions have ended") {
		t.Errorf("the answer is %s, %s", response.Status, text)
	}
	if rest := liveSessions(t, pawl, ofPerson); len(rest) != 2 {
		t.Errorf("%d sessions are live, want 2", len(rest))
	}
}

// TestOwnSessionEndsLast ends a selection that begins with the session of the console. All of them end.
func TestOwnSessionEndsLast(t *testing.T) {
	pawl := newPawl(t)
	v := adminVisitor(t, pawl)
	openMany(t, pawl, 4)
	all := api.SessionsRequest{All: true}
	sessions := liveSessions(t, pawl, all)
	if len(sessions) != 5 {
		t.Fatalf("%d sessions are live, want 5", len(sessions))
	}
	form := url.Values{}
	for _, s := range sessions {
		if s.UserID != pawltest.UserID {
			form["s"] = append([]string{s.SessionID}, form["s"]...)
		} else {
			form.Add("s", s.SessionID)
		}
	}
	v.send("/sessions/end", form)
	if sessions = liveSessions(t, pawl, all); len(sessions) != 0 {
		t.Errorf("%d sessions are live, want none", len(sessions))
	}
}

package console_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/pawltest"
)

// TestSearchFails searches while a person types, with a filter that the server rejects, and with an unreachable server.
// The page shows the error instead of the earlier rows.
func TestSearchFails(t *testing.T) {
	b := asAdmin(t, newPawl(t))
	b.open("/people")
	const rows = `document.querySelectorAll("#found tbody tr").length`
	b.until(rows + ` === 2 && document.querySelector("#count").textContent === "2 people are shown."`)
	b.fill("network", "99999999999999999999")
	b.until(`document.querySelector("#found [role=alert]")?.textContent === "Network must be a whole number."`)
	if eval[int](b, rows) != 0 || b.text("#count") != "" {
		t.Error("the earlier rows are shown beside the error")
	}
	b.replace("network", "1")
	b.until(rows + ` === 2`)
	eval[bool](b, `globalThis.real = fetch, globalThis.fetch = () => Promise.reject(new TypeError()), true`)
	b.fill("q", "smi")
	b.until(`document.querySelector("#found [role=alert]")?.textContent.startsWith("The server is unreachable")`)
	eval[bool](b, `globalThis.fetch = globalThis.real, true`)
	b.fill("q", "th")
	b.until(rows + ` === 1 && document.querySelector("#count").textContent === "1 person is shown."`)
	b.fill("q", "zzz")
	b.until(`document.querySelector("#count").textContent === "No person found."`)
	if role := eval[string](b, `document.querySelector("#count").getAttribute("role")`); role != "status" {
		t.Errorf("the number of rows has the role %q", role)
	}
}

var searchedSessions = regexp.MustCompile(`id="partial">This page has searched (\d+) sessions`)

// TestPartialSearch searches more sessions than one page reads. A page that has rows and has not read all sessions
// names how many it has read.
func TestPartialSearch(t *testing.T) {
	dir := t.TempDir()
	fill(t, "sqlite:"+dir, 3000, 3000)
	v := adminVisitor(t, startOn(t, dir))
	rows, partial := 0, 0
	for _, page := range v.pagesFrom("/sessions?address=203.0.113.77") {
		rows += strings.Count(page, `name="s"`)
		searched := searchedSessions.FindStringSubmatch(page)
		if hasNext := nextPage.MatchString(page); (searched != nil) != hasNext {
			t.Errorf("searched %q, has a next page: %v", searched, hasNext)
		}
		if searched != nil {
			n, err := strconv.Atoi(searched[1])
			if err != nil || n < 1 || n > 3000 {
				t.Errorf("the page has searched %q sessions", searched[1])
			}
			partial++
		}
	}
	if rows != 12 || partial == 0 {
		t.Errorf("%d rows, %d pages that continue, want 12 and one or more", rows, partial)
	}
}

// TestSessionOfEvent follows the link of an event to its session, and ends the session there.
func TestSessionOfEvent(t *testing.T) {
	pawl := newPawl(t)
	session := signedIn(t, pawl)
	b := asAdmin(t, pawl)
	b.open(fmt.Sprintf("/audit?kind=login&user=%d", pawltest.UserID))
	b.click("#found tbody tr:nth-child(1) td:last-child a")
	b.until(`location.search.includes("session=") && document.readyState === "complete"`)
	effect := b.confirm("#session a[data-ask]")
	if !strings.Contains(effect, pawltest.Login) || live(t, session) {
		t.Errorf("the question is %q, and the session is live: %v", effect, live(t, session))
	}
	if at := b.at(); at != "/console/audit" || b.text(".notice") != "The session has ended." {
		t.Errorf("the browser is at %s with the notice %q", at, b.text(".notice"))
	}
	if shown := b.text("#session"); !strings.HasPrefix(shown, "The session has ended") {
		t.Errorf("the page of the session shows %q", shown)
	}
}

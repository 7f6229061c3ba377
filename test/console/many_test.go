package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// openMany opens sessions of one person by the API.
func openMany(t *testing.T, pawl *pawltest.Server, n int) {
	t.Helper()
	admin := adminOf(pawl)
	atOnce(t, n, func(i int) error {
		_, err := admin.OpenSession(t.Context(), api.OpenSessionRequest{
			UserID: pawltest.UserID, UserAgent: agents[i%len(agents)],
		})
		return err
	})
}

// personLink begins the paths of the person's actions.
var personLink = fmt.Sprintf("/people/%d/", pawltest.UserID)

// endLink matches the link to the question that ends a session.
var endLink = regexp.MustCompile(`href="/console(/people/\d+/sessions/[^"/]+/end)[^"]*"`)

// TestEndAnyOfMany asks to end sessions of a person with 520 of them, each tenth and the last 30. It ends the last one.
func TestEndAnyOfMany(t *testing.T) { onBothStores(t, testEndAnyOfMany) }

func testEndAnyOfMany(t *testing.T, pawl *pawltest.Server) {
	const many = 520
	openMany(t, pawl, many)
	v := adminVisitor(t, pawl)
	links := v.rows("/sessions", endLink)
	if len(links) != many+1 { // with that of the console
		t.Fatalf("the pages have %d sessions, want %d", len(links), many+1)
	}
	links = slices.DeleteFunc(links, func(link string) bool { return !strings.HasPrefix(link, personLink) })
	for i, link := range links {
		if i < 490 && i%10 > 0 {
			continue // to save time
		}
		if response, text := v.send(link, nil); response.StatusCode != http.StatusOK {
			t.Fatalf("the question of %s has %s: %s", link, response.Status, text)
		}
	}
	last := links[many-1]
	if response, text := v.send(last, url.Values{}); response.StatusCode != http.StatusSeeOther {
		t.Fatalf("the end of %s has %s: %s", last, response.Status, text)
	}
	if response, _ := v.send(last, nil); response.StatusCode != http.StatusNotFound {
		t.Errorf("the question of an ended session has %s, want 404", response.Status)
	}
	response, _ := v.send(strings.Replace(links[many-2], personLink, "/people/1/", 1), nil)
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("the question at another person has %s, want 404", response.Status)
	}
	live := 0
	for page := int64(1); ; page++ {
		sessions := liveSessions(t, pawl, api.SessionsRequest{UserID: ofPerson.UserID, PageNo: &page})
		for _, s := range sessions {
			if strings.Contains(last, s.SessionID) {
				t.Error("the ended session is live")
			}
		}
		live += len(sessions)
		if len(sessions) == 0 {
			break
		}
	}
	if live != many-1 {
		t.Errorf("%d sessions are live, want %d", live, many-1)
	}
}

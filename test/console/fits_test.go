package console_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// fits checks that nothing on a page is wider than the screen.
func (b tab) fits(name string) {
	b.Helper()
	const wide = `Math.max(document.documentElement.scrollWidth, document.querySelector("dialog")?.scrollWidth ?? 0)`
	if wide, width := eval[int64](b, wide), eval[int64](b, `innerWidth`); wide > width {
		b.Errorf("%s is %d wide on a screen of %d", name, wide, width)
	}
}

// TestFitsLongTexts opens each page about a person with the longest login, names and device without a space, for an
// administrator and for that person, on a small phone and on a laptop. Nothing may be wider than the screen. The same
// holds for the pages before a sign-in, and for that of the API.
func TestFitsLongTexts(t *testing.T) {
	pawl, empty := newPawl(t), new(pawltest.Server)
	empty.URL, _, _ = serveSetup(t, "sqlite:"+filepath.Join(t.TempDir(), "new"))
	login, password := long(254), "L0ng!enough"
	user, key := longPerson(t, pawl, login, password)
	person := fmt.Sprintf("/people/%d", user)
	session := liveSessions(t, pawl, api.SessionsRequest{UserID: &user})[0].SessionID
	b, account := asAdmin(t, pawl), newTab(t, pawl)
	guest, setup := newTab(t, pawl), newTab(t, empty)
	account.sendLong("/sign-in", "login", login, "password", password)
	for _, width := range []int64{320, 1280} {
		for _, b := range []tab{b, account, guest, setup} {
			b.do(chromedp.EmulateViewport(width, 900))
		}
		for _, path := range []string{
			"/people", "/sessions", "/audit", person, person + "/edit", person + "/role", person + "/password",
			person + "/keys", person + "/suspend", person + "/remove", person + "/end-all",
			fmt.Sprintf("%s/keys/%d/remove", person, key), person + "/sessions/" + session + "/end",
			"/people?q=" + long(254), "/sessions?device=" + long(64), "/audit?user=" + long(254), "/people/new",
		} {
			b.open(path)
			b.fits(path)
		}
		b.open(person)
		b.click("#end-all")
		b.until(`!!document.querySelector("dialog[open] form.ask")`)
		b.fits("the dialog")
		b.sendLong(person+"/keys", "name", long(100))
		b.sendLong("/people/new", "login", login)
		for _, path := range []string{"", person + "/password", "/audit", person + "/end-all"} {
			account.open(path)
			account.fits("the account's " + path)
		}
		guest.open("/sign-in")
		guest.fits("the sign-in")
		guest.sendLong("/sign-in?next=/console/people", "login", login)
		guest.do(chromedp.Navigate(pawl.URL + "/docs"))
		guest.fits("docs")
		setup.open("/setup")
		setup.fits("setup")
	}
}

func long(n int) string { return strings.Repeat("W", n) }

// longPerson creates a person with the longest texts, a session and an API key.
func longPerson(t *testing.T, pawl *pawltest.Server, login, password string) (userID, keyID int64) {
	t.Helper()
	admin := adminOf(pawl)
	user, err := admin.CreateUser(t.Context(), api.CreateUserRequest{
		Login: login, FirstName: long(100), LastName: long(100), ExternalID: long(128), Password: password,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.OpenSession(t.Context(), api.OpenSessionRequest{
		UserID: user.UserID, Device: long(64), UserAgent: long(256), IP: "2001:db8:1234:5678:9abc:def0:1234:5678",
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := admin.CreateAPIKey(t.Context(), api.CreateAPIKeyRequest{
		UserID: user.UserID, Visibility: api.VisibilityPrivate, Name: long(100),
	})
	if err != nil {
		t.Fatal(err)
	}
	return user.UserID, key.KeyID
}

// sendLong sends a form with texts in some fields, and checks that the next page fits. It does not type the texts,
// because each key takes some milliseconds.
func (b tab) sendLong(path string, texts ...string) {
	b.Helper()
	b.open(path)
	for text := range slices.Chunk(texts, 2) {
		eval[string](b, fmt.Sprintf(`document.querySelector("[name=%s]").value = %q`, text[0], text[1]))
	}
	eval[bool](b, `document.querySelectorAll("main form [required]").forEach((f) => f.required = false) ?? true`)
	b.submit()
	b.fits("the answer of " + path)
}

package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/pawltest"
)

// The tests of this file walk all routes of the console, so that a new route cannot be without them.

// publicRoutes are the routes for which no sign-in is needed.
var publicRoutes = []string{
	"GET /sign-in", "POST /sign-in", "GET /enter", "POST /sign-out", "GET /setup", "POST /setup",
	"GET /console.css", "GET /console.js", "GET /icon.svg",
}

// fields are the names of all fields of the forms, and of all filters.
var fields = strings.Fields(`login password again current code next email firstName lastName externalId level network
	mailbox name scope maxLevel days end q status address device user session from to kind after follow done back s
	was-login was-email was-firstName was-lastName was-externalId was-level was-network was-mailbox`)

// fixture has what the routes are about: a person with a session and an API key, and a signing key.
type fixture struct {
	*testing.T
	pawl       *pawltest.Server
	session    string
	apiKey     int64
	signingKey string
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{T: t, pawl: newPawl(t)}
	signedIn(t, f.pawl)
	f.session = liveSessions(t, f.pawl, ofPerson)[0].SessionID
	keys, err := adminOf(f.pawl).ListAPIKeys(t.Context(), api.ListAPIKeysRequest{UserID: pawltest.UserID})
	if err != nil {
		t.Fatal(err)
	}
	f.apiKey = keys[0].KeyID
	signing, err := adminOf(f.pawl).SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.signingKey = signing[0].KeyID
	return f
}

// routes calls a function for each route, with the path of the fixture.
func (f fixture) routes(call func(route, method, path string)) {
	f.Helper()
	for _, route := range console.New(console.Config{}).Routes() {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer(
			"/signing-keys/{key}", "/signing-keys/"+f.signingKey, "{key}", fmt.Sprint(f.apiKey),
			"{id}", fmt.Sprint(pawltest.UserID), "{session}", f.session, "{$}", "",
		).Replace(path)
		if strings.Contains(path, "{") {
			f.Errorf("%s has a parameter that the fixture lacks", route)
		}
		call(route, method, path)
	}
}

// state returns what the actions of the console change.
func (f fixture) state() string {
	f.Helper()
	admin := adminOf(f.pawl)
	person, err := admin.User(f.Context(), pawltest.UserID)
	if err != nil {
		f.Fatal(err)
	}
	apiKeys, err := admin.ListAPIKeys(f.Context(), api.ListAPIKeysRequest{UserID: pawltest.UserID})
	if err != nil {
		f.Fatal(err)
	}
	signing, err := admin.SigningKeys(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	sessions := liveSessions(f.T, f.pawl, ofPerson)
	users, err := admin.UsersByName(f.Context(), "new@example.com")
	if err != nil {
		f.Fatal(err)
	}
	return fmt.Sprintf("%+v\n%+v\n%+v\n%+v\n%+v", person, apiKeys, signing, sessions, users)
}

// form returns a form that each action accepts.
func (f fixture) form() url.Values {
	return url.Values{
		"login": {"new@example.com"}, "password": {"N3w!password"}, "level": {"MailboxUser"}, "scope": {"Full"},
		"email": {"new@example.com"}, "mailbox": {"7"}, "s": {f.session},
	}
}

// TestRoutesOfGuests sends each route without a cookie. Only the public ones may answer.
func TestRoutesOfGuests(t *testing.T) {
	f := newFixture(t)
	before := f.state()
	v := newVisitor(t, f.pawl)
	f.routes(func(route, method, path string) {
		var form url.Values
		if method == http.MethodPost {
			form = f.form()
		}
		response, _ := v.send(path, form)
		toSignIn := strings.HasPrefix(response.Header.Get("Location"), "/console/sign-in")
		if public := slices.Contains(publicRoutes, route); !public && !toSignIn {
			t.Errorf("%s has %s without a sign-in", route, response.Status)
		}
	})
	if after := f.state(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestRoutesOfForeignPages sends each form as a page of another origin does, with the cookie. None may act.
func TestRoutesOfForeignPages(t *testing.T) {
	f := newFixture(t)
	v := adminVisitor(t, f.pawl)
	before := f.state()
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"},
		{"Origin", "null"}, {"Origin", "http://127.0.0.1:1"},
	} {
		f.routes(func(route, method, path string) {
			if method != http.MethodPost {
				return
			}
			response, _ := v.send(path, f.form(), header...)
			if response.StatusCode != http.StatusForbidden || response.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s with %v has %s", route, header, response.Status)
			}
		})
	}
	if after := f.state(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestRoutesAfterDemotion sends each route with a session that an administrator opened before losing the level. No page
// about other people may answer, and no form may act.
func TestRoutesAfterDemotion(t *testing.T) {
	f := newFixture(t)
	const login, password = "second@example.com", "S3cond!admin"
	second, err := adminOf(f.pawl).CreateUser(t.Context(), api.CreateUserRequest{
		Login: login, Password: password, AuthLevel: api.LevelRoot,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitor(t, f.pawl)
	v.signIn(login, password, "")
	_, err = adminOf(f.pawl).SetRole(t.Context(), api.RoleRequest{
		UserID: second.UserID, AuthLevel: api.LevelMailboxUser,
	})
	if err != nil {
		t.Fatal(err)
	}
	before := f.state()
	f.routes(func(route, method, path string) {
		if slices.Contains(publicRoutes, route) {
			return
		}
		var form url.Values
		if method == http.MethodPost {
			form = f.form()
		}
		response, text := v.send(path+"?"+f.form().Encode(), form)
		switch {
		case route == "GET /{$}":
			if to := response.Header.Get("Location"); to != fmt.Sprintf("/console/people/%d", second.UserID) {
				t.Errorf("the first page leads to %q", to)
			}
		case route == "GET /sessions/end": // asks about any ids
		case response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusNotFound:
			t.Errorf("%s has %s", route, response.Status)
		}
		if strings.Contains(text, pawltest.Login) {
			t.Errorf("%s shows another person", route)
		}
	})
	if after := f.state(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestRoutesWithHostileTexts sends each route with hostile texts in every field and filter. Every response must have
// the headers of the console, and none may have such a text unescaped, or the token.
func TestRoutesWithHostileTexts(t *testing.T) {
	more := []string{"\x00", "\xff", "\r\nSet-Cookie: a=b", strings.Repeat("9", 1000)}
	for _, text := range append(more, hostile...) {
		t.Run(fmt.Sprintf("%.20q", text), func(t *testing.T) { testRoutesWithText(t, text) })
	}
}

func testRoutesWithText(t *testing.T, text string) {
	f := newFixture(t)
	v := adminVisitor(t, f.pawl)
	_, token, _ := strings.Cut(v.cookie, "=")
	check := func(route, path string, form url.Values) {
		t.Helper()
		response, shown := v.send(path, form)
		h := response.Header
		static := strings.Contains(route, "/console.") || strings.Contains(route, "/icon.")
		if response.StatusCode >= http.StatusInternalServerError || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" ||
			!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none';") ||
			h.Get("Cache-Control") != map[bool]string{false: "no-store", true: "no-cache"}[static] {
			t.Errorf("%s has %s and the headers %v", route, response.Status, h)
		}
		if to := h.Get("Location"); to != "" && !strings.HasPrefix(to, "/console") {
			t.Errorf("%s leads to %s", route, to)
		}
		if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
			for _, hidden := range []string{"<script>", "<img", "<svg onload", "--><b>", token} {
				if strings.Contains(shown, hidden) {
					t.Errorf("%s has %s", route, hidden)
				}
			}
		}
	}
	all := url.Values{}
	for _, field := range fields {
		all.Set(field, text)
	}
	f.routes(func(route, method, path string) {
		switch {
		case method == http.MethodGet:
			check(route, path, nil)
			check(route, path+"?"+all.Encode(), nil)
		case route != "POST /sign-out": // would end the session of this test
			check(route, path, all)
		}
	})
}

// TestMissingPage opens a page that does not exist. The page has the menu for a signed-in person, and none for a guest.
func TestMissingPage(t *testing.T) {
	pawl := newPawl(t)
	for name, v := range map[string]*visitor{"admin": adminVisitor(t, pawl), "guest": newVisitor(t, pawl)} {
		response, text := v.send("/no-page", nil)
		if menu := strings.Contains(text, `href="/console/people"`); menu != (name == "admin") ||
			response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s, the page has the menu: %v", name, response.Status, menu)
		}
	}
}

package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/pawltest"
)

// post sends a form to the console with a cookie, which may be nil, and returns the response and its cookie.
func post(t *testing.T, address string, form url.Values, cookie *http.Cookie) (*http.Response, *http.Cookie) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != nil {
		req.AddCookie(cookie)
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if cookies := resp.Cookies(); len(cookies) == 1 {
		return resp, cookies[0]
	}
	t.Fatalf("%s: %d, Set-Cookie %v; want one cookie", address, resp.StatusCode, resp.Cookies())
	return nil, nil
}

// TestSignOutAfterExpiry signs out with a token that no longer passes as a bearer, because it has expired or is
// superseded. The session ends, and the browser loses the cookie.
func TestSignOutAfterExpiry(t *testing.T) {
	pawl := newPawl(t, pawltest.WithConfig(func(c *app.Config) {
		c.Policy.TokenLife, c.Policy.IdleLife = time.Minute, time.Hour
		c.Policy.RefreshAPIKey = "required" // so that the console cannot refresh
	}))
	user := int64(pawltest.UserID)
	base := pawl.URL + console.DefaultPath
	admin := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey))
	for name, prepare := range map[string]func(token string){
		"current": func(string) {},
		"expired": func(string) { pawl.Clock.Add(30 * time.Minute) },
		"superseded": func(token string) {
			if _, err := admin.Refresh(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			login := url.Values{"login": {pawltest.Login}, "password": {pawltest.Password}}
			_, cookie := post(t, base+"/sign-in", login, nil)
			prepare(cookie.Value)
			resp, cleared := post(t, base+"/sign-out", nil, cookie)
			if resp.StatusCode != http.StatusSeeOther || cleared.MaxAge >= 0 {
				t.Errorf("%d, Set-Cookie %s", resp.StatusCode, cleared.Raw)
			}
			sessions, err := admin.Sessions(t.Context(), api.SessionsRequest{UserID: &user})
			if err != nil || len(sessions) != 0 {
				t.Errorf("%d sessions live, %v; want none", len(sessions), err)
			}
		})
	}
}

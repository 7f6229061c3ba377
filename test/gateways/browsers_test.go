//go:build linux

package gateways_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// exchange is a request of a browser through a gateway, and the status of its response.
type exchange struct {
	method  string
	headers string // in lines
	status  int
	caller  string // the X-Auth-User-Id that the API gets
}

// asked are the headers of every preflight.
const asked = "Origin: https://evil.example\nAccess-Control-Request-Method: POST\n"

// browserExchanges returns the exchanges by name. session is the header with the session cookie.
func browserExchanges(session string) map[string]exchange {
	const ownPage, otherPage = "Sec-Fetch-Site: same-origin\n", "Sec-Fetch-Site: cross-site\n"
	const forged, anOrigin = "X-Auth-User-Id: 1\nX-Auth-Level: Root\n", "Origin: https://evil.example\n"
	const named, override = "X-Forwarded-Method: OPTIONS", "X-HTTP-Method-Override: OPTIONS"
	return map[string]exchange{
		"preflight":                    {method: "OPTIONS", headers: asked, status: 200},
		"preflight with forged names":  {method: "OPTIONS", headers: asked + forged, status: 200},
		"OPTIONS":                      {method: "OPTIONS", status: 401},
		"OPTIONS with an origin":       {method: "OPTIONS", headers: anOrigin, status: 401},
		"like a preflight":             {method: "DELETE", headers: asked, status: 401},
		"like a preflight, by name":    {method: "DELETE", headers: asked + named, status: 401},
		"like a preflight, overridden": {method: "POST", headers: asked + override, status: 401},
		"own page":                     {method: "POST", headers: session + ownPage, status: 200, caller: "4821"},
		"own page, forged names": {
			method: "POST", headers: session + ownPage + forged, status: 200, caller: "4821",
		},
		"a program":                 {method: "POST", headers: session, status: 200, caller: "4821"},
		"another page":              {method: "POST", headers: session + otherPage, status: 403},
		"another page, old browser": {method: "POST", headers: session + anOrigin, status: 403},
		"another page, by name": {
			method: "POST", headers: session + otherPage + "X-Forwarded-Method: GET", status: 403,
		},
		"a link":    {method: "GET", headers: session + otherPage, status: 200, caller: "4821"},
		"no cookie": {method: "POST", headers: ownPage, status: 401},
	}
}

// TestGatewayBrowsers sends preflights, and requests with the session cookie, through each gateway.
func TestGatewayBrowsers(t *testing.T) {
	for name := range gateways {
		t.Run(name, func(t *testing.T) {
			pawl := pawltest.New(t, pawltest.WithConfig(func(c *app.Config) { c.Cookie = server.CookieLax }))
			url := start(t, name, strings.TrimPrefix(pawl.URL, "http://"), echo(t))
			session := "Cookie: a=b; " + cookieLogin(t, pawl.URL) + "\n"
			for what, x := range browserExchanges(session) {
				status, caller := x.send(t, url)
				if status != x.status || caller != x.caller {
					t.Errorf("%s: %d, caller %q, want %d, %q", what, status, caller, x.status, x.caller)
				}
			}
		})
	}
}

// cookieLogin signs in, and returns the name and the value of the cookie.
func cookieLogin(t *testing.T, url string) string {
	t.Helper()
	body := fmt.Sprintf(`{"login":%q,"password":%q,"cookie":true}`, pawltest.Login, pawltest.Password)
	resp, err := http.Post(url+"/v2/auth/login", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cookies := resp.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("the login is answered %d and sets the cookies %v", resp.StatusCode, cookies)
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

// send sends the request. It returns the status, and the caller that the API gets.
func (x exchange) send(t *testing.T, url string) (status int, caller string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), x.method, url+"/some/path?level=Root&preflight=allow", nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(x.headers) {
		header, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		req.Header.Set(header, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, ""
	}
	got := http.Header{}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for header, values := range got {
		if strings.HasPrefix(strings.ToLower(header), "x-auth-") && x.caller == "" && strings.Join(values, "") != "" {
			t.Errorf("the API gets %s: %q without a caller", header, values)
		}
	}
	return resp.StatusCode, got.Get("X-Auth-User-Id")
}

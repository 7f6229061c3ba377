package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// guarded runs a server behind Middleware and returns its address. The server answers with the caller's user id.
func guarded(t *testing.T, c *client.Client, config client.MiddlewareConfig) string {
	return serve(t, client.Middleware(c, config)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := client.CallerFrom(r.Context())
		if !ok {
			t.Error("the context has no caller")
		}
		for name := range r.Header {
			if strings.Contains(strings.ToLower(name), "pawl") {
				t.Errorf("the handler got the header %s", name)
			}
		}
		fmt.Fprint(w, caller.UserID)
	})).ServeHTTP)
}

// ask sends a request with headers of the form "Name: value", and returns the response with its body. A method may come
// before the URL.
func ask(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	method, rest, ok := strings.Cut(url, " ")
	if !ok {
		method, rest = "GET", url
	}
	req, err := http.NewRequestWithContext(t.Context(), method, rest, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header[name] = append(req.Header[name], value)
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
	return resp, string(text)
}

// TestMiddleware sends every form of credentials to a service. The service's own credentials, those of the
// administrator, must not let any request through.
func TestMiddleware(t *testing.T) {
	l := newLossy(t)
	admin := client.TokenConfig{Login: pawltest.AdminLogin, Password: pawltest.AdminPassword}
	own := client.WithHTTPClient(&http.Client{Transport: &client.Transport{Source: l.source(admin)}})
	url := guarded(t, l.client.With(client.WithAPIKey(l.AdminAPIKey), own), client.MiddlewareConfig{})
	bearer := "Authorization: Bearer " + l.login(t).Token
	apiKey := "X-Api-Key: "
	for name, test := range map[string]struct {
		headers []string
		code    api.ErrorCode // empty if the request passes
	}{
		"token":   {headers: []string{strings.Replace(bearer, "Bearer", "bearer", 1)}},
		"API key": {headers: []string{apiKey + l.APIKey}},
		"both":    {headers: []string{bearer, apiKey + l.AdminAPIKey}},
		"forged header": {
			headers: []string{bearer, "X-Pawl-Id: 1", "x_pawl_id: 1", "X-PAWL_Id: 1"},
		},

		"only a forged header": {headers: []string{"X-Pawl-User: 4821"}, code: api.CodeInvalidSession},
		"no credentials":       {code: api.CodeInvalidSession},
		"wrong token":          {headers: []string{bearer + "x"}, code: api.CodeInvalidSession},
		"wrong API key":        {headers: []string{apiKey + "x"}, code: api.CodeInvalidAPIKey},
		"empty API key":        {headers: []string{apiKey}, code: api.CodeInvalidAPIKey},
		"Basic":                {headers: []string{"Authorization: Basic eDp5"}, code: api.CodeInvalidSession},
		"empty bearer":         {headers: []string{"Authorization: Bearer "}, code: api.CodeInvalidSession},
		"two bearers":          {headers: []string{bearer, bearer}, code: api.CodeInvalidSession},
		"not ASCII":            {headers: []string{"Authorization: Bearer \xff\u2028"}, code: api.CodeInvalidSession},
		"tab":                  {headers: []string{"Authorization: Bearer a\tb"}, code: api.CodeInvalidSession},
		"token, wrong API key": {headers: []string{bearer, apiKey + "x"}, code: api.CodeInvalidAPIKey},
	} {
		t.Run(name, func(t *testing.T) {
			resp, text := ask(t, url, test.headers...)
			if test.code == "" {
				if resp.StatusCode != 200 || text != "4821" {
					t.Errorf("%d %q, want 200 with the user id", resp.StatusCode, text)
				}
				return
			}
			var envelope api.Envelope[any]
			err := json.Unmarshal([]byte(text), &envelope)
			if resp.StatusCode != 401 || err != nil || envelope.ErrorCode != test.code {
				t.Errorf("%d %q, want 401 with %s", resp.StatusCode, text, test.code)
			}
			if challenge := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer") {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
		})
	}
}

// TestMiddlewareWithoutCache checks that a token is rejected as soon as it is superseded.
func TestMiddlewareWithoutCache(t *testing.T) {
	l := newLossy(t)
	url := guarded(t, l.client, client.MiddlewareConfig{})
	old := l.login(t)
	bearer := "Authorization: Bearer " + old.Token
	if resp, _ := ask(t, url, bearer); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	if _, err := l.Client().Refresh(t.Context(), old.Token); err != nil {
		t.Fatal(err)
	}
	if resp, _ := ask(t, url, bearer); resp.StatusCode != 401 {
		t.Errorf("a superseded token is answered with %s, want 401", resp.Status)
	}
}

// TestMiddlewareCacheKey checks that an answer is cached for exactly its own credentials: a token, an API key, or both.
func TestMiddlewareCacheKey(t *testing.T) {
	l := newLossy(t)
	url := guarded(t, l.client, client.MiddlewareConfig{CacheFor: time.Minute, Clock: l.Clock.Now})
	bearer, apiKey := "Authorization: Bearer "+l.login(t).Token, "X-Api-Key: "+l.APIKey
	for i, test := range []struct {
		headers []string
		status  int
	}{
		{[]string{bearer}, 200},
		{[]string{apiKey}, 200},
		{[]string{bearer + "x"}, 401},
		{[]string{apiKey + "x"}, 401},
		{[]string{bearer, apiKey + "x"}, 401},
		{[]string{bearer + "x", apiKey}, 401},
		{[]string{"Authorization: Bearer " + l.APIKey}, 401},
		{[]string{bearer, apiKey}, 200},
	} {
		if resp, text := ask(t, url, test.headers...); resp.StatusCode != test.status {
			t.Errorf("request %d: %d %s, want %d", i, resp.StatusCode, text, test.status)
		}
	}
}

// TestMiddlewareHugeHeaders checks that credentials longer than any token are rejected without asking Pawl. Pawl
// answers such a header in plain text, and the answer would look like an unreachable Pawl.
func TestMiddlewareHugeHeaders(t *testing.T) {
	l := newLossy(t)
	url := guarded(t, l.client, client.MiddlewareConfig{})
	huge := strings.Repeat("a", 5000)
	l.lose(0)
	for header, code := range map[string]api.ErrorCode{
		"Authorization: Bearer " + huge: api.CodeInvalidSession,
		"X-Api-Key: " + huge:            api.CodeInvalidAPIKey,
	} {
		resp, text := ask(t, url, header)
		if resp.StatusCode != 401 || !strings.Contains(text, string(code)) {
			t.Errorf("%.20s: %d %s, want 401 with %s", header, resp.StatusCode, text, code)
		}
		if len(l.paths()) != 0 {
			t.Errorf("%.20s: calls to Pawl %v, want none", header, l.paths())
		}
	}
}

func TestMiddlewareCache(t *testing.T) {
	l := newLossy(t, pawltest.WithTokenLife(8*time.Second))
	url := guarded(t, l.client, client.MiddlewareConfig{CacheFor: 5 * time.Second, CacheSize: 2, Clock: l.Clock.Now})
	want := func(step string, status, calls int, token string) {
		t.Helper()
		l.lose(0)
		resp, _ := ask(t, url, "Authorization: Bearer "+token)
		if resp.StatusCode != status || len(l.paths()) != calls {
			t.Errorf("%s: %d after %d calls, want %d after %d", step, resp.StatusCode, len(l.paths()), status, calls)
		}
	}
	a := l.login(t).Token
	want("first request", 200, 1, a)
	want("second request", 200, 0, a)
	want("another token", 401, 1, a+"x")
	want("a rejection is not cached", 401, 1, a+"x")
	l.Clock.Add(5 * time.Second)
	want("after CacheFor", 200, 1, a)
	l.Clock.Add(3 * time.Second)
	want("after the token's exp", 401, 1, a)

	tokens := []string{l.login(t).Token, l.login(t).Token, l.login(t).Token}
	for _, token := range tokens {
		want("new token", 200, 1, token)
	}
	l.lose(0)
	for _, token := range tokens {
		ask(t, url, "Authorization: Bearer "+token)
	}
	if len(l.paths()) == 0 {
		t.Error("three answers are cached, want at most two")
	}
}

// TestMiddlewareWhilePawlIsUnreachable checks that every request is rejected, and that only Refuse gets the cause.
func TestMiddlewareWhilePawlIsUnreachable(t *testing.T) {
	server := newPawl(t)
	c := server.Client(client.WithRetries(0))
	url := guarded(t, c, client.MiddlewareConfig{})
	var cause error
	hooked := guarded(t, c, client.MiddlewareConfig{Refuse: func(w http.ResponseWriter, _ *http.Request, err error) {
		cause = err
		w.WriteHeader(http.StatusTeapot)
	}})
	server.Close()
	resp, text := ask(t, url, "X-Api-Key: "+server.APIKey)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, "Unavailable") {
		t.Errorf("%d %v %s, want 503 with Retry-After", resp.StatusCode, resp.Header, text)
	}
	if strings.Contains(text, "127.0.0.1") {
		t.Errorf("%s shows the address of Pawl", text)
	}
	resp, _ = ask(t, hooked, "X-Api-Key: "+server.APIKey)
	if resp.StatusCode != http.StatusTeapot || !errors.Is(cause, client.ErrUnavailable) || errors.Unwrap(cause) == nil {
		t.Errorf("%d, Refuse got %v, want ErrUnavailable with a cause", resp.StatusCode, cause)
	}
}

// TestMiddlewareNotPawl checks that no request passes if a server other than Pawl answers everything with success.
func TestMiddlewareNotPawl(t *testing.T) {
	for _, text := range []string{
		`{"success":true,"data":null,"errorCode":"","message":""}`, `{"success":true,"data":{}}`, `{"success":true}`,
		`{}`, `[]`, `null`, `true`, ``,
	} {
		other := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
		c := newClient(t, other, client.WithRetries(0))
		resp, _ := ask(t, guarded(t, c, client.MiddlewareConfig{}), "X-Api-Key: x")
		if resp.StatusCode != 503 {
			t.Errorf("%s: %d, want 503", text, resp.StatusCode)
		}
		if got, err := newClient(t, other).Login(t.Context(), "a", "b"); err == nil {
			t.Errorf("%s: the login returned %v", text, got)
		}
	}
}

// TestMiddlewareCookie checks requests with the session cookie, from pages of each kind.
func TestMiddlewareCookie(t *testing.T) {
	l := newLossy(t)
	trusting := http.NewCrossOriginProtection()
	if err := trusting.AddTrustedOrigin("https://app.example.com"); err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{
		"without": guarded(t, l.client, client.MiddlewareConfig{}),
		"own":     guarded(t, l.client, client.MiddlewareConfig{Cookie: &http.CrossOriginProtection{}}),
		"trusted": guarded(t, l.client, client.MiddlewareConfig{Cookie: trusting}),
	}
	token := l.login(t).Token
	session, wrong := "Cookie: a=b; __Host-pawl="+token, "Cookie: __Host-pawl=x"
	const (
		ownPage, ownSite = "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-site"
		app, evil        = "Origin: https://app.example.com", "Origin: https://evil.example"
	)
	for name, test := range map[string]struct {
		url     string
		headers []string
		status  int
		code    api.ErrorCode
	}{
		"not configured":          {"without", []string{session, ownPage}, 401, api.CodeInvalidSession},
		"own page":                {"own", []string{session, ownPage}, 200, ""},
		"a program":               {"own", []string{session}, 200, ""},
		"an empty cookie":         {"own", []string{"Cookie: __Host-pawl=", ownPage}, 401, api.CodeInvalidSession},
		"an ended session":        {"own", []string{wrong, ownPage}, 401, api.CodeInvalidSession},
		"a long cookie":           {"own", []string{wrong + strings.Repeat("x", 5000)}, 401, api.CodeInvalidSession},
		"with an API key":         {"own", []string{session, "X-Api-Key: " + l.AdminAPIKey}, 200, ""},
		"with a wrong API key":    {"own", []string{session, "X-Api-Key: x"}, 401, api.CodeInvalidAPIKey},
		"with Authorization":      {"own", []string{session, "Authorization: Bearer x"}, 401, api.CodeInvalidSession},
		"a bearer, wrong cookie":  {"own", []string{wrong, evil, "Authorization: Bearer " + token}, 200, ""},
		"another page":            {"own", []string{session, ownSite, app}, 403, api.CodeAccessDenied},
		"an old browser":          {"own", []string{session, evil}, 403, api.CodeAccessDenied},
		"a trusted page":          {"trusted", []string{session, ownSite, app}, 200, ""},
		"a page not trusted":      {"trusted", []string{session, ownSite, evil}, 403, api.CodeAccessDenied},
		"no cookie, another page": {"own", []string{ownSite, app}, 401, api.CodeInvalidSession},
	} {
		t.Run(name, func(t *testing.T) {
			resp, text := ask(t, "POST "+urls[test.url], test.headers...)
			if resp.StatusCode != test.status || !strings.Contains(text, string(test.code)) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, text, test.status, test.code)
			}
			if test.status == 200 && text != "4821" {
				t.Errorf("the caller is user %s", text)
			}
		})
	}
	// Another page may follow a link, because a GET changes nothing.
	if resp, text := ask(t, urls["own"], session, "Sec-Fetch-Site: cross-site"); resp.StatusCode != 200 {
		t.Errorf("a link from another page: %d %s", resp.StatusCode, text)
	}
}

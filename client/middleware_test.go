package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return web.URL
}

// guarded is a server behind Middleware that says who called.
func guarded(t *testing.T, c *client.Client, config client.MiddlewareConfig) string {
	return serve(t, client.Middleware(c, config)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := client.CallerFrom(r.Context())
		if !ok {
			t.Error("no caller")
		}
		for name := range r.Header {
			if strings.Contains(strings.ToLower(name), "pawl") {
				t.Errorf("%s came through", name)
			}
		}
		fmt.Fprint(w, caller.UserID)
	})).ServeHTTP)
}

// ask returns the answer to a request with those headers, "Name: value".
func ask(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
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

func TestMiddleware(t *testing.T) {
	l := newLossy(t)
	// the service has credentials of its own, which must not let others in
	own := &client.Transport{Source: l.source(client.TokenConfig{Login: pawltest.AdminLogin, Password: pawltest.AdminPassword})}
	c := l.client.With(client.WithAPIKey(l.AdminAPIKey), client.WithHTTPClient(&http.Client{Transport: own}))
	url := guarded(t, c, client.MiddlewareConfig{})
	token := l.login(t).Token
	for name, test := range map[string]struct {
		headers []string
		status  int
		code    api.ErrorCode
	}{
		"bearer":          {[]string{"Authorization: bearer " + token}, 200, ""},
		"key":             {[]string{"X-Api-Key: " + l.APIKey}, 200, ""},
		"both":            {[]string{"Authorization: Bearer " + token, "X-Api-Key: " + l.AdminAPIKey}, 200, ""},
		"forged":          {[]string{"Authorization: Bearer " + token, "X-Pawl-User: 1", "x_pawl_user: 1", "X-PAWL_User: 1"}, 200, ""},
		"forged alone":    {[]string{"X-Pawl-User: 4821"}, 401, api.CodeInvalidSession},
		"nothing":         {nil, 401, api.CodeInvalidSession},
		"a wrong token":   {[]string{"Authorization: Bearer " + token + "x"}, 401, api.CodeInvalidSession},
		"a wrong key":     {[]string{"X-Api-Key: x"}, 401, api.CodeInvalidAPIKey},
		"an empty key":    {[]string{"X-Api-Key: "}, 401, api.CodeInvalidAPIKey},
		"Basic":           {[]string{"Authorization: Basic eDp5"}, 401, api.CodeInvalidSession},
		"an empty bearer": {[]string{"Authorization: Bearer "}, 401, api.CodeInvalidSession},
		"two bearers":     {[]string{"Authorization: Bearer " + token, "Authorization: Bearer " + token}, 401, api.CodeInvalidSession},
		"no ASCII":        {[]string{"Authorization: Bearer \xff\u2028"}, 401, api.CodeInvalidSession},
		"a tab":           {[]string{"Authorization: Bearer a\tb"}, 401, api.CodeInvalidSession},
		"a bad key too":   {[]string{"Authorization: Bearer " + token, "X-Api-Key: x"}, 401, api.CodeInvalidAPIKey},
	} {
		resp, text := ask(t, url, test.headers...)
		var envelope api.Envelope[any]
		if test.status == 200 && text != "4821" {
			t.Errorf("%s: %q", name, text)
		}
		if test.status != 200 && (json.Unmarshal([]byte(text), &envelope) != nil || envelope.ErrorCode != test.code || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer")) {
			t.Errorf("%s: %v %s, want %s", name, resp.Header, text, test.code)
		}
		if resp.StatusCode != test.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, test.status)
		}
	}
}

// TestMiddlewareWithoutCache: a token that was refreshed is dead at once.
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
		t.Error(resp.Status)
	}
}

// TestMiddlewareCacheIsOfAll: what is remembered of a token or a key says nothing
// of another, nor of both together.
func TestMiddlewareCacheIsOfAll(t *testing.T) {
	l := newLossy(t)
	url := guarded(t, l.client, client.MiddlewareConfig{CacheFor: time.Minute, Clock: l.Clock.Now})
	bearer, key := "Authorization: Bearer "+l.login(t).Token, "X-Api-Key: "+l.APIKey
	for i, test := range []struct {
		headers []string
		status  int
	}{
		{[]string{bearer}, 200}, {[]string{key}, 200},
		{[]string{bearer + "x"}, 401}, {[]string{key + "x"}, 401}, {[]string{bearer, key + "x"}, 401}, {[]string{bearer + "x", key}, 401},
		{[]string{"Authorization: Bearer " + l.APIKey}, 401}, {[]string{bearer, key}, 200},
	} {
		if resp, text := ask(t, url, test.headers...); resp.StatusCode != test.status {
			t.Errorf("%d: %d %s, want %d", i, resp.StatusCode, text, test.status)
		}
	}
}

// TestMiddlewareSendsNothingHuge: Pawl answers headers of that size in plain text,
// which would look as if it was away.
func TestMiddlewareSendsNothingHuge(t *testing.T) {
	l := newLossy(t)
	url := guarded(t, l.client, client.MiddlewareConfig{})
	huge := strings.Repeat("a", 5000)
	l.lose(0)
	for header, code := range map[string]api.ErrorCode{"Authorization: Bearer " + huge: api.CodeInvalidSession, "X-Api-Key: " + huge: api.CodeInvalidAPIKey} {
		if resp, text := ask(t, url, header); resp.StatusCode != 401 || !strings.Contains(text, string(code)) || len(l.paths()) != 0 {
			t.Errorf("%.20s: %d %s after %v", header, resp.StatusCode, text, l.paths())
		}
	}
}

func TestMiddlewareCache(t *testing.T) {
	l := newLossy(t, pawltest.WithTokenLife(8*time.Second))
	url := guarded(t, l.client, client.MiddlewareConfig{CacheFor: 5 * time.Second, CacheSize: 2, Clock: l.Clock.Now})
	want := func(what string, status, calls int, token string) {
		t.Helper()
		l.lose(0)
		resp, _ := ask(t, url, "Authorization: Bearer "+token)
		if resp.StatusCode != status || len(l.paths()) != calls {
			t.Errorf("%s: %d after %d calls, want %d after %d", what, resp.StatusCode, len(l.paths()), status, calls)
		}
	}
	a := l.login(t).Token
	want("first", 200, 1, a)
	want("again", 200, 0, a)
	want("another", 401, 1, a+"x")
	want("a refusal is not remembered", 401, 1, a+"x")
	l.Clock.Add(5 * time.Second)
	want("after CacheFor", 200, 1, a)
	l.Clock.Add(3 * time.Second)
	want("after the token's end", 401, 1, a)

	tokens := []string{l.login(t).Token, l.login(t).Token, l.login(t).Token}
	for _, token := range tokens {
		want("new", 200, 1, token)
	}
	l.lose(0)
	for _, token := range tokens {
		ask(t, url, "Authorization: Bearer "+token)
	}
	if len(l.paths()) == 0 {
		t.Error("three were remembered, with room for two")
	}
}

// TestMiddlewareWhilePawlIsAway: nobody gets in, and the cause is for the log.
func TestMiddlewareWhilePawlIsAway(t *testing.T) {
	server := newPawl(t)
	c := server.Client(client.WithRetries(0))
	url := guarded(t, c, client.MiddlewareConfig{})
	var told error
	hooked := guarded(t, c, client.MiddlewareConfig{Refuse: func(w http.ResponseWriter, _ *http.Request, err error) {
		told = err
		w.WriteHeader(http.StatusTeapot)
	}})
	server.Close()
	resp, text := ask(t, url, "X-Api-Key: "+server.APIKey)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, "Unavailable") || strings.Contains(text, "127.0.0.1") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, text)
	}
	resp, _ = ask(t, hooked, "X-Api-Key: "+server.APIKey)
	if resp.StatusCode != http.StatusTeapot || !errors.Is(told, client.ErrUnavailable) || errors.Unwrap(told) == nil {
		t.Errorf("%d, %v", resp.StatusCode, told)
	}
}

// TestMiddlewareBeforeAnother: what is not Pawl, and says yes to everything,
// lets nobody in.
func TestMiddlewareBeforeAnother(t *testing.T) {
	for _, text := range []string{`{"success":true,"data":null,"errorCode":"","message":""}`, `{"success":true,"data":{}}`, `{"success":true}`, `{}`, `[]`, `null`, `true`, ``} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
		defer other.Close()
		resp, _ := ask(t, guarded(t, newClient(t, other.URL, client.WithRetries(0)), client.MiddlewareConfig{}), "X-Api-Key: x")
		if resp.StatusCode != 503 {
			t.Errorf("%s: %d", text, resp.StatusCode)
		}
		if got, err := newClient(t, other.URL).Login(t.Context(), "a", "b"); err == nil {
			t.Errorf("%s: signed in with %v", text, got)
		}
	}
}

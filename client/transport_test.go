package client_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// transported returns a client with the tokens of a source as its credentials. The client does not retry.
func (l *lossy) transported() *client.Client {
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password})
	h := &http.Client{Transport: &client.Transport{Source: s}}
	return l.client.With(client.WithRetries(0), client.WithHTTPClient(h))
}

// TestTransport ends the session of a token, and checks that a 401 renews it and that the request with its body is sent
// a second time.
func TestTransport(t *testing.T) {
	l := newLossy(t)
	c := l.transported()
	me, err := c.Me(t.Context())
	if err != nil || me.UserID != pawltest.UserID {
		t.Fatalf("user %+v, %v", me, err)
	}
	l.resetUser(t)
	l.lose(0)
	update := api.UpdateUserRequest{UserID: me.UserID, FirstName: new("Jo")}
	if _, err := c.UpdateUser(t.Context(), update); err != nil {
		t.Fatal(err)
	}
	want := []string{"/v2/users", "/v2/auth/refresh", "/v2/auth/login", "/v2/users"}
	if !slices.Equal(l.paths(), want) {
		t.Errorf("calls %v, want %v", l.paths(), want)
	}
}

// TestTransportDistrustsRejections checks a 401 that no new token can prevent, because the API key is wrong. The
// Transport returns the 401. For 5 seconds it then renews no token, because a renewal would supersede the tokens of
// other calls.
func TestTransportDistrustsRejections(t *testing.T) {
	l := newLossy(t)
	c := l.transported()
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrongKey := c.With(client.WithAPIKey("wrong"))
	l.lose(0)
	if _, err := wrongKey.Me(t.Context()); !errors.Is(err, client.ErrInvalidAPIKey) || len(l.paths()) != 3 {
		t.Errorf("error %v after %v, want ErrInvalidAPIKey after one refresh", err, l.paths())
	}
	l.lose(0)
	for range 3 {
		if _, err := wrongKey.Me(t.Context()); !errors.Is(err, client.ErrInvalidAPIKey) {
			t.Errorf("error %v, want ErrInvalidAPIKey", err)
		}
	}
	if len(l.paths()) != 3 {
		t.Errorf("calls %v, want no refresh", l.paths())
	}
	l.Clock.Add(5 * time.Second)
	l.resetUser(t)
	if _, err := c.Me(t.Context()); err != nil {
		t.Errorf("5 seconds later: %v", err)
	}
}

// TestTransportKeepsTheOrigin checks that a redirect to another host does not carry the token, and one to the same host
// does.
func TestTransportKeepsTheOrigin(t *testing.T) {
	l := newLossy(t)
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("another host got the token")
		}
	})
	home := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			t.Errorf("%s: the request has no token", r.URL)
		}
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, other, http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	})
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password})
	h := &http.Client{Transport: &client.Transport{Source: s}}
	for _, path := range []string{"/here", "/elsewhere"} {
		resp, err := h.Get(home + path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
		_ = resp.Body.Close()
	}
}

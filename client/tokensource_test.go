package client_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

var _ oauth2.TokenSource = (*client.TokenSource)(nil)

// login opens a session past the proxy.
func (l *lossy) login(t *testing.T) api.Token {
	t.Helper()
	token, err := l.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// source returns a source by the server's clock, whose client tries once.
func (l *lossy) source(config client.TokenConfig) *client.TokenSource {
	config.Clock = l.Clock.Now
	return client.NewTokenSource(l.client.With(client.WithRetries(0)), config)
}

func take(t *testing.T, s *client.TokenSource) string {
	t.Helper()
	token, err := s.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

func (l *lossy) good(t *testing.T, token string) bool {
	t.Helper()
	_, err := l.Client(client.WithBearer(token)).Session(t.Context())
	if err != nil && !errors.Is(err, client.ErrInvalidSession) {
		t.Fatal(err)
	}
	return err == nil
}

// paths tells what was called since lose.
func (l *lossy) paths() (paths []string) {
	for _, r := range l.requests() {
		paths = append(paths, r.URL.Path)
	}
	return paths
}

func TestTokenIsRenewedAheadOfTime(t *testing.T) {
	l := newLossy(t)
	start := l.login(t)
	s := l.source(client.TokenConfig{Token: start})
	l.Clock.Add(59*time.Minute - time.Second)
	if take(t, s) != start.Token || len(l.paths()) != 0 {
		t.Error("renewed too early")
	}
	l.Clock.Add(time.Second) // DefaultAhead before the end
	fresh, err := s.Token()
	if err != nil || fresh.AccessToken == start.Token || fresh.TokenType != "Bearer" || !fresh.Expiry.Equal(l.Clock.Now().Add(time.Hour)) {
		t.Fatalf("%+v, %v", fresh, err)
	}
	if !l.good(t, fresh.AccessToken) || take(t, s) != fresh.AccessToken || len(l.paths()) != 1 {
		t.Error("want one refresh, and then the same token")
	}
}

// TestShortTokensAreNotRenewedAtOnce: a life under Ahead is used to its half.
func TestShortTokensAreNotRenewedAtOnce(t *testing.T) {
	l := newLossy(t, pawltest.WithTokenLife(30*time.Second))
	s := l.source(client.TokenConfig{Token: l.login(t)})
	first := take(t, s)
	l.Clock.Add(14 * time.Second)
	if take(t, s) != first {
		t.Error("renewed too early")
	}
	l.Clock.Add(time.Second)
	if take(t, s) == first {
		t.Error("not renewed")
	}
}

// TestOneRenewal: a hundred ask at once, and there is one refresh.
func TestOneRenewal(t *testing.T) {
	l := newLossy(t)
	kept := 0
	s := l.source(client.TokenConfig{Token: l.login(t), OnRefresh: func(api.Token) error { kept++; return nil }})
	l.Clock.Add(time.Hour - time.Second)
	var mu sync.Mutex // guards tokens
	tokens := map[string]bool{}
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			token, err := s.Token()
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			tokens[token.AccessToken] = true
			mu.Unlock()
		})
	}
	group.Wait()
	if n := len(l.paths()); n != 1 || len(tokens) != 1 || kept != 1 {
		t.Errorf("%d refreshes, %d tokens, kept %d times, want 1", n, len(tokens), kept)
	}
}

// TestKeepBeforeUse: nobody gets a token that is not kept, and none is lost.
func TestKeepBeforeUse(t *testing.T) {
	l := newLossy(t)
	full := errors.New("disk full")
	broken := full
	var kept []string
	s := l.source(client.TokenConfig{Token: l.login(t), OnRefresh: func(token api.Token) error {
		kept = append(kept, token.Token)
		return broken
	}})
	if first := take(t, s); len(kept) != 0 {
		t.Errorf("kept %s, which it was given", first)
	}
	l.Clock.Add(59 * time.Minute)
	for range 2 {
		if _, err := s.Token(); !errors.Is(err, full) {
			t.Errorf("%v, want the error of Keep", err)
		}
	}
	broken = nil
	token := take(t, s)
	if len(kept) != 3 || kept[0] != token || kept[2] != token || len(l.paths()) != 1 || !l.good(t, token) {
		t.Errorf("kept %d, refreshed %d times", len(kept), len(l.paths()))
	}
}

// TestKeepFailsForLong: what could not be kept before its end is renewed.
func TestKeepFailsForLong(t *testing.T) {
	l := newLossy(t)
	broken := errors.New("disk full")
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password, OnRefresh: func(api.Token) error { return broken }})
	if _, err := s.Token(); !errors.Is(err, broken) {
		t.Error(err)
	}
	l.Clock.Add(time.Hour)
	broken = nil
	if token := take(t, s); !l.good(t, token) {
		t.Error("the token that was given out is over")
	}
}

// TestLostRenewal: every try of a renewal is lost. The old token is given out,
// and the next renewal comes to the successor that the lost one made.
func TestLostRenewal(t *testing.T) {
	l := newLossy(t)
	start := l.login(t)
	s := l.source(client.TokenConfig{Token: start})
	l.Clock.Add(59 * time.Minute)
	l.lose(1)
	for range 2 {
		if take(t, s) != start.Token || len(l.requests()) != 1 {
			t.Errorf("want the old token, and no second try at once; %d tries", len(l.requests()))
		}
	}
	l.Clock.Add(5 * time.Second)
	fresh := take(t, s)
	if seen := l.requests(); fresh == start.Token || !l.good(t, fresh) || seen[0].Header.Get("Idempotency-Key") != seen[1].Header.Get("Idempotency-Key") {
		t.Error("the successor was not found again")
	}
}

func TestLoginWhereThereIsNoTokenAndWhereItIsOver(t *testing.T) {
	l := newLossy(t)
	kept := 0
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password, OnRefresh: func(api.Token) error { kept++; return nil }})
	first := take(t, s)
	if !l.good(t, first) || l.paths()[0] != "/v2/auth/login" {
		t.Fatal(l.paths())
	}
	if err := l.Client(client.WithBearer(first)).Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Clock.Add(time.Hour)
	l.lose(0)
	if second := take(t, s); !l.good(t, second) || len(l.paths()) != 2 || kept != 2 {
		t.Errorf("%v, kept %d", l.paths(), kept)
	}
}

// TestOverIsOver: a session that is over is asked for once, and the error says
// so from then on.
func TestOverIsOver(t *testing.T) {
	l := newLossy(t)
	start := l.login(t)
	s := l.source(client.TokenConfig{Token: start})
	if err := l.Client(client.WithBearer(start.Token)).Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Clock.Add(59 * time.Minute)
	for range 3 {
		if _, err := s.Token(); !errors.Is(err, client.ErrInvalidSession) {
			t.Errorf("%v, want ErrInvalidSession", err)
		}
		l.Clock.Add(10 * time.Second)
	}
	if n := len(l.paths()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if _, err := client.NewTokenSource(l.client, client.TokenConfig{}).Token(); err == nil || len(l.paths()) != 1 {
		t.Error("a source of nothing gave something")
	}
}

// TestWrongPasswordIsNotTriedOnAndOn: a failed login is put off.
func TestWrongPasswordIsNotTriedOnAndOn(t *testing.T) {
	l := newLossy(t)
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: "wrong"})
	for range 10 {
		if _, err := s.Token(); !errors.Is(err, client.ErrInvalidCredentials) {
			t.Errorf("%v", err)
		}
	}
	if n := len(l.paths()); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestGivingUpLeavesTheRenewal: who stops waiting does not stop the others.
func TestGivingUpLeavesTheRenewal(t *testing.T) {
	l := newLossy(t)
	begun, release := make(chan struct{}), make(chan struct{})
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password, OnRefresh: func(api.Token) error {
		close(begun)
		<-release
		return nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() { _, err := s.TokenContext(ctx); gaveUp <- err }()
	<-begun
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	if take(t, s); len(l.paths()) != 1 {
		t.Errorf("%v, want one login", l.paths())
	}
}

// TestTransport: a token that another process made old is renewed on the 401,
// and the request with its body is sent once more.
func TestTransport(t *testing.T) {
	l := newLossy(t)
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password})
	c := l.client.With(client.WithRetries(0), client.WithHTTPClient(&http.Client{Transport: &client.Transport{Source: s}}))
	me, err := c.Me(t.Context())
	if err != nil || me.UserID != pawltest.UserID {
		t.Fatal(me, err)
	}
	if err := l.Client(client.WithAPIKey(l.AdminAPIKey)).ResetUser(t.Context(), pawltest.UserID); err != nil {
		t.Fatal(err)
	}
	l.lose(0)
	if _, err := c.UpdateUser(t.Context(), api.UpdateUserRequest{UserID: me.UserID, FirstName: new("Jo")}); err != nil {
		t.Fatal(err)
	}
	want := []string{"/v2/users", "/v2/auth/refresh", "/v2/auth/login", "/v2/users"}
	if got := l.paths(); len(got) != 4 || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("%v, want %v", got, want)
	}
	// a 401 that a new token does not heal comes through
	l.lose(0)
	_, err = c.With(client.WithAPIKey("wrong")).Me(t.Context())
	if !errors.Is(err, client.ErrInvalidAPIKey) || len(l.paths()) != 3 {
		t.Errorf("%v after %v", err, l.paths())
	}
	// and for a while no more tokens are spent on it: they would die under the calls of others
	l.lose(0)
	for range 3 {
		if _, err = c.With(client.WithAPIKey("wrong")).Me(t.Context()); !errors.Is(err, client.ErrInvalidAPIKey) {
			t.Error(err)
		}
	}
	if len(l.paths()) != 3 {
		t.Errorf("%v, want no refresh", l.paths())
	}
	l.Clock.Add(5 * time.Second)
	l.lose(0)
	if err := l.Client(client.WithAPIKey(l.AdminAPIKey)).ResetUser(t.Context(), pawltest.UserID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTransportStaysAtHome: a redirect to another host does not carry the token.
func TestTransportStaysAtHome(t *testing.T) {
	l := newLossy(t)
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password})
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to another host")
		}
	})
	home := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			t.Errorf("%s: no token", r.URL)
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other, http.StatusFound)
		} else if r.URL.Path == "/here" {
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	})
	h := &http.Client{Transport: &client.Transport{Source: s}}
	for _, path := range []string{"/here", "/away"} {
		resp, err := h.Get(home + path)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
	}
}

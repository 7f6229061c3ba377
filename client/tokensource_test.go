package client_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

var _ oauth2.TokenSource = (*client.TokenSource)(nil)

// source returns a source with the server's clock and a client without retries.
func (l *lossy) source(config client.TokenConfig) *client.TokenSource {
	config.Clock = l.Clock.Now
	return client.NewTokenSource(l.client.With(client.WithRetries(0)), config)
}

func tokenOf(t *testing.T, s *client.TokenSource) string {
	t.Helper()
	token, err := s.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

// TestTokenIsRefreshedInTime checks that a token is refreshed at the latest 1 minute before its exp, and at the
// earliest a tenth of its life before that.
func TestTokenIsRefreshedInTime(t *testing.T) {
	l := newLossy(t)
	start := l.login(t)
	var stored api.Token
	s := l.source(client.TokenConfig{Token: start, OnRefresh: func(t api.Token) error { stored = t; return nil }})
	l.Clock.Add(53*time.Minute - time.Second)
	if tokenOf(t, s) != start.Token || len(l.paths()) != 0 {
		t.Error("the source refreshed the token too early")
	}
	l.Clock.Add(6*time.Minute + time.Second)
	fresh, err := s.Token()
	if err != nil || fresh.AccessToken == start.Token || fresh.TokenType != "Bearer" {
		t.Fatalf("token %+v, %v, want a new one", fresh, err)
	}
	want := api.NewTime(l.Clock.Now().Add(time.Hour))
	if stored.Token != fresh.AccessToken || stored.ExpiresAt != want {
		t.Errorf("the token expires at %v, want %v", stored.ExpiresAt, want)
	}
	if !l.passes(t, fresh.AccessToken) || tokenOf(t, s) != fresh.AccessToken || len(l.paths()) != 1 {
		t.Errorf("calls %v, want one refresh, and the same token again", l.paths())
	}
}

// TestOAuth2AsksEachTime checks that package oauth2 does not keep a token that another user of the source has renewed.
func TestOAuth2AsksEachTime(t *testing.T) {
	l := newLossy(t)
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password})
	wrapped := oauth2.ReuseTokenSource(nil, s) // as oauth2.NewClient has it
	first, err := wrapped.Token()
	if err != nil || !first.Valid() {
		t.Fatalf("token %+v, %v", first, err)
	}
	l.Clock.Add(59*time.Minute + 30*time.Second)
	fresh := tokenOf(t, s)
	if fresh == first.AccessToken {
		t.Fatal("the source did not renew the token")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got, err := wrapped.Token()
		if err != nil {
			t.Fatal(err)
		}
		if got.AccessToken == fresh {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the wrapper keeps the superseded token")
		}
	}
}

// TestShortTokenIsUsedToItsHalf checks that a life below RefreshBefore does not mean a refresh with each use: the token
// is refreshed after half of its life, and before 6 tenths of it.
func TestShortTokenIsUsedToItsHalf(t *testing.T) {
	l := newLossy(t, pawltest.WithTokenLife(30*time.Second))
	s := l.source(client.TokenConfig{Token: l.login(t)})
	first := tokenOf(t, s)
	l.Clock.Add(14 * time.Second)
	if tokenOf(t, s) != first {
		t.Error("the source refreshed the token before its half")
	}
	l.Clock.Add(4 * time.Second)
	if tokenOf(t, s) == first {
		t.Error("the source did not refresh the token after its half")
	}
}

// TestRenewalsAreSpread checks that sources which signed in at the same moment refresh at different moments.
func TestRenewalsAreSpread(t *testing.T) {
	const fleet = 20
	l := newLossy(t)
	var sources []*client.TokenSource
	for range fleet {
		sources = append(sources, l.source(client.TokenConfig{Token: l.login(t)}))
	}
	l.Clock.Add(53 * time.Minute)
	refreshes, busySteps := 0, 0
	for range 12 {
		l.Clock.Add(30 * time.Second)
		l.lose(0)
		for _, s := range sources {
			tokenOf(t, s)
		}
		if n := len(l.paths()); n > 0 {
			refreshes += n
			busySteps++
		}
	}
	if refreshes != fleet || busySteps < 3 {
		t.Errorf("%d refreshes in %d of 12 steps, want %d in at least 3", refreshes, busySteps, fleet)
	}
}

// TestOneRenewal checks that a hundred concurrent callers cause one refresh.
func TestOneRenewal(t *testing.T) {
	l := newLossy(t)
	stored := 0
	s := l.source(client.TokenConfig{Token: l.login(t), OnRefresh: func(api.Token) error { stored++; return nil }})
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
	if n := len(l.paths()); n != 1 || len(tokens) != 1 || stored != 1 {
		t.Errorf("%d refreshes, %d tokens, %d calls of OnRefresh, want 1 each", n, len(tokens), stored)
	}
}

// TestStoreBeforeUse checks that no caller gets a token before OnRefresh has stored it, and that the token is not lost.
func TestStoreBeforeUse(t *testing.T) {
	l := newLossy(t)
	full := errors.New("disk full")
	result := full
	var stored []string
	s := l.source(client.TokenConfig{Token: l.login(t), OnRefresh: func(token api.Token) error {
		stored = append(stored, token.Token)
		return result
	}})
	tokenOf(t, s)
	if len(stored) != 0 {
		t.Error("the source stored the token that it began with")
	}
	l.Clock.Add(59 * time.Minute)
	for range 2 {
		if _, err := s.Token(); !errors.Is(err, full) {
			t.Errorf("error %v, want that of OnRefresh", err)
		}
	}
	result = nil
	token := tokenOf(t, s)
	if want := []string{token, token, token}; !slices.Equal(stored, want) {
		t.Errorf("OnRefresh got %q, want %q", stored, want)
	}
	if len(l.paths()) != 1 || !l.passes(t, token) {
		t.Errorf("calls %v, want one refresh", l.paths())
	}
}

// TestStoreFailsUntilExpiry checks that a token is renewed if it expires before OnRefresh stores it.
func TestStoreFailsUntilExpiry(t *testing.T) {
	l := newLossy(t)
	full := errors.New("disk full")
	result := full
	s := l.source(client.TokenConfig{
		Login: pawltest.Login, Password: pawltest.Password,
		OnRefresh: func(api.Token) error { return result },
	})
	if _, err := s.Token(); !errors.Is(err, full) {
		t.Errorf("error %v, want that of OnRefresh", err)
	}
	l.Clock.Add(time.Hour)
	result = nil
	if token := tokenOf(t, s); !l.passes(t, token) {
		t.Error("the source returned an expired token")
	}
}

// TestLostRefreshOfSource loses the response of a refresh. The source returns the previous token at first, and then
// finds the successor from the lost refresh.
func TestLostRefreshOfSource(t *testing.T) {
	l := newLossy(t)
	start := l.login(t)
	s := l.source(client.TokenConfig{Token: start})
	l.Clock.Add(59 * time.Minute)
	l.lose(1)
	for range 2 {
		if tokenOf(t, s) != start.Token || len(l.requests()) != 1 {
			t.Errorf("%d requests, want the previous token after one", len(l.requests()))
		}
	}
	l.Clock.Add(5 * time.Second)
	fresh := tokenOf(t, s)
	if fresh == start.Token || !l.passes(t, fresh) {
		t.Error("the source did not find the successor")
	}
	seen := l.requests()
	if seen[0].Header.Get("Idempotency-Key") != seen[1].Header.Get("Idempotency-Key") {
		t.Error("the second attempt has another idempotency key")
	}
}

// TestOutageAroundRenewal loses every response for 90 seconds. The source keeps its session: it finds the successor
// from the first lost refresh, and no audit event reports a theft.
func TestOutageAroundRenewal(t *testing.T) {
	tests := map[string]struct {
		options []pawltest.Option
		begins  time.Duration // of the outage, since the login
	}{
		"before exp": {begins: time.Hour - 10*time.Second},
		"around exp, idle life": {
			options: []pawltest.Option{pawltest.WithIdleLife(24 * time.Hour)}, begins: time.Hour - 10*time.Second,
		},
		"after exp, idle life": {
			options: []pawltest.Option{pawltest.WithIdleLife(24 * time.Hour)}, begins: 8 * time.Hour,
		},
		"short life": {
			options: []pawltest.Option{pawltest.WithTokenLife(30 * time.Second), pawltest.WithIdleLife(time.Hour)},
			begins:  25 * time.Second,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t, test.options...)
			start := l.login(t)
			s := l.source(client.TokenConfig{Token: start})
			l.Clock.Add(test.begins)
			for range 9 {
				l.lose(1)
				if token, err := s.Token(); err == nil && token.AccessToken != start.Token {
					t.Fatal("the source has a token that it cannot have")
				}
				l.Clock.Add(10 * time.Second)
			}
			l.lose(0)
			if fresh := tokenOf(t, s); !l.passes(t, fresh) || slices.Contains(l.paths(), "/v2/auth/login") {
				t.Errorf("the session is lost; calls %v", l.paths())
			}
			events, err := l.Client(client.WithAPIKey(l.AdminAPIKey)).Audit(t.Context(), api.AuditRequest{
				Kind: api.EventTheft,
			})
			if err != nil || len(events) > 0 {
				t.Errorf("events %+v, %v; want no theft", events, err)
			}
		})
	}
}

// TestIdleSource leaves a source unused for a night. If the server's idle life permits it, the source refreshes the
// expired token, once. Otherwise one refresh is tried before a login.
func TestIdleSource(t *testing.T) {
	for idle, want := range map[time.Duration][]string{
		24 * time.Hour: {"/v2/auth/refresh"},
		4 * time.Hour:  {"/v2/auth/refresh", "/v2/auth/login"},
	} {
		l := newLossy(t, pawltest.WithIdleLife(idle))
		start := l.login(t)
		s := l.source(client.TokenConfig{Token: start, Login: pawltest.Login, Password: pawltest.Password})
		l.Clock.Add(8 * time.Hour)
		l.lose(0)
		first := tokenOf(t, s)
		if first == start.Token || !l.passes(t, first) || tokenOf(t, s) != first || !slices.Equal(l.paths(), want) {
			t.Errorf("idle life %v: calls %v, want %v", idle, l.paths(), want)
		}
	}
}

// TestOfflineSource begins a renewal while the server cannot be reached, and repeats it hours later. The successor is
// young, so the source does not refresh it again at once.
func TestOfflineSource(t *testing.T) {
	l := newLossy(t, pawltest.WithIdleLife(24*time.Hour))
	var stored api.Token
	s := l.source(client.TokenConfig{
		Token: l.login(t), OnRefresh: func(t api.Token) error { stored = t; return nil },
	})
	l.Clock.Add(59*time.Minute + 30*time.Second)
	l.cut(true)
	tokenOf(t, s)
	l.Clock.Add(3 * time.Hour)
	if _, err := s.Token(); err == nil || errors.Is(err, client.ErrInvalidSession) {
		t.Errorf("an expired token and no connection: %v, want the error of the connection", err)
	}
	l.Clock.Add(10 * time.Second)
	l.cut(false)
	fresh, err := s.Token()
	if err != nil || !l.passes(t, fresh.AccessToken) {
		t.Fatalf("back online: %v", err)
	}
	if left := stored.ExpiresAt.Sub(l.Clock.Now()); left < 58*time.Minute-time.Second {
		t.Errorf("the successor expires in %v, want 58 minutes or more", left)
	}
	if tokenOf(t, s) != fresh.AccessToken || len(l.paths()) != 1 {
		t.Errorf("calls %v, want one refresh", l.paths())
	}
}

// TestLoginOfSource checks that a source with a login signs in at first, and again when the session has ended.
func TestLoginOfSource(t *testing.T) {
	l := newLossy(t)
	stored := 0
	s := l.source(client.TokenConfig{
		Login: pawltest.Login, Password: pawltest.Password,
		OnRefresh: func(api.Token) error { stored++; return nil },
	})
	first := tokenOf(t, s)
	if !l.passes(t, first) || l.paths()[0] != "/v2/auth/login" {
		t.Fatalf("calls %v, want a login", l.paths())
	}
	if err := l.Client(client.WithBearer(first)).Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Clock.Add(time.Hour)
	l.lose(0)
	if second := tokenOf(t, s); !l.passes(t, second) || len(l.paths()) != 2 || stored != 2 {
		t.Errorf("calls %v, stored %d, want a refresh and a login, and 2", l.paths(), stored)
	}
}

// TestEndedSessionOfSource checks that an ended session without a login costs one call, and the same error every time.
func TestEndedSessionOfSource(t *testing.T) {
	l := newLossy(t)
	start := l.login(t)
	s := l.source(client.TokenConfig{Token: start})
	if err := l.Client(client.WithBearer(start.Token)).Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Clock.Add(59 * time.Minute)
	for range 3 {
		if _, err := s.Token(); !errors.Is(err, client.ErrInvalidSession) {
			t.Errorf("error %v, want ErrInvalidSession", err)
		}
		l.Clock.Add(10 * time.Second)
	}
	if n := len(l.paths()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if _, err := client.NewTokenSource(l.client, client.TokenConfig{}).Token(); err == nil || len(l.paths()) != 1 {
		t.Error("a source without a token and a login returned a token or made a call")
	}
}

// TestWrongPasswordOfSource checks that a failed login is not repeated with each use.
func TestWrongPasswordOfSource(t *testing.T) {
	l := newLossy(t)
	s := l.source(client.TokenConfig{Login: pawltest.Login, Password: "wrong"})
	for range 10 {
		if _, err := s.Token(); !errors.Is(err, client.ErrInvalidCredentials) {
			t.Errorf("error %v, want ErrInvalidCredentials", err)
		}
	}
	if n := len(l.paths()); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestCancelledCallerOfSource checks that a cancelled caller does not stop the renewal of the others.
func TestCancelledCallerOfSource(t *testing.T) {
	l := newLossy(t)
	begun, release := make(chan struct{}), make(chan struct{})
	s := l.source(client.TokenConfig{
		Login: pawltest.Login, Password: pawltest.Password,
		OnRefresh: func(api.Token) error {
			close(begun)
			<-release
			return nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() { _, err := s.TokenContext(ctx); gaveUp <- err }()
	<-begun
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	close(release)
	tokenOf(t, s)
	if len(l.paths()) != 1 {
		t.Errorf("calls %v, want one login", l.paths())
	}
}

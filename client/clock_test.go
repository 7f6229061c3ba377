package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
	"unsafe"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// moveWall returns a reading of the clock after its wall clock moved by d and its monotonic clock stood still, as on a
// machine after a suspend or a change of its wall clock. It changes the unexported seconds inside the reading, and
// checks the outcome.
func moveWall(t testing.TB, reading time.Time, d time.Duration) time.Time {
	t.Helper()
	moved := reading
	*(*uint64)(unsafe.Pointer(&moved)) += uint64(d/time.Second) << 30
	if moved.Sub(reading) != 0 || moved.Round(0).Sub(reading.Round(0)) != d {
		t.Fatalf("%v moved by %v is %v: package time has another layout", reading, d, moved)
	}
	return moved
}

// skews are the differences between the local clock and the server's.
var skews = map[string]time.Duration{"1 h behind": -time.Hour, "1 h ahead": time.Hour, "right": 0}

// TestSourceWithSkewedClock uses a source for several token lives, and checks for exactly one refresh in each life.
func TestSourceWithSkewedClock(t *testing.T) {
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t)
			var stored api.Token
			config := client.TokenConfig{
				OnRefresh: func(token api.Token) error { stored = token; return nil },
				Clock:     func() time.Time { return l.Clock.Now().Add(skew) },
			}
			first := config
			first.Login, first.Password = pawltest.Login, pawltest.Password
			s := client.NewTokenSource(l.client, first)
			for life := range 4 {
				token := tokenOf(t, s)
				if !l.passes(t, token) {
					t.Fatalf("life %d: the token is not valid", life)
				}
				if want := config.Clock().Add(time.Hour); !stored.ExpiresAt.Equal(want) {
					t.Errorf("life %d: stored with expiry %v, want %v by the local clock", life, stored.ExpiresAt, want)
				}
				if n := len(l.paths()); n != 1 {
					t.Errorf("life %d: calls %v, want 1", life, l.paths())
				}
				l.Clock.Add(30 * time.Minute)
				s = client.NewTokenSource(l.client, withToken(config, stored)) // a restart of the program
				l.Clock.Add(20 * time.Minute)
				l.lose(0)
				for range 99 {
					if tokenOf(t, s) != token {
						t.Fatalf("life %d: renewed too early", life)
					}
				}
				if len(l.paths()) != 0 {
					t.Errorf("life %d: calls %v, want none", life, l.paths())
				}
				l.Clock.Add(9 * time.Minute)
			}
		})
	}
}

func withToken(config client.TokenConfig, token api.Token) client.TokenConfig {
	config.Token = token
	return config
}

// TestSourceWithForeignToken begins with a token whose ExpiresAt is by the server's clock. With a skewed local clock
// the age of the token is unknown, and the source refreshes it at its first use.
func TestSourceWithForeignToken(t *testing.T) {
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t)
			start := l.login(t)
			l.Clock.Add(30 * time.Minute)
			s := client.NewTokenSource(l.client, client.TokenConfig{
				Token: start, Clock: func() time.Time { return l.Clock.Now().Add(skew) },
			})
			for range 10 {
				if token := tokenOf(t, s); (token == start.Token) != (skew == 0) || !l.passes(t, token) {
					t.Errorf("the token is valid: %t, and the first one: %t", l.passes(t, token), token == start.Token)
				}
			}
			want := 1
			if skew == 0 {
				want = 0
			}
			if n := len(l.paths()); n != want {
				t.Errorf("%d refreshes, want %d", n, want)
			}
		})
	}
}

// TestSourceAfterSuspend checks that a suspended machine renews its token when it wakes, and that setting the wall
// clock back does not keep a token in use.
func TestSourceAfterSuspend(t *testing.T) {
	for name, test := range map[string]struct{ runs, wall time.Duration }{
		"suspended":             {runs: 0, wall: 59*time.Minute + 30*time.Second},
		"wall clock set back":   {runs: 59*time.Minute + 30*time.Second, wall: -2 * time.Hour},
		"suspended and running": {runs: 20 * time.Minute, wall: 39*time.Minute + 30*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t)
			reading := time.Now()
			s := client.NewTokenSource(l.client, client.TokenConfig{
				Login: pawltest.Login, Password: pawltest.Password, Clock: func() time.Time { return reading },
			})
			first := tokenOf(t, s)
			reading = moveWall(t, reading.Add(test.runs), test.wall)
			l.Clock.Add(59*time.Minute + 30*time.Second)
			l.lose(0)
			fresh := tokenOf(t, s)
			if fresh == first || !l.passes(t, fresh) || len(l.paths()) != 1 {
				t.Errorf("calls %v, want one refresh", l.paths())
			}
		})
	}
}

// TestLateReplayCountsFromTheFirstAttempt loses a refresh and repeats it a minute later. The successor is as old as the
// first attempt, so it must be renewed a minute earlier.
func TestLateReplayCountsFromTheFirstAttempt(t *testing.T) {
	l := newLossy(t)
	var stored api.Token
	s := l.source(client.TokenConfig{
		Token: l.login(t), RefreshBefore: 5 * time.Minute,
		OnRefresh: func(t api.Token) error { stored = t; return nil },
	})
	l.Clock.Add(55 * time.Minute)
	l.lose(1)
	tokenOf(t, s)
	l.Clock.Add(time.Minute)
	successor := tokenOf(t, s)
	want := api.NewTime(l.Clock.Now().Add(59 * time.Minute))
	if stored.Token != successor || stored.ExpiresAt != want {
		t.Errorf("the successor expires at %v, want %v", stored.ExpiresAt, want)
	}
	l.Clock.Add(54 * time.Minute)
	if token := tokenOf(t, s); token == successor || !l.passes(t, token) {
		t.Error("the source did not renew the successor 55 minutes after the first attempt")
	}
}

// TestOpaqueToken checks that a source works with tokens without claims.
func TestOpaqueToken(t *testing.T) {
	var stored api.Token
	s := client.NewTokenSource(scripted(t, &script{responses: []response{success}}), client.TokenConfig{
		Login: "a", Password: "b", Clock: func() time.Time { return time.Date(2026, 5, 7, 19, 0, 0, 0, time.UTC) },
		OnRefresh: func(t api.Token) error { stored = t; return nil },
	})
	if token := tokenOf(t, s); token != "t" || stored.ExpiresAt.Hour() != 20 {
		t.Errorf("token %s, stored %+v", token, stored)
	}
}

// TestJWKSWithSkewedClock checks that a token passes until its exp by the server's time. A Date has whole seconds, so
// the last second before exp depends on the skew.
func TestJWKSWithSkewedClock(t *testing.T) {
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			p := publish(t, pawltest.WithTokenLife(30*time.Second))
			j := client.NewJWKS(p.Client(), client.JWKSConfig{
				Clock: func() time.Time { return p.Clock.Now().Add(skew) },
			})
			token := p.login(t)
			check(t, "new token", j, token, nil)
			p.Clock.Add(28 * time.Second)
			check(t, "2 s before exp", j, token, nil)
			p.Clock.Add(2 * time.Second)
			check(t, "at exp", j, token, client.ErrInvalidSession)
			check(t, "new token after a while", j, p.login(t), nil)
			if n := p.reads.Load(); n != 1 {
				t.Errorf("%d reads, want 1", n)
			}
			p.Clock.Add(10 * time.Minute)
			check(t, "new token after a long while", j, p.login(t), nil)
		})
	}
}

// TestJWKSFromACache reads keys stored by an HTTP cache an hour ago, with the server's Date of then.
func TestJWKSFromACache(t *testing.T) {
	key, now := newKey(t, "a"), time.Now()
	set, err := json.Marshal(map[string]any{"keys": []any{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", now.Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("Age", "3600")
		_, _ = w.Write(set)
	})
	j := client.NewJWKS(newClient(t, url), client.JWKSConfig{})
	for step, test := range map[string]struct {
		age  time.Duration
		want error
	}{
		"new token":     {age: 0},
		"expired token": {age: 10 * time.Minute, want: client.ErrInvalidSession},
	} {
		iat := now.Add(-test.age).Unix()
		claims := fmt.Sprintf(`{"iss":"pawl","aud":"pawl","sub":"7","iat":%d,"exp":%d}`, iat, iat+300)
		check(t, step, j, sign(t, key, jose.ES256, claims), test.want)
	}
}

// TestJWKSAfterSuspend checks that after a suspend, stale keys are read again before the first token.
func TestJWKSAfterSuspend(t *testing.T) {
	p := publish(t)
	admin := p.Client(client.WithAPIKey(p.AdminAPIKey))
	leaked, reading := p.login(t), time.Now()
	j := client.NewJWKS(p.Client(), client.JWKSConfig{Clock: func() time.Time { return reading }})
	check(t, "before the suspend", j, leaked, nil)
	keys, err := admin.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	retire := api.RetireSigningKeyRequest{KeyID: keys[0].KeyID, Now: true}
	if err := admin.RetireSigningKey(t.Context(), retire); err != nil {
		t.Fatal(err)
	}
	p.Clock.Add(2 * time.Minute)
	reading = moveWall(t, reading, 2*time.Minute)
	check(t, "after the suspend", j, leaked, client.ErrInvalidSession)
	check(t, "new token after the suspend", j, p.login(t), nil)
}

// TestMiddlewareCacheWithSkewedClock checks that an answer is cached for CacheFor, and not beyond the token's exp.
func TestMiddlewareCacheWithSkewedClock(t *testing.T) {
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t, pawltest.WithTokenLife(8*time.Second))
			url := guarded(t, l.client, client.MiddlewareConfig{
				CacheFor: 5 * time.Second, Clock: func() time.Time { return l.Clock.Now().Add(skew) },
			})
			bearer := "Authorization: Bearer " + l.login(t).Token
			want := func(step string, status, calls int) {
				t.Helper()
				l.lose(0)
				resp, _ := ask(t, url, bearer)
				if n := len(l.paths()); resp.StatusCode != status || n != calls {
					t.Errorf("%s: %s after %d calls, want %d after %d", step, resp.Status, n, status, calls)
				}
			}
			want("first request", 200, 1)
			want("second request", 200, 0)
			l.Clock.Add(4 * time.Second)
			want("before CacheFor ends", 200, 0)
			l.Clock.Add(time.Second)
			want("after CacheFor", 200, 1)
			l.Clock.Add(3 * time.Second)
			want("after the token's exp", 401, 1)
		})
	}
}

// TestMiddlewareCacheAfterSuspend checks that an answer from before a suspend is not used after it.
func TestMiddlewareCacheAfterSuspend(t *testing.T) {
	l, reading := newLossy(t), time.Now()
	url := guarded(t, l.client, client.MiddlewareConfig{
		CacheFor: time.Minute, Clock: func() time.Time { return reading },
	})
	token := l.login(t).Token
	bearer := "Authorization: Bearer " + token
	if resp, _ := ask(t, url, bearer); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	if _, err := l.Client().Refresh(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if resp, _ := ask(t, url, bearer); resp.StatusCode != 200 {
		t.Errorf("before the suspend: %s, want 200 from the cache", resp.Status)
	}
	reading = moveWall(t, reading, 2*time.Minute)
	if resp, _ := ask(t, url, bearer); resp.StatusCode != 401 {
		t.Errorf("after the suspend: %s, want 401", resp.Status)
	}
}

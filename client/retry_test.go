package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// TestLostRefresh loses the responses of two attempts of a refresh, and checks that the third returns the same
// successor.
func TestLostRefresh(t *testing.T) {
	l := newLossy(t)
	old, err := l.client.Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	l.lose(2)
	fresh, err := l.client.Refresh(t.Context(), old.Token)
	if err != nil {
		t.Fatal(err)
	}
	seen := l.requests()
	if len(seen) != 3 {
		t.Fatalf("%d attempts, want 3", len(seen))
	}
	key := seen[0].Header.Get("Idempotency-Key")
	if key == "" || seen[2].Header.Get("Idempotency-Key") != key {
		t.Errorf("idempotency keys %q and %q, want the same", key, seen[2].Header.Get("Idempotency-Key"))
	}
	self := l.client.With(client.WithBearer(fresh.Token))
	sessions, err := self.Sessions(t.Context(), api.SessionsRequest{})
	if err != nil || len(sessions) != 1 || sessions[0].Refreshes != 1 {
		t.Errorf("sessions %+v, %v, want one with one refresh", sessions, err)
	}
	l.lose(0)
	if _, err := l.client.Refresh(t.Context(), fresh.Token); err != nil {
		t.Fatal(err)
	}
	if l.requests()[0].Header.Get("Idempotency-Key") == key {
		t.Error("two refreshes have the same idempotency key")
	}
}

// TestLostResponses loses one response of each call, and checks that only idempotent calls are retried.
func TestLostResponses(t *testing.T) {
	l := newLossy(t)
	ctx, c := t.Context(), l.client.With(client.WithAPIKey(l.AdminAPIKey))
	for name, call := range map[string]struct {
		attempts int
		make     func() error
	}{
		"create user": {1, func() error {
			r := api.CreateUserRequest{Login: "a@x.example", Password: "N3w$ecret!", Email: "a@x.example"}
			_, err := c.CreateUser(ctx, r)
			return err
		}},
		"login":            {1, func() error { _, err := c.Login(ctx, pawltest.Login, pawltest.Password); return err }},
		"generate API key": {1, func() error { _, err := c.GenerateAPIKey(ctx, pawltest.UserID); return err }},
		"refresh without a key": {1, func() error {
			_, err := c.RefreshWithIdempotencyKey(ctx, "a.b.c", "")
			return err
		}},
		"me":                 {2, func() error { _, err := c.Me(ctx); return err }},
		"session":            {2, func() error { _, err := c.Session(ctx); return err }},
		"reset":              {2, func() error { return c.ResetUser(ctx, pawltest.UserID) }},
		"introspect":         {2, func() error { _, err := c.Introspect(ctx, "x"); return err }},
		"revoke":             {2, func() error { return c.Revoke(ctx, "x") }},
		"me without retries": {1, func() error { _, err := c.With(client.WithRetries(0)).Me(ctx); return err }},
	} {
		l.lose(1)
		err := call.make()
		if n := len(l.requests()); n != call.attempts || (err == nil) != (call.attempts == 2) {
			t.Errorf("%s: %d attempts and error %v, want %d attempts", name, n, err, call.attempts)
		}
	}
}

// script is a transport that returns its responses in order, and repeats the last one.
type script struct {
	responses []response
	attempts  int
}

// response returns a new response each time, because a body can be read once.
type response func() *http.Response

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := s.responses[min(s.attempts, len(s.responses)-1)]()
	s.attempts++
	resp.Request = r
	return resp, nil
}

func respond(status int, body string, headers ...string) response {
	return func() *http.Response {
		h := http.Header{}
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			h.Set(name, value)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
	}
}

const (
	unavailable = `{"success":false,"data":null,"errorCode":"Unavailable","message":"x"}`
	limited     = `{"success":false,"data":null,"errorCode":"RateLimitExceeded","message":"x"}`
	rejected    = `{"success":false,"data":null,"errorCode":"InvalidCredentials","message":"x"}`
	succeeded   = `{"success":true,"data":{"token":"t","expiresAt":"2026-05-07T20:00:00Z","userId":1},` +
		`"errorCode":"","message":""}`
)

// scripted returns a client of a script.
func scripted(t *testing.T, s *script, options ...client.Option) *client.Client {
	t.Helper()
	h := client.WithHTTPClient(&http.Client{Transport: s})
	return newClient(t, "http://pawl.example", append(options, h)...)
}

// pauseTest is a call, the responses to its attempts, and its outcome.
type pauseTest struct {
	call      func(context.Context, *client.Client) error
	responses []response
	deadline  time.Duration // 0 is none
	attempts  int
	minWait   time.Duration
	maxWait   time.Duration
	want      error
}

func login(ctx context.Context, c *client.Client) error { _, err := c.Login(ctx, "a", "b"); return err }

func me(ctx context.Context, c *client.Client) error { _, err := c.Me(ctx); return err }

var success = respond(200, succeeded)

var pauseTests = map[string]pauseTest{
	"Retry-After in seconds": {
		call: login, responses: []response{respond(503, unavailable, "Retry-After: 2"), success},
		attempts: 2, minWait: 2 * time.Second, maxWait: 2100 * time.Millisecond,
	},
	"Retry-After of a rate limit": {
		call: login, responses: []response{respond(429, limited, "Retry-After: 7"), success},
		attempts: 2, minWait: 7 * time.Second, maxWait: 7100 * time.Millisecond,
	},
	"Retry-After as a date": {
		call:      login,
		responses: []response{respond(503, unavailable, "Retry-After: Sat, 01 Jan 2000 00:00:20 GMT"), success},
		attempts:  2, minWait: 20 * time.Second, maxWait: 20100 * time.Millisecond,
	},
	"Retry-After is too long": {
		call: login, responses: []response{respond(503, unavailable, "Retry-After: 31")},
		attempts: 1, want: client.ErrUnavailable,
	},
	"Retry-After passes the deadline": {
		call: login, responses: []response{respond(503, unavailable, "Retry-After: 5")},
		deadline: 4 * time.Second, attempts: 1, want: client.ErrUnavailable,
	},
	"Retry-After is malformed": {
		call: login, responses: []response{respond(503, unavailable, "Retry-After: -9"), success},
		attempts: 2, maxWait: 100 * time.Millisecond,
	},
	"every attempt fails": {
		call: login, responses: []response{respond(503, unavailable)},
		attempts: 4, maxWait: 700 * time.Millisecond, want: client.ErrUnavailable,
	},
	"a rejected login is not retried": {
		call: login, responses: []response{respond(401, rejected)},
		attempts: 1, want: client.ErrInvalidCredentials,
	},
	"a login after a proxy's 503": {
		call: login, responses: []response{respond(503, "<html>"), success},
		attempts: 1, want: &client.Error{},
	},
	"a GET after a proxy's 502": {
		call: me, responses: []response{respond(502, "<html>"), success},
		attempts: 2, maxWait: 100 * time.Millisecond,
	},
	"a GET after a proxy's 403": {
		call: me, responses: []response{respond(403, "<html>"), success},
		attempts: 1, want: &client.Error{},
	},
}

// TestPauses checks the attempts and pauses of a call, with the simulated time of synctest.
func TestPauses(t *testing.T) {
	for name, test := range pauseTests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{responses: test.responses}
				ctx, cancel := t.Context(), func() {}
				if test.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
				}
				defer cancel()
				began := time.Now()
				err := test.call(ctx, scripted(t, s))
				if s.attempts != test.attempts {
					t.Errorf("%d attempts, want %d", s.attempts, test.attempts)
				}
				if waited := time.Since(began); waited < test.minWait || waited > test.maxWait {
					t.Errorf("waited %v, want from %v to %v", waited, test.minWait, test.maxWait)
				}
				if (err == nil) != (test.want == nil) || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
			})
		})
	}
}

// TestManyRetries checks that 100 retries are possible because the pause stops growing.
func TestManyRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{responses: []response{respond(503, unavailable)}}
		_, err := scripted(t, s, client.WithRetries(100)).Me(t.Context())
		if !errors.Is(err, client.ErrUnavailable) || s.attempts != 101 {
			t.Errorf("error %v after %d attempts, want ErrUnavailable after 101", err, s.attempts)
		}
	})
}

// TestCancelDuringPause checks that a pause ends with the context, and that the error has both causes.
func TestCancelDuringPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{responses: []response{respond(503, unavailable, "Retry-After: 20")}}
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		_, err := scripted(t, s).Me(ctx)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrUnavailable) || s.attempts != 1 {
			t.Errorf("error %v after %d attempts", err, s.attempts)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v, want 1 s", waited)
		}
	})
}

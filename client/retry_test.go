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

// TestLostRefresh: the refresh was made and its answer is lost; the next try
// gets the same successor.
func TestLostRefresh(t *testing.T) {
	l := newLossy(t)
	c := l.client
	old, err := c.Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	l.lose(2)
	fresh, err := c.Refresh(t.Context(), old.Token)
	if err != nil {
		t.Fatal(err)
	}
	seen := l.requests()
	if len(seen) != 3 || seen[0].Header.Get("Idempotency-Key") == "" || seen[0].Header.Get("Idempotency-Key") != seen[2].Header.Get("Idempotency-Key") {
		t.Errorf("%d tries, of which the keys differ or are missing", len(seen))
	}
	info, err := c.With(client.WithBearer(fresh.Token)).Sessions(t.Context(), api.SessionsRequest{})
	if err != nil || len(info) != 1 || info[0].Refreshes != 1 {
		t.Errorf("%+v, %v: want one refresh", info, err)
	}
	l.lose(0)
	if _, err := c.Refresh(t.Context(), fresh.Token); err != nil {
		t.Fatal(err)
	}
	if again := l.requests()[0].Header.Get("Idempotency-Key"); again == seen[0].Header.Get("Idempotency-Key") {
		t.Error("two refreshes had the same key")
	}
}

// TestLostAnswersOfOtherCalls: what may not be sent twice is sent once.
func TestLostAnswersOfOtherCalls(t *testing.T) {
	l := newLossy(t)
	c := l.client.With(client.WithAPIKey(l.AdminAPIKey))
	for name, call := range map[string]struct {
		tries int
		make  func() error
	}{
		"create user": {1, func() error {
			_, err := c.CreateUser(t.Context(), api.CreateUserRequest{Login: "a@x.example", Password: "N3w$ecret!", Email: "a@x.example"})
			return err
		}},
		"login":              {1, func() error { _, err := c.Login(t.Context(), pawltest.Login, pawltest.Password); return err }},
		"generate key":       {1, func() error { _, err := c.GenerateAPIKey(t.Context(), pawltest.UserID); return err }},
		"refresh, no key":    {1, func() error { _, err := c.RefreshWithIdempotencyKey(t.Context(), "a.b.c", ""); return err }},
		"me":                 {2, func() error { _, err := c.Me(t.Context()); return err }},
		"session":            {2, func() error { _, err := c.Session(t.Context()); return err }},
		"reset":              {2, func() error { return c.ResetUser(t.Context(), pawltest.UserID) }},
		"introspect":         {2, func() error { _, err := c.Introspect(t.Context(), "x"); return err }},
		"revoke":             {2, func() error { return c.Revoke(t.Context(), "x") }},
		"me without retries": {1, func() error { _, err := c.With(client.WithRetries(0)).Me(t.Context()); return err }},
	} {
		l.lose(1)
		err := call.make()
		if n := len(l.requests()); n != call.tries || (err == nil) != (call.tries == 2) {
			t.Errorf("%s: %d tries and %v, want %d", name, n, err, call.tries)
		}
	}
}

// script answers one request after the other.
type script struct {
	answers []func() *http.Response
	tries   int
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := s.answers[min(s.tries, len(s.answers)-1)]
	s.tries++
	resp := answer()
	resp.Request = r
	return resp, nil
}

func answer(status int, body string, headers ...string) func() *http.Response {
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
	busy    = `{"success":false,"data":null,"errorCode":"Unavailable","message":"x"}`
	limited = `{"success":false,"data":null,"errorCode":"RateLimitExceeded","message":"x"}`
	fine    = `{"success":true,"data":{"token":"t","expiresAt":"2026-05-07T20:00:00Z","userId":1},"errorCode":"","message":""}`
)

// TestPauses holds how long the client waits, by a clock of the test's.
func TestPauses(t *testing.T) {
	login := func(ctx context.Context, c *client.Client) error { _, err := c.Login(ctx, "a", "b"); return err }
	me := func(ctx context.Context, c *client.Client) error { _, err := c.Me(ctx); return err }
	for name, c := range map[string]struct {
		call     func(context.Context, *client.Client) error
		answers  []func() *http.Response
		deadline time.Duration // 0: none
		tries    int
		wait     [2]time.Duration // least and most
		want     error
	}{
		"seconds":               {login, []func() *http.Response{answer(503, busy, "Retry-After: 2"), answer(200, fine)}, 0, 2, [2]time.Duration{2 * time.Second, 2100 * time.Millisecond}, nil},
		"rate limit":            {login, []func() *http.Response{answer(429, limited, "Retry-After: 7"), answer(200, fine)}, 0, 2, [2]time.Duration{7 * time.Second, 7100 * time.Millisecond}, nil},
		"a date":                {login, []func() *http.Response{answer(503, busy, "Retry-After: Sat, 01 Jan 2000 00:00:20 GMT"), answer(200, fine)}, 0, 2, [2]time.Duration{20 * time.Second, 20100 * time.Millisecond}, nil},
		"longer than we wait":   {login, []func() *http.Response{answer(503, busy, "Retry-After: 31")}, 0, 1, [2]time.Duration{}, client.ErrUnavailable},
		"past the deadline":     {login, []func() *http.Response{answer(503, busy, "Retry-After: 5")}, 4 * time.Second, 1, [2]time.Duration{}, client.ErrUnavailable},
		"never well":            {login, []func() *http.Response{answer(503, busy)}, 0, 4, [2]time.Duration{0, 700 * time.Millisecond}, client.ErrUnavailable},
		"a refusal":             {login, []func() *http.Response{answer(401, strings.Replace(busy, "Unavailable", "InvalidCredentials", 1))}, 0, 1, [2]time.Duration{}, client.ErrInvalidCredentials},
		"a proxy's 503, login":  {login, []func() *http.Response{answer(503, "<html>"), answer(200, fine)}, 0, 1, [2]time.Duration{}, &client.Error{}},
		"a proxy's 502, me":     {me, []func() *http.Response{answer(502, "<html>"), answer(200, fine)}, 0, 2, [2]time.Duration{0, 100 * time.Millisecond}, nil},
		"a proxy's 403":         {me, []func() *http.Response{answer(403, "<html>"), answer(200, fine)}, 0, 1, [2]time.Duration{}, &client.Error{}},
		"nonsense is no number": {login, []func() *http.Response{answer(503, busy, "Retry-After: -9"), answer(200, fine)}, 0, 2, [2]time.Duration{0, 100 * time.Millisecond}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: c.answers}
				ctx, cancel := t.Context(), func() {}
				if c.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
				}
				defer cancel()
				began := time.Now()
				err := c.call(ctx, newClient(t, "http://pawl.example", client.WithHTTPClient(&http.Client{Transport: s})))
				if waited := time.Since(began); s.tries != c.tries || waited < c.wait[0] || waited > c.wait[1] {
					t.Errorf("%d tries and %v, want %d and from %v to %v", s.tries, waited, c.tries, c.wait[0], c.wait[1])
				}
				if (err == nil) != (c.want == nil) || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			})
		})
	}
}

// TestManyRetries: the pause stops growing, however often a caller wants to try.
func TestManyRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func() *http.Response{answer(503, busy)}}
		_, err := newClient(t, "http://pawl.example", client.WithHTTPClient(&http.Client{Transport: s}), client.WithRetries(100)).Me(t.Context())
		if !errors.Is(err, client.ErrUnavailable) || s.tries != 101 {
			t.Errorf("%v after %d tries", err, s.tries)
		}
	})
}

// TestCancelledWhileWaiting: the wait ends with the context, and the error says
// both why.
func TestCancelledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{answers: []func() *http.Response{answer(503, busy, "Retry-After: 20")}}
		time.AfterFunc(time.Second, cancel)
		_, err := newClient(t, "http://pawl.example", client.WithHTTPClient(&http.Client{Transport: s})).Me(ctx)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrUnavailable) || s.tries != 1 {
			t.Errorf("%v after %d tries", err, s.tries)
		}
	})
}

package console_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/pawltest"
)

// TestSignInMustWait signs in too often from an address, too often with a wrong password, and at a full server. Each
// time the sign-in page comes again, with the reason, the login, and how long to wait.
func TestSignInMustWait(t *testing.T) {
	const next = "/console/audit"
	t.Run("rate", func(t *testing.T) {
		v := guest(t, newPawl(t, pawltest.WithConfig(func(c *app.Config) { c.Limits.LoginRate = 1 })))
		v.send("/sign-in", signInOf("wrong", next))
		response, text := v.send("/sign-in", signInOf("wrong", next))
		checkMustWait(t, response, text, http.StatusTooManyRequests, "Too many attempts; try again in ",
			`value="`+pawltest.Login+`"`, `value="`+next+`"`)
	})
	t.Run("wrong passwords", func(t *testing.T) {
		v := guest(t, newPawl(t))
		response, text := v.send("/sign-in", signInOf("wrong", next))
		for i := 0; i < 10 && response.StatusCode == http.StatusUnauthorized; i++ {
			response, text = v.send("/sign-in", signInOf("wrong", next))
		}
		checkMustWait(t, response, text, http.StatusTooManyRequests, "Too many attempts; try again in ",
			`value="`+pawltest.Login+`"`, `value="`+next+`"`)
	})
	t.Run("full", func(t *testing.T) {
		held := heldStore{arrived: make(chan struct{}), released: make(chan struct{})}
		pawl := newPawl(t, pawltest.WithConfig(func(c *app.Config) {
			c.Limits.MaxInFlight = 1
			c.WrapStore = func(s app.Store) app.Store { held.Store = s; return held }
		}))
		var group sync.WaitGroup
		defer group.Wait()
		defer close(held.released)
		group.Go(func() { guest(t, pawl).send("/sign-in", signInOf("wrong", "")) })
		select {
		case <-held.arrived:
		case <-time.After(time.Minute):
			t.Fatal("after a minute, no sign-in is in flight")
		}
		v := guest(t, pawl)
		const reason = "The server is at capacity; retry after 1 s."
		response, text := v.send("/sign-in", signInOf("wrong", next))
		checkMustWait(t, response, text, http.StatusServiceUnavailable, reason)
		response, text = v.send("/people", nil)
		if response.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(text, reason) {
			t.Errorf("another page of a full server: %s %s", response.Status, text)
		}
	})
}

// heldStore is a store in which each sign-in waits until the test releases it.
type heldStore struct {
	app.Store
	arrived, released chan struct{}
}

func (s heldStore) BeginAttempt(ctx context.Context, a throttle.Attempt) (time.Duration, bool, error) {
	s.arrived <- struct{}{}
	<-s.released
	return s.Store.BeginAttempt(ctx, a)
}

func guest(t *testing.T, pawl *pawltest.Server) *visitor {
	return &visitor{tb: t, url: pawl.URL + "/console"}
}

func signInOf(password, next string) url.Values {
	return url.Values{"login": {pawltest.Login}, "password": {password}, "next": {next}}
}

// checkMustWait checks a response that is the sign-in page with each of the texts.
func checkMustWait(t *testing.T, response *http.Response, text string, status int, texts ...string) {
	t.Helper()
	h := response.Header
	if response.StatusCode != status || h.Get("Content-Type") != "text/html; charset=utf-8" ||
		h.Get("Retry-After") == "" || h.Get("Content-Security-Policy") == "" {
		t.Errorf("the sign-in has %s, %v; want %d, a page and Retry-After", response.Status, h, status)
	}
	for _, want := range append(texts, `action="/console/sign-in"`, `class="problem"`) {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %s:\n%s", want, text)
		}
	}
}

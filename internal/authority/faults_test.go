package authority_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	adaLogin    = "ada@example.com"
	adaPassword = "C0rrect$horse"
)

// newAuthority returns an authority with one user and the store wrap(a SQLite store).
func newAuthority(
	t *testing.T, clock func() time.Time, wrap func(authority.Store) authority.Store,
) *authority.Authority {
	t.Helper()
	file, err := sqlite.Open(t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	key, err := token.GenerateKey(token.HS256)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.NewStatic([]*token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	policy := authority.Policy{TokenLife: tokenLife * time.Second, SessionLife: sessionLife * time.Second}
	a := authority.New(authority.Config{
		Store: wrap(file), Keys: keys, Issuer: "pawl", Audience: "pawl",
		Passwords: password.NewHasher(password.Params{MemoryKiB: 64, Passes: 1}, nil),
		Policy:    policy.WithDefaults(), Clock: clock, Log: slog.New(slog.DiscardHandler),
	})
	ada := authority.User{Login: adaLogin, Email: adaLogin, Level: authority.Root, Status: authority.Active}
	if _, _, err := a.Bootstrap(t.Context(), ada, adaPassword); err != nil {
		t.Fatal(err)
	}
	return a
}

// newFaulty returns an authority whose store can be made to fail, and a token of a session in the store.
func newFaulty(t *testing.T) (*authority.Authority, *storetest.Faulty, string) {
	t.Helper()
	var faults *storetest.Faulty
	a := newAuthority(t, time.Now, func(s authority.Store) authority.Store {
		faults = &storetest.Faulty{Store: s}
		return faults
	})
	issued, err := a.Login(t.Context(), adaLogin, adaPassword, authority.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	return a, faults, issued.Token
}

// TestRefreshDuringFault checks a refresh during a failure of the store, before or after the commit. Both times the
// client gets "unavailable", and a repeated request gets the one successor.
func TestRefreshDuringFault(t *testing.T) {
	modes := map[string]storetest.Fault{"not committed": storetest.NotCommitted, "committed": storetest.Committed}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			a, store, current := newFaulty(t)
			refresh := func() (string, error) {
				key := authority.HashIdempotencyKey("k")
				issued, err := a.Refresh(t.Context(), authority.RefreshRequest{Token: current, IdempotencyKey: key})
				return issued.Token, err
			}
			store.Set(mode)
			_, err := refresh()
			expectUnavailable(t, err)
			if got, want := accepted(t.Context(), a, current), mode == storetest.NotCommitted; got != want {
				t.Errorf("after the fault the token is accepted: %v, want %v", got, want)
			}
			store.Set(storetest.NoFault)
			first, err := refresh()
			repeated, repeatErr := refresh()
			if err != nil || repeatErr != nil || first != repeated {
				t.Fatalf("repeated: %v, %v; the same token: %v, want true", err, repeatErr, first == repeated)
			}
			if accepted(t.Context(), a, current) {
				t.Error("the superseded token is accepted")
			}
			if !accepted(t.Context(), a, first) {
				t.Error("the new token is rejected")
			}
		})
	}
}

// TestLogoutDuringFault checks that a logout returns "unavailable" if the store fails, before or after the commit.
func TestLogoutDuringFault(t *testing.T) {
	a, store, current := newFaulty(t)
	for _, mode := range []storetest.Fault{storetest.NotCommitted, storetest.Committed} {
		store.Set(mode)
		expectUnavailable(t, a.SignOut(t.Context(), authority.SignOutRequest{Token: current}))
		if got, want := accepted(t.Context(), a, current), mode == storetest.NotCommitted; got != want {
			t.Errorf("after fault %d the token is accepted: %v, want %v", mode, got, want)
		}
	}
}

// TestSignInDuringFault signs in while the store cannot record the outcome. The client must not learn that a password
// is wrong, and the attempts must count all the same. A right password signs in.
func TestSignInDuringFault(t *testing.T) {
	for _, mode := range []storetest.Fault{storetest.NotCommitted, storetest.Committed} {
		a, store, _ := newFaulty(t)
		login := func(passwd, ip string) error {
			_, err := a.Login(t.Context(), adaLogin, passwd, authority.Origin{IP: ip})
			return err
		}
		store.Set(mode)
		for range 5 {
			expectUnavailable(t, login("wrong", "192.0.2.2"))
		}
		store.Set(storetest.NoFault)
		if err := login("wrong", "192.0.2.2"); fault.KindOf(err) != fault.RateLimited {
			t.Errorf("fault %d: after five attempts: %v, want RateLimited", mode, err)
		}
		a, store, _ = newFaulty(t)
		store.Set(mode)
		if err := login(adaPassword, "192.0.2.1"); err != nil {
			t.Errorf("fault %d: a right password: %v", mode, err)
		}
	}
}

// expectUnavailable checks that an error is "unavailable", with a time to retry after.
func expectUnavailable(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Unavailable || e.RetryAfter == 0 {
		t.Errorf("error %v, want kind Unavailable with RetryAfter", err)
	}
}

// accepted reports whether a token is accepted as a bearer.
func accepted(ctx context.Context, a *authority.Authority, text string) bool {
	_, err := a.Authenticate(ctx, text, "", 0)
	return err == nil
}

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

// newAuthority is an authority on a real file, with one user. What store
// returns stands before the file.
func newAuthority(t *testing.T, clock func() time.Time, store func(authority.Store) authority.Store) *authority.Authority {
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
	keys, err := keyring.Fixed([]*token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	a := authority.New(authority.Config{Store: store(file), Keys: keys, Codec: token.NewCodec("pawl", "pawl", keys.Set()), Clock: clock, Log: slog.New(slog.DiscardHandler),
		Passwords: password.NewHasher(password.Params{MemoryKiB: 64, Passes: 1}, nil),
		Policy:    authority.Policy{TokenLife: tokenLife * time.Second, SessionLife: sessionLife * time.Second}.WithDefaults()})
	ada := authority.User{Login: adaLogin, Email: adaLogin, Level: authority.Root, Status: authority.Active}
	if _, _, err := a.Bootstrap(t.Context(), ada, adaPassword); err != nil {
		t.Fatal(err)
	}
	return a
}

// faulty is an authority whose store can be made to fail, and a token of a
// session in it.
func faulty(t *testing.T) (*authority.Authority, *storetest.Faulty, string) {
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

// TestRefreshThatSawAnError: whether it happened or not, the caller hears that
// the store was away, and the same request again gets the one successor.
func TestRefreshThatSawAnError(t *testing.T) {
	for name, mode := range map[string]storetest.Fault{"not committed": storetest.NotCommitted, "committed": storetest.Committed} {
		t.Run(name, func(t *testing.T) {
			a, store, old := faulty(t)
			refresh := func() (string, error) {
				issued, err := a.Refresh(t.Context(), old, "", authority.HashIdempotencyKey("k"), authority.Origin{})
				return issued.Token, err
			}
			store.Set(mode)
			wantKind(t, fault.Unavailable)(refresh())
			if good(t.Context(), a, old) != (mode == storetest.NotCommitted) {
				t.Error("the old token is not as the step left it")
			}
			store.Set(storetest.NoFault)
			first, err := refresh()
			again, errAgain := refresh()
			if err != nil || errAgain != nil || first != again {
				t.Fatalf("the same request again: %v, %v; the same token: %v", err, errAgain, first == again)
			}
			if good(t.Context(), a, old) || !good(t.Context(), a, first) {
				t.Error("the old token passes, or the new one does not")
			}
		})
	}
}

// TestLogoutThatSawAnError: a logout whose end was not stored is not answered
// as if it were.
func TestLogoutThatSawAnError(t *testing.T) {
	a, store, text := faulty(t)
	caller, err := a.Authenticate(t.Context(), text, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []storetest.Fault{storetest.NotCommitted, storetest.Committed} {
		store.Set(mode)
		wantKind(t, fault.Unavailable)("", a.Logout(t.Context(), caller))
		if good(t.Context(), a, text) != (mode == storetest.NotCommitted) {
			t.Error("the session is not as the step left it")
		}
	}
}

func wantKind(t *testing.T, want fault.Kind) func(string, error) {
	return func(_ string, err error) {
		t.Helper()
		if refused, ok := errors.AsType[*fault.Error](err); !ok || refused.Kind != want || refused.RetryAfter == 0 {
			t.Errorf("error %v, want kind %v with a time to wait", err, want)
		}
	}
}

func good(ctx context.Context, a *authority.Authority, text string) bool {
	_, err := a.Authenticate(ctx, text, "")
	return err == nil
}

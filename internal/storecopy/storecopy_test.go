//go:build linux

package storecopy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

func open(t *testing.T, address string, box *seal.Box) app.Store {
	t.Helper()
	s, err := app.OpenStore(t.Context(), app.StoreConfig{Address: must(app.ParseStoreAddress(address))(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// fill gives a store users, sessions at different generations, and keys.
func fill(t *testing.T, s app.Store, box *seal.Box) {
	t.Helper()
	for i := range 10 {
		u := must(s.CreateUser(t.Context(), authority.User{Login: fmt.Sprintf("User%d@example.com", i), Level: authority.MailboxUser, Status: authority.Active,
			Tenant: authority.Tenant{NetworkID: int64(i), MailboxID: 2}, Created: 5}, fmt.Sprint("hash", i)))(t)
		for n := range byte(5) {
			id := token.SessionID{byte(i), n, 1}
			err := s.OpenSession(t.Context(), authority.SessionWithOrigin{
				Session: authority.Session{ID: id, UserID: u.ID, Generation: 1, Created: 1, Refreshed: 1, Expires: 100, Ends: 200},
				Origin:  authority.Origin{IP: "192.0.2.1", UserAgent: "test"}}, fmt.Sprint("hash", i))
			if err != nil {
				t.Fatal(err)
			}
			for g := range uint32(n) {
				_, _, err := s.Rotate(t.Context(), authority.Rotation{Session: id, From: g + 1, At: int64(g) + 2, Expires: 150, IdempotencyKey: authority.IdempotencyKeyHash{n}})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		must(s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.Private, Primary: true, Mask: "m", Created: 6}, authority.APIKeyHash{byte(i)}))(t)
		must(s.CreateAPIKey(t.Context(), authority.APIKey{UserID: u.ID, Visibility: authority.SessionOnly, Session: token.SessionID{byte(i), 1, 1}}, authority.APIKeyHash{byte(i), 1}))(t)
	}
	for _, alg := range []token.Algorithm{token.HS256, token.ES256, token.EdDSA} {
		must(keyring.Open(t.Context(), keyring.Config{Store: s, Box: box, Algorithm: alg, Lead: 5 * time.Minute,
			Clock: time.Now, Log: slog.New(slog.DiscardHandler)}))(t)
	}
	keys := must(s.SigningKeys(t.Context()))(t)
	if err := s.RetireSigningKey(t.Context(), keys[1].ID, 7); err != nil {
		t.Fatal(err)
	}
}

// dump is all that a store has, with its signing keys in clear.
func dump(t *testing.T, s app.Store, box *seal.Box) string {
	t.Helper()
	var signing []keyring.SigningKey
	for _, k := range must(s.SigningKeys(t.Context()))(t) {
		signing = append(signing, must(keyring.Unseal(k, box))(t))
	}
	return fmt.Sprintf("%+v\n%+v\n%+v\n%+v", must(s.ReadUsers(t.Context(), 0, 1000))(t), must(s.ReadSessions(t.Context(), token.SessionID{}, 1000))(t),
		must(s.ReadAPIKeys(t.Context(), 0, 1000))(t), signing)
}

func quiet(string, int64, int64) {}

// TestThereAndBack copies SQLite to PostgreSQL and on to another SQLite: all of
// it is the same, and new ids do not meet old ones.
func TestThereAndBack(t *testing.T) {
	box := must(seal.NewBox(seal.NewKey()))(t)
	cluster := pgtest.Start(t)
	stores := []app.Store{open(t, "sqlite:"+t.TempDir(), nil), open(t, cluster.DSN(cluster.Database(t)), box), open(t, "sqlite:"+t.TempDir(), nil)}
	fill(t, stores[0], nil)
	want := dump(t, stores[0], nil)
	for i := range 2 {
		counts, err := storecopy.Copy(t.Context(), stores[i], stores[i+1], box, quiet)
		if err != nil || counts != (storecopy.Counts{Users: 10, Sessions: 50, APIKeys: 20, SigningKeys: 3}) {
			t.Fatalf("copied %+v, %v", counts, err)
		}
		if got := dump(t, stores[i+1], box); got != want {
			t.Errorf("copy %d has\n%s\nwant\n%s", i, got, want)
		}
		for _, k := range must(stores[i+1].SigningKeys(t.Context()))(t) {
			if k.RetiredAt == 0 && !seal.Sealed(k.JWK) {
				t.Error("a signing key was copied in clear")
			}
		}
		if _, err := storecopy.Copy(t.Context(), stores[i], stores[i+1], box, quiet); !errors.Is(err, storecopy.ErrNotEmpty) {
			t.Errorf("a copy over a store that is in use: %v", err)
		}
	}
	for _, s := range stores[1:] {
		u := must(s.CreateUser(t.Context(), authority.User{Login: "new", Level: authority.Root, Status: authority.Active}, "hash"))(t)
		if u.ID != 11 {
			t.Errorf("the next user is %d, want 11", u.ID)
		}
	}
}

// TestCutOff cuts a copy off in the middle: no server starts on the part, what
// ended meanwhile stays ended, and the same call makes it whole.
func TestCutOff(t *testing.T) {
	box := must(seal.NewBox(seal.NewKey()))(t)
	cluster := pgtest.Start(t)
	for name, address := range map[string]string{"to PostgreSQL": cluster.DSN(cluster.Database(t)), "to SQLite": "sqlite:" + t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			from := open(t, "sqlite:"+t.TempDir(), nil)
			fill(t, from, nil)
			target := must(app.ParseStoreAddress(address))(t)
			to := must(app.OpenStore(t.Context(), app.StoreConfig{Address: target}))(t)
			ctx, cut := context.WithCancel(t.Context())
			_, err := storecopy.Copy(ctx, from, to, box, func(what string, done, total int64) {
				if what == "sessions" {
					cut()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("cut off: %v", err)
			}
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := app.Open(t.Context(), app.Config{Store: target, MasterKey: box}); err == nil {
				t.Fatal("a server starts on a store that was copied in part")
			}
			part := must(app.OpenStore(t.Context(), app.StoreConfig{Address: target}))(t)
			if _, err := storecopy.Copy(t.Context(), part, open(t, "sqlite:"+t.TempDir(), nil), box, quiet); !errors.Is(err, storecopy.ErrIncomplete) {
				t.Errorf("a part is copied on: %v", err)
			}
			if err := part.Close(); err != nil {
				t.Fatal(err)
			}
			ended := token.SessionID{3, 3, 1}
			if err := from.EndSession(t.Context(), ended); err != nil {
				t.Fatal(err)
			}
			to = open(t, address, box)
			if _, err := storecopy.Copy(t.Context(), from, to, box, quiet); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Session(t.Context(), ended); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("a session that had ended is back: %v", err)
			}
			if got, want := dump(t, to, box), dump(t, from, nil); got != want {
				t.Errorf("copied\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestEndSessions: a store from a backup is emptied of its sessions, and of no
// more.
func TestEndSessions(t *testing.T) {
	cluster := pgtest.Start(t)
	for name, address := range map[string]string{"PostgreSQL": cluster.DSN(cluster.Database(t)), "SQLite": "sqlite:" + t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			s := open(t, address, nil)
			fill(t, s, nil)
			if ended, err := storecopy.EndSessions(t.Context(), s, quiet); err != nil || ended != 50 {
				t.Fatalf("ended %d, %v", ended, err)
			}
			want := storecopy.Counts{Users: 10, APIKeys: 10, SigningKeys: 3} // the keys of sessions went with them
			if n := must(s.Count(t.Context()))(t); n != want {
				t.Errorf("left %+v, want %+v", n, want)
			}
		})
	}
}

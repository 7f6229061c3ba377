//go:build linux

package storecopy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, address string) app.Store {
	t.Helper()
	config := app.StoreConfig{Address: must(app.ParseStoreAddress(address))(t)}
	s := must(app.OpenStore(t.Context(), config))(t)
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

// fill adds 10 users with 5 sessions each, at different generations, 2 API keys for each user, 3 signing keys, 3
// used assertions, and a receiver.
func fill(t *testing.T, s app.Store) {
	t.Helper()
	extras := [5]*authority.SessionExtras{
		2: {Claims: `{"plan":"gold"}`, ActorID: 1},
		4: {TokenLife: 20 * time.Second, IdleLife: 30 * time.Second},
	}
	for i := range 10 {
		hash := fmt.Sprint("hash", i)
		externalID := ""
		if i%2 == 1 {
			externalID = fmt.Sprint("x", i)
		}
		u := must(s.CreateUser(t.Context(), authority.Rights{}, authority.User{
			Login: fmt.Sprintf("User%d@example.com", i), ExternalID: externalID, Level: authority.MailboxUser,
			Status: authority.Active, Tenant: authority.Tenant{NetworkID: int64(i), MailboxID: 2}, Created: 5,
		}, hash))(t)
		for n := range byte(5) {
			id := token.SessionID{byte(i), n, 1}
			_, err := s.OpenSession(t.Context(), authority.Opening{
				SessionWithOrigin: authority.SessionWithOrigin{
					Session: authority.Session{
						ID: id, UserID: u.ID, Generation: 1, Created: 1, Refreshed: 1,
						Expires: 100, Idle: 110, Ends: 200, Address: 1<<32 - 1, Extras: extras[n],
					},
					Origin: authority.Origin{IP: "192.0.2.1", UserAgent: "test", Device: "phone"},
				},
				PasswordHash: hash,
			})
			if err != nil {
				t.Fatal(err)
			}
			for g := range uint32(n) {
				_, _, err := s.Rotate(t.Context(), authority.Rotation{
					Session: id, From: g + 1, At: int64(g) + 2, Lives: authority.Lives{Token: 50, Idle: 60},
					IdempotencyKey: authority.IdempotencyKeyHash{n},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		for n, key := range []authority.APIKey{
			{
				UserID: u.ID, Visibility: authority.Private, Primary: true, Mask: "m", Created: 6,
				Scope: authority.OpenSessionsScope, MaxLevel: authority.General, Name: "n", Expires: 99,
			},
			{UserID: u.ID, Visibility: authority.SessionOnly, Session: token.SessionID{byte(i), 1, 1}},
		} {
			must(s.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{byte(i), byte(n)}))(t)
		}
	}
	fillSigningKeys(t, s)
	fillAssertions(t, s)
	receiver := authority.Receiver{ID: "r", URL: "https://r.example.com", Audience: "a", Authorization: "s", Created: 8}
	if err := s.AddReceiver(t.Context(), authority.Rights{}, receiver, 0); err != nil {
		t.Fatal(err)
	}
}

// fillAssertions uses 3 assertions. Each opens a session of user 1, which is ended again.
func fillAssertions(t *testing.T, s app.Store) {
	t.Helper()
	for n := range byte(3) {
		id := token.SessionID{n, 100}
		_, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, authority.Opening{
			SessionWithOrigin: authority.SessionWithOrigin{
				Session: authority.Session{ID: id, UserID: 1, Generation: 1, Idle: 110, Ends: 200},
			},
			Assertion: &authority.UsedAssertion{ID: storecopy.AssertionID{n, 0xff}, Expires: 1000 + int64(n)},
		})
		if err == nil {
			err = s.EndSession(t.Context(), authority.Rights{}, id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fillSigningKeys adds 3 signing keys, and retires one of them.
func fillSigningKeys(t *testing.T, s app.Store) {
	t.Helper()
	for _, alg := range []token.Algorithm{token.HS256, token.ES256, token.EdDSA} {
		must(keyring.Open(t.Context(), keyring.Config{
			Store: authority.SigningKeysAs(authority.Rights{}, s), Algorithm: alg, Lead: 5 * time.Minute,
			Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		}))(t)
	}
	keys := must(s.SigningKeys(t.Context()))(t)
	if err := s.RetireSigningKey(t.Context(), authority.Rights{}, keys[1].ID, 7); err != nil {
		t.Fatal(err)
	}
}

// dump returns the whole state of a store, with its signing keys in plaintext.
func dump(t *testing.T, s app.Store, box *seal.Box) string {
	t.Helper()
	var signing []keyring.SigningKey
	for _, k := range must(s.SigningKeys(t.Context()))(t) {
		signing = append(signing, must(keyring.Unseal(k, box))(t))
	}
	users := must(s.ReadUsers(t.Context(), 0, 1000))(t)
	sessions := must(json.Marshal(must(s.ReadSessions(t.Context(), token.SessionID{}, 1000))(t)))(t) // with extras
	keys := must(s.ReadAPIKeys(t.Context(), 0, 1000))(t)
	assertions := must(s.ReadAssertions(t.Context(), storecopy.AssertionID{}, 1000))(t)
	receivers := must(s.Receivers(t.Context()))(t)
	return fmt.Sprintf("%+v\n%s\n%+v\n%+v\n%v\n%+v", users, sessions, keys, signing, assertions, receivers)
}

// wantCounts counts what fill adds.
var wantCounts = storecopy.Counts{Users: 10, Sessions: 50, APIKeys: 20, SigningKeys: 3, Assertions: 3}

func noProgress(string, int64, int64) {}

// TestThereAndBack copies SQLite to PostgreSQL, and PostgreSQL to another SQLite. Each copy has the same state, and
// continues the ids of users where the source stopped.
func TestThereAndBack(t *testing.T) {
	box := must(seal.NewBox(seal.NewKey()))(t)
	cluster := pgtest.Shared(t)
	stores := []app.Store{
		open(t, "sqlite:"+t.TempDir()),
		open(t, cluster.DSN(cluster.Database(t))),
		open(t, "sqlite:"+t.TempDir()),
	}
	fill(t, stores[0])
	want := dump(t, stores[0], nil)
	for i := range 2 {
		counts, err := storecopy.Copy(t.Context(), stores[i], stores[i+1], box, noProgress)
		if err != nil || counts != (wantCounts) {
			t.Fatalf("copied %+v, %v", counts, err)
		}
		if got := dump(t, stores[i+1], box); got != want {
			t.Errorf("copy %d has\n%s\nwant\n%s", i, got, want)
		}
		for _, k := range must(stores[i+1].SigningKeys(t.Context()))(t) {
			if k.RetiredAt == 0 && !seal.Sealed(k.JWK) {
				t.Error("the copy has a signing key in plaintext")
			}
		}
		_, err = storecopy.Copy(t.Context(), stores[i], stores[i+1], box, noProgress)
		if !errors.Is(err, storecopy.ErrNotEmpty) {
			t.Errorf("a copy into a store in use returned %v, want ErrNotEmpty", err)
		}
	}
	for _, s := range stores[1:] {
		_, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, authority.Opening{
			SessionWithOrigin: authority.SessionWithOrigin{
				Session: authority.Session{ID: token.SessionID{200}, UserID: 1, Generation: 1, Created: 999},
			},
			Assertion: &authority.UsedAssertion{ID: storecopy.AssertionID{1, 0xff}, Expires: 1001},
		})
		if !errors.Is(err, fault.ErrAssertionUsed) {
			t.Errorf("an assertion that was used before the copy: %v, want ErrAssertionUsed", err)
		}
		user := authority.User{Login: "new", Level: authority.Root, Status: authority.Active}
		if u := must(s.CreateUser(t.Context(), authority.Rights{}, user, "hash"))(t); u.ID != 11 {
			t.Errorf("the next user has the id %d, want 11", u.ID)
		}
	}
}

// TestPlantedKey checks that a copy does not seal a signing key in plaintext beside sealed ones.
func TestPlantedKey(t *testing.T) {
	box := must(seal.NewBox(seal.NewKey()))(t)
	from, to := open(t, "sqlite:"+t.TempDir()), open(t, "sqlite:"+t.TempDir())
	sealed := keyring.Seal(keyring.SigningKey{ID: "sealed", JWK: "{}"}, box)
	for _, k := range []keyring.SigningKey{sealed, {ID: "planted", JWK: "{}"}} {
		if err := from.AddSigningKey(t.Context(), authority.Rights{}, k, false); err != nil {
			t.Fatal(err)
		}
	}
	_, err := storecopy.Copy(t.Context(), from, to, box, noProgress)
	if err == nil || !strings.Contains(err.Error(), `"planted"`) {
		t.Errorf("a copy: %v, want an error that names the key", err)
	}
}

// TestCutOff interrupts a copy in the middle. A server refuses to start on the incomplete target, and the same copy
// again makes it complete, without a session that ended in the source in between.
func TestCutOff(t *testing.T) {
	box := must(seal.NewBox(seal.NewKey()))(t)
	cluster := pgtest.Shared(t)
	for name, address := range map[string]string{
		"to PostgreSQL": cluster.DSN(cluster.Database(t)),
		"to SQLite":     "sqlite:" + t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			from := open(t, "sqlite:"+t.TempDir())
			fill(t, from)
			config := app.Config{Store: must(app.ParseStoreAddress(address))(t), MasterKey: box}
			to := must(app.OpenStore(t.Context(), app.StoreConfig{Address: config.Store}))(t)
			ctx, interrupt := context.WithCancel(t.Context())
			_, err := storecopy.Copy(ctx, from, to, box, func(kind string, done, total int64) {
				if kind == "sessions" {
					interrupt()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("an interrupted copy returned %v, want context.Canceled", err)
			}
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := app.Open(t.Context(), config); !errors.Is(err, storecopy.ErrIncomplete) {
				t.Fatalf("a server on an incomplete copy: %v, want ErrIncomplete", err)
			}
			incomplete := must(app.OpenStore(t.Context(), app.StoreConfig{Address: config.Store}))(t)
			_, err = storecopy.Copy(t.Context(), incomplete, open(t, "sqlite:"+t.TempDir()), box, noProgress)
			if !errors.Is(err, storecopy.ErrIncomplete) {
				t.Errorf("a copy of an incomplete copy returned %v, want ErrIncomplete", err)
			}
			if err := incomplete.Close(); err != nil {
				t.Fatal(err)
			}
			ended := token.SessionID{3, 3, 1}
			if err := from.EndSession(t.Context(), authority.Rights{}, ended); err != nil {
				t.Fatal(err)
			}
			to = open(t, address)
			if _, err := storecopy.Copy(t.Context(), from, to, box, noProgress); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Session(t.Context(), ended); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("the copy of an ended session: %v, want ErrNotFound", err)
			}
			if got, want := dump(t, to, box), dump(t, from, nil); got != want {
				t.Errorf("the copy has\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestEndSessions removes the sessions and session keys of a store, and nothing else.
func TestEndSessions(t *testing.T) {
	cluster := pgtest.Shared(t)
	for name, address := range map[string]string{
		"PostgreSQL": cluster.DSN(cluster.Database(t)),
		"SQLite":     "sqlite:" + t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, address)
			fill(t, s)
			if ended, err := storecopy.EndSessions(t.Context(), s, time.Now(), noProgress); err != nil || ended != 50 {
				t.Fatalf("ended %d sessions, want 50; %v", ended, err)
			}
			want := wantCounts
			want.Sessions, want.APIKeys = 0, 10 // session keys end with their session
			if counts := must(s.Count(t.Context()))(t); counts != want {
				t.Errorf("the store has %+v, want %+v", counts, want)
			}
			events := must(s.Events(t.Context(), audit.Filter{Kind: audit.SessionsReset, Limit: 100}))(t)
			if want := signInUsers(t, s); len(events) != want {
				t.Errorf("the audit has %d events for the receiver, want %d", len(events), want)
			}
		})
	}
}

// signInUsers counts the users of a store who may sign in.
func signInUsers(t *testing.T, s app.Store) (n int) {
	t.Helper()
	for _, u := range must(s.ReadUsers(t.Context(), 0, 1000))(t) {
		if u.Status.MaySignIn() {
			n++
		}
	}
	return n
}

// TestCopyWithoutEndedActor checks that a copy leaves out a session that ended with the sessions of its actor. The
// users of a copy begin with a new epoch, so it would come back.
func TestCopyWithoutEndedActor(t *testing.T) {
	cluster := pgtest.Shared(t)
	for _, address := range []string{"sqlite:" + t.TempDir(), cluster.DSN(cluster.Database(t))} {
		from, to := open(t, address), open(t, "sqlite:"+t.TempDir())
		ids := make(map[string]int64)
		for _, login := range []string{"user", "actor", "other"} {
			u := authority.User{Login: login, Level: authority.Root, Status: authority.Active}
			ids[login] = must(from.CreateUser(t.Context(), authority.Rights{}, u, ""))(t).ID
		}
		for i, actor := range []string{"actor", "other"} {
			session := authority.Session{
				ID: token.SessionID{byte(i), 1}, UserID: ids["user"], Generation: 1, Expires: 100, Idle: 100, Ends: 200,
				Extras: &authority.SessionExtras{ActorID: ids[actor]},
			}
			_, _, err := from.OpenSessionFor(t.Context(), authority.Rights{}, authority.Opening{
				SessionWithOrigin: authority.SessionWithOrigin{Session: session},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		must(from.EndSessions(t.Context(), authority.Rights{}, ids["actor"], authority.EndOptions{}))(t)
		must(storecopy.Copy(t.Context(), from, to, nil, noProgress))(t)
		copied := must(to.ReadSessions(t.Context(), token.SessionID{}, 1000))(t)
		if len(copied) != 1 || copied[0].Extras.ActorID != ids["other"] {
			t.Errorf("the copy has %+v", copied)
		}
	}
}

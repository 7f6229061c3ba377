package keyring_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/token"
)

const start, lead = 1_795_500_000, 300

// keyStore counts reads, and fails them when it is told to. Its clock stands
// where the test puts it.
type keyStore struct {
	authority.Store
	reads atomic.Int64
	last  atomic.Int64 // of the reads before the store goes away; 0 is no end
	away  atomic.Bool
	now   atomic.Int64
}

func (s *keyStore) SigningKeys(ctx context.Context) ([]keyring.SigningKey, error) {
	n, last := s.reads.Add(1), s.last.Load()
	if s.away.Load() || last != 0 && n > last {
		return nil, fault.ErrUnavailable
	}
	return s.Store.SigningKeys(ctx)
}

// awayAfter lets so many more reads pass.
func (s *keyStore) awayAfter(n int64) { s.last.Store(s.reads.Load() + n) }

func newKeyStore(t *testing.T) *keyStore {
	t.Helper()
	file, err := sqlite.Open(t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	s := &keyStore{Store: file}
	s.now.Store(start)
	return s
}

func (s *keyStore) config(alg token.Algorithm) keyring.Config {
	return keyring.Config{Store: s, Algorithm: alg, Lead: lead * time.Second, Reload: time.Millisecond, TokenLife: time.Hour,
		Clock: func() time.Time { return time.Unix(s.now.Load(), 0) }, Log: slog.New(slog.DiscardHandler)}
}

func (s *keyStore) open(t *testing.T, alg token.Algorithm) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.Open(t.Context(), s.config(alg))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// run lets a keyring follow its store until the test ends.
func run(t *testing.T, ring *keyring.Keyring) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { ring.Run(ctx) })
	t.Cleanup(func() { stop(); group.Wait() })
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func awaitAlgorithm(t *testing.T, ring *keyring.Keyring, want token.Algorithm) {
	t.Helper()
	await(t, "a key of "+string(want)+" to sign", func() bool { return ring.Set().Keys()[0].Algorithm() == want })
}

// TestAnotherAlgorithm: a start with another algorithm publishes its key first,
// and signs with the old one until the time has come, though the store is away.
func TestAnotherAlgorithm(t *testing.T) {
	s := newKeyStore(t)
	s.open(t, token.HS256)
	ring := s.open(t, token.ES256)
	if keys := ring.Set().Keys(); len(keys) != 2 || keys[0].Algorithm() != token.HS256 || len(ring.Public()) != 1 {
		t.Fatalf("%d keys, the first is %s", len(keys), keys[0].Algorithm())
	}
	if again := s.open(t, token.ES256); len(again.Set().Keys()) != 2 {
		t.Fatal("each start makes a key")
	}
	s.away.Store(true)
	run(t, ring)
	s.now.Add(lead)
	awaitAlgorithm(t, ring, token.ES256)
}

// TestForgedTokensCostLittle: tokens of unknown keys, which anyone can make, do
// not each read the store.
func TestForgedTokensCostLittle(t *testing.T) {
	s := newKeyStore(t)
	ring := s.open(t, token.HS256)
	a := authority.New(authority.Config{Store: s, Keys: ring, Codec: token.NewCodec("pawl", "pawl", ring.Set()), Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	stranger, err := token.GenerateKey(token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.NewKeySet(stranger)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := token.NewCodec("pawl", "pawl", set).Sign(token.Claims{Subject: 1, IssuedAt: start, Expires: 1 << 40, Generation: 1, AuthLevel: "Root"})
	if err != nil {
		t.Fatal(err)
	}
	began, before := time.Now(), s.reads.Load()
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range 100 {
				if _, err := a.Authenticate(t.Context(), forged, ""); err == nil {
					t.Error("a forged token passes")
				}
			}
		})
	}
	group.Wait()
	if reads, most := s.reads.Load()-before, int64(time.Since(began)/time.Second)+1; reads < 1 || reads > most {
		t.Errorf("1000 forged tokens read the store %d times, want 1 to %d", reads, most)
	}
}

// TestUnknownKeyWhileTheStoreIsAway: nobody can say whose the token is, so it is
// not refused for good; once the store is back it passes.
func TestUnknownKeyWhileTheStoreIsAway(t *testing.T) {
	s := newKeyStore(t)
	ring := s.open(t, token.ES256)
	a := authority.New(authority.Config{Store: s, Keys: ring, Codec: token.NewCodec("pawl", "pawl", ring.Set()), Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	s.now.Add(-lead) // a node whose clock is behind makes a key that signs at once
	other := s.open(t, token.EdDSA)
	s.now.Add(lead)
	run(t, other)
	awaitAlgorithm(t, other, token.EdDSA)
	text, err := token.NewCodec("pawl", "pawl", other.Set()).Sign(token.Claims{Subject: 1, IssuedAt: start, Expires: 1 << 40, Generation: 1, AuthLevel: "Root"})
	if err != nil {
		t.Fatal(err)
	}
	kind := func() fault.Kind {
		_, err := a.Authenticate(t.Context(), text, "")
		known, ok := errors.AsType[*fault.Error](err)
		if !ok {
			t.Fatalf("%v", err)
		}
		return known.Kind
	}
	s.away.Store(true)
	for range 2 {
		if got := kind(); got != fault.Unavailable {
			t.Errorf("while the store is away: %v", got)
		}
	}
	s.away.Store(false)
	await(t, "the token to be read", func() bool { return kind() == fault.InvalidSession && len(ring.Set().Keys()) == 2 })
}

// TestNodesOfTwoAlgorithms: starts that each publish a key of another algorithm
// than the last do so no more than a token can be tried with.
func TestNodesOfTwoAlgorithms(t *testing.T) {
	s := newKeyStore(t)
	var err error
	for i := 0; err == nil && i < 20; i++ {
		_, err = keyring.Open(t.Context(), s.config([]token.Algorithm{token.HS256, token.EdDSA}[i%2]))
	}
	if err == nil || !strings.Contains(err.Error(), "start with --algorithm") {
		t.Errorf("%v", err)
	}
	if keys, err := s.SigningKeys(t.Context()); err != nil || len(keys) != 8 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// TestChangedWhileReadsFail: a change that was made is answered as made, and holds
// on the node at once, though the store cannot be read after it.
func TestChangedWhileReadsFail(t *testing.T) {
	s := newKeyStore(t)
	ring := s.open(t, token.EdDSA)
	auditor := audit.NewWriter(audit.Config{Store: s, Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(auditor.Close)
	a := authority.New(authority.Config{Store: s, Keys: ring, Codec: token.NewCodec("pawl", "pawl", ring.Set()), Clock: time.Now, Log: slog.New(slog.DiscardHandler), Audit: auditor})
	root := authority.Caller{User: &authority.User{ID: 1, Level: authority.Root}}
	s.awayAfter(1)
	made, err := a.RotateSigningKey(t.Context(), root)
	if err != nil || len(ring.Set().Keys()) != 2 {
		t.Fatalf("rotated: %d keys, %v", len(ring.Set().Keys()), err)
	}
	s.awayAfter(1)
	if err := a.RetireSigningKey(t.Context(), root, made.ID, true); err != nil || len(ring.Set().Keys()) != 1 {
		t.Errorf("retired: %d keys, %v", len(ring.Set().Keys()), err)
	}
}

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
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/token"
)

const start, lead = 1_795_500_000, 300 // seconds

// testStore counts reads of the signing keys, and can be made to fail them. It has the clock of the test.
type testStore struct {
	authority.Store
	reads       atomic.Int64
	maxReads    atomic.Int64 // further reads fail; 0 is no limit
	unreachable atomic.Bool
	now         atomic.Int64
}

func (s *testStore) SigningKeys(ctx context.Context) ([]keyring.SigningKey, error) {
	n, limit := s.reads.Add(1), s.maxReads.Load()
	if s.unreachable.Load() || limit != 0 && n > limit {
		return nil, fault.ErrUnavailable
	}
	return s.Store.SigningKeys(ctx)
}

// failAfter makes reads fail after n more of them.
func (s *testStore) failAfter(n int64) { s.maxReads.Store(s.reads.Load() + n) }

func newTestStore(t *testing.T) *testStore {
	t.Helper()
	file, err := sqlite.Open(t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	s := &testStore{Store: file}
	s.now.Store(start)
	return s
}

func (s *testStore) config(alg token.Algorithm) keyring.Config {
	return keyring.Config{
		Store: authority.SigningKeysAs(authority.Rights{}, s), Algorithm: alg,
		Lead: lead * time.Second, Reload: time.Millisecond, TokenLife: time.Hour,
		Clock: func() time.Time { return time.Unix(s.now.Load(), 0) }, Log: slog.New(slog.DiscardHandler),
	}
}

func (s *testStore) open(t *testing.T, alg token.Algorithm) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.Open(t.Context(), s.config(alg))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// newAuthority returns an authority with the keys of a keyring.
func newAuthority(s *testStore, ring *keyring.Keyring) *authority.Authority {
	return authority.New(authority.Config{
		Store: s, Keys: ring, Issuer: "pawl", Audience: "pawl", Clock: time.Now, Log: slog.New(slog.DiscardHandler),
	})
}

// signToken returns a token signed by the first key of a set.
func signToken(t *testing.T, set *token.KeySet) string {
	t.Helper()
	text, err := token.NewCodec("pawl", "pawl", set).Sign(token.Claims{
		Subject: 1, IssuedAt: start, Expires: 1 << 40, Generation: 1, AuthLevel: "Root",
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// run runs a keyring until the test ends.
func run(t *testing.T, ring *keyring.Keyring) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { ring.Run(ctx) })
	t.Cleanup(func() { stop(); group.Wait() })
}

// await waits until a condition is true.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timeout while waiting for %s", what)
		}
	}
}

// awaitAlgorithm waits until a key of an algorithm signs.
func awaitAlgorithm(t *testing.T, ring *keyring.Keyring, want token.Algorithm) {
	t.Helper()
	await(t, "a key of "+string(want)+" to sign", func() bool { return ring.Set().Keys()[0].Algorithm() == want })
}

// TestOpenWithAnotherAlgorithm checks that a start with another algorithm publishes a key of it, and signs with the
// earlier key for the lead. The switch does not need the store.
func TestOpenWithAnotherAlgorithm(t *testing.T) {
	s := newTestStore(t)
	s.open(t, token.HS256)
	ring := s.open(t, token.ES256)
	if keys := ring.Set().Keys(); len(keys) != 2 || keys[0].Algorithm() != token.HS256 {
		t.Fatalf("%d keys, the first is of %s; want 2, the first of HS256", len(keys), keys[0].Algorithm())
	}
	if public, _ := newAuthority(s, ring).PublicKeys(t.Context()); len(public) != 1 {
		t.Fatalf("%d public keys, want the one of ES256", len(public))
	}
	if again := s.open(t, token.ES256); len(again.Set().Keys()) != 2 {
		t.Fatal("the next start added a key")
	}
	s.unreachable.Store(true)
	run(t, ring)
	s.now.Add(lead)
	awaitAlgorithm(t, ring, token.ES256)
}

// TestKeyOfAnotherID checks that a key stored under the id of another key is refused.
func TestKeyOfAnotherID(t *testing.T) {
	for _, alg := range []token.Algorithm{token.HS256, token.ES256} {
		s := newTestStore(t)
		key, err := token.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		jwk, err := key.MarshalJWK()
		if err != nil {
			t.Fatal(err)
		}
		planted := keyring.SigningKey{ID: "planted", JWK: string(jwk), PublishedAt: start, SignsFrom: start}
		if err := s.AddSigningKey(t.Context(), authority.Rights{}, planted, false); err != nil {
			t.Fatal(err)
		}
		_, err = keyring.Open(t.Context(), s.config(alg))
		if err == nil || !strings.Contains(err.Error(), `"planted"`) {
			t.Errorf("%s: %v, want an error that names the key", alg, err)
		}
	}
}

// newBox returns a box with a new master key.
func newBox(t *testing.T) *seal.Box {
	t.Helper()
	box, err := seal.NewBox(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// plant adds a new key in plaintext, as someone can who has the database but not the master key.
func (s *testStore) plant(t *testing.T, alg token.Algorithm) string {
	t.Helper()
	key, err := token.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	planted := keyring.SigningKey{ID: key.ID(), JWK: string(jwk), PublishedAt: start, SignsFrom: start}
	if err := s.AddSigningKey(t.Context(), authority.Rights{}, planted, false); err != nil {
		t.Fatal(err)
	}
	return key.ID()
}

// TestSealAtStart starts with a master key on keys in plaintext. The start seals all of them, once, and their tokens
// stay valid. Without the master key, no further start succeeds.
func TestSealAtStart(t *testing.T) {
	s := newTestStore(t)
	before := s.open(t, token.HS256)
	text := signToken(t, before.Set())
	s.open(t, token.ES256) // publishes a second key
	sealed := s.config(token.ES256)
	sealed.Box = newBox(t)
	for _, want := range []int{2, 0} {
		ring, err := keyring.Open(t.Context(), sealed)
		if err != nil {
			t.Fatal(err)
		}
		if ids := ring.SealedAtStart(); len(ids) != want {
			t.Errorf("the start has sealed %q, want %d keys", ids, want)
		}
		if _, err := token.NewCodec("pawl", "pawl", ring.Set()).Verify(text, time.Unix(start, 0)); err != nil {
			t.Errorf("a token from before: %v", err)
		}
	}
	keys, err := s.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !seal.Sealed(k.JWK) {
			t.Errorf("key %s is in plaintext", k.ID)
		}
	}
	if _, err := keyring.Open(t.Context(), s.config(token.ES256)); !errors.Is(err, keyring.ErrMasterKeyMissing) {
		t.Errorf("without the master key: %v", err)
	}
}

// TestPlantedKey adds a key in plaintext beside sealed ones. A running node keeps its keys, and no node starts.
func TestPlantedKey(t *testing.T) {
	s := newTestStore(t)
	config := s.config(token.HS256)
	config.Box = newBox(t)
	ring, err := keyring.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	id := s.plant(t, token.HS256)
	if _, err := ring.List(t.Context()); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("the list of keys: %v, want an error that names %q", err, id)
	}
	if n := len(ring.Set().Keys()); n != 1 {
		t.Errorf("the node has %d keys, want its own", n)
	}
	if _, err := keyring.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("a start: %v, want an error that names %q", err, id)
	}
}

// TestForgedTokensRarelyReadTheStore checks that forged tokens read the store at most once per second. Any client can
// send forged tokens.
func TestForgedTokensRarelyReadTheStore(t *testing.T) {
	s := newTestStore(t)
	a := newAuthority(s, s.open(t, token.HS256))
	foreign, err := token.GenerateKey(token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.NewKeySet(foreign)
	if err != nil {
		t.Fatal(err)
	}
	forged := signToken(t, set)
	begin, before := time.Now(), s.reads.Load()
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range 100 {
				if _, err := a.Authenticate(t.Context(), forged, "", 0); err == nil {
					t.Error("a forged token is accepted")
				}
			}
		})
	}
	group.Wait()
	reads, maxReads := s.reads.Load()-before, int64(time.Since(begin)/time.Second)+1
	if reads < 1 || reads > maxReads {
		t.Errorf("1000 forged tokens read the store %d times, want 1 to %d", reads, maxReads)
	}
}

// TestUnknownKeyDuringOutage checks that a token of an unknown key is not rejected while the store is unreachable,
// because another node may have signed it. Afterwards the node reads the key and verifies the token.
func TestUnknownKeyDuringOutage(t *testing.T) {
	s := newTestStore(t)
	ring := s.open(t, token.ES256)
	a := newAuthority(s, ring)
	s.now.Add(-lead) // so that a key added by another node signs at the start time
	other := s.open(t, token.EdDSA)
	s.now.Add(lead)
	run(t, other)
	awaitAlgorithm(t, other, token.EdDSA)
	text := signToken(t, other.Set())
	kind := func() fault.Kind {
		_, err := a.Authenticate(t.Context(), text, "", 0)
		known, ok := errors.AsType[*fault.Error](err)
		if !ok {
			t.Fatalf("%v", err)
		}
		return known.Kind
	}
	s.unreachable.Store(true)
	for range 2 {
		if got := kind(); got != fault.Unavailable {
			t.Errorf("kind %v while the store is unreachable, want Unavailable", got)
		}
	}
	s.unreachable.Store(false)
	await(t, "the node to read the key", func() bool {
		return kind() == fault.InvalidSession && len(ring.Set().Keys()) == 2 // the token is valid, without a session
	})
}

// TestNodesOfTwoAlgorithms checks that nodes started with different algorithms in turn add only a limited number of
// keys.
func TestNodesOfTwoAlgorithms(t *testing.T) {
	s := newTestStore(t)
	var err error
	for i := 0; err == nil && i < 20; i++ {
		_, err = keyring.Open(t.Context(), s.config([]token.Algorithm{token.HS256, token.EdDSA}[i%2]))
	}
	if err == nil || !strings.Contains(err.Error(), "start with --algorithm") {
		t.Errorf("error %v, want one with \"start with --algorithm\"", err)
	}
	if keys, err := s.SigningKeys(t.Context()); err != nil || len(keys) != 8 {
		t.Errorf("%d keys, %v; want 8", len(keys), err)
	}
}

// TestChangesDuringOutage checks that a stored change succeeds, and is effective on the node, although the store cannot
// be read after it.
func TestChangesDuringOutage(t *testing.T) {
	s := newTestStore(t)
	ring := s.open(t, token.EdDSA)
	a := newAuthority(s, ring)
	user, err := s.CreateUser(t.Context(), authority.Rights{},
		authority.User{Login: "root", Level: authority.Root, Status: authority.Active}, "hash")
	if err != nil {
		t.Fatal(err)
	}
	root := authority.Caller{User: user}
	s.failAfter(1)
	added, err := a.RotateSigningKey(t.Context(), root)
	if err != nil || len(ring.Set().Keys()) != 2 {
		t.Fatalf("rotate: %d keys, %v; want 2", len(ring.Set().Keys()), err)
	}
	s.failAfter(1)
	err = a.RetireSigningKey(t.Context(), root, added.ID, true)
	if err != nil || len(ring.Set().Keys()) != 1 {
		t.Errorf("retire: %d keys, %v; want 1", len(ring.Set().Keys()), err)
	}
}

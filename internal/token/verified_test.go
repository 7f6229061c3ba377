package token_test

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/token"
)

var keyPairs = []token.Algorithm{token.ES256, token.EdDSA, token.RS256}

// newKey returns a new key and a token of it, signed through another set, so that no cache has the token.
func newKey(t testing.TB, alg token.Algorithm) (key *token.Key, text string) {
	t.Helper()
	codec, key := newCodec(t, alg)
	return key, sign(t, codec, claims)
}

func newKeySet(t testing.TB, keys ...*token.Key) *token.KeySet {
	t.Helper()
	set, err := token.NewKeySet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func wantCached(t *testing.T, set *token.KeySet, want int) {
	t.Helper()
	if count, _ := set.VerifiedTokens(); count != want {
		t.Errorf("%d tokens are cached, want %d", count, want)
	}
}

// TestCacheOfVerifiedTokens checks which tokens are cached: verified and signed ones of key pairs, each once.
func TestCacheOfVerifiedTokens(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			key, text := newKey(t, alg)
			set := newKeySet(t, key)
			codec := token.NewCodec("pawl", "pawl", set)
			for range 3 {
				if got, err := codec.Verify(text, now); err != nil || got != claims {
					t.Fatalf("Verify = %+v, %v", got, err)
				}
			}
			if alg == token.HS256 {
				sign(t, codec, claims)
				wantCached(t, set, 0)
				return
			}
			wantCached(t, set, 1)
			other := claims
			other.Generation++
			text = sign(t, codec, other)
			wantCached(t, set, 2)
			if got, err := codec.Verify(text, now); err != nil || got != other {
				t.Errorf("Verify of a token just signed = %+v, %v", got, err)
			}
			wantCached(t, set, 2)
			late := now.Add(2 * time.Hour)
			if got, err := codec.Verify(text, late); !errors.Is(err, token.ErrExpired) || got != other {
				t.Errorf("Verify of a cached token that has expired = %+v, %v", got, err)
			}
			elsewhere := token.NewCodec("pawl", "other", set)
			if _, err := elsewhere.Verify(text, now); !errors.Is(err, token.ErrInvalid) {
				t.Errorf("Verify of a cached token for another audience: %v, want ErrInvalid", err)
			}
		})
	}
}

// TestForgedTokensAreNotCached changes each byte of a cached token, moves its last dot, and joins parts of two tokens.
// Every such text is rejected, also the second time, and none is cached.
func TestForgedTokensAreNotCached(t *testing.T) {
	for _, alg := range keyPairs {
		t.Run(string(alg), func(t *testing.T) {
			key, text := newKey(t, alg)
			set := newKeySet(t, key)
			codec := token.NewCodec("pawl", "pawl", set)
			if _, err := codec.Verify(text, now); err != nil {
				t.Fatal(err)
			}
			other := claims
			other.Subject++
			dot := strings.LastIndexByte(text, '.')
			forged := []string{
				text[:dot-1] + "." + text[dot-1:dot] + text[dot+1:],
				text[:dot] + text[dot+1:dot+2] + "." + text[dot+2:],
				text[:dot] + text[dot+1:] + ".",
				sign(t, codecOf(t, key), other)[:dot] + text[dot:],
			}
			for i := range text {
				changed := []byte(text)
				changed[i] ^= 3
				forged = append(forged, string(changed))
			}
			for _, f := range forged {
				for range 2 {
					if _, err := codec.Verify(f, now); err == nil || errors.Is(err, token.ErrExpired) {
						t.Fatalf("%s: %v, want it rejected", f, err)
					}
				}
			}
			wantCached(t, set, 1)
		})
	}
}

// TestRetiredKeyEmptiesCache caches tokens of two keys, and removes one of the keys. Its token is rejected at once.
// Adding a key, or letting another one sign, keeps the cache.
func TestRetiredKeyEmptiesCache(t *testing.T) {
	for _, alg := range keyPairs {
		t.Run(string(alg), func(t *testing.T) {
			retired, old := newKey(t, alg)
			kept, text := newKey(t, alg)
			set := newKeySet(t, retired)
			codec := token.NewCodec("pawl", "pawl", set)
			verify := func(text string, want error) {
				t.Helper()
				if _, err := codec.Verify(text, now); !errors.Is(err, want) {
					t.Fatalf("Verify: %v, want %v", err, want)
				}
			}
			verify(old, nil)
			for _, keys := range [][]*token.Key{{retired, kept}, {kept, retired}} {
				if err := set.Replace(keys...); err != nil {
					t.Fatal(err)
				}
				wantCached(t, set, 1)
			}
			verify(text, nil)
			wantCached(t, set, 2)
			if err := set.Replace(kept); err != nil {
				t.Fatal(err)
			}
			wantCached(t, set, 0)
			verify(old, token.ErrInvalid)
			verify(text, nil)
			wantCached(t, set, 1)
		})
	}
}

// TestRetireWhileVerifying verifies tokens of a key concurrently with its removal. No call that begins after the
// removal accepts a token of the key.
func TestRetireWhileVerifying(t *testing.T) {
	kept, _ := newKey(t, token.EdDSA)
	for range 50 {
		retired, text := newKey(t, token.EdDSA)
		set := newKeySet(t, retired)
		codec := token.NewCodec("pawl", "pawl", set)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 20 {
					if _, err := codec.Verify(text, now); err != nil && !errors.Is(err, token.ErrInvalid) {
						t.Error(err)
					}
				}
			})
		}
		if err := set.Replace(kept); err != nil {
			t.Fatal(err)
		}
		if _, err := codec.Verify(text, now); !errors.Is(err, token.ErrInvalid) {
			t.Fatalf("a token of the retired key: %v, want ErrInvalid", err)
		}
		group.Wait()
		wantCached(t, set, 0)
	}
}

// TestCacheIsBounded caches four times as many tokens as have room. The cache does not grow, and has the latest token.
func TestCacheIsBounded(t *testing.T) {
	key, text := newKey(t, token.EdDSA)
	set := newKeySet(t, key)
	_, capacity := set.VerifiedTokens()
	if capacity != 131_072 {
		t.Errorf("room for %d tokens, want 131072", capacity)
	}
	fill := func(prefix string) {
		for i := range 2 * capacity {
			set.Remember(prefix + strconv.Itoa(i))
		}
	}
	fill("a")
	before := liveHeap()
	fill("b")
	after := liveHeap()
	if after > before+1<<20 {
		t.Errorf("the cache grew from %d to %d bytes", before, after)
	}
	if count, again := set.VerifiedTokens(); again != capacity || count < capacity*9/10 {
		t.Errorf("the cache has %d tokens and room for %d, want it full, with room for %d", count, again, capacity)
	}
	set.Remember(text)
	if !set.Remembers(text) {
		t.Error("the cache lacks the latest token")
	}
}

// TestLoadedRSAKey checks that a new key has 2,048 bits, and that a key read from a store signs like a generated one:
// with the same number of allocations. A key without precomputed values needs several times more.
func TestLoadedRSAKey(t *testing.T) {
	generated, text := newKey(t, token.RS256)
	if signature := text[strings.LastIndexByte(text, '.')+1:]; len(signature) != 2048/6+1 {
		t.Errorf("a signature has %d characters, want %d", len(signature), 2048/6+1)
	}
	loaded, err := token.ParseJWK(mustJWK(t, generated))
	if err != nil {
		t.Fatal(err)
	}
	allocations := func(key *token.Key) float64 {
		codec := codecOf(t, key)
		return testing.AllocsPerRun(20, func() { sign(t, codec, claims) })
	}
	if want, got := allocations(generated), allocations(loaded); got > want+1 {
		t.Errorf("a loaded key signs with %v allocations, a generated one with %v", got, want)
	}
}

// BenchmarkSignature measures the signature check alone: the cost of a token at its first verification.
func BenchmarkSignature(b *testing.B) {
	for _, alg := range token.Algorithms {
		b.Run(string(alg), func(b *testing.B) {
			key, text := newKey(b, alg)
			dot := strings.LastIndexByte(text, '.')
			b.ReportAllocs()
			for b.Loop() {
				if !key.Verifies(text[:dot], text[dot+1:]) {
					b.Fatal("rejected")
				}
			}
		})
	}
}

// liveHeap returns the bytes of the objects that the garbage collector keeps.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/pawlauth/pawl/internal/clock"
)

const (
	maxAge       = 10 * time.Minute // how long keys are used without another fetch
	minFetchGap  = 5 * time.Second  // between two fetches, because any client can send unknown key ids
	fetchTimeout = 3 * time.Second
	maxSetSize   = 256 << 10
	maxKeys      = 64
)

// keySource caches the keys of one issuer.
type keySource struct {
	issuer *Issuer
	clock  func() time.Time
	http   *http.Client
	flight singleflight.Group // one fetch at a time

	mu    sync.Mutex // guards the fields below
	keys  []jose.JSONWebKey
	read  time.Time // the last successful fetch; zero if there was none
	tried time.Time // the last fetch
}

// find returns the keys that may have signed an assertion with this header: those with its key id and for its
// algorithm. It reads the keys again if they are stale or none matches. It returns ErrUnavailable if they cannot be
// read: stale keys are never used, because the issuer may have withdrawn them.
func (s *keySource) find(ctx context.Context, header jose.Header) ([]jose.JSONWebKey, error) {
	found, fresh, due := s.cached(header)
	if len(found) > 0 || !due {
		if !fresh {
			return nil, ErrUnavailable
		}
		return found, nil
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case done := <-s.flight.DoChan("", func() (any, error) { return nil, s.fetch() }):
		if done.Err != nil && !fresh {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, done.Err)
		}
	}
	found, _, _ = s.cached(header)
	return found, nil
}

// cached returns the matching keys of the cache if it is fresh, and whether a fetch is allowed.
func (s *keySource) cached(header jose.Header) (found []jose.JSONWebKey, fresh, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	fresh = !s.read.IsZero() && clock.Elapsed(s.read, now).Abs() < maxAge
	due = s.tried.IsZero() || clock.Elapsed(s.tried, now).Abs() >= minFetchGap
	if !fresh {
		return nil, false, due
	}
	for _, key := range s.keys {
		if (header.KeyID == "" || key.KeyID == header.KeyID) && suits(key, header.Algorithm) {
			found = append(found, key)
		}
	}
	return found, true, due
}

// suits reports whether a key is for an algorithm. The algorithm follows from the key, so that an assertion cannot
// choose a weaker one (RFC 8725, 3.1). A key that names its algorithm is for this one only.
func suits(key jose.JSONWebKey, algorithm string) bool {
	if key.Algorithm != "" {
		return key.Algorithm == algorithm
	}
	return slices.Contains(algorithmsOf(key), jose.SignatureAlgorithm(algorithm))
}

// fetch replaces the cached keys.
func (s *keySource) fetch() error {
	text, err := s.load()
	var keys []jose.JSONWebKey
	if err == nil {
		keys, err = parseKeys(text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.clock()
	if err == nil {
		s.keys = keys
		s.read = s.tried
	}
	return err
}

// load reads the JWK set, with a bound on its time and size.
func (s *keySource) load() ([]byte, error) {
	if !s.issuer.isURL() {
		file, err := os.Open(s.issuer.JWKSet)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return readBounded(file)
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer.JWKSet, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", s.issuer.JWKSet, response.StatusCode)
	}
	return readBounded(response.Body)
}

func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSetSize+1))
	if err == nil && len(text) > maxSetSize {
		err = fmt.Errorf("the JWK set has more than %d bytes", maxSetSize)
	}
	return text, err
}

// parseKeys returns the public keys of a JWK set that can verify signatures. It ignores every other key (RFC 7517, 5).
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("the JWK set is not JSON: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the JWK set has more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || !key.Valid() || !key.IsPublic() || key.Use == "enc" {
			continue
		}
		if key.Algorithm == "" || slices.Contains(algorithmsOf(key), jose.SignatureAlgorithm(key.Algorithm)) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWK set has no public key for signatures")
	}
	return keys, nil
}

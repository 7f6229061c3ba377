package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/pawlauth/pawl/internal/clock"
)

// JWKSConfig configures a JWKS. Every field is optional: the zero value suits a Pawl with the default settings.
type JWKSConfig struct {
	// Issuer is the iss of the server's tokens: its setting "issuer", or else "public-url". Empty is "pawl", for a
	// server without both. A token with another iss is rejected.
	Issuer string
	// Audience is the server's setting "audience". Empty is "pawl", its default. A token without this audience in its
	// aud is rejected.
	Audience string
	// Clock returns the time. Nil is time.Now.
	Clock func() time.Time
}

// JWKS verifies tokens by the public keys of a Pawl (RFC 7517, 5), without a call for each token. Use it as
// MiddlewareConfig.JWKS, or call Verify. It is safe for concurrent use.
//
// A JWKS checks only the token itself. It accepts a token until its exp even if the token was refreshed, its session
// ended, or its user was suspended. The caller's level and tenant are those at the time when the token was issued. If
// that is not good enough, let Middleware ask Pawl, or shorten the server's setting token-life.
//
// Pawl must sign with ES256, EdDSA or RS256 (its setting "algorithm"). HS256 has no public keys.
//
// A wrong local clock is tolerated, because a JWKS compares the times of a token with the server's time. It derives the
// server's time, to within a second, from the Date of the last response with keys (RFC 9110, 6.6.1).
//
// The keys are cached. When a token is verified, the keys are read again if they are more than 1 minute old. They are
// also read again if none of them is the token's key and the last read was more than 5 seconds ago. A new key therefore
// needs no restart, and the tokens of a leaked key are rejected at most 1 minute after Pawl retires it. While Pawl is
// unreachable, the cached keys are used for up to 1 hour.
type JWKS struct {
	client *Client
	config JWKSConfig
	flight singleflight.Group // one fetch at a time

	mu   sync.Mutex // guards keys
	keys keySet

	// generation goes up when a key is removed or replaced, so that a Verifier checks the signatures of its cached
	// tokens again.
	generation atomic.Uint64
}

const (
	jwksPath     = "/.well-known/jwks.json"
	maxFreshAge  = time.Minute      // up to this age, keys are used without a fetch
	maxStaleAge  = time.Hour        // up to this age, keys are used while Pawl is unreachable
	minFetchGap  = 5 * time.Second  // between two fetches, because any client can send tokens with unknown keys
	fetchTimeout = 10 * time.Second // for a fetch with its retries
	maxStaleWait = time.Second      // how long a token waits for a fetch if its stale key is cached
)

// NewJWKS returns a JWKS for the tokens of c's server. It makes no call yet, and it never uses c's credentials.
func NewJWKS(c *Client, config JWKSConfig) *JWKS {
	config.Issuer = cmp.Or(config.Issuer, "pawl")
	config.Audience = cmp.Or(config.Audience, "pawl")
	if config.Clock == nil {
		config.Clock = time.Now
	}
	return &JWKS{client: withoutToken(c).With(WithAPIKey(""), WithBearer("")), config: config}
}

// keySet is the state of the cache. A fetch replaces it.
type keySet struct {
	byID   map[string]jose.JSONWebKey
	read   time.Time   // the last successful fetch
	server serverClock // from the response of that fetch
	tried  time.Time   // the last fetch, successful or not
	err    error       // the error of the last fetch
}

// get returns a key, if the set was read less than maxAge ago.
func (s keySet) get(id string, now time.Time, maxAge time.Duration) (jose.JSONWebKey, bool) {
	key, ok := s.byID[id]
	return key, ok && clock.Elapsed(s.read, now) < maxAge
}

// isDue reports whether another fetch is allowed.
func (s keySet) isDue(now time.Time) bool {
	return clock.Elapsed(s.tried, now) >= minFetchGap
}

func (j *JWKS) current() keySet {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.keys
}

// key returns the key with an id. It returns false without an error if Pawl has no such key.
func (j *JWKS) key(ctx context.Context, id string) (jose.JSONWebKey, bool, error) {
	keys, now := j.current(), j.config.Clock()
	if key, ok := keys.get(id, now, maxFreshAge); ok {
		return key, true, nil
	}
	if keys.isDue(now) {
		var timeout <-chan time.Time // never fires unless there is a stale key to fall back on
		if _, ok := keys.get(id, now, maxStaleAge); ok {
			timeout = time.After(maxStaleWait)
		}
		select {
		case <-j.flight.DoChan("", j.fetchIfDue):
		case <-timeout:
		case <-ctx.Done():
			return jose.JSONWebKey{}, false, context.Cause(ctx)
		}
	}
	keys = j.current()
	if key, ok := keys.get(id, now, maxStaleAge); ok {
		return key, true, nil
	}
	return jose.JSONWebKey{}, false, keys.err
}

// fetchIfDue fetches the keys, unless another caller did so in the meantime.
func (j *JWKS) fetchIfDue() (any, error) {
	if !j.current().isDue(j.config.Clock()) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	return nil, j.Fetch(ctx)
}

var errNoPublicKeys = errors.New("client: the server publishes no keys that verify tokens; " +
	`start it with another algorithm than HS256, for example "--algorithm ES256"`)

// Fetch reads the keys now. Call it when a program starts, so that it fails there if the address is wrong or the server
// has no public keys.
func (j *JWKS) Fetch(ctx context.Context) error {
	x := get(jwksPath)
	x.noEnvelope = true
	sent := j.config.Clock()
	set, date, err := doDated[struct{ Keys []json.RawMessage }](ctx, j.client, x)
	received := j.config.Clock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keys.tried = received
	if err == nil {
		next := usableKeys(set.Keys)
		if lacksKeyOf(next, j.keys.byID) {
			j.generation.Add(1)
		}
		j.keys.byID = next
		j.keys.read = received
		j.keys.server = serverClock{date: date, sent: sent, received: received}
		if len(j.keys.byID) == 0 {
			err = errNoPublicKeys
		}
	}
	j.keys.err = err
	return err
}

// lacksKeyOf reports whether a set lacks one of the old keys, by id and algorithm. The id is a hash of the key
// (RFC 7638).
func lacksKeyOf(set, old map[string]jose.JSONWebKey) bool {
	for id, key := range old {
		if set[id].Algorithm != key.Algorithm {
			return true
		}
	}
	return false
}

// algorithms are Pawl's algorithms with public keys.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256}

// usableKeys returns the keys for verifying tokens, by their id. It ignores every other key (RFC 7517, 5).
func usableKeys(set []json.RawMessage) map[string]jose.JSONWebKey {
	keys := map[string]jose.JSONWebKey{}
	for _, text := range set {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(text); err != nil || !key.Valid() || !key.IsPublic() || key.KeyID == "" {
			continue
		}
		forSignatures := key.Use == "" || key.Use == "sig"
		if forSignatures && slices.Contains(algorithms, jose.SignatureAlgorithm(key.Algorithm)) {
			keys[key.KeyID] = key
		}
	}
	return keys
}

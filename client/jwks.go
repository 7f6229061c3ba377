package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

// JWKSConfig changes what a JWKS does; its zero value is right for a Pawl with
// the default issuer and audience.
type JWKSConfig struct {
	// Issuer and Audience are the server's settings of these names; empty means
	// "pawl". A token that has others is refused.
	Issuer, Audience string
	// Clock gives the time; nil means time.Now.
	Clock func() time.Time
}

// JWKS checks tokens by the public keys of a Pawl (RFC 7517, 5), and asks it
// about none of them. It is for MiddlewareConfig.JWKS, and Verify serves where
// there is no HTTP. It is safe for concurrent use.
//
// It knows what the token says, and no more. A token that was refreshed, whose
// session was ended, or whose user was suspended passes until its exp, and the
// caller's level and place are those of when it was made. Where that matters,
// have Middleware ask Pawl instead, or shorten the server's token-life.
//
// Pawl must sign with ES256, EdDSA or RS256 (its setting algorithm): HS256 has
// no public keys.
//
// The keys are read when a token needs them and the last time is a minute ago,
// or 5 s for one whose key is not known. So a new key needs no restart, and
// tokens of one that leaked pass for a minute after Pawl stops publishing it.
// While Pawl is away, the keys serve for an hour.
type JWKS struct {
	client *Client
	config JWKSConfig
	flight singleflight.Group // one fetch at a time

	mu    sync.Mutex // guards state, of which each fetch makes another
	state keyState
}

const (
	jwksPath     = "/.well-known/jwks.json"
	keysFresh    = time.Minute      // then they are read again
	keysKept     = time.Hour        // after the last answer of Pawl's
	fetchEvery   = 5 * time.Second  // anyone can send tokens of unknown keys
	fetchTimeout = 10 * time.Second // with all tries
	fetchWait    = time.Second      // of a request whose key is known, but not fresh
)

// NewJWKS returns a check of the tokens of the server that c calls; c's
// credentials are not used. It makes no call yet.
func NewJWKS(c *Client, config JWKSConfig) *JWKS {
	config.Issuer, config.Audience = cmp.Or(config.Issuer, "pawl"), cmp.Or(config.Audience, "pawl")
	if config.Clock == nil {
		config.Clock = time.Now
	}
	return &JWKS{client: withoutToken(c).With(WithAPIKey(""), WithBearer("")), config: config}
}

// keyState is what is known of Pawl's keys.
type keyState struct {
	keys  map[string]jose.JSONWebKey // by kid
	read  time.Time                  // when Pawl gave them
	asked time.Time                  // when it was asked last, in vain too
	err   error                      // what is wrong since; nil if nothing is
}

func (s keyState) key(id string, now time.Time, age time.Duration) (jose.JSONWebKey, bool) {
	key, ok := s.keys[id]
	return key, ok && now.Sub(s.read) < age
}

func (s keyState) mayAsk(now time.Time) bool {
	return s.asked.IsZero() || now.Sub(s.asked) >= fetchEvery
}

func (j *JWKS) known() keyState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

// key returns the key of that id; false and no error say that Pawl has none.
func (j *JWKS) key(ctx context.Context, id string) (jose.JSONWebKey, bool, error) {
	s, now := j.known(), j.config.Clock()
	if key, ok := s.key(id, now, keysFresh); ok {
		return key, true, nil
	}
	if s.mayAsk(now) {
		var patience <-chan time.Time // without a key there is nothing to go on with
		if _, ok := s.key(id, now, keysKept); ok {
			patience = time.After(fetchWait)
		}
		select {
		case <-j.flight.DoChan("", j.fetchIfDue):
		case <-patience:
		case <-ctx.Done():
			return jose.JSONWebKey{}, false, context.Cause(ctx)
		}
	}
	s = j.known()
	if key, ok := s.key(id, now, keysKept); ok {
		return key, true, nil
	}
	return jose.JSONWebKey{}, false, s.err
}

// fetchIfDue asks for the keys unless another has since the caller looked.
func (j *JWKS) fetchIfDue() (any, error) {
	if !j.known().mayAsk(j.config.Clock()) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	return nil, j.Fetch(ctx)
}

var errNoKeys = errors.New(`client: the server publishes no keys to check tokens with; start it with another algorithm than HS256, such as "--algorithm ES256"`)

// Fetch reads the keys now. A program that calls it at its start learns there
// that the address is wrong, or that the server has no public keys.
func (j *JWKS) Fetch(ctx context.Context) error {
	set, err := do[struct{ Keys []json.RawMessage }](ctx, j.client, call{method: "GET", path: jwksPath, plain: true, repeatable: true})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.asked = j.config.Clock()
	if err == nil {
		j.state.keys, j.state.read = usable(set.Keys), j.state.asked
		if len(j.state.keys) == 0 {
			err = errNoKeys
		}
	}
	j.state.err = err
	return err
}

// algorithms are those that Pawl signs with and that have public keys.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256}

// usable passes over keys of a kind that it does not know (RFC 7517, 5), and
// those that are not for signatures or do not say of which algorithm.
func usable(set []json.RawMessage) map[string]jose.JSONWebKey {
	keys := map[string]jose.JSONWebKey{}
	for _, text := range set {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) == nil && key.Valid() && key.IsPublic() && key.KeyID != "" && (key.Use == "" || key.Use == "sig") &&
			slices.Contains(algorithms, jose.SignatureAlgorithm(key.Algorithm)) {
			keys[key.KeyID] = key
		}
	}
	return keys
}

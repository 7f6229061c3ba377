package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/clock"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	defaultBound      = time.Second
	defaultAskTimeout = 5 * time.Second
	defaultMaxTokens  = 100_000
)

// VerifierConfig configures a Verifier. Every field is optional: the zero value suits a Pawl with the default settings.
type VerifierConfig struct {
	// Issuer and Audience are the settings of the server, as in JWKSConfig. They matter only for a server with public
	// keys.
	Issuer, Audience string
	// Bound is the longest time for which a superseded or ended token may pass. It must be longer than the heartbeat of
	// the feed (200 ms by default) and the latency of the network together. If the feed is older, the verifier asks
	// Pawl about each token. 0 is 1 second.
	Bound time.Duration
	// AcceptUnreachable is how much longer than Bound a token passes if Pawl is unreachable. The signature and the exp
	// of the token must be valid, and the feed must not have reported it. VerifierStats counts such calls. With 0,
	// Verify returns ErrUnavailable in that case, and Middleware answers with 503.
	AcceptUnreachable time.Duration
	// AskTimeout limits each question to Pawl, with its retries. 0 is 5 seconds.
	AskTimeout time.Duration
	// WithLogin asks Pawl once about each token, so that every caller has a Login, which tokens do not have.
	WithLogin bool
	// MaxTokens is the number of cached tokens, of about 350 bytes each. 0 is 100,000.
	MaxTokens int
	// MaxChanges is the number of sessions and users whose changes the verifier keeps, of about 34 bytes each. They are
	// kept for the life of a token. After more changes than that, the verifier asks Pawl once about each token. 0 is
	// 4,000,000.
	MaxChanges int
	// Clock returns the time. Nil is time.Now.
	Clock func() time.Time
}

// Verifier verifies tokens in the memory of this process, and rejects a superseded or ended one within a second. It
// checks the signature of a token once, by Pawl's public keys, and follows Pawl's feed of revocations
// (GET /v2/revocations). Use it as MiddlewareConfig.Verifier, or call Verify. It is safe for concurrent use.
//
// A Verifier asks Pawl where its own knowledge is not enough:
//
//   - while the feed is older than VerifierConfig.Bound, about every token;
//   - once about each token that was issued before the feed began, or before the feed was last interrupted;
//   - once about each token of a user who was changed after the token was issued;
//   - once about each token of a server that signs with HS256, because only Pawl can check its signature.
//
// So an hour after its start, with the default token-life, a Verifier asks about nothing while the feed works. The
// clocks of Pawl and of this machine may be wrong.
type Verifier struct {
	client *Client // with the credentials for the feed
	asker  *Client // without credentials
	config VerifierConfig
	jwks   *JWKS
	tokens *verifiedTokens
	table  *revocation.Table
	known  atomic.Pointer[knowledge] // nil before the first beat

	counters verifierCounters
	failure  atomic.Pointer[error] // the last error of the feed; nil while it works

	stop      context.CancelFunc
	running   sync.WaitGroup
	readKeys  chan struct{} // has room for one request to read the keys
	ready     chan struct{} // closed at the first beat in time
	markReady func()

	// The goroutine that follows the feed owns these.
	lastEvent string // the id of the last event, for Last-Event-ID
	epoch     helloTimes
}

// VerifiedToken is the caller of a valid token.
type VerifiedToken struct {
	// SessionInfo is the caller. Its Login is empty if Pawl was not asked about the token (VerifierConfig.WithLogin).
	api.SessionInfo
	SessionID string // as in lists of sessions
}

// NewVerifier returns a Verifier for the tokens of c's server, and begins to follow the feed. c needs an API key,
// such as one of scope Verify, or a bearer of a user of level NetOps or above. The questions about tokens use no
// credentials but the token in question. Call Close when the Verifier is not needed any more.
func NewVerifier(c *Client, config VerifierConfig) *Verifier {
	config.Bound = cmp.Or(config.Bound, defaultBound)
	config.AskTimeout = cmp.Or(config.AskTimeout, defaultAskTimeout)
	config.MaxTokens = cmp.Or(config.MaxTokens, defaultMaxTokens)
	if config.Clock == nil {
		config.Clock = time.Now
	}
	keys := JWKSConfig{Issuer: config.Issuer, Audience: config.Audience, Clock: config.Clock}
	ctx, stop := context.WithCancel(context.Background())
	v := &Verifier{
		client: c, asker: withoutToken(c).With(WithAPIKey(""), WithBearer("")), config: config,
		jwks: NewJWKS(c, keys), tokens: newVerifiedTokens(config.MaxTokens),
		table: revocation.NewTable(revocation.TableConfig{MaxEntries: config.MaxChanges, Clock: config.Clock}),
		stop:  stop, readKeys: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	v.markReady = sync.OnceFunc(func() { close(v.ready) })
	v.refreshKeys()
	v.running.Go(func() { v.follow(ctx) })
	v.running.Go(func() { v.keepKeys(ctx) })
	return v
}

// Close ends the feed. Afterwards, Verify asks Pawl about each token.
func (v *Verifier) Close() {
	v.stop()
	v.running.Wait()
}

// WaitReady returns nil as soon as the feed has worked once. Call it when a program starts, so that it fails there if
// the address or the API key is wrong. If ctx ends first, the error has the last error of the feed.
func (v *Verifier) WaitReady(ctx context.Context) error {
	select {
	case <-v.ready:
		return nil
	case <-ctx.Done():
	}
	if err := v.failure.Load(); err != nil {
		return fmt.Errorf("client: the feed of revocations does not work: %w", *err)
	}
	return fmt.Errorf("client: the feed of revocations does not work: %w", context.Cause(ctx))
}

// refreshKeys asks keepKeys to read the keys.
func (v *Verifier) refreshKeys() {
	select {
	case v.readKeys <- struct{}{}:
	default:
	}
}

// keepKeys reads the public keys when it is asked to, and every minute.
func (v *Verifier) keepKeys(ctx context.Context) {
	each := time.NewTicker(maxFreshAge)
	defer each.Stop()
	for {
		select {
		case <-v.readKeys:
		case <-each.C:
		case <-ctx.Done():
			return
		}
		fetch, cancel := context.WithTimeout(ctx, fetchTimeout)
		err := v.jwks.Fetch(fetch) // its error is returned to those who need a key
		cancel()
		if err != nil && clock.Elapsed(v.jwks.current().read, v.config.Clock()) >= maxStaleAge {
			v.jwks.generation.Add(1) // the signatures are verified again, as soon as there are keys
		}
	}
}

// Verify checks a token and returns its caller, which the caller of Verify must not change. The error is
// ErrInvalidSession if the token is not valid, and ErrUnavailable if Pawl had to be asked and is unreachable.
func (v *Verifier) Verify(ctx context.Context, text string) (*VerifiedToken, error) {
	if len(text) > token.MaxLength {
		v.counters.rejected.Add(1)
		return nil, errInvalidToken
	}
	hash := hashOf(text)
	now := v.config.Clock()
	e := v.tokens.get(&hash)
	if e == nil || !v.signatureHolds(e) || v.config.WithLogin && e.caller.Login == "" {
		return v.verifyNew(ctx, text, hash, now)
	}
	switch v.check(e, now) {
	case revocation.Live:
		v.counters.accepted.add(hash[0])
		return &e.caller, nil
	case revocation.Dead:
		v.counters.rejected.Add(1)
		return nil, errInvalidToken
	}
	return v.ask(ctx, text, e, now)
}

// signatureHolds reports whether the key that signed a cached token is still in the JWK set.
func (v *Verifier) signatureHolds(e *verifiedToken) bool {
	return e.byPawl || e.keys == v.jwks.generation.Load()
}

// check decides about a token whose signature is valid by what the feed has reported. The age of the knowledge is
// checked before the table, so that a change which arrives in between is not missed.
func (v *Verifier) check(e *verifiedToken, now time.Time) revocation.Verdict {
	known := v.known.Load()
	if known == nil || !known.isFresh(now, v.config.Bound) {
		return revocation.Ask
	}
	switch {
	case known.beat.Unix() >= e.token.Expires:
		return revocation.Dead
	case known.serverTime(now).Unix() >= e.token.Expires: // perhaps not yet, if the feed took long to open
		return revocation.Ask
	}
	return v.table.Check(e.token)
}

// verifyNew verifies a token that is not in the cache.
func (v *Verifier) verifyNew(ctx context.Context, text string, hash tokenHash, now time.Time) (*VerifiedToken, error) {
	e, err := v.read(ctx, text)
	if err != nil {
		v.counters.count(err)
		return nil, err
	}
	e.hash = hash
	if e.byPawl {
		return v.ask(ctx, text, e, now)
	}
	decision := v.check(e, now)
	if decision == revocation.Dead {
		v.counters.rejected.Add(1)
		return nil, errInvalidToken
	}
	if decision == revocation.Ask || v.config.WithLogin {
		return v.ask(ctx, text, e, now)
	}
	v.tokens.put(e, now)
	v.counters.accepted.add(hash[0])
	return &e.caller, nil
}

// ask asks Pawl about a token. It caches a yes, and stores a no in the table.
func (v *Verifier) ask(ctx context.Context, text string, e *verifiedToken, now time.Time) (*VerifiedToken, error) {
	v.counters.asked.Add(1)
	limited, cancel := context.WithTimeout(ctx, v.config.AskTimeout)
	defer cancel()
	stamp := v.table.Now()
	caller, err := do[api.SessionInfo](limited, v.asker.With(WithBearer(text)), freshSessionCall)
	if err == nil && caller.UserID != e.token.UserID {
		err = errNoUser
	}
	switch {
	case err == nil:
		yes := *e
		yes.caller.SessionInfo = caller
		yes.token.Confirmed = stamp
		v.tokens.put(&yes, now)
		return &yes.caller, nil
	case errors.Is(err, ErrInvalidSession):
		// Anyone can write a session id into a token of HS256. Such a token is evidence only if it was valid before.
		if !e.byPawl || e.token.Confirmed != 0 {
			v.table.Reject(e.token.Session, e.token.Generation)
		}
	case ctx.Err() == nil && v.mayAcceptUnreachable(e, now):
		v.counters.acceptedUnreachable.Add(1)
		return &e.caller, nil
	}
	err = rejection(err)
	v.counters.count(err)
	return nil, err
}

// freshSessionCall makes a node read the session from the store, even if the node checks other sessions in memory. The
// answer is used for longer than the bound of such a node.
var freshSessionCall = func() call { x := sessionCall; x.noCache = true; return x }()

// mayAcceptUnreachable reports whether a token passes although Pawl does not answer.
func (v *Verifier) mayAcceptUnreachable(e *verifiedToken, now time.Time) bool {
	known := v.known.Load()
	if known == nil || !known.isFresh(now, v.config.Bound+v.config.AcceptUnreachable) {
		return false
	}
	return v.config.AcceptUnreachable > 0 && (!e.byPawl || e.token.Confirmed != 0) &&
		known.serverTime(now).Unix() < e.token.Expires && v.table.Check(e.token) != revocation.Dead
}

package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/clock"
)

const (
	defaultRefreshBefore = time.Minute
	renewTimeout         = time.Minute     // for one renewal with its retries
	renewPause           = 5 * time.Second // after a failed renewal, or one whose token was rejected
	replayWindow         = 2 * time.Minute // for so long after a refresh, the server repeats its response

	// oauth2Margin is how long before Expiry package oauth2 treats a token as expired.
	oauth2Margin = 10 * time.Second
	// reuse is how long package oauth2 may reuse a token: long enough for a caller who checks Token.Valid at once.
	reuse = 50 * time.Millisecond
)

// TokenConfig configures a TokenSource. It needs a Token, or a Login with its Password, or both.
type TokenConfig struct {
	// Token is the first token, for example the last one stored by OnRefresh. If it is empty, the source begins with a
	// login. If ExpiresAt is implausible by the local clock, the source refreshes the token at its first use.
	Token api.Token
	// Login and Password, if set, are used to sign in when there is no token or the session has ended. If Login is
	// empty, the source then returns ErrInvalidSession.
	Login    string
	Password string
	// OnRefresh is called with each new token, from a refresh or a login, before any caller gets the token. Use it to
	// store the token, so that the session survives a crash: the server already rejects the previous token. If
	// OnRefresh fails, the waiting callers get its error instead of the token, and the next call of Token calls
	// OnRefresh again. Calls of OnRefresh never overlap. The token's ExpiresAt is a time of the local clock, not of the
	// server's. If OnRefresh is nil, nothing is stored.
	OnRefresh func(api.Token) error
	// RefreshBefore is how long before a token's exp the source refreshes the token at the latest. The source chooses a
	// random moment a little earlier, by up to a tenth of the token's life, so that a fleet of clients does not refresh
	// all at once. It never refreshes a token in the first half of its life, even if RefreshBefore is longer. 0 means 1
	// minute.
	RefreshBefore time.Duration
	// Clock returns the time. Nil is time.Now.
	Clock func() time.Time
}

// TokenSource returns a valid token, and renews it in time: by a refresh, or by a login if the session has ended. It is
// an oauth2.TokenSource. It is safe for concurrent use: there is one renewal at a time, and every caller waits for it.
//
// For requests, prefer [Transport] to oauth2.NewClient: only Transport repeats a request that is answered with 401.
//
// A wrong local clock is tolerated, because the source counts the life of a token (exp - iat) from the request for it.
// Time during a suspend of the machine counts too, so the token is renewed when the machine wakes. The session survives
// that as long as the server's idle-life permits.
//
// Give a session to one source only. If two sources begin with the same token, their refreshes race, and one of them
// loses the session.
type TokenSource struct {
	client *Client
	config TokenConfig
	flight singleflight.Group // one renewal at a time; only the renewal writes the fields below

	mu             sync.Mutex // guards the fields below
	token          api.Token
	issuedAt       time.Time     // a moment of the local clock just before the server issued the token
	life           time.Duration // from issuedAt to the token's expiry
	renewAfter     time.Duration // from issuedAt to the next renewal
	unstored       bool          // OnRefresh has not accepted the token yet
	idempotencyKey string        // the key of a refresh with an unknown outcome, or empty
	refreshedAt    time.Time     // the first attempt with idempotencyKey
	ended          error         // the reason why there is no token
	pausedAt       time.Time     // the last failed renewal; the next one waits for renewPause
	pauseCause     error         // the error of that renewal
	distrustedAt   time.Time     // when a new token was rejected; until renewPause later, a 401 starts no renewal
}

// NewTokenSource returns a source that renews its tokens through c. It makes no call before the first token is asked
// for. The client needs no credentials, except an API key if the server requires one for a refresh.
func NewTokenSource(c *Client, config TokenConfig) *TokenSource {
	if config.RefreshBefore == 0 {
		config.RefreshBefore = defaultRefreshBefore
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	s := &TokenSource{client: c, config: config, ended: errNoTokenOrLogin}
	if config.Token.Token != "" {
		s.restore(config.Token)
	}
	return s
}

// restore begins with a token issued earlier. It computes the age of the token from ExpiresAt, a time of the local
// clock if OnRefresh got it. If the token seems to be from the future, its age is unknown, and restore makes its
// renewal due.
func (s *TokenSource) restore(t api.Token) {
	now := s.config.Clock()
	issuedAt := now
	if life := lifeOf(t.Token); life > 0 {
		issuedAt = t.ExpiresAt.Add(-life)
	}
	s.set(t, issuedAt)
	s.unstored = false
	if tolerance := s.life - s.renewAfter; clock.Elapsed(s.issuedAt, now) < -tolerance {
		s.issuedAt = now.Add(-s.renewAfter)
	}
}

// Token is TokenContext without a context; a renewal takes at most 1 minute.
func (s *TokenSource) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext returns a valid token. Ask for it before each request, because another user of the source may supersede
// it. The Expiry is therefore only about 10 seconds ahead, and not the exp of the token: it makes oauth2.NewClient and
// oauth2.ReuseTokenSource ask each time instead of keeping a dead token. OnRefresh gets the exp.
//
// TokenContext returns ErrInvalidSession if the session has ended and there is no Login. If a renewal fails for another
// reason, the present token is returned until its exp, and the error after that. If ctx ends first, TokenContext
// returns its cause, and the renewal continues for the other callers.
func (s *TokenSource) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	t, err := s.get(ctx, "")
	if err != nil {
		return nil, err
	}
	expiry := time.Now().Add(oauth2Margin + reuse) // by the clock of package oauth2
	if t.ExpiresAt.Before(expiry) {
		expiry = t.ExpiresAt.Time
	}
	return &oauth2.Token{AccessToken: t.Token, TokenType: "Bearer", Expiry: expiry}, nil
}

// get returns a valid token. If rejected is not empty, a server has answered that token with 401, and get returns
// another one.
func (s *TokenSource) get(ctx context.Context, rejected string) (api.Token, error) {
	if t, done, err := s.ready(rejected); done {
		return t, err
	}
	renewal := s.flight.DoChan("", func() (any, error) { return s.renew(rejected) })
	select {
	case result := <-renewal:
		return result.Val.(api.Token), result.Err
	case <-ctx.Done():
		return api.Token{}, context.Cause(ctx)
	}
}

// ready returns the outcome of get if the outcome needs no renewal.
func (s *TokenSource) ready(rejected string) (t api.Token, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Clock()
	valid := s.valid(now)
	accepted := s.token.Token != rejected || clock.Elapsed(s.distrustedAt, now) < renewPause
	switch {
	case valid && accepted && clock.Elapsed(s.issuedAt, now) < s.renewAfter:
		return s.token, true, nil
	case clock.Elapsed(s.pausedAt, now) >= renewPause:
		return api.Token{}, false, nil
	case valid:
		return s.token, true, nil
	}
	return api.Token{}, true, s.pauseCause
}

// valid reports whether callers may get the token.
func (s *TokenSource) valid(now time.Time) bool {
	return s.token.Token != "" && !s.unstored && clock.Elapsed(s.issuedAt, now) < s.life
}

// renew fetches, stores and returns the next token.
func (s *TokenSource) renew(rejected string) (api.Token, error) {
	if t, done, err := s.ready(rejected); done { // another renewal has just ended
		return t, err
	}
	if s.unstored {
		if t, err := s.store(); err != nil || s.valid(s.config.Clock()) {
			return t, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
	defer cancel()
	for tries := 1; ; tries++ {
		t, issuedAt, err := s.fetch(ctx)
		if err != nil {
			return s.pause(err)
		}
		s.set(t, issuedAt)
		// The successor from an earlier refresh can have expired meanwhile, and still be refreshed.
		if t, err = s.store(); err != nil || tries == 2 || s.valid(s.config.Clock()) {
			return t, err
		}
	}
}

// fetch refreshes the token, or signs in if there is none. An expired token can still be refreshed if the server's
// idle-life permits it, so fetch tries that once before it signs in. A refresh with an unknown outcome may have
// happened, so fetch repeats it with the same idempotency key. The successor then counts as issued at the time of the
// first attempt, or at the earliest time whose refresh the server still repeats.
func (s *TokenSource) fetch(ctx context.Context) (t api.Token, issuedAt time.Time, err error) {
	if s.token.Token != "" {
		if s.idempotencyKey == "" {
			s.idempotencyKey = rand.Text()
			s.refreshedAt = s.config.Clock()
		}
		issuedAt, now := s.refreshedAt, s.config.Clock()
		if clock.Elapsed(issuedAt, now) > replayWindow {
			issuedAt = now.Add(-replayWindow)
		}
		t, err = s.client.RefreshWithIdempotencyKey(ctx, s.token.Token, s.idempotencyKey)
		if !errors.Is(err, ErrInvalidSession) {
			return t, issuedAt, err
		}
		s.end(err)
	}
	if s.config.Login == "" {
		return api.Token{}, time.Time{}, s.ended
	}
	issuedAt = s.config.Clock()
	t, err = s.client.Login(ctx, s.config.Login, s.config.Password)
	return t, issuedAt, err
}

var errNoTokenOrLogin = errors.New("client: the token source has no token and no login; " +
	"set Token or Login in TokenConfig")

// store calls OnRefresh and returns the token.
func (s *TokenSource) store() (api.Token, error) {
	if s.config.OnRefresh != nil {
		if err := s.config.OnRefresh(s.token); err != nil {
			return api.Token{}, fmt.Errorf("client: OnRefresh did not store the new token: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unstored = false
	return s.token, nil
}

// set makes t the current token. It converts ExpiresAt to a time of the local clock.
func (s *TokenSource) set(t api.Token, issuedAt time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issuedAt = issuedAt
	s.life = cmp.Or(lifeOf(t.Token), t.ExpiresAt.Sub(issuedAt))
	tenth := s.life / 10
	s.renewAfter = max(6*tenth, s.life-s.config.RefreshBefore) - mathrand.N(max(tenth, 1))
	t.ExpiresAt = api.NewTime(issuedAt.Add(s.life))
	s.token = t
	s.unstored = true
	s.idempotencyKey = ""
	s.pausedAt = time.Time{}
	s.pauseCause = nil
	s.distrustedAt = time.Time{}
}

// distrustRejections is called when a server has rejected a new token like the one before it. For renewPause, a 401
// then starts no renewal, because a further token would be rejected too, and each renewal supersedes the token of calls
// in flight.
func (s *TokenSource) distrustRejections(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Token == token {
		s.distrustedAt = s.config.Clock()
	}
}

// end drops a token whose session has ended, because Pawl could treat sending it again as theft.
func (s *TokenSource) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = api.Token{}
	s.idempotencyKey = ""
	s.ended = cause
}

// pause delays the next renewal because one has failed. It returns the current token if still valid, or else cause.
func (s *TokenSource) pause(cause error) (api.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Clock()
	s.pausedAt = now
	s.pauseCause = cause
	if s.valid(now) {
		return s.token, nil
	}
	return api.Token{}, cause
}

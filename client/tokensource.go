package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/pawlauth/pawl/api"
)

// defaultRefreshBefore is how long before its end a TokenSource renews a token.
const defaultRefreshBefore = time.Minute

const (
	renewTimeout = time.Minute     // of one renewal with all its tries
	renewHold    = 5 * time.Second // after a failed renewal, or one that healed nothing, before the next one
)

// TokenConfig says where a TokenSource gets its tokens from. It needs a Token
// or a Login.
type TokenConfig struct {
	// Token is where the source starts, such as the one that Keep kept last.
	// Empty starts with a login.
	Token api.Token
	// Login and Password sign in where there is no token, and anew where its
	// session is over. Empty: what is over stays over.
	Login, Password string
	// OnRefresh is called with each new token before anyone gets it, so that it
	// survives a crash: the token before it is dead. While OnRefresh fails, so does
	// Token, and OnRefresh is called again. One call at a time. Nil keeps nothing.
	OnRefresh func(api.Token) error
	// RefreshBefore is how long before its end a token is renewed, but never in the
	// first half of its time. 0 means DefaultAhead.
	RefreshBefore time.Duration
	// Clock gives the time; nil means time.Now.
	Clock func() time.Time
}

// TokenSource gives out a token that is good, and renews it ahead of time. It
// is safe for concurrent use: however many ask, there is one renewal at a time.
// It is an oauth2.TokenSource.
//
// A session belongs to one source: two that start with the same token race, and
// one of them is signed out.
type TokenSource struct {
	client *Client
	config TokenConfig
	flight singleflight.Group // one renewal at a time; it alone writes what follows

	mu       sync.Mutex // guards what follows
	token    api.Token
	retryKey string    // Idempotency-Key of the refresh whose outcome is not known; empty if none is
	unkept   bool      // Keep has not taken the token yet
	renewAt  time.Time // from here on the token is renewed
	over     error     // why there is no token
	holdTo   time.Time // until here no renewal is tried
	holdErr  error     // why not
	trustTo  time.Time // until here a refusal is not the token's fault
}

// NewTokenSource returns a source that gets its tokens through c, which needs
// no credentials but the key that some servers want for a refresh. It makes no
// call before a token is asked for.
func NewTokenSource(c *Client, config TokenConfig) *TokenSource {
	if config.RefreshBefore == 0 {
		config.RefreshBefore = defaultRefreshBefore
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	s := &TokenSource{client: c, config: config, over: errNoToken}
	if config.Token.Token != "" {
		s.set(config.Token)
		s.unkept = false
	}
	return s
}

// Token returns a token that is good now. It is TokenContext without a bound
// of the caller's; a renewal takes a minute at most.
func (s *TokenSource) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext returns a token that is good now. If ctx ends while it waits, a
// renewal goes on for the others. ErrInvalidSession says that only a login
// helps; a token that cannot be renewed for the moment is given out to its end.
func (s *TokenSource) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	t, err := s.get(ctx, "")
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: t.Token, TokenType: "Bearer", Expiry: t.ExpiresAt.Time}, nil
}

// get returns a good token that is another than refused, which a server did
// not take; empty refuses none.
func (s *TokenSource) get(ctx context.Context, refused string) (api.Token, error) {
	if t, done, err := s.ready(refused); done {
		return t, err
	}
	renewal := s.flight.DoChan("", func() (any, error) { return s.renew(refused) })
	select {
	case result := <-renewal:
		return result.Val.(api.Token), result.Err
	case <-ctx.Done():
		return api.Token{}, context.Cause(ctx)
	}
}

// ready answers what can be answered without a call.
func (s *TokenSource) ready(refused string) (t api.Token, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Clock()
	alive := s.alive(now)
	switch {
	case alive && (s.token.Token != refused || now.Before(s.trustTo)) && now.Before(s.renewAt):
		return s.token, true, nil
	case !now.Before(s.holdTo):
		return api.Token{}, false, nil
	case alive:
		return s.token, true, nil
	}
	return api.Token{}, true, s.holdErr
}

func (s *TokenSource) alive(now time.Time) bool {
	return s.token.Token != "" && !s.unkept && now.Before(s.token.ExpiresAt.Time)
}

// renew gets, keeps and returns the next token.
func (s *TokenSource) renew(refused string) (api.Token, error) {
	if t, done, err := s.ready(refused); done { // renewed since it was looked at
		return t, err
	}
	if s.unkept { // Keep failed before
		if t, err := s.keep(); err != nil || s.alive(s.config.Clock()) {
			return t, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
	defer cancel()
	t, err := s.fetch(ctx)
	if err != nil {
		return s.hold(err)
	}
	s.set(t)
	return s.keep()
}

// fetch refreshes, and where there is nothing to refresh signs in. A refresh
// whose outcome is not known is tried again with the same key: it may have been
// made, and then its successor is the answer.
func (s *TokenSource) fetch(ctx context.Context) (api.Token, error) {
	if s.token.Token != "" {
		if s.retryKey == "" {
			s.retryKey = rand.Text()
		}
		t, err := s.client.RefreshWithIdempotencyKey(ctx, s.token.Token, s.retryKey)
		if !errors.Is(err, ErrInvalidSession) {
			return t, err
		}
		s.end(err)
	}
	if s.config.Login == "" {
		return api.Token{}, s.over
	}
	return s.client.Login(ctx, s.config.Login, s.config.Password)
}

var errNoToken = errors.New("client: the token source has neither a token nor a login; give TokenConfig one of them")

func (s *TokenSource) keep() (api.Token, error) {
	if s.config.OnRefresh != nil {
		if err := s.config.OnRefresh(s.token); err != nil {
			return api.Token{}, fmt.Errorf("client: the new token could not be kept: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unkept = false
	return s.token, nil
}

func (s *TokenSource) set(t api.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Clock()
	left := t.ExpiresAt.Time.Sub(now)
	s.token, s.unkept, s.retryKey = t, true, ""
	s.renewAt = now.Add(max(left/2, left-s.config.RefreshBefore))
	s.holdTo, s.holdErr, s.trustTo = time.Time{}, nil, time.Time{}
}

// unhealed is told that a server refuses a new token as it did the one before.
// Another would be refused too, and each one kills the token of calls in flight.
func (s *TokenSource) unhealed(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Token == token {
		s.trustTo = s.config.Clock().Add(renewHold)
	}
}

// end forgets a token whose session is over: to send it again would look like
// theft.
func (s *TokenSource) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.retryKey, s.over = api.Token{}, "", why
}

// hold puts the next renewal off. A token that is still alive is given out
// meanwhile.
func (s *TokenSource) hold(why error) (api.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Clock()
	s.holdTo, s.holdErr = now.Add(renewHold), why
	if s.alive(now) {
		return s.token, nil
	}
	return api.Token{}, why
}

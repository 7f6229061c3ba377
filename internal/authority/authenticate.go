package authority

import (
	"cmp"
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Authenticate returns the caller that a bearer token or an API key belongs to. Either may be empty. If both are
// given, both must be valid, and the bearer's user is the caller. The call must be open to each of them.
func (a *Authority) Authenticate(ctx context.Context, bearer, apiKey string, open Access) (Caller, error) {
	if bearer == "" && apiKey == "" {
		return Caller{}, errNoCredentials
	}
	var caller Caller
	var b bearerCheck
	var err error
	if bearer != "" {
		b = a.verifyBearer(ctx, bearer)
	}
	if apiKey != "" {
		if caller, err = a.callerBeside(ctx, apiKey, &b, open); err != nil {
			return Caller{}, err
		}
	}
	if bearer != "" {
		s, actor, err := a.checkSession(ctx, b, open&Strict != 0)
		if err != nil {
			return Caller{}, err
		}
		caller.User = s.User
		caller.actor = actor
		caller.Session = &s.Session
		caller.Generation = b.claims.Generation
		caller.Cookie = b.claims.Cookie
	}
	if err := open.check(caller); err != nil {
		return Caller{}, err
	}
	caller.grace = a.policy.BearerGrace
	return caller, nil
}

// CheckAPIKey returns nil if the API key is empty, or valid and the call is open to it. A login needs no API key, but
// an API key in the request must be valid.
func (a *Authority) CheckAPIKey(ctx context.Context, apiKey string, open Access) error {
	if apiKey == "" {
		return nil
	}
	caller, err := a.callerByAPIKey(ctx, apiKey)
	if err != nil {
		return err
	}
	return open.check(caller)
}

func (a *Authority) callerByAPIKey(ctx context.Context, apiKey string) (Caller, error) {
	hash, ok := parseAPIKey(apiKey)
	if !ok {
		return Caller{}, errAPIKey
	}
	return a.callerByHash(ctx, hash)
}

func (a *Authority) callerByHash(ctx context.Context, hash APIKeyHash) (Caller, error) {
	key, user, err := a.store.APIKeyByHash(ctx, hash)
	return a.callerByKey(ctx, key, user, err)
}

// callerBeside is callerByAPIKey for a request that has a bearer token too. If the token is valid, callerBeside reads
// the session of the token in the same trip.
func (a *Authority) callerBeside(ctx context.Context, apiKey string, b *bearerCheck, open Access) (Caller, error) {
	hash, ok := parseAPIKey(apiKey)
	switch {
	case !ok:
		return Caller{}, errAPIKey
	case b.err != nil || b.claims.Session == (token.SessionID{}) || open&Strict != 0:
		return a.callerByHash(ctx, hash)
	}
	storeCtx, end := a.storeSpan(ctx, "Credentials")
	found := a.store.Credentials(storeCtx, b.claims.Session, hash)
	end(cmp.Or(found.APIKeyErr, found.SessionErr))
	b.found = &found
	return a.callerByKey(ctx, found.APIKey, found.Owner, found.APIKeyErr)
}

// callerByKey returns the caller with an API key. err is that of the store.
func (a *Authority) callerByKey(ctx context.Context, key APIKey, user *User, err error) (Caller, error) {
	if err != nil {
		return Caller{}, fault.FromStore(err, errAPIKey)
	}
	if !user.Status.MaySignIn() || key.expired(a.now()) {
		return Caller{}, errAPIKey
	}
	if key.Visibility == SessionOnly {
		_, ok, err := a.findSession(ctx, key.Session, func(s Session) bool { return a.now() < s.Idle })
		if err != nil {
			return Caller{}, fault.FromStore(err, errAPIKey)
		}
		if !ok {
			return Caller{}, errAPIKey
		}
	}
	return Caller{
		User: user, APIKeyID: key.ID, sessionOnlyKey: key.Visibility == SessionOnly,
		scope: key.Scope, maxLevel: key.MaxLevel, keyExpires: key.Expires,
	}, nil
}

// bearerCheck is the check of a bearer token after its signature.
type bearerCheck struct {
	claims token.Claims
	err    error        // of the token: errSession, or that of the store
	found  *Credentials // its session, if it was read together with the API key
}

// verifyBearer checks the signature and the times of a token.
func (a *Authority) verifyBearer(ctx context.Context, text string) (b bearerCheck) {
	b.claims, b.err = a.verify(ctx, text)
	switch {
	case errors.Is(b.err, token.ErrMalformed), errors.Is(b.err, token.ErrInvalid), errors.Is(b.err, token.ErrExpired):
		b.err = errSession
	case b.err != nil:
		b.err = fault.FromStore(b.err, nil)
	}
	return b
}

// checkSession returns the session of a token accepted as a bearer, and the user who acts in the session; nil if there
// is none. For any other token the error is errSession. Strict is explained at Access.
func (a *Authority) checkSession(
	ctx context.Context, b bearerCheck, strict bool,
) (s SessionWithUser, actor *User, err error) {
	if b.err != nil {
		return s, nil, b.err
	}
	accepts := func(s Session) bool { return acceptsBearer(s, b.claims.Generation, a.now(), a.policy) }
	var ok bool
	switch {
	case strict:
		s, err = a.readSession(ctx, b.claims.Session)
		ok = err == nil && s.Session.Generation == b.claims.Generation
	case b.found != nil:
		s, ok, err = a.acceptSession(ctx, b.claims.Session, b.found.Session, b.found.SessionErr, accepts)
	default:
		s, ok, err = a.findSession(ctx, b.claims.Session, accepts)
	}
	if err != nil {
		return s, nil, fault.FromStore(err, errSessionEnded)
	}
	if !ok {
		return s, nil, errSession
	}
	actor, err = a.liveActor(ctx, s.Session)
	return s, actor, err
}

// findSession returns a session, and whether accept accepts it. A stale copy is sufficient to accept a session. Before
// findSession rejects a session, it reads the row.
func (a *Authority) findSession(
	ctx context.Context, id token.SessionID, accept func(Session) bool,
) (s SessionWithUser, ok bool, err error) {
	storeCtx, end := a.storeSpan(ctx, "RecentSession")
	s, err = a.store.RecentSession(storeCtx, id)
	end(err)
	return a.acceptSession(ctx, id, s, err, accept)
}

// acceptSession is findSession after the call of RecentSession, which returned recent and err.
func (a *Authority) acceptSession(
	ctx context.Context, id token.SessionID, recent SessionWithUser, err error, accept func(Session) bool,
) (s SessionWithUser, ok bool, _ error) {
	if err != nil || accept(recent.Session) {
		return recent, err == nil, err
	}
	s, err = a.readSession(ctx, id)
	return s, err == nil && accept(s.Session), err
}

// Recheck returns a caller with the present rights of the user, in the middle of a long call. The caller must have a
// session. If the session has ended, Recheck returns fault.InvalidSession. The token may have expired meanwhile.
func (a *Authority) Recheck(ctx context.Context, c Caller) (Caller, error) {
	s, ok, err := a.findSession(ctx, c.Session.ID, func(s Session) bool { return a.now() < s.Idle })
	if err != nil {
		return Caller{}, fault.FromStore(err, errSessionEnded)
	}
	if !ok {
		return Caller{}, errSessionEnded
	}
	c.User = s.User
	return c, nil
}

// Issued reports whether a text is a token of this server, valid or expired. Its session may have ended.
func (a *Authority) Issued(ctx context.Context, text string) bool {
	_, err := a.verify(ctx, text)
	return err == nil || errors.Is(err, token.ErrExpired)
}

// verify checks the signature and the times of a token, and returns its claims. If the token has expired, verify
// returns the claims with token.ErrExpired. Other errors are those of the codec, or of the store if the signing keys
// cannot be read.
func (a *Authority) verify(ctx context.Context, text string) (token.Claims, error) {
	if err := a.keys.EnsureCurrent(ctx); err != nil {
		return token.Claims{}, err
	}
	claims, err := a.codec.Verify(text, a.clock())
	if !errors.Is(err, token.ErrInvalid) {
		return claims, err
	}
	retry, err := a.keys.ReloadFor(ctx, text) // another node may have created the token's signing key
	if err != nil {
		return token.Claims{}, err
	}
	if !retry {
		return token.Claims{}, token.ErrInvalid
	}
	return a.codec.Verify(text, a.clock())
}

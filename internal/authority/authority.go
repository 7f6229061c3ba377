package authority

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/token"
)

// Config is what New needs. Nothing in it may be nil, but for Observer.
type Config struct {
	Store     Store
	Codec     *token.Codec
	Passwords *password.Hasher
	Rules     password.Rules
	Policy    Policy
	Clock     func() time.Time
	Log       *slog.Logger
	Observer  Observer // nil: nobody
}

// Authority decides who is who and who may do what. It is safe for concurrent
// use, and keeps no state of its own: that is in the Store.
type Authority struct {
	store     Store
	codec     *token.Codec
	passwords *password.Hasher
	rules     password.Rules
	policy    Policy
	clock     func() time.Time
	log       *slog.Logger
	observer  Observer
}

// New returns an authority.
func New(c Config) *Authority {
	return &Authority{c.Store, c.Codec, c.Passwords, c.Rules, c.Policy, c.Clock, c.Log, c.Observer}
}

// Ready returns nil if the store can serve.
func (a *Authority) Ready(ctx context.Context) error { return storeError(a.store.Ready(ctx), nil) }

func (a *Authority) now() int64 { return a.clock().Unix() }

// Issued is a token that was made, and what the answer says beside it.
type Issued struct {
	Token   string
	Expires int64 // Unix seconds: the token's exp
	UserID  int64

	replayed bool // a lost answer, given again
}

// issue signs the current token of a session.
func (a *Authority) issue(live Live) (Issued, error) {
	s, u := live.Session, live.User
	text, err := a.codec.Sign(token.Claims{
		Subject: u.ID, IssuedAt: s.Refreshed, Expires: s.Expires,
		Session: s.ID, Generation: s.Generation,
		AuthLevel: u.Level.String(), NetworkID: u.NetworkID, MailboxID: u.MailboxID,
	})
	return Issued{Token: text, Expires: s.Expires, UserID: u.ID}, err
}

func (a *Authority) login(ctx context.Context, login, passwd string, from Origin) (Issued, error) {
	switch {
	case login == "":
		return Issued{}, invalid("login is missing; send it as login, email or username.")
	case passwd == "":
		return Issued{}, invalid("password is missing.")
	}
	user, hash, err := a.store.UserByLogin(ctx, login)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Issued{}, storeError(err, nil)
	}
	ok, outdated, err := a.passwords.Check(ctx, passwd, hash)
	if err != nil {
		return Issued{}, passwordError(err)
	}
	if !ok || !user.Status.MaySignIn() {
		a.log.InfoContext(ctx, "login refused", "ip", from.IP)
		return Issued{}, errCredentials
	}
	if outdated {
		hash = a.rehash(ctx, user, passwd, hash)
	}
	return a.open(ctx, user, hash, from)
}

func (a *Authority) open(ctx context.Context, user *User, hash string, from Origin) (Issued, error) {
	now := a.now()
	s := Session{
		UserID: user.ID, Generation: 1, Created: now, Refreshed: now,
		Expires: now + min(a.policy.TokenLife, a.policy.SessionLife), Ends: now + a.policy.SessionLife,
	}
	rand.Read(s.ID[:]) // never fails (crypto/rand)
	err := a.store.OpenSession(ctx, SessionRecord{s, from}, hash)
	if err != nil {
		return Issued{}, storeError(err, errCredentials) // suspended, or the password changed, in between
	}
	a.log.InfoContext(ctx, "login", "user", user.ID, "session", s.ID, "ip", from.IP)
	return a.issue(Live{s, user})
}

// rehash replaces a hash of another cost, unless the password was changed since
// it was checked, and returns the hash that holds. That it fails is no reason
// to refuse the login.
func (a *Authority) rehash(ctx context.Context, user *User, passwd, old string) string {
	hash, err := a.passwords.Hash(ctx, passwd)
	if err == nil {
		err = a.store.SetPassword(ctx, user.ID, PasswordChange{Hash: hash, If: old})
	}
	if err != nil {
		a.log.WarnContext(ctx, "password not rehashed", "user", user.ID, "err", err)
		return old
	}
	return hash
}

func passwordError(err error) error {
	if errors.Is(err, password.ErrBusy) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Error{Kind: KindUnavailable, RetryAfter: retryAfter, Err: err,
			Message: "Too many sign-ins are under way; try again in a moment."}
	}
	return err
}

func (a *Authority) refresh(ctx context.Context, text, apiKey string, retry RetryKey, from Origin) (Issued, error) {
	if text == "" {
		return Issued{}, invalid("token is missing; send the current token.")
	}
	claims, err := a.codec.Verify(text, a.clock())
	if errors.Is(err, token.ErrForm) {
		return Issued{}, invalid("token is not of the form of a JWT; send the current token as it was given.")
	}
	if keyErr := a.checkRefreshKey(ctx, apiKey, claims); keyErr != nil {
		return Issued{}, keyErr
	}
	now := a.now()
	if errors.Is(err, token.ErrExpired) {
		return Issued{}, a.refreshExpired(ctx, claims, now, from)
	}
	if err != nil {
		return Issued{}, errSession
	}
	live, moved, err := a.store.Rotate(ctx, Rotation{
		Session: claims.Session, From: claims.Generation,
		At: now, Expires: now + a.policy.TokenLife, RetryKey: retry,
	})
	switch {
	case err != nil:
		return Issued{}, storeError(err, errSession)
	case moved:
		return a.issue(live)
	}
	switch judge(live.Session, claims.Generation, claims.IssuedAt, retry, now, a.policy) {
	case verdictReplay:
		issued, err := a.issue(live)
		issued.replayed = true
		return issued, err
	case verdictTheft:
		return Issued{}, a.revokeStolen(ctx, live, claims.Generation, from)
	}
	return Issued{}, errRace
}

// refreshExpired refuses a token whose time is over. If it is an old one too,
// someone else has spent it since: the owner who comes back is how that is found.
func (a *Authority) refreshExpired(ctx context.Context, claims token.Claims, now int64, from Origin) error {
	live, err := a.store.Session(ctx, claims.Session)
	if err != nil {
		return storeError(err, errExpired)
	}
	if judge(live.Session, claims.Generation, claims.IssuedAt, RetryKey{}, now, a.policy) == verdictTheft {
		return a.revokeStolen(ctx, live, claims.Generation, from)
	}
	return errExpired
}

// revokeStolen ends a session of which an old token was found in use, and
// gives the answer: the same as for any token that is not valid.
func (a *Authority) revokeStolen(ctx context.Context, live Live, generation uint32, from Origin) error {
	if a.observer != nil {
		a.observer.ReuseFound()
	}
	if err := a.store.EndSession(ctx, live.Session.ID); err != nil {
		return storeError(err, nil)
	}
	a.log.WarnContext(ctx, "token reuse found: session revoked", "user", live.User.ID,
		"session", live.Session.ID, "generation", generation, "current", live.Session.Generation, "ip", from.IP)
	return errTheft
}

// checkRefreshKey holds the key to the policy; claims have no subject for a
// token that is not ours.
func (a *Authority) checkRefreshKey(ctx context.Context, apiKey string, claims token.Claims) error {
	if apiKey == "" {
		if a.policy.KeyMode == KeyOptional {
			return nil
		}
		return errKeyMissing
	}
	caller, err := a.byKey(ctx, apiKey)
	if err != nil {
		return err
	}
	if a.policy.KeyMode == KeyBound && claims.Subject != 0 && caller.User.ID != claims.Subject {
		return errAPIKey
	}
	return nil
}

// Authenticate finds the caller by a bearer token or an API key, either of
// which may be empty. Where both come, both must be valid, and the bearer's
// user is the caller.
func (a *Authority) Authenticate(ctx context.Context, bearer, apiKey string) (Caller, error) {
	if bearer == "" && apiKey == "" {
		return Caller{}, errNoSession
	}
	var caller Caller
	var err error
	if apiKey != "" {
		if caller, err = a.byKey(ctx, apiKey); err != nil {
			return Caller{}, err
		}
	}
	if bearer != "" {
		caller, err = a.byBearer(ctx, bearer)
	}
	return caller, err
}

func (a *Authority) byBearer(ctx context.Context, bearer string) (Caller, error) {
	claims, err := a.codec.Verify(bearer, a.clock())
	if err != nil {
		return Caller{}, errSession
	}
	live, err := a.store.Session(ctx, claims.Session)
	if err != nil {
		return Caller{}, storeError(err, errSession)
	}
	if !bearerGood(live.Session, claims.Generation, a.now(), a.policy) {
		return Caller{}, errSession
	}
	return Caller{live.User, &live.Session}, nil
}

func (a *Authority) byKey(ctx context.Context, apiKey string) (Caller, error) {
	hash, ok := parseKey(apiKey)
	if !ok {
		return Caller{}, errAPIKey
	}
	key, user, err := a.store.KeyByHash(ctx, hash)
	if err != nil {
		return Caller{}, storeError(err, errAPIKey)
	}
	if !user.Status.MaySignIn() {
		return Caller{}, errAPIKey
	}
	if key.Visibility == SessionKey {
		live, err := a.store.Session(ctx, key.Session)
		if err != nil {
			return Caller{}, storeError(err, errAPIKey)
		}
		if a.now() >= live.Session.Expires {
			return Caller{}, errAPIKey
		}
	}
	return Caller{User: user}, nil
}

// CheckKey returns nil for no key and for a valid one: a login needs none, but
// one that is sent must be valid.
func (a *Authority) CheckKey(ctx context.Context, apiKey string) error {
	if apiKey == "" {
		return nil
	}
	_, err := a.byKey(ctx, apiKey)
	return err
}

// Logout ends the caller's session. A key alone has none, and stays.
func (a *Authority) Logout(ctx context.Context, c Caller) error {
	if c.Session == nil {
		return nil
	}
	return a.done(ctx, storeError(a.store.EndSession(ctx, c.Session.ID), nil), "logout", "user", c.User.ID, "session", c.Session.ID)
}

// Sweep removes sessions that are over, in small steps, until it has seen all
// rows once or the context ends.
func (a *Authority) Sweep(ctx context.Context) error {
	const step = 500
	for {
		_, done, err := a.store.Sweep(ctx, a.now(), step)
		if err != nil || done {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// done logs what was done, if it was, and passes the error on.
func (a *Authority) done(ctx context.Context, err error, what string, attrs ...any) error {
	if err == nil {
		a.log.InfoContext(ctx, what, attrs...)
	}
	return err
}

// Bootstrap adds a user with a primary key, asking nobody and holding the
// password to no rule: for the first administrator, and for a server to develop
// against. An ID of 0 asks for one.
func (a *Authority) Bootstrap(ctx context.Context, u User, passwd string) (user *User, apiKey string, err error) {
	if err := checkLogin(u.Login); err != nil {
		return nil, "", err
	}
	if err := checkEmail(&u.Email); err != nil {
		return nil, "", err
	}
	hash, err := a.passwords.Hash(ctx, passwd)
	if err != nil {
		return nil, "", passwordError(err)
	}
	u.Created = a.now()
	user, err = a.store.CreateUser(ctx, u, hash)
	if err != nil {
		return nil, "", storeError(err, nil)
	}
	apiKey, err = a.GeneratePrimaryKey(ctx, Caller{User: user}, user.ID)
	return user, apiKey, err
}

package authority

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/tracing"
)

// Config configures an Authority. Audit, Metrics and Tracer are optional; every other field is required.
type Config struct {
	Store     Store
	Keys      *keyring.Keyring
	Codec     *token.Codec // of the set of Keys
	Passwords *password.Hasher
	Rules     password.Rules
	Policy    Policy
	Clock     func() time.Time
	Log       *slog.Logger
	Audit     *audit.Writer
	Metrics   *metrics.Metrics
	Tracer    *tracing.Tracer
}

// Authority decides who is who and who may do what. It is safe for concurrent
// use, and keeps no state of its own that decides anything: that is in the Store.
type Authority struct {
	store     Store
	keys      *keyring.Keyring
	codec     *token.Codec
	passwords *password.Hasher
	rules     password.Rules
	policy    Policy
	clock     func() time.Time
	log       *slog.Logger
	audit     *audit.Writer
	metrics   *metrics.Metrics
	tracer    *tracing.Tracer
	throttle  *throttle.Throttle
}

// New returns an authority.
func New(c Config) *Authority {
	c.Metrics.Declare(metrics.Labels{LoginOutcomes: loginOutcomes[:], RefreshOutcomes: refreshOutcomes[:]})
	return &Authority{
		store: c.Store, keys: c.Keys, codec: c.Codec, passwords: c.Passwords, rules: c.Rules, policy: c.Policy,
		clock: c.Clock, log: c.Log, audit: c.Audit, metrics: c.Metrics, tracer: c.Tracer,
		throttle: throttle.New(throttle.Config{Store: c.Store, Clock: c.Clock, Log: c.Log, Tracer: c.Tracer}),
	}
}

// Ready returns nil if the store can serve.
func (a *Authority) Ready(ctx context.Context) error { return fault.FromStore(a.store.Ready(ctx), nil) }

func (a *Authority) now() int64 { return a.clock().Unix() }

// IssuedToken is a token that was made, and what the answer says beside it.
type IssuedToken struct {
	Token   string
	Expires int64 // Unix seconds: the token's exp
	UserID  int64

	replayed bool // a lost answer, given again
}

// issue signs the current token of a session.
func (a *Authority) issue(live SessionWithUser) (IssuedToken, error) {
	s, u := live.Session, live.User
	text, err := a.codec.Sign(token.Claims{
		Subject: u.ID, IssuedAt: s.Refreshed, Expires: s.Expires,
		Session: s.ID, Generation: s.Generation,
		AuthLevel: u.Level.String(), NetworkID: u.NetworkID, MailboxID: u.MailboxID,
	})
	return IssuedToken{Token: text, Expires: s.Expires, UserID: u.ID}, err
}

// Login opens a session. Of the arguments, a login that is unknown and a
// password that is wrong have the same answer in the same time.
func (a *Authority) Login(ctx context.Context, login, passwd string, from Origin) (IssuedToken, error) {
	said := audit.Event{Kind: audit.LoginFailed, Address: from.IP, Detail: "unknown login"}
	issued, err := a.login(ctx, login, passwd, from, &said)
	outcome := loginOutcome(err)
	a.metrics.Login(outcome.String())
	if outcome == LoginRefused || said.Kind == audit.Login {
		a.audit.Record(ctx, said)
	}
	return issued, err
}

// login is Login. In said is what becomes known of it, for the audit.
func (a *Authority) login(ctx context.Context, login, passwd string, from Origin, said *audit.Event) (IssuedToken, error) {
	switch {
	case login == "":
		return IssuedToken{}, fault.Invalid("login is missing; send it as login, email or username.")
	case passwd == "":
		return IssuedToken{}, fault.Invalid("password is missing.")
	}
	var issued IssuedToken
	err := a.throttle.Check(ctx, login, from.IP, func() (err error) {
		issued, err = a.signIn(ctx, login, passwd, from, said)
		return err
	})
	return issued, passwordError(err)
}

// signIn checks the password, and opens a session if it is right.
func (a *Authority) signIn(ctx context.Context, login, passwd string, from Origin, said *audit.Event) (IssuedToken, error) {
	user, hash, err := a.store.UserByLogin(ctx, login)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return IssuedToken{}, fault.FromStore(err, nil)
	}
	if user != nil {
		said.User, said.Detail = user.ID, "wrong password"
	}
	ok, outdated, err := a.passwords.Check(ctx, passwd, hash)
	if err != nil {
		return IssuedToken{}, passwordError(err)
	}
	if !ok {
		return IssuedToken{}, errCredentials
	}
	if said.Detail = user.Status.String(); !user.Status.MaySignIn() {
		return IssuedToken{}, errCredentials
	}
	if outdated {
		hash = a.rehash(ctx, user, passwd, hash)
	}
	return a.open(ctx, user, hash, from, said)
}

func (a *Authority) open(ctx context.Context, user *User, hash string, from Origin, said *audit.Event) (IssuedToken, error) {
	if err := a.keys.Follow(ctx); err != nil {
		return IssuedToken{}, fault.FromStore(err, nil)
	}
	now := a.now()
	s := Session{
		UserID: user.ID, Generation: 1, Created: now, Refreshed: now,
		Expires: now + seconds(min(a.policy.TokenLife, a.policy.SessionLife)), Ends: now + seconds(a.policy.SessionLife),
	}
	rand.Read(s.ID[:]) // never fails (crypto/rand)
	spanned, end := a.storeSpan(ctx, "OpenSession")
	err := a.store.OpenSession(spanned, SessionWithOrigin{s, from}, hash)
	if end(err); err != nil {
		said.Detail = "suspended, or the password changed, in between"
		return IssuedToken{}, fault.FromStore(err, errCredentials)
	}
	*said = audit.Event{Kind: audit.Login, User: user.ID, Session: s.ID, Caller: user.ID, Address: from.IP}
	return a.issue(SessionWithUser{s, user})
}

// rehash replaces a hash of another cost or of other software, unless the
// password was changed since it was checked, and returns the hash that holds.
// That it fails is no reason to refuse the login.
func (a *Authority) rehash(ctx context.Context, user *User, passwd, old string) string {
	hash, err := a.passwords.Hash(ctx, passwd)
	if err == nil {
		err = a.store.SetPassword(ctx, user.ID, PasswordChange{Hash: hash, IfHash: old})
	}
	switch {
	case err == nil:
		return hash
	case errors.Is(err, fault.ErrNotFound):
		return a.rehashed(ctx, user, passwd, old)
	}
	a.log.WarnContext(ctx, "password not rehashed", "user", user.ID, "err", err)
	return old
}

// rehashed returns the hash that took the place of old, if it is of this
// password: of two sign-ins at once, one replaces it and both are right.
func (a *Authority) rehashed(ctx context.Context, user *User, passwd, old string) string {
	_, now, err := a.store.UserByLogin(ctx, user.Login)
	if err != nil {
		return old
	}
	if ok, _, err := a.passwords.Check(ctx, passwd, now); err != nil || !ok {
		return old
	}
	return now
}

func passwordError(err error) error {
	if errors.Is(err, password.ErrBusy) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &fault.Error{Kind: fault.Unavailable, RetryAfter: fault.RetryAfter, Err: err,
			Message: "Too many sign-ins are under way; try again in a moment."}
	}
	return err
}

// Refresh exchanges the current token of a session for the next one; the old
// one is dead from then on. The steps are the contract's, section 4.
func (a *Authority) Refresh(ctx context.Context, text, apiKey string, retry IdempotencyKeyHash, from Origin) (IssuedToken, error) {
	issued, claims, err := a.refresh(ctx, text, apiKey, retry, from)
	outcome := refreshOutcome(issued, err)
	a.metrics.Refresh(outcome.String())
	if detail := refusals[outcome]; detail != "" {
		a.audit.Record(ctx, audit.Event{Kind: audit.RefreshRefused, User: claims.Subject, Session: claims.Session, Address: from.IP, Detail: detail})
	}
	return issued, err
}

func (a *Authority) refresh(ctx context.Context, text, apiKey string, retry IdempotencyKeyHash, from Origin) (IssuedToken, token.Claims, error) {
	if text == "" {
		return IssuedToken{}, token.Claims{}, fault.Invalid("token is missing; send the current token.")
	}
	claims, err := a.verify(ctx, text)
	issued, err := a.exchange(ctx, claims, err, apiKey, retry, from)
	return issued, claims, err
}

// exchange is refresh for a token that was looked at, with what Verify said.
func (a *Authority) exchange(ctx context.Context, claims token.Claims, err error, apiKey string, retry IdempotencyKeyHash, from Origin) (IssuedToken, error) {
	if errors.Is(err, token.ErrMalformed) {
		return IssuedToken{}, fault.Invalid("token is not of the form of a JWT; send the current token as it was given.")
	}
	if keyErr := a.checkRefreshKey(ctx, apiKey, claims); keyErr != nil {
		return IssuedToken{}, keyErr
	}
	now := a.now()
	if errors.Is(err, token.ErrExpired) {
		return IssuedToken{}, a.refreshExpired(ctx, claims, now, from)
	}
	if err != nil {
		return IssuedToken{}, tokenError(err, errUnknown)
	}
	spanned, end := a.storeSpan(ctx, "Rotate")
	live, moved, err := a.store.Rotate(spanned, Rotation{
		Session: claims.Session, From: claims.Generation,
		At: now, Expires: now + seconds(a.policy.TokenLife), IdempotencyKey: retry,
	})
	end(err)
	switch {
	case err != nil:
		return IssuedToken{}, fault.FromStore(err, errEnded)
	case moved:
		return a.issue(live)
	}
	switch classifyReuse(live.Session, claims.Generation, claims.IssuedAt, retry, now, a.policy) {
	case reuseReplay:
		issued, err := a.issue(live)
		issued.replayed = true
		return issued, err
	case reuseTheft:
		return IssuedToken{}, a.revokeStolen(ctx, live, claims.Generation, from)
	}
	return IssuedToken{}, errRace
}

// refreshExpired refuses a token whose time is over. If it is an old one too,
// someone else has spent it since: the owner who comes back is how that is found.
func (a *Authority) refreshExpired(ctx context.Context, claims token.Claims, now int64, from Origin) error {
	live, err := a.readSession(ctx, claims.Session)
	if err != nil {
		return fault.FromStore(err, errExpired)
	}
	if classifyReuse(live.Session, claims.Generation, claims.IssuedAt, IdempotencyKeyHash{}, now, a.policy) == reuseTheft {
		return a.revokeStolen(ctx, live, claims.Generation, from)
	}
	return errExpired
}

// revokeStolen ends a session of which an old token was found in use, and
// gives the answer: the same as for any token that is not valid.
func (a *Authority) revokeStolen(ctx context.Context, live SessionWithUser, generation uint32, from Origin) error {
	a.metrics.TokenReuse()
	if err := a.endSession(ctx, live.Session.ID); err != nil {
		return fault.FromStore(err, nil)
	}
	a.audit.Record(ctx, audit.Event{Kind: audit.Theft, User: live.User.ID, Session: live.Session.ID, Address: from.IP,
		Detail: fmt.Sprintf("an old token, generation %d of %d: the session is ended", generation, live.Session.Generation)})
	return errStolen
}

// checkRefreshKey holds the key to the policy; claims have no subject for a
// token that is not ours.
func (a *Authority) checkRefreshKey(ctx context.Context, apiKey string, claims token.Claims) error {
	if apiKey == "" {
		if a.policy.RefreshAPIKey == APIKeyOptional {
			return nil
		}
		return errKeyMissing
	}
	caller, err := a.byKey(ctx, apiKey)
	if err != nil {
		return err
	}
	if a.policy.RefreshAPIKey == APIKeyBound && claims.Subject != 0 && caller.User.ID != claims.Subject {
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

func (a *Authority) byBearer(ctx context.Context, text string) (Caller, error) {
	_, live, err := a.bearer(ctx, text)
	if err != nil {
		return Caller{}, err
	}
	return Caller{User: live.User, Session: &live.Session}, nil
}

// bearer returns what a token says, and its session, if it passes as a bearer;
// else the error is errSession, or says that the store is away.
func (a *Authority) bearer(ctx context.Context, text string) (token.Claims, SessionWithUser, error) {
	claims, err := a.verify(ctx, text)
	if err != nil {
		return token.Claims{}, SessionWithUser{}, tokenError(err, errSession)
	}
	live, good, err := a.session(ctx, claims.Session, func(s Session) bool { return bearerGood(s, claims.Generation, a.now(), a.policy) })
	if err != nil {
		return token.Claims{}, SessionWithUser{}, fault.FromStore(err, errSession)
	}
	if !good {
		return token.Claims{}, SessionWithUser{}, errSession
	}
	return claims, live, nil
}

// session returns a session and whether it passes. State of a while ago is
// enough to say that it does; that it does not is for the row to say.
func (a *Authority) session(ctx context.Context, id token.SessionID, passes func(Session) bool) (live SessionWithUser, good bool, err error) {
	spanned, end := a.storeSpan(ctx, "RecentSession")
	live, err = a.store.RecentSession(spanned, id)
	end(err)
	if err != nil || passes(live.Session) {
		return live, err == nil, err
	}
	live, err = a.readSession(ctx, id)
	return live, err == nil && passes(live.Session), err
}

func (a *Authority) byKey(ctx context.Context, apiKey string) (Caller, error) {
	hash, ok := parseKey(apiKey)
	if !ok {
		return Caller{}, errAPIKey
	}
	key, user, err := a.store.APIKeyByHash(ctx, hash)
	if err != nil {
		return Caller{}, fault.FromStore(err, errAPIKey)
	}
	if !user.Status.MaySignIn() {
		return Caller{}, errAPIKey
	}
	if key.Visibility == SessionOnly {
		_, good, err := a.session(ctx, key.Session, func(s Session) bool { return a.now() < s.Expires })
		if err != nil {
			return Caller{}, fault.FromStore(err, errAPIKey)
		}
		if !good {
			return Caller{}, errAPIKey
		}
	}
	return Caller{User: user}, nil
}

// CheckAPIKey returns nil for no key and for a valid one: a login needs none, but
// one that is sent must be valid.
func (a *Authority) CheckAPIKey(ctx context.Context, apiKey string) error {
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
	return a.done(ctx, fault.FromStore(a.endSession(ctx, c.Session.ID), nil), c.did(audit.Event{Kind: audit.Logout, User: c.User.ID, Session: c.Session.ID}))
}

// Sweep removes sessions that are over, counts that are forgotten and old events, in small steps, until it has seen all
// rows once or the context ends.
func (a *Authority) Sweep(ctx context.Context) error {
	const (
		step       = 500
		clockSlack = time.Minute // by which another node's clock may be behind, which still counts on the row
	)
	for removed := step; removed == step && ctx.Err() == nil; {
		var err error
		if removed, err = a.throttle.Sweep(ctx, step); err != nil {
			return err
		}
	}
	for removed := step; removed == step && a.policy.AuditAge > 0 && ctx.Err() == nil; {
		var err error
		if removed, err = a.store.SweepEvents(ctx, a.now()-seconds(a.policy.AuditAge), step); err != nil {
			return err
		}
	}
	for {
		_, done, err := a.store.Sweep(ctx, a.now()-seconds(clockSlack), step)
		if err != nil || done {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
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
		return nil, "", fault.FromStore(err, nil)
	}
	a.audit.Record(ctx, audit.Event{Kind: audit.UserCreated, User: user.ID, Detail: user.Level.String()})
	apiKey, err = a.GeneratePrimaryAPIKey(ctx, Caller{User: user}, user.ID)
	return user, apiKey, err
}

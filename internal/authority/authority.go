// Package authority is the domain of Pawl: sign-in, refresh, authentication, users, API keys and sessions, and who may
// do what. It has no HTTP in it, and keeps its state in a Store.
//
// An Authority has one method for each action of a client or an operator, in a file by topic: login.go, refresh.go,
// authenticate.go, users.go and so on. The refresh policy (policy.go) and the permissions (permissions.go) are pure
// functions. Four subpackages are parts of the domain. The first three define store interfaces of their own:
//
//   - keyring has the signing keys,
//   - throttle slows down failed sign-ins,
//   - audit records events,
//   - fault has the kinds of error.
//
// Points in time are Unix seconds, as in a JWT. Durations are time.Duration.
package authority

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/tracing"
)

// Config configures an Authority. Audit, Pusher, Metrics and Tracer are optional; every other field is required.
type Config struct {
	Store     Store
	Keys      Keyring
	Issuer    string // iss of tokens
	Audience  string // aud of tokens
	Passwords *password.Hasher
	Rules     password.Rules // for new passwords
	Policy    Policy
	Clock     func() time.Time
	// TokenIssued receives the iat of each token before the token is returned. Optional.
	TokenIssued func(second int64)
	Log         *slog.Logger
	// Assertions verifies assertions. If nil, the server trusts no issuers.
	Assertions Assertions
	Audit      *audit.Writer
	// Pusher delivers to receivers. If nil, there are no calls for receivers.
	Pusher  Pusher
	Metrics *metrics.Metrics
	Tracer  *tracing.Tracer
}

// Authority authenticates users and decides what they may do. It is safe for concurrent use. All state that its
// decisions depend on is in the Store.
type Authority struct {
	store     Store
	keys      Keyring
	codec     *token.Codec
	passwords *password.Hasher
	rules     password.Rules
	policy    Policy
	clock     func() time.Time
	// tokenIssued may be nil.
	tokenIssued func(second int64)

	log      *slog.Logger
	audit    *audit.Writer
	metrics  *metrics.Metrics
	tracer   *tracing.Tracer
	throttle *throttle.Throttle

	assertions Assertions // nil: no trusted issuers
	pusher     Pusher     // nil: no receivers
}

// New returns an Authority.
func New(c Config) *Authority {
	c.Metrics.Declare(metrics.Labels{LoginOutcomes: loginOutcomes[:], RefreshOutcomes: refreshOutcomes[:]})
	return &Authority{
		store: c.Store, keys: c.Keys, codec: token.NewCodec(c.Issuer, c.Audience, c.Keys.Set()),
		passwords: c.Passwords, rules: c.Rules, policy: c.Policy,
		clock: c.Clock, tokenIssued: c.TokenIssued, log: c.Log, audit: c.Audit, metrics: c.Metrics, tracer: c.Tracer,
		assertions: c.Assertions, pusher: c.Pusher,
		throttle: throttle.New(throttle.Config{Store: c.Store, Clock: c.Clock, Log: c.Log, Tracer: c.Tracer}),
	}
}

// Ready returns nil if the store can serve.
func (a *Authority) Ready(ctx context.Context) error { return fault.FromStore(a.store.Ready(ctx), nil) }

// Issuer returns the iss of tokens.
func (a *Authority) Issuer() string { return a.codec.Issuer() }

func (a *Authority) now() int64 { return a.clock().Unix() }

// Bootstrap adds a user with a primary API key. It has no caller, and does not check the password against the rules.
// Use it for the users of a test server. If u.ID is 0, the store assigns one.
func (a *Authority) Bootstrap(ctx context.Context, u User, passwd string) (user *User, apiKey string, err error) {
	u.Login = strings.TrimSpace(u.Login)
	if err := firstError(checkLogin(u.Login), checkEmail(&u.Email)); err != nil {
		return nil, "", err
	}
	hash, err := a.passwords.Hash(ctx, passwd)
	if err != nil {
		return nil, "", hasherError(err)
	}
	u.Created = a.now()
	user, err = a.store.CreateUser(ctx, Rights{}, u, hash)
	if err != nil {
		return nil, "", fault.FromStore(err, nil)
	}
	a.audit.Record(ctx, user.event(audit.Event{Kind: audit.UserCreated, Detail: user.Level.String()}))
	apiKey, err = a.GeneratePrimaryAPIKey(ctx, Caller{User: user}, user.ID)
	return user, apiKey, err
}

// Sweep removes sessions past their idle time, expired API keys and failure counters, and old audit events, in small
// steps. It returns once it has visited every row, or when ctx ends. If the clock of this machine is ahead of the
// store's, Sweep uses the time of the store, because it removes the sessions of all nodes.
func (a *Authority) Sweep(ctx context.Context) error {
	const (
		step = 500
		// clockSlack delays the removal of a session or an API key, because a node whose clock is behind may still
		// accept it.
		clockSlack = time.Minute
	)
	ahead, err := a.store.Ahead(ctx)
	if err != nil {
		return err
	}
	if ahead > clockSlack {
		a.log.WarnContext(ctx, "the clock of this machine is ahead of the database's; run an NTP client on both",
			"ahead", ahead.Round(time.Second).String())
	}
	now := func() int64 { return a.now() - seconds(ahead) }
	for removed := step; removed == step && ctx.Err() == nil; {
		var err error
		if removed, err = a.store.SweepAPIKeys(ctx, now()-seconds(clockSlack), step); err != nil {
			return err
		}
	}
	for removed := step; removed == step && ctx.Err() == nil; {
		var err error
		if removed, err = a.throttle.Sweep(ctx, now(), step); err != nil {
			return err
		}
	}
	for removed := step; removed == step && a.policy.AuditAge > 0 && ctx.Err() == nil; {
		var err error
		if removed, err = a.store.SweepEvents(ctx, now()-seconds(a.policy.AuditAge), step); err != nil {
			return err
		}
	}
	for {
		begun := time.Now()
		ended, done, err := a.store.Sweep(ctx, now()-seconds(clockSlack), sweepPage)
		if err != nil {
			return err
		}
		a.audit.RecordAll(ctx, endEvents(ended))
		if done {
			return nil
		}
		if len(ended) == 0 {
			begun = time.Now() // a step that only reads does not hold up other writes
		}
		if err := pause(ctx, begun, sweepShare); err != nil {
			return err
		}
	}
}

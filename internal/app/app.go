// Package app puts a Pawl together: store, keys, authority, HTTP handler and
// sweeper. The command and pawltest both start from here.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/tracing"
	"github.com/pawlauth/pawl/token"
)

// Config says how a Pawl is put together. All but Data have a zero value that
// stands for the default.
type Config struct {
	Data  string // the folder of the embedded store
	Store string // address of the store; "" is the embedded one in Data
	// VerifyStaleness is how old the state may be that a bearer is checked
	// against, on PostgreSQL; 0 reads it for each check.
	VerifyStaleness time.Duration
	MasterKey       *seal.Box        // seals the signing keys in the store; nil leaves them in clear
	Issuer          string           // iss of tokens; "pawl"
	Audience        string           // aud of tokens; "pawl"
	Algorithm       token.Algorithm  // of new signing keys; HS256
	SigningKeyFile  string           // a JWK or JWK set that takes the place of the store's keys: the first signs
	Policy          authority.Policy // durations of 0 take the contract's default, but for the two graces
	Argon2          password.Params
	Rules           password.Rules
	Build           string
	Clock           func() time.Time                // time.Now
	Log             *slog.Logger                    // says nothing
	Wrap            func(http.Handler) http.Handler // goes around the HTTP handler
	Metrics         *metrics.Metrics                // nil: nothing is counted
	Traces          *tracing.Tracing                // nil: no spans
}

// The contract's lives, in seconds.
const (
	DefaultTokenLife   = 60 * 60
	DefaultSessionLife = 30 * 24 * 60 * 60
	sweepEvery         = time.Minute
)

func (c *Config) setDefaults() {
	orText(&c.Issuer, "pawl")
	orText(&c.Audience, "pawl")
	orText(&c.Algorithm, token.HS256)
	orText(&c.Policy.KeyMode, authority.KeyOptional)
	if c.Policy.TokenLife == 0 {
		c.Policy.TokenLife = DefaultTokenLife
	}
	if c.Policy.SessionLife == 0 {
		c.Policy.SessionLife = DefaultSessionLife
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func orText[T ~string](p *T, standard T) {
	if *p == "" {
		*p = standard
	}
}

// App is a Pawl that runs.
type App struct {
	Authority *authority.Authority
	Handler   http.Handler
	Store     authority.Store

	stop    context.CancelFunc // ends the sweeper
	sweeper sync.WaitGroup
}

// Open opens the store and starts the sweeper. Close ends both. A store that is
// the target of a copy that was not finished is refused.
func Open(ctx context.Context, c Config) (*App, error) {
	c.setDefaults()
	if err := NeedMasterKey(c); err != nil {
		return nil, err
	}
	store, err := OpenStore(ctx, c)
	if err != nil {
		return nil, err
	}
	a, err := assemble(ctx, c, store)
	if err != nil {
		store.Close()
		return nil, err
	}
	return a, nil
}

func assemble(ctx context.Context, c Config, store Store) (*App, error) {
	if copying, err := store.Copying(ctx); err != nil || copying {
		return nil, errors.Join(err, errHalfCopied)
	}
	keys, err := signingKeys(ctx, c, store)
	if err != nil {
		return nil, err
	}
	set, err := token.NewKeySet(keys...)
	if err != nil {
		return nil, err
	}
	parts := authority.Config{
		Store: store, Codec: token.NewCodec(c.Issuer, c.Audience, set),
		Passwords: password.NewHasher(c.Argon2), Rules: c.Rules, Policy: c.Policy, Clock: c.Clock, Log: c.Log,
	}
	c.observe(&parts)
	domain := authority.New(parts)
	a := &App{Authority: domain, Handler: c.watch(server.New(domain, c.Build, c.Log)), Store: store}
	if c.Wrap != nil {
		a.Handler = c.Wrap(a.Handler)
	}
	sweeping, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.sweeper.Go(func() { a.sweep(sweeping, c.Log) })
	return a, nil
}

var errHalfCopied = errors.New("this store is the target of a copy that was not finished, and has only a part of the state: run pawl store copy again")

func signingKeys(ctx context.Context, c Config, store authority.Store) ([]*token.Key, error) {
	if c.SigningKeyFile == "" {
		return authority.LoadKeys(ctx, store, c.Algorithm, c.MasterKey)
	}
	text, err := os.ReadFile(c.SigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("the signing key file cannot be read: %w", err)
	}
	keys, err := token.ParseJWKSet(text)
	if err != nil {
		return nil, fmt.Errorf("the signing key file %s: %w", c.SigningKeyFile, err)
	}
	if !keys[0].CanSign() {
		return nil, fmt.Errorf("the signing key file %s: the first key is public and cannot sign; put the private key first", c.SigningKeyFile)
	}
	return keys, nil
}

// sweep removes sessions that are over, once a minute, until ctx ends.
func (a *App) sweep(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := a.Authority.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("sweep stopped early", "err", err)
		}
	}
}

// Close ends the sweeper and the store; what was answered is on disk.
func (a *App) Close() error {
	a.stop()
	a.sweeper.Wait()
	return a.Store.Close()
}

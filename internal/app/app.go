// Package app puts a Pawl together: store, keys, authority, HTTP handler and
// sweeper. The command and pawltest both start from here.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/tracing"
)

// Config configures an App. Store is required; every other field has a default.
type Config struct {
	Store StoreAddress // where the state is kept
	// VerifyStaleness is how old the state may be that a bearer is checked
	// against, on PostgreSQL; 0 reads it for each check.
	VerifyStaleness time.Duration
	MasterKey       *seal.Box        // seals the signing keys in the store; nil leaves them in clear
	Issuer          string           // iss of tokens; "pawl"
	Audience        string           // aud of tokens; "pawl"
	Algorithm       token.Algorithm  // of new signing keys; HS256
	SigningKeyFile  string           // a JWK or JWK set that takes the place of the store's keys: the first signs
	KeyLead         time.Duration    // from a signing key's publication to its first token, whole seconds; 5 min
	KeyReload       time.Duration    // how often the node reads the signing keys, of tests; 30 s
	PublicURL       string           // where clients reach the server; "" takes each request's Host
	Policy          authority.Policy // zero fields take the defaults of authority.Policy
	Argon2          password.Params
	Rules           password.Rules
	Limits          server.Limits
	Build           string
	Clock           func() time.Time                // time.Now
	Log             *slog.Logger                    // says nothing
	Wrap            func(http.Handler) http.Handler // goes around the HTTP handler
	Metrics         *metrics.Metrics                // nil: nothing is counted
	Traces          *tracing.Tracer                 // nil: no spans
}

const sweepEvery = time.Minute

func (c *Config) setDefaults() {
	orText(&c.Issuer, "pawl")
	orText(&c.Audience, "pawl")
	orText(&c.Algorithm, token.HS256)
	c.Policy = c.Policy.WithDefaults()
	c.KeyLead = cmp.Or(c.KeyLead, keyring.DefaultLead)
	c.KeyReload = cmp.Or(c.KeyReload, keyring.DefaultReload)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Validate returns an error if settings exclude each other. Open calls it.
func (c *Config) Validate() error { return c.checkMasterKey() }

// checkMasterKey rejects a database without a master key, because its readers could use the signing keys.
func (c *Config) checkMasterKey() error {
	if c.Store.Kind() == Postgres && c.MasterKey == nil && c.SigningKeyFile == "" {
		return errors.New("a store on PostgreSQL needs a master key, which seals the signing keys in it: " +
			"make one with openssl rand -base64 32, and give every node the same one " +
			"as --master-key-file or PAWL_MASTER_KEY")
	}
	return nil
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
	Store     Store

	auditor    *audit.Writer
	settings   string             // for the audit
	stop       context.CancelFunc // ends the background work
	background sync.WaitGroup     // the sweeper and the keyring
}

// Open opens the store and starts the background work. Close ends both. A store that is
// the target of a copy that was not finished is refused.
func Open(ctx context.Context, c Config) (*App, error) {
	c.setDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	store, err := OpenStore(ctx, StoreConfig{Address: c.Store, VerifyStaleness: c.VerifyStaleness, Metrics: c.Metrics})
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
	if part, err := store.CopyInProgress(ctx); err != nil || part {
		return nil, cmp.Or(err, storecopy.ErrIncomplete)
	}
	keys, err := openKeyring(ctx, c, store)
	if err != nil {
		return nil, err
	}
	auditor := audit.NewWriter(audit.Config{Store: store, Clock: c.Clock, Log: c.Log, Metrics: c.Metrics, RequestID: server.RequestID})
	passwords := password.NewHasher(c.Argon2, c.Traces)
	domain := authority.New(authority.Config{
		Store: store, Keys: keys, Codec: token.NewCodec(c.Issuer, c.Audience, keys.Set()),
		Passwords: passwords, Rules: c.Rules, Policy: c.Policy, Clock: c.Clock, Log: c.Log,
		Audit: auditor, Metrics: c.Metrics, Tracer: c.Traces,
	})
	c.Metrics.Register(metrics.Gauges{Passwords: passwords.Stats, SigningKeys: keys.Count, Audit: auditor.Stats})
	handler := server.New(server.Config{
		Authority: domain, Build: c.Build, PublicURL: c.PublicURL, Limits: c.Limits, Log: c.Log,
	})
	a := &App{Authority: domain, auditor: auditor, settings: c.summary(), Handler: c.Traces.Handler(c.Metrics.Handler(handler)), Store: store}
	if c.Wrap != nil {
		a.Handler = c.Wrap(a.Handler)
	}
	work, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.background.Go(func() { a.sweep(work, c.Log) })
	a.background.Go(func() { keys.Run(work) })
	return a, nil
}

func openKeyring(ctx context.Context, c Config, store authority.Store) (*keyring.Keyring, error) {
	if c.SigningKeyFile == "" {
		return keyring.Open(ctx, keyring.Config{Store: store, Box: c.MasterKey, Algorithm: c.Algorithm,
			Lead: c.KeyLead, Reload: c.KeyReload, TokenLife: c.Policy.TokenLife, Clock: c.Clock, Log: c.Log})
	}
	keys, err := keysOfFile(c.SigningKeyFile)
	if err != nil {
		return nil, err
	}
	return keyring.Fixed(keys)
}

func keysOfFile(path string) ([]*token.Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the signing key file cannot be read: %w; name a file with a JWK or a JWK set", err)
	}
	keys, err := token.ParseJWKSet(text)
	if err != nil {
		return nil, fmt.Errorf("the signing key file %s: %w", path, err)
	}
	if !keys[0].CanSign() {
		return nil, fmt.Errorf("the signing key file %s: the first key is public and cannot sign; put the private key first", path)
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

// Close ends the background work, the auditor and the store; what was answered is on disk.
func (a *App) Close() error {
	a.stop()
	a.background.Wait()
	a.auditor.Close()
	return a.Store.Close()
}

// Package app assembles a Pawl: it opens the store (store.go) and puts the keyring, the authority, the HTTP handler and
// the background work on top of it. cmd/pawl and pawltest both start from Open.
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
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/push"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/tracing"
	"github.com/pawlauth/pawl/internal/trust"
)

// Config configures an App. Store is required; every other field is optional.
type Config struct {
	// Store is where the state is kept. A SQLite address must have a folder.
	Store StoreAddress
	// MustExist is as in StoreConfig.
	MustExist bool
	// Setup lets the console create the first administrator of a store without one. It needs a Console.
	Setup bool
	// VerifyStaleness is as in StoreConfig.
	VerifyStaleness time.Duration
	// MasterKey seals the signing keys in the store. If nil, the signing keys are stored in plaintext. Open permits a
	// nil MasterKey only for SQLite.
	MasterKey *seal.Box

	// Issuer and Audience are the claims iss and aud of every token. If Issuer is empty, it is PublicURL, so that it
	// agrees with the server metadata. If PublicURL is empty too, it is "pawl". If Audience is empty, it is "pawl".
	Issuer   string
	Audience string
	// Algorithm is the algorithm of new signing keys. If empty, it is HS256.
	Algorithm token.Algorithm
	// SigningKeyFile is a JWK or a JWK set. The file replaces the signing keys of the store. The first key signs.
	SigningKeyFile string
	// KeyLead is how long a new signing key is published before it signs, in whole seconds. If 0, it is
	// keyring.DefaultLead.
	KeyLead time.Duration
	// KeyReload is how often the node reads the signing keys. If 0, it is keyring.DefaultReload. Only tests set it.
	KeyReload time.Duration

	// Policy is the policy for sessions. Its zero fields get defaults.
	Policy authority.Policy
	// Argon2 is the cost of new password hashes. Its zero fields get defaults.
	Argon2 password.Params
	// Rules are the requirements for new passwords.
	Rules password.Rules

	// Console is the path of the admin console, such as console.DefaultPath. If empty, there is no console.
	Console string
	// ConsoleSettings are shown on a page of the console.
	ConsoleSettings []console.Setting
	// PublicURL, AllowedOrigins, Cookie and Limits are as in server.Config.
	PublicURL      string
	AllowedOrigins []string
	Cookie         server.CookieMode
	Limits         server.Limits
	// TrustedIssuers are the issuers whose assertions open sessions. If empty, there is none.
	TrustedIssuers []trust.Issuer
	// PrivateReceivers permits receivers of security event tokens at private addresses, and plain HTTP on loopback.
	PrivateReceivers bool
	// PushTiming has the times of the delivery to receivers. Only tests set it.
	PushTiming push.Timing
	// Build is the version of the program.
	Build string
	// Wrap wraps the HTTP handler, outside of metrics and traces.
	Wrap func(http.Handler) http.Handler

	// WrapStore wraps the store. Only tests set it.
	WrapStore func(Store) Store
	// NewFeed returns the feed. If nil, it is revocation.NewFeed. Only tests set it.
	NewFeed func(revocation.FeedConfig) *revocation.Feed

	// Clock returns the time. If nil, it is time.Now.
	Clock func() time.Time
	// Log receives events and errors. If nil, they are discarded.
	Log *slog.Logger
	// AccessLog is as in server.Config.
	AccessLog *slog.Logger
	// Metrics counts requests and outcomes, and Tracer records spans. Both may be nil.
	Metrics *metrics.Metrics
	Tracer  *tracing.Tracer
}

func (c *Config) setDefaults() {
	c.Issuer = cmp.Or(c.Issuer, c.PublicURL, "pawl")
	c.Audience = cmp.Or(c.Audience, "pawl")
	c.Algorithm = cmp.Or(c.Algorithm, token.HS256)
	c.KeyLead = cmp.Or(c.KeyLead, keyring.DefaultLead)
	c.KeyReload = cmp.Or(c.KeyReload, keyring.DefaultReload)
	c.Policy = c.Policy.WithDefaults()
	if c.Metrics == nil && c.Console != "" {
		c.Metrics = metrics.NewRecent()
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.NewFeed == nil {
		c.NewFeed = revocation.NewFeed
	}
}

// Validate returns an error if settings exclude each other. Open calls it, too.
func (c *Config) Validate() error {
	if c.Store.Kind() == Postgres && c.MasterKey == nil && c.SigningKeyFile == "" {
		return errors.New("PostgreSQL needs a master key, which encrypts the signing keys in the store; " +
			"make one with openssl rand -base64 32, and give every node the same one " +
			"as --master-key-file or PAWL_MASTER_KEY")
	}
	if c.Setup && c.Console == "" {
		return errors.New("the first start needs the console, which creates the administrator: turn it on")
	}
	return authority.CheckIssuers(c.TrustedIssuers)
}

// App is a running Pawl.
type App struct {
	Authority *authority.Authority
	Handler   http.Handler
	Store     Store
	Console   *console.Console // nil if there is none

	auditor    *audit.Writer
	feed       *revocation.Feed
	settings   string // for the audit
	metrics    *metrics.Metrics
	stop       context.CancelFunc // ends the background work
	background sync.WaitGroup
}

// Open opens the store and starts the background work. Open rejects a store left incomplete by an unfinished copy.
func Open(ctx context.Context, c Config) (_ *App, err error) {
	c.setDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	feed := c.newFeed()
	store, err := OpenStore(ctx, StoreConfig{
		Address: c.Store, MustExist: c.MustExist, VerifyStaleness: c.VerifyStaleness, Feed: feed, Metrics: c.Metrics,
		Log: c.Log, PrimaryLog: c.Log,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			feed.Close()
			store.Close()
		}
	}()
	if c.WrapStore != nil {
		store = c.WrapStore(store)
	}
	if incomplete, err := store.CopyInProgress(ctx); err != nil || incomplete {
		return nil, cmp.Or(err, storecopy.ErrIncomplete)
	}
	keys, err := openKeyring(ctx, c, store, feed)
	if err != nil {
		return nil, err
	}
	pusher, err := c.newPusher(ctx, store, keys)
	if err != nil {
		return nil, err
	}
	auditor := c.newAuditor(store, pusher)
	recordSealed(ctx, auditor, keys)
	passwords := password.NewHasher(c.Argon2, c.Tracer)
	domain := authority.New(authority.Config{
		Store: store, Keys: keys, Issuer: c.Issuer, Audience: c.Audience,
		Passwords: passwords, Rules: c.Rules, Policy: c.Policy, Clock: c.Clock, TokenIssued: feed.Issued, Log: c.Log,
		Assertions: c.assertions(), Audit: auditor, Pusher: pusher, Metrics: c.Metrics, Tracer: c.Tracer,
	})
	c.Metrics.Register(metrics.Gauges{
		Passwords: passwords.Stats, Audit: auditor.Stats, Feed: feed.Stats, Push: pusher.Stats,
		SigningKeys: func() int { return len(keys.Set().Keys()) },
	})
	pages := c.newConsole(domain)
	background, stop := context.WithCancel(context.Background())
	a := &App{
		Authority: domain, Handler: c.newHandler(domain, feed, pages), Store: store, Console: pages,
		auditor: auditor, feed: feed, settings: c.summary(), stop: stop, metrics: c.Metrics,
	}
	a.background.Go(func() { a.sweep(background, c.Log) })
	a.background.Go(func() { domain.Purge(background) })
	a.background.Go(func() { keys.Run(background) })
	a.background.Go(func() { pusher.Run(background) })
	return a, nil
}

// newPusher returns the delivery to receivers of this node.
func (c *Config) newPusher(ctx context.Context, store Store, keys signingKeys) (*push.Pusher, error) {
	pusher := push.New(push.Config{
		Store: store, Keys: keys, Issuer: c.Issuer, Box: c.MasterKey, AllowPrivate: c.PrivateReceivers, Build: c.Build,
		Clock: c.Clock, Log: c.Log, Timing: c.PushTiming,
	})
	return pusher, pusher.Load(ctx)
}

// newAuditor returns the writer of the audit. It waits for the events that receivers must get.
func (c *Config) newAuditor(store Store, pusher *push.Pusher) *audit.Writer {
	return audit.NewWriter(audit.Config{
		Store: store, Clock: c.Clock, Log: c.Log, Metrics: c.Metrics, RequestID: server.RequestID,
		Awaits: pusher.Awaits,
	})
}

// newFeed returns the feed of this node.
func (c *Config) newFeed() *revocation.Feed {
	return c.NewFeed(revocation.FeedConfig{
		MaxTokenLife: c.Policy.TokenLife, Remote: c.Store.Kind() == Postgres, Clock: c.Clock,
	})
}

// newHandler returns the handler of this node. The feed and the console may be nil.
func (c *Config) newHandler(domain *authority.Authority, feed *revocation.Feed, pages *console.Console) http.Handler {
	handler := c.Tracer.Handler(c.Metrics.Handler(server.New(c.serverConfig(domain, feed, pages))))
	if c.Wrap != nil {
		handler = c.Wrap(handler)
	}
	return handler
}

// serverConfig returns the configuration of the HTTP side. The feed and the console may be nil.
func (c *Config) serverConfig(
	domain *authority.Authority, feed *revocation.Feed, pages *console.Console,
) server.Config {
	s := server.Config{
		Authority: domain, Build: c.Build, PublicURL: c.PublicURL, AllowedOrigins: c.AllowedOrigins,
		Cookie: c.Cookie, Feed: feed, Limits: c.Limits, Log: c.Log, AccessLog: c.AccessLog,
	}
	if c.Setup {
		s.NeedsSetup = pages.NeedsSetup
	}
	if pages != nil {
		s.Console = pages // a nil *console.Console would not be a nil interface
	}
	return s
}

// newConsole returns the admin console, or nil if there is none.
func (c *Config) newConsole(domain *authority.Authority) *console.Console {
	if c.Console == "" {
		return nil
	}
	return console.New(console.Config{
		Authority: domain, Path: c.Console, PublicURL: c.PublicURL, Clock: c.Clock, Log: c.Log,
		Settings: c.ConsoleSettings, Build: c.Build, Recent: c.Metrics.Recent(), Setup: c.Setup,
	})
}

// assertions returns the verifier for the trusted issuers, or nil if there are none.
func (c *Config) assertions() authority.Assertions {
	if len(c.TrustedIssuers) == 0 {
		return nil
	}
	return trust.New(trust.Config{Issuers: c.TrustedIssuers, Clock: c.Clock})
}

// signingKeys is a *keyring.Keyring or a *keyring.Static.
type signingKeys interface {
	authority.Keyring
	Run(context.Context)
}

// openKeyring returns the signing keys of the file if there is one, or else those of the store.
func openKeyring(ctx context.Context, c Config, store Store, feed *revocation.Feed) (signingKeys, error) {
	if c.SigningKeyFile == "" {
		return keyring.Open(ctx, keyring.Config{
			Store: authority.SigningKeysAs(authority.Rights{}, store), Box: c.MasterKey, Algorithm: c.Algorithm,
			Lead: c.KeyLead, Reload: c.KeyReload,
			TokenLife: max(c.Policy.TokenLife, c.Policy.IdleLife), Clock: c.Clock, Log: c.Log,
			Removed: feed.Restart, // no change of the feed names the tokens of the key
		})
	}
	keys, err := ReadSigningKeyFile(c.SigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("the signing key file: %w", err)
	}
	return keyring.NewStatic(keys)
}

// recordSealed records the signing keys that the start has sealed.
func recordSealed(ctx context.Context, auditor *audit.Writer, keys signingKeys) {
	ring, ok := keys.(*keyring.Keyring)
	if !ok {
		return // a file has no sealed keys
	}
	for _, id := range ring.SealedAtStart() {
		auditor.Record(ctx, audit.Event{Kind: audit.SigningKeySealed, Detail: "key " + id + ", with the master key"})
	}
}

// ReadSigningKeyFile reads a file for Config.SigningKeyFile.
func ReadSigningKeyFile(path string) ([]*token.Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; name a file with a JWK or a JWK set", err)
	}
	keys, err := token.ParseJWKSet(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; name a file with a JWK or a JWK set", path, err)
	}
	if !keys[0].CanSign() {
		return nil, fmt.Errorf("%s: the first key is public and cannot sign; put the private key first", path)
	}
	return keys, nil
}

const sweepInterval = time.Minute

// sweep removes ended sessions and old audit events at intervals, until ctx ends.
func (a *App) sweep(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.metrics.Sample(ctx)
		if err := a.Authority.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("sweep stopped early", "err", err)
		}
	}
}

// StopBackground begins to stop the background work, and does not wait. The App still answers requests until Close.
// Call it when the HTTP server begins to drain, because the last delivery to a receiver may take as long as the drain.
func (a *App) StopBackground() { a.stop() }

// Close stops the background work and closes the store. The caller must have stopped the HTTP server.
func (a *App) Close() error {
	a.stop()
	a.feed.Close()
	a.background.Wait()
	a.auditor.Close()
	return a.Store.Close()
}

// Started writes an audit event with the settings of a server at its start.
func (a *App) Started(ctx context.Context) { a.Authority.Started(ctx, a.settings) }

// summary returns the settings that affect security. None of them is a secret.
func (c *Config) summary() string {
	p, l := c.Policy, c.Limits
	return fmt.Sprintf("build %s, store %s, algorithm %s, token life %s, idle life %s, "+
		"session life %s, bearer grace %s, "+
		"keyless retry %s, refresh key %s, verify staleness %s, login rate %d, refresh rate %d, trusted proxies %v, "+
		"in flight %d, audit age %s, max sessions per user %d, allowed origins %v, cookie %s, "+
		"private receivers %v, console %s", c.Build, c.Store.Kind(),
		c.Algorithm, p.TokenLife, p.IdleLife, p.SessionLife, p.BearerGrace, p.ReplayWithoutKey, p.RefreshAPIKey,
		c.VerifyStaleness, l.LoginRate, l.RefreshRate, l.TrustedProxies, l.MaxInFlight, p.AuditAge,
		p.MaxSessionsPerUser, c.AllowedOrigins, cmp.Or(c.Cookie, server.CookieOff),
		c.PrivateReceivers, cmp.Or(c.Console, "off"))
}

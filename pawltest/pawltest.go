// Package pawltest runs a whole Pawl inside a test: a real HTTP server on a port of 127.0.0.1, with a real store.
//
// [New] starts a [Server] that ends with the test. The server has one user and one administrator, whose logins,
// passwords and API keys are known. Its [Clock] stands still until the test moves it, so that a token expires when the
// test needs it to. [Server.Client] returns a client of package client for it. Use [Start] if there is no testing.TB.
package pawltest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/test/testlog"
	"github.com/pawlauth/pawl/internal/token"
)

// The user and the administrator of every server. Both belong to network 1, mailbox 101.
const (
	Login         = "jsmith@example.com"
	Password      = "Sup3r$ecret!"
	UserID        = 4821 // a MailboxAdmin
	AdminLogin    = "admin@example.com"
	AdminPassword = "Adm1n$ecret!"
	AdminID       = 4822 // a Root
)

// Server is a running Pawl.
type Server struct {
	URL         string // such as http://127.0.0.1:43210, without a slash at the end
	APIKey      string // an API key of the user
	AdminAPIKey string // an API key of the administrator
	Clock       *Clock // the time of the server

	sweep func(context.Context) error
	close func()
}

// Close stops the server and closes its store. The end of the test does so too; a second Close is a no-op.
func (s *Server) Close() { s.close() }

// Sweep ends the sessions that have timed out for more than a minute by the server's clock. A server does so by itself
// once a minute, of real time. On PostgreSQL, the nodes together sweep once a minute at most, and Sweep is a no-op in
// between.
func (s *Server) Sweep(ctx context.Context) error { return s.sweep(ctx) }

// Client returns a client of the server. It has no credentials unless an option gives it some.
func (s *Server) Client(options ...client.Option) *client.Client {
	c, err := client.New(s.URL, options...)
	if err != nil {
		panic(err) // the address of a listener is valid
	}
	return c
}

// Option changes a setting of a server. The With functions return options for New and Start.
type Option interface{ apply(*app.Config) }

type option func(*app.Config)

func (o option) apply(c *app.Config) { o(c) }

// WithTokenLife sets how long a token is valid, in whole seconds. The default is 1 hour.
func WithTokenLife(d time.Duration) Option {
	return option(func(c *app.Config) { c.Policy.TokenLife = d })
}

// WithIdleLife sets how long a session can wait for a refresh, in whole seconds: the current token can be refreshed
// until then, even though it no longer passes as a bearer. The default is the life of a token.
func WithIdleLife(d time.Duration) Option {
	return option(func(c *app.Config) { c.Policy.IdleLife = d })
}

// WithSessionLife sets how long a session lives from its login, in whole seconds. The default is 30 days.
func WithSessionLife(d time.Duration) Option {
	return option(func(c *app.Config) { c.Policy.SessionLife = d })
}

// WithAlgorithm sets the signing algorithm of tokens: HS256 (the default), ES256, EdDSA or RS256. All except HS256 have
// public keys, at /.well-known/jwks.json. The server does not start with any other name.
func WithAlgorithm(name string) Option {
	return option(func(c *app.Config) { c.Algorithm = token.Algorithm(name) })
}

// WithPostgres stores the state in an empty PostgreSQL database, such as postgres://user@host/database, instead of an
// SQLite file. It panics if url is not the address of a database.
func WithPostgres(url string) Option {
	store, err := app.ParseStoreAddress(url)
	if err != nil {
		panic("pawltest: " + err.Error())
	}
	return option(func(c *app.Config) {
		c.Store = store
		c.MasterKey, _ = seal.NewBox(seal.NewKey()) // a key of NewKey is always valid
	})
}

// WithHandler wraps the server's handler, so that a test can observe or change requests and responses.
func WithHandler(wrap func(http.Handler) http.Handler) Option {
	return option(func(c *app.Config) { c.Wrap = wrap })
}

// WithConfig changes any setting. It is for Pawl's own tests: no other module can name the type of the parameter.
func WithConfig(change func(*app.Config)) Option { return option(change) }

// New starts a server for the duration of the test. Its password hashes are cheap, so a login takes milliseconds. The
// test fails at once if the server does not start. If the test fails, the end of the server's log is printed.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	log := testlog.New(t, "pawltest")
	s, stop, err := start(t.Context(), t.TempDir(), log, options)
	if err != nil {
		t.Fatal(err)
	}
	s.close = sync.OnceFunc(func() {
		if err := stop(); err != nil {
			t.Errorf("pawltest: %v", err)
		}
	})
	t.Cleanup(s.Close)
	return s
}

// Start starts a server where there is no testing.TB, for example in an Example. The server stores its state in dir and
// runs until Close. Start panics if the server does not start.
func Start(dir string, options ...Option) *Server {
	s, stop, err := start(context.Background(), dir, nil, options)
	if err != nil {
		panic(err)
	}
	s.close = sync.OnceFunc(func() { _ = stop() }) // an Example has no way to fail
	return s
}

// start returns a running server, and the function to stop it. If log is nil, the server's log is discarded.
func start(
	ctx context.Context, dir string, log *slog.Logger, options []Option,
) (s *Server, stop func() error, err error) {
	clock := &Clock{now: time.Now().Truncate(time.Second)}
	config := app.Config{
		Store: app.StoreAddress{Folder: dir}, Clock: clock.Now, Build: "test", Log: log,
		Argon2: password.Params{MemoryKiB: 64, Passes: 1},
		Policy: authority.Policy{MaxSessionsPerUser: authority.DefaultMaxSessionsPerUser},
	}
	for _, option := range options {
		option.apply(&config)
	}
	a, err := app.Open(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	s = &Server{Clock: clock, sweep: a.Authority.Sweep}
	tenant := authority.Tenant{NetworkID: 1, MailboxID: 101}
	_, s.APIKey, err = a.Authority.Bootstrap(ctx, authority.User{
		ID: UserID, Login: Login, Email: Login, FirstName: "John", LastName: "Smith",
		Level: authority.MailboxAdmin, Status: authority.Active, Tenant: tenant,
	}, Password)
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	_, s.AdminAPIKey, err = a.Authority.Bootstrap(ctx, authority.User{
		ID: AdminID, Login: AdminLogin, Email: AdminLogin, FirstName: "Ada", LastName: "Admin",
		Level: authority.Root, Status: authority.Active, Tenant: tenant,
	}, AdminPassword)
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	a.Started(ctx)
	dated := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", config.Clock().UTC().Format(http.TimeFormat))
		a.Handler.ServeHTTP(w, r)
	})
	web := server.NewHTTPServer(server.HTTPConfig{Handler: dated, Log: config.Log})
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	s.URL = "http://" + listener.Addr().String()
	return s, func() error {
		// Shutdown would wait for connections opened in advance by a client.
		http.DefaultClient.CloseIdleConnections()
		return errors.Join(web.Shutdown(context.Background()), <-served, a.Close())
	}, nil
}

// Clock is the time of a server, and of the Date of its responses. It stands still until Add moves it. It is safe for
// concurrent use.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// Now returns the time. It begins as the time of the server's start, in whole seconds.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock forward by d, or back if d is negative.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

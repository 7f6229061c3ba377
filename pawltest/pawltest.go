// Package pawltest runs a whole Pawl inside a test: a real server on a real
// port, with a real file beneath.
package pawltest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// The user and the administrator that every server has.
const (
	Login         = "jsmith@example.com"
	Password      = "Sup3r$ecret!"
	UserID        = 4821 // MailboxAdmin of network 1, mailbox 101
	AdminLogin    = "admin@example.com"
	AdminPassword = "Adm1n$ecret!"
	AdminID       = 4822 // Root
)

// Server is a Pawl that runs until the test ends.
type Server struct {
	URL      string
	APIKey   string // of the user
	AdminAPIKey string
	Clock    *Clock
	// Close ends the server and its store at once; so does the end of the test.
	Close func()
}

// Option changes a setting of the server.
type Option func(*app.Config)

// WithTokenLife sets the life of a token; whole seconds, 1 h if not given.
func WithTokenLife(d time.Duration) Option {
	return func(c *app.Config) { c.Policy.TokenLife = d }
}

// WithSessionLife sets the life of a session; whole seconds, 30 days if not given.
func WithSessionLife(d time.Duration) Option {
	return func(c *app.Config) { c.Policy.SessionLife = d }
}

// WithAlgorithm sets what tokens are signed with; HS256 if not given. The others
// have public keys, at /.well-known/jwks.json.
func WithAlgorithm(alg token.Algorithm) Option {
	return func(c *app.Config) { c.Algorithm = alg }
}

// WithPostgres keeps the state in an empty database of PostgreSQL's, such as
// postgres://user@host/database, in the place of a file.
func WithPostgres(dsn string) Option {
	return func(c *app.Config) {
		var err error
		if c.Store, err = app.ParseStoreAddress(dsn); err != nil {
			panic("pawltest: " + err.Error())
		}
		c.MasterKey, _ = seal.NewBox(seal.NewKey()) // a key of NewKey's is always one
	}
}

// WithHandler puts a handler of the test's before the server, to see or to
// change what goes in and out.
func WithHandler(wrap func(http.Handler) http.Handler) Option {
	return func(c *app.Config) { c.Wrap = wrap }
}

// New starts a server with cheap password hashes and a clock of its own.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	s, end, err := start(t.Context(), t.TempDir(), options)
	if err != nil {
		t.Fatal(err)
	}
	s.Close = sync.OnceFunc(func() {
		if err := end(); err != nil {
			t.Errorf("pawltest: %v", err)
		}
	})
	t.Cleanup(s.Close)
	return s
}

// Start is New for where there is no testing.TB, such as an Example: the server
// keeps its state in dir, runs until Close, and panics if it does not start.
func Start(dir string, options ...Option) *Server {
	s, end, err := start(context.Background(), dir, options)
	if err != nil {
		panic(err)
	}
	s.Close = sync.OnceFunc(func() { _ = end() }) // the state goes with it
	return s
}

// start returns a server, and what ends it.
func start(ctx context.Context, dir string, options []Option) (*Server, func() error, error) {
	clock := &Clock{now: time.Now().Truncate(time.Second)}
	config := app.Config{Store: app.StoreAddress{Folder: dir}, Clock: clock.Now, Build: "test", Argon2: password.Params{MemoryKiB: 64, Passes: 1}}
	for _, option := range options {
		option(&config)
	}
	a, err := app.Open(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	s := &Server{Clock: clock}
	if err := s.addUsers(ctx, a); err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	a.Started(ctx)
	web := httptest.NewServer(a.Handler)
	s.URL = web.URL
	return s, func() error { web.Close(); return a.Close() }, nil
}

func (s *Server) addUsers(ctx context.Context, a *app.App) (err error) {
	place := authority.Tenant{NetworkID: 1, MailboxID: 101}
	_, s.APIKey, err = a.Authority.Bootstrap(ctx, authority.User{ID: UserID, Login: Login, Email: Login, FirstName: "John", LastName: "Smith",
		Level: authority.MailboxAdmin, Status: authority.Active, Tenant: place}, Password)
	if err != nil {
		return err
	}
	_, s.AdminAPIKey, err = a.Authority.Bootstrap(ctx, authority.User{ID: AdminID, Login: AdminLogin, Email: AdminLogin, FirstName: "Ada", LastName: "Admin",
		Level: authority.Root, Status: authority.Active, Tenant: place}, AdminPassword)
	return err
}

// Clock is the server's time; it stands still until it is moved.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// Now gives the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock, backwards too.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Package pawltest runs a whole Pawl inside a test: a real server on a real
// port, with a real file beneath.
package pawltest

import (
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
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
	AdminKey string
	Clock    *Clock
	// Close ends the server and its store at once; so does the end of the test.
	Close func()
}

// Option changes a setting of the server.
type Option func(*app.Config)

// WithTokenLife sets the life of a token; whole seconds, 1 h if not given.
func WithTokenLife(d time.Duration) Option {
	return func(c *app.Config) { c.Policy.TokenLife = int64(d / time.Second) }
}

// WithSessionLife sets the life of a session; whole seconds, 30 days if not given.
func WithSessionLife(d time.Duration) Option {
	return func(c *app.Config) { c.Policy.SessionLife = int64(d / time.Second) }
}

// WithPostgres keeps the state in an empty database of PostgreSQL's, such as
// postgres://user@host/database, in the place of a file.
func WithPostgres(dsn string) Option {
	return func(c *app.Config) {
		c.Store = dsn
		c.MasterKey, _ = seal.NewBox(seal.NewKey()) // a key of NewKey's is always one
	}
}

// New starts a server with cheap password hashes and a clock of its own.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	clock := &Clock{now: time.Now().Truncate(time.Second)}
	config := app.Config{Data: t.TempDir(), Clock: clock.Now, Build: "test", Argon2: password.Params{MemoryKiB: 64, Passes: 1}}
	for _, option := range options {
		option(&config)
	}
	a, err := app.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(a.Handler)
	s := &Server{URL: web.URL, Clock: clock}
	s.Close = sync.OnceFunc(func() {
		web.Close()
		if err := a.Close(); err != nil {
			t.Errorf("pawltest: %v", err)
		}
	})
	t.Cleanup(s.Close)
	s.APIKey = user(t, a, Password, authority.User{ID: UserID, Login: Login, Email: Login, FirstName: "John", LastName: "Smith",
		Level: authority.MailboxAdmin, Status: authority.Active, Place: authority.Place{NetworkID: 1, MailboxID: 101}})
	s.AdminKey = user(t, a, AdminPassword, authority.User{ID: AdminID, Login: AdminLogin, Email: AdminLogin, FirstName: "Ada", LastName: "Admin",
		Level: authority.Root, Status: authority.Active, Place: authority.Place{NetworkID: 1, MailboxID: 101}})
	return s
}

func user(t testing.TB, a *app.App, passwd string, u authority.User) string {
	t.Helper()
	_, key, err := a.Authority.Bootstrap(t.Context(), u, passwd)
	if err != nil {
		t.Fatal(err)
	}
	return key
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

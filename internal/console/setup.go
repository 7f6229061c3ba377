package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/clock"
)

// The first start: until the store has an administrator, the console is one page that creates it. The page needs a code
// that only the operator can read, at the terminal of the server. The code is in the memory of this process alone.

const (
	setupLife     = time.Hour
	setupAttempts = 10 // wrong codes, until no code is accepted any more
	setupPoll     = time.Second
)

// setup is the state of the first start.
type setup struct {
	done atomic.Bool // the store has an administrator

	mu    sync.Mutex // guards the fields below
	hash  [sha256.Size]byte
	begun time.Time // when the code was made
	wrong int
	asked time.Time // when the store was asked last
}

// BeginSetup returns a code for the page that creates the first administrator, or "" if the store has one. Each call
// replaces the code of the one before.
func (c *Console) BeginSetup(ctx context.Context) string {
	if !c.NeedsSetup(ctx) {
		return ""
	}
	const groups, size = 4, 5 // 100 bits
	text := rand.Text()[:groups*size]
	s := c.setup
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hash = sha256.Sum256([]byte(text))
	s.begun, s.wrong = c.clock(), 0
	var parts []string
	for i := range groups {
		parts = append(parts, text[i*size:(i+1)*size])
	}
	return strings.Join(parts, "-")
}

// NeedsSetup reports whether the store still has no administrator. It asks the store once a second at most, because
// another node may have created one.
func (c *Console) NeedsSetup(ctx context.Context) bool {
	s := c.setup
	if s == nil || s.done.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.asked) >= setupPoll {
		s.asked = now
		if exists, err := c.authority.HasAdministrator(ctx); err == nil && exists {
			s.done.Store(true)
		}
	}
	return !s.done.Load()
}

var (
	errSetupCode = fault.New(fault.InvalidCredentials, t("error.setup-code"))
	errSetupOver = fault.New(fault.AccessDenied, t("error.setup-over"))
)

// check returns nil for the right code.
func (s *setup) check(code string, now time.Time) error {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	hash := sha256.Sum256([]byte(code))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong >= setupAttempts || clock.Elapsed(s.begun, now) > setupLife {
		return errSetupOver
	}
	if subtle.ConstantTimeCompare(hash[:], s.hash[:]) != 1 {
		s.wrong++
		return errSetupCode
	}
	return nil
}

// setupForm is the data of the page of the first start.
type setupForm struct {
	Code  string
	Login string
	Error string
}

// setupRoute answers a request during the first start, and reports whether it did.
func (c *Console) setupRoute(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case !c.NeedsSetup(r.Context()):
		return false
	case r.URL.Path == "/setup":
		return false // its handlers follow
	case r.Method == http.MethodGet && (r.URL.Path == "/console.css" || r.URL.Path == "/console.js" ||
		r.URL.Path == "/icon.svg"):
		return false
	}
	w.Header().Set("Location", c.base+"/setup")
	w.WriteHeader(http.StatusSeeOther)
	return true
}

func (c *Console) setupPage(ctx context.Context, _ *request) (response, error) {
	if !c.NeedsSetup(ctx) {
		return next("/", ""), nil
	}
	return setupResponse(http.StatusOK, setupForm{}), nil
}

func setupResponse(status int, form setupForm) response {
	return response{page: "setup", title: t("setup.title"), data: form, status: status}
}

// rejectedSetup returns the page of the first start with an error, and how long to wait.
func rejectedSetup(form setupForm, err error) response {
	form.Error = messageOf(err)
	return setupResponse(statusOf(err), form).after(err)
}

// createFirst creates the first administrator, and signs in. The code is used up by that, because the store accepts
// one first administrator only.
func (c *Console) createFirst(ctx context.Context, r *request) (response, error) {
	if !c.NeedsSetup(ctx) {
		return next("/sign-in", "has-admin"), nil
	}
	form := setupForm{Code: r.PostFormValue("code"), Login: r.text("login")}
	password := r.PostFormValue("password")
	if c.overPlainHTTP(r.Request) {
		form.Error = t("signin.plain")
		return setupResponse(http.StatusForbidden, form), nil
	}
	err := c.setup.check(form.Code, c.clock())
	if err == nil && password != r.PostFormValue("again") {
		err = fault.Invalid(t("setup.differ"))
	}
	if err == nil {
		_, err = c.authority.CreateFirstAdministrator(ctx, form.Login, password, origin(r.Request).IP)
	}
	if isMistake(err) {
		return rejectedSetup(form, err), nil
	}
	if err != nil {
		return response{}, err
	}
	c.setup.done.Store(true)
	issued, err := c.authority.Login(ctx, form.Login, password, origin(r.Request))
	if err != nil {
		return next("/sign-in", "set-up"), nil
	}
	result := next("/", "set-up")
	result.cookie = c.setCookie(r.Request, issued)
	return result, nil
}

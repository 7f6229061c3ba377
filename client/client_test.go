package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// newPawl runs a server whose traffic is held against the OpenAPI file.
func newPawl(t *testing.T, options ...pawltest.Option) *pawltest.Server {
	return pawltest.New(t, append(options, pawltest.WithHandler(apicheck.Handler(t)))...)
}

func newClient(t testing.TB, url string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCalls makes each call of the contract against a real server.
func TestCalls(t *testing.T) {
	server := newPawl(t)
	ctx := t.Context()
	admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
	check := func(what string, err error, ok bool) {
		t.Helper()
		if err != nil || !ok {
			t.Fatalf("%s: %v", what, err)
		}
	}
	version, err := server.Client().Version(ctx)
	check("version", err, version.Version == api.Version)
	secret, err := admin.GeneratePassword(ctx, api.GeneratePasswordRequest{Length: new(int64(20))})
	check("generate", err, len(secret) == 20)
	u, err := admin.CreateUser(ctx, api.CreateUserRequest{Login: "ada@x.example", Password: secret, Email: "ada@x.example"})
	check("create", err, u.AuthLevel == "MailboxUser")
	u, err = admin.UpdateUser(ctx, api.UpdateUserRequest{UserID: u.UserID, FirstName: new("Ada")})
	check("update", err, u.FirstName == "Ada")
	u, err = admin.SetRole(ctx, api.RoleRequest{UserID: u.UserID, AuthLevel: "TPUser"})
	check("role", err, u.AuthLevel == "TPUser")
	u, err = admin.SetTenant(ctx, api.TenantRequest{UserID: u.UserID, MailboxID: new(int64(7))})
	check("place", err, u.MailboxID == 7)
	got, err := admin.User(ctx, u.UserID)
	check("user", err, got == u)
	found, err := admin.UsersByName(ctx, "ADA@x.example")
	check("by name", err, len(found) == 1 && found[0] == u)
	check("set password", admin.SetPassword(ctx, u.UserID, "N3w$ecret!"), true)

	token, err := server.Client().Login(ctx, "ada@x.example", "N3w$ecret!")
	check("login", err, token.UserID == u.UserID)
	token, err = server.Client().Refresh(ctx, token.Token)
	check("refresh", err, token.Token != "")
	self := server.Client(client.WithBearer(token.Token))
	me, err := self.Me(ctx)
	check("me", err, me == u)
	info, err := self.Session(ctx)
	check("session", err, info.UserID == u.UserID && *info.ExpiresAt == token.ExpiresAt)
	check("change password", self.ChangePassword(ctx, api.PasswordRequest{CurrentPassword: "N3w$ecret!", NewPassword: secret}), true)
	sessions, err := self.Sessions(ctx, api.SessionsRequest{})
	check("sessions", err, len(sessions) == 1 && sessions[0].Refreshes == 1)
	check("logout", self.Logout(ctx), true)

	token, err = server.Client().Login(ctx, "ada@x.example", secret)
	check("login", err, true)
	sessions, err = admin.Sessions(ctx, api.SessionsRequest{UserID: &u.UserID})
	check("sessions", err, len(sessions) == 1)
	check("end session", self.With(client.WithBearer(token.Token)).EndSession(ctx, sessions[0].SessionID), true)
	check("reset", admin.ResetUser(ctx, u.UserID), true)

	text, err := admin.GenerateAPIKey(ctx, u.UserID)
	check("generate key", err, strings.HasPrefix(text, "pawl_"))
	made, err := admin.CreateAPIKey(ctx, api.CreateAPIKeyRequest{UserID: u.UserID, Visibility: "Shared"})
	check("create key", err, made.Visibility == "Shared")
	keys, err := admin.ListAPIKeys(ctx, api.ListAPIKeysRequest{UserID: u.UserID})
	check("list keys", err, len(keys) == 2)
	primary, err := admin.PrimaryAPIKey(ctx, u.UserID)
	check("primary key", err, primary == keys[0])
	check("delete key", admin.DeleteAPIKey(ctx, made.KeyID), true)
	check("terminate", admin.TerminateUser(ctx, u.UserID), true)
}

func TestAllUsersGoesThroughThePages(t *testing.T) {
	server := newPawl(t)
	admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
	for i := range 5 {
		login := fmt.Sprintf("u%d@x.example", i)
		if _, err := admin.CreateUser(t.Context(), api.CreateUserRequest{Login: login, Password: "N3w$ecret!", Email: login}); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []*int64{nil, new(int64(2)), new(int64(7))} {
		seen := map[string]bool{}
		for u, err := range admin.AllUsers(t.Context(), api.ListUsersRequest{RecordsPerPage: size}) {
			if err != nil || seen[u.Login] {
				t.Fatal(u, err)
			}
			seen[u.Login] = true
		}
		if len(seen) != 7 {
			t.Errorf("%d users, want 7", len(seen))
		}
	}
	for _, err := range admin.AllUsers(t.Context(), api.ListUsersRequest{AuthLevel: "King"}) {
		if !errors.Is(err, client.ErrInvalidParameter) {
			t.Error(err)
		}
	}
}

func TestErrors(t *testing.T) {
	server := newPawl(t)
	ctx := t.Context()
	nobody, admin := server.Client(), server.Client(client.WithAPIKey(server.AdminAPIKey))
	user := server.Client(client.WithAPIKey(server.APIKey))
	_, credentials := nobody.Login(ctx, pawltest.Login, "wrong")
	_, session := nobody.Session(ctx)
	_, key := server.Client(client.WithAPIKey("wrong")).Session(ctx)
	_, duplicate := admin.CreateUser(ctx, api.CreateUserRequest{Login: pawltest.Login, Password: "N3w$ecret!", Email: "x@x.example"})
	_, parameter := nobody.Refresh(ctx, "")
	all := map[error]error{
		client.ErrInvalidCredentials: credentials, client.ErrInvalidSession: session, client.ErrInvalidAPIKey: key,
		client.ErrDuplicateObject: duplicate, client.ErrInvalidParameter: parameter,
		client.ErrAccessDenied: user.SetPassword(ctx, pawltest.AdminID, "N3w$ecret!"), client.ErrObjectNotFound: admin.DeleteAPIKey(ctx, 999),
	}
	for want, got := range all {
		for other := range all {
			if errors.Is(got, other) != (want == other) {
				t.Errorf("%v is %v: %t", got, other, want != other)
			}
		}
		if e, ok := errors.AsType[*client.Error](got); !ok || e.Status < 400 || e.RequestID == "" || e.Message == "" {
			t.Errorf("%#v says too little", got)
		}
	}
}

// TestNotPawl calls what is no Pawl.
func TestNotPawl(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect/v2/users/me":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case "/elsewhere":
			t.Error("a redirect was followed")
		case "/json/v2/users/me":
			_, _ = io.WriteString(w, `{}`)
		default:
			_, _ = io.WriteString(w, "<html>")
		}
	}))
	defer web.Close()
	for _, url := range []string{web.URL, web.URL + "/redirect", web.URL + "/json"} {
		if _, err := newClient(t, url).Me(t.Context()); err == nil || !strings.Contains(err.Error(), "is the address right? (") || strings.Contains(err.Error(), "(,") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestNewRejectsBadAddresses checks the error of New for each kind of bad address, and that no error repeats a password.
func TestNewRejectsBadAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"":                                  "does not begin with http",
		"/pawl":                             "does not begin with http",
		"127.0.0.1":                         "does not begin with http",
		"127.0.0.1:8080":                    "is not a URL",
		"localhost:8080":                    "does not begin with http",
		"//127.0.0.1:8080":                  "does not begin with http",
		"ftp://127.0.0.1":                   "does not begin with http",
		"unix:///run/pawl":                  "does not begin with http",
		"http:127.0.0.1":                    "has no host",
		"http:///pawl":                      "has no host",
		"http://127.0.0.1:port":             "is not a URL",
		"http://127.0.0.1:8080 ":            "is not a URL",
		"http://s3cret@127.0.0.1:8080":      "has a user name",
		"http://user:s3cret@127.0.0.1:8080": "has a user name",
		"http://user:s3cret@127.0.0.1:port": "is not a URL",
		"http://127.0.0.1:8080?key=s3cret":  "has a query",
		"http://127.0.0.1:8080/?":           "has a query",
		"http://127.0.0.1:8080/#s3cret":     "has a fragment",
		"http://127.0.0.1:8080/#":           "has a fragment",
	} {
		c, err := client.New(address)
		if c != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v, want an error with %q", address, err, want)
		}
	}
	for _, address := range []string{"http://127.0.0.1:8080", "HTTPS://example.com/", "https://[::1]/a/path//"} {
		if _, err := client.New(address); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// lossy stands before a Pawl and drops the answers that it is told to: the
// request is carried out, and its client hears nothing.
type lossy struct {
	*pawltest.Server
	client *client.Client // calls through the proxy

	mu   sync.Mutex // guards what follows
	drop int        // answers to drop
	seen []*http.Request
}

func newLossy(t *testing.T, options ...pawltest.Option) *lossy {
	l := &lossy{Server: newPawl(t, options...)}
	web := httptest.NewServer(l)
	t.Cleanup(web.Close)
	web.Config.SetKeepAlivesEnabled(false) // net/http tries again by itself where a kept connection breaks
	l.client = newClient(t, web.URL)
	return l
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, l.URL+r.URL.Path, r.Body)
	if err != nil {
		panic(err)
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	l.mu.Lock()
	l.seen = append(l.seen, r)
	dropped := l.drop > 0
	l.drop--
	l.mu.Unlock()
	if dropped {
		panic(http.ErrAbortHandler) // closes the connection
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// lose drops the next n answers, and forgets what was seen.
func (l *lossy) lose(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop, l.seen = n, nil
}

// requests tells what has come since lose.
func (l *lossy) requests() []*http.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

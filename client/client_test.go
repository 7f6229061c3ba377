package client_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// calls checks calls of the contract, one after the other.
type calls struct{ *testing.T }

// check stops the test if a call failed, or if its response is not as expected.
func (c calls) check(call string, err error, expected bool) {
	c.Helper()
	if err != nil || !expected {
		c.Fatalf("%s: error %v, response as expected: %t", call, err, expected)
	}
}

// createUser creates a user as the administrator.
func createUser(t *testing.T, admin *client.Client, login, password string) api.User {
	t.Helper()
	u, err := admin.CreateUser(t.Context(), api.CreateUserRequest{Login: login, Password: password, Email: login})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestUserCalls makes each call about users against a real server.
func TestUserCalls(t *testing.T) {
	server, c := newPawl(t), calls{t}
	ctx := t.Context()
	admin := newClient(t, server.URL+"/", client.WithAPIKey(server.AdminAPIKey)) // a slash at the end is permitted
	password, err := admin.GeneratePassword(ctx, api.GeneratePasswordRequest{Length: new(int64(20))})
	c.check("GeneratePassword", err, len(password) == 20)
	u := createUser(t, admin, "ada@x.example", password)
	c.check("CreateUser", nil, u.AuthLevel == api.LevelMailboxUser)
	u, err = admin.UpdateUser(ctx, api.UpdateUserRequest{UserID: u.UserID, FirstName: new("Ada")})
	c.check("UpdateUser", err, u.FirstName == "Ada")
	u, err = admin.SetRole(ctx, api.RoleRequest{UserID: u.UserID, AuthLevel: api.LevelTPUser})
	c.check("SetRole", err, u.AuthLevel == api.LevelTPUser)
	u, err = admin.SetTenant(ctx, api.TenantRequest{UserID: u.UserID, MailboxID: new(int64(7))})
	c.check("SetTenant", err, u.MailboxID == 7)
	got, err := admin.User(ctx, u.UserID)
	c.check("User", err, got == u)
	found, err := admin.UsersByName(ctx, "ADA@x.example")
	c.check("UsersByName", err, len(found) == 1 && found[0] == u)
	c.check("SetPassword", admin.SetPassword(ctx, newPassword(u.UserID)), true)
	token, err := server.Client().Login(ctx, "ada@x.example", "N3w$ecret!")
	c.check("Login", err, token.UserID == u.UserID)
	me, err := server.Client(client.WithBearer(token.Token)).Me(ctx)
	c.check("Me", err, me == u)
	c.check("ResetUser", admin.ResetUser(ctx, u.UserID), true)
	c.check("TerminateUser", admin.TerminateUser(ctx, u.UserID), true)
}

// TestSessionCalls makes each call about sessions against a real server.
func TestSessionCalls(t *testing.T) {
	server, c := newPawl(t), calls{t}
	ctx := t.Context()
	admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
	version, err := server.Client().Version(ctx)
	c.check("Version", err, version.Version == api.Version)
	u := createUser(t, admin, "ada@x.example", "Old$ecret1!")
	token, err := server.Client().Login(ctx, "ada@x.example", "Old$ecret1!")
	c.check("Login", err, token.UserID == u.UserID)
	token, err = server.Client().Refresh(ctx, token.Token)
	c.check("Refresh", err, token.Token != "")
	self := server.Client(client.WithBearer(token.Token))
	info, err := self.Session(ctx)
	c.check("Session", err, info.UserID == u.UserID && *info.ExpiresAt == token.ExpiresAt)
	change := api.PasswordRequest{CurrentPassword: "Old$ecret1!", NewPassword: "N3w$ecret!"}
	c.check("ChangePassword", self.ChangePassword(ctx, change), true)
	sessions, err := self.Sessions(ctx, api.SessionsRequest{})
	c.check("Sessions", err, len(sessions) == 1 && sessions[0].Refreshes == 1)
	c.check("Logout", self.Logout(ctx), true)
	token, err = server.Client().Login(ctx, "ada@x.example", "N3w$ecret!")
	c.check("Login with the new password", err, true)
	sessions, err = admin.Sessions(ctx, api.SessionsRequest{UserID: &u.UserID})
	c.check("Sessions of another user", err, len(sessions) == 1)
	all := 0
	for s, err := range admin.AllSessions(ctx, api.SessionsRequest{All: true, RecordsPerPage: new(int64(1))}) {
		c.check("AllSessions", err, s.UserID == u.UserID)
		all++
	}
	c.check("AllSessions, the number", nil, all == 1)
	c.check("EndSession", self.With(client.WithBearer(token.Token)).EndSession(ctx, sessions[0].SessionID), true)
	_, err = server.Client().Login(ctx, "ada@x.example", "N3w$ecret!")
	c.check("Login again", err, true)
	token, err = server.Client().Login(ctx, "ada@x.example", "N3w$ecret!")
	c.check("Login again", err, true)
	self = self.With(client.WithBearer(token.Token))
	ended, err := self.EndOwnSessions(ctx, true)
	c.check("EndOwnSessions", err, ended == 1)
	c.check("ResetMe", self.ResetMe(ctx), true)
	_, err = self.Session(ctx)
	c.check("Session after ResetMe", nil, errors.Is(err, client.ErrInvalidSession))
}

// TestAPIKeyCalls makes each call about API keys against a real server.
func TestAPIKeyCalls(t *testing.T) {
	server, c := newPawl(t), calls{t}
	ctx := t.Context()
	admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
	u := createUser(t, admin, "ada@x.example", "N3w$ecret!")
	text, err := admin.GenerateAPIKey(ctx, u.UserID)
	c.check("GenerateAPIKey", err, strings.HasPrefix(text, "pawl_"))
	created, err := admin.CreateAPIKey(ctx, api.CreateAPIKeyRequest{UserID: u.UserID, Visibility: api.VisibilityShared})
	c.check("CreateAPIKey", err, created.Visibility == api.VisibilityShared)
	keys, err := admin.ListAPIKeys(ctx, api.ListAPIKeysRequest{UserID: u.UserID})
	c.check("ListAPIKeys", err, len(keys) == 2)
	primary, err := admin.PrimaryAPIKey(ctx, u.UserID)
	c.check("PrimaryAPIKey", err, primary == keys[0])
	c.check("DeleteAPIKey", admin.DeleteAPIKey(ctx, created.KeyID), true)
}

// TestAllEvents checks that AllEvents returns every event once and in order, for several sizes of a page, and stops
// after an error.
func TestAllEvents(t *testing.T) {
	server := newPawl(t)
	admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
	for range 3 {
		if _, err := admin.Login(t.Context(), pawltest.Login, pawltest.Password); err != nil {
			t.Fatal(err)
		}
	}
	want, err := admin.Audit(t.Context(), api.AuditRequest{RecordsPerPage: 500})
	if err != nil || len(want) < 7 {
		t.Fatalf("%d events, %v", len(want), err)
	}
	slices.Reverse(want)
	for size := range int64(9) {
		for skipped := range 3 {
			request := api.AuditRequest{RecordsPerPage: size}
			if skipped > 0 {
				request.After = &want[skipped-1].EventID
			}
			var got []api.Event
			for e, err := range admin.AllEvents(t.Context(), request) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
			}
			if !reflect.DeepEqual(got, want[skipped:]) {
				t.Errorf("pages of %d, %d skipped: %+v, want %+v", size, skipped, got, want[skipped:])
			}
		}
	}
	n := 0
	for _, err := range admin.AllEvents(t.Context(), api.AuditRequest{Kind: "nothing"}) {
		n++
		if !errors.Is(err, client.ErrInvalidParameter) {
			t.Errorf("an unknown kind: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("the iteration continued %d times after an error", n-1)
	}
}

// TestAllUsers checks that AllUsers returns every user once, for several sizes of a page, and stops after an error.
func TestAllUsers(t *testing.T) {
	server := newPawl(t)
	admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
	for i := range 5 {
		createUser(t, admin, fmt.Sprintf("u%d@x.example", i), "N3w$ecret!")
	}
	for _, size := range []*int64{nil, new(int64(2)), new(int64(7))} {
		seen := map[string]bool{}
		for u, err := range admin.AllUsers(t.Context(), api.ListUsersRequest{RecordsPerPage: size}) {
			if err != nil || seen[u.Login] {
				t.Fatalf("user %q, seen before: %t, error %v", u.Login, seen[u.Login], err)
			}
			seen[u.Login] = true
		}
		if len(seen) != 7 {
			t.Errorf("%d users, want 7", len(seen))
		}
	}
	errs := 0
	for _, err := range admin.AllUsers(t.Context(), api.ListUsersRequest{AuthLevel: "King"}) {
		errs++
		if !errors.Is(err, client.ErrInvalidParameter) {
			t.Errorf("error %v, want ErrInvalidParameter", err)
		}
	}
	if errs != 1 {
		t.Errorf("%d errors, want 1", errs)
	}
}

// TestUserAgent checks the User-Agent stored with a session.
func TestUserAgent(t *testing.T) {
	server := newPawl(t)
	token, err := server.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := server.Client(client.WithBearer(token.Token)).Sessions(t.Context(), api.SessionsRequest{})
	if err != nil || len(sessions) != 1 {
		t.Fatalf("sessions %+v, %v, want one", sessions, err)
	}
	if agent := sessions[0].UserAgent; !regexp.MustCompile(`^pawl-go/[^ /()]+$`).MatchString(agent) {
		t.Errorf("User-Agent %q, want pawl-go with a version", agent)
	}
}

// TestErrors provokes errors and checks that each one matches its own Err variable and no other.
func TestErrors(t *testing.T) {
	server := newPawl(t)
	ctx := t.Context()
	anonymous, user := server.Client(), server.Client(client.WithAPIKey(server.APIKey))
	admin := server.Client(client.WithAPIKey(server.AdminAPIKey))
	_, credentials := anonymous.Login(ctx, pawltest.Login, "wrong")
	_, session := anonymous.Session(ctx)
	_, apiKey := server.Client(client.WithAPIKey("wrong")).Session(ctx)
	taken := api.CreateUserRequest{Login: pawltest.Login, Password: "N3w$ecret!", Email: "x@x.example"}
	_, duplicate := admin.CreateUser(ctx, taken)
	_, parameter := anonymous.Refresh(ctx, "")
	all := map[error]error{
		client.ErrInvalidCredentials: credentials,
		client.ErrInvalidSession:     session,
		client.ErrInvalidAPIKey:      apiKey,
		client.ErrDuplicateObject:    duplicate,
		client.ErrInvalidParameter:   parameter,
		client.ErrAccessDenied:       user.SetPassword(ctx, newPassword(pawltest.AdminID)),
		client.ErrObjectNotFound:     admin.DeleteAPIKey(ctx, 999),
	}
	for want, got := range all {
		for other := range all {
			if errors.Is(got, other) != (want == other) {
				t.Errorf("%v matches %v: %t", got, other, want != other)
			}
		}
		e, ok := errors.AsType[*client.Error](got)
		if !ok || e.Status < 400 || e.RequestID == "" || e.Message == "" {
			t.Errorf("%#v lacks a status, a request id or a message", got)
		}
	}
}

// TestNotPawl calls servers other than Pawl.
func TestNotPawl(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect/v2/users/me":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case "/elsewhere":
			t.Error("the client followed a redirect")
		case "/json/v2/users/me":
			_, _ = io.WriteString(w, `{}`)
		default:
			_, _ = io.WriteString(w, "<html>")
		}
	})
	for _, address := range []string{url, url + "/redirect", url + "/json"} {
		_, err := newClient(t, address).Me(t.Context())
		if err == nil || !strings.Contains(err.Error(), "is the address right? (") {
			t.Errorf("%s: error %v, want a question about the address with the status", address, err)
		} else if strings.Contains(err.Error(), "(,") {
			t.Errorf("%s: error %v has an empty code", address, err)
		}
	}
}

// TestUntrustedCertificate calls a server with an unknown certificate. The error names the remedy, and comes without
// another attempt.
func TestUntrustedCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	var handshakes atomic.Int64
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			handshakes.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(t.Context())
	const want = "trust the authority of the certificate"
	if err == nil || !strings.Contains(err.Error(), want) || handshakes.Load() != 1 {
		t.Errorf("%d attempts: %v", handshakes.Load(), err)
	}
}

// TestNewRejectsBadAddresses checks the error of New for each kind of bad address, and that none repeats a password.
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
		if c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", address, err, want)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: error %v repeats a secret", address, err)
		}
	}
	for _, address := range []string{"http://127.0.0.1:8080", "HTTPS://example.com/", "https://[::1]/a/path//"} {
		if _, err := client.New(address); err != nil {
			t.Errorf("%q: error %v", address, err)
		}
	}
}

// newPassword returns a request for a new password of a user.
func newPassword(userID int64) api.SetPasswordRequest {
	return api.SetPasswordRequest{UserID: userID, NewPassword: "N3w$ecret!"}
}

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"golang.org/x/oauth2"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// startPawl runs a server for an example. A real program has the address of its server.
func startPawl(options ...pawltest.Option) (server *pawltest.Server, stop func()) {
	dir, err := os.MkdirTemp("", "pawl")
	if err != nil {
		panic(err)
	}
	server = pawltest.Start(dir, options...)
	return server, func() { server.Close(); _ = os.RemoveAll(dir) }
}

// Sign in and exchange the token. The exchange supersedes the first token.
func ExampleClient() {
	server, stop := startPawl()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c, err := client.New(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	old, err := c.Login(ctx, "jsmith@example.com", "Sup3r$ecret!")
	if err != nil {
		fmt.Println(err)
		return
	}
	fresh, err := c.Refresh(ctx, old.Token)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.With(client.WithBearer(old.Token)).Session(ctx)
	fmt.Println("superseded:", errors.Is(err, client.ErrInvalidSession))
	caller, err := c.With(client.WithBearer(fresh.Token)).Session(ctx)
	fmt.Println(caller.Login, err)
	// Output:
	// superseded: true
	// jsmith@example.com <nil>
}

// The program of an administrator uses an API key.
func ExampleWithAPIKey() {
	server, stop := startPawl()
	defer stop()
	ctx := context.Background()

	admin, err := client.New(server.URL, client.WithAPIKey(server.AdminAPIKey))
	if err != nil {
		fmt.Println(err)
		return
	}
	ada := api.CreateUserRequest{Login: "ada@example.com", Password: "C0rrect$horse", Email: "ada@example.com"}
	_, err = admin.CreateUser(ctx, ada)
	if err != nil {
		fmt.Println(err)
		return
	}
	for user, err := range admin.AllUsers(ctx, api.ListUsersRequest{}) {
		fmt.Println(user.Login, user.AuthLevel, err)
	}
	// Output:
	// jsmith@example.com MailboxAdmin <nil>
	// admin@example.com Root <nil>
	// ada@example.com MailboxUser <nil>
}

// A long-running program stores its token, and signs in only if it has none or its session has ended. For requests, see
// the example of Transport.
func ExampleTokenSource() {
	server, stop := startPawl()
	defer stop()

	c, err := client.New(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	source := client.NewTokenSource(c, client.TokenConfig{
		Login: "jsmith@example.com", Password: "Sup3r$ecret!",
		OnRefresh: func(t api.Token) error {
			fmt.Println("stored before use")
			return nil // a real program writes t to a file of mode 0600
		},
	})
	token, err := source.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ oauth2.TokenSource = source
	fmt.Println(token.Type(), token.Valid())
	// Output:
	// stored before use
	// Bearer true
}

// Requests to any server carry the token, also after its renewal. An oauth2.Transport works too.
func ExampleTransport() {
	server, stop := startPawl()
	defer stop()

	c, err := client.New(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	source := client.NewTokenSource(c, client.TokenConfig{Login: "jsmith@example.com", Password: "Sup3r$ecret!"})
	h := &http.Client{Transport: &client.Transport{Source: source}, Timeout: 10 * time.Second}
	resp, err := h.Get(server.URL + "/v2/users/me")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	library := &http.Client{Transport: &oauth2.Transport{Source: source}, Timeout: 10 * time.Second}
	resp, err = library.Get(server.URL + "/v2/users/me")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 200 OK
	// 200 OK
}

// A backend with a sign-in of its own opens a session for a user that it has authenticated. If Pawl has no such user
// yet, the user is created in the same step.
func ExampleClient_OpenSession() {
	server, stop := startPawl()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	backend, err := client.New(server.URL, client.WithAPIKey(server.APIKey)) // better: a key of api.ScopeOpenSessions
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := backend.OpenSession(ctx, api.OpenSessionRequest{
		ExternalID: "shop-17", User: &api.CreateUserRequest{Login: "ada@shop.example"},
		Device: "phone", Claims: json.RawMessage(`{"plan":"gold"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	anyone, err := client.New(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	caller, err := anyone.With(client.WithBearer(token.Token)).Session(ctx)
	fmt.Println(caller.Login, err)
	// Output:
	// ada@shop.example <nil>
}

// A server asks Pawl for the caller of each request.
func ExampleMiddleware() {
	pawl, stop := startPawl()
	defer stop()

	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := client.CallerFrom(r.Context())
		fmt.Fprintln(w, "Hello,", caller.Login)
	})
	c, err := client.New(pawl.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	check := client.Middleware(c, client.MiddlewareConfig{CacheFor: 5 * time.Second})
	server := httptest.NewServer(check(hello))
	defer server.Close()

	token, err := c.Login(context.Background(), "jsmith@example.com", "Sup3r$ecret!")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, bearer := range []string{token.Token, "forged"} {
		req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		req.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Printf("%s %.5s\n", resp.Status, text)
	}
	// Output:
	// 200 OK Hello
	// 401 Unauthorized {"suc
}

// A server verifies tokens without asking Pawl. A superseded token then passes until its exp. For HTTP handlers, use
// Middleware with MiddlewareConfig{JWKS: keys}.
func ExampleJWKS() {
	pawl, stop := startPawl(pawltest.WithAlgorithm("ES256"))
	defer stop()
	ctx := context.Background()

	c, err := client.New(pawl.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys := client.NewJWKS(c, client.JWKSConfig{})
	if err := keys.Fetch(ctx); err != nil { // reports a wrong address
		fmt.Println(err)
		return
	}
	old, err := c.Login(ctx, "jsmith@example.com", "Sup3r$ecret!")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Refresh(ctx, old.Token); err != nil {
		fmt.Println(err)
		return
	}
	caller, err := keys.Verify(ctx, old.Token)
	fmt.Println(caller.UserID, caller.AuthLevel, err)
	_, err = keys.Verify(ctx, "forged")
	fmt.Println(errors.Is(err, client.ErrInvalidSession))
	// Output:
	// 4821 MailboxAdmin <nil>
	// true
}

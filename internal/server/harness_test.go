package server_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// postgresVariable has the address of a PostgreSQL server for the state of all servers of these tests. If it is empty,
// each server has a SQLite file.
const postgresVariable = "PAWL_TEST_POSTGRES"

var update = flag.Bool("update", false, "rewrite the golden files")

// browser sends requests to one server.
type browser struct {
	testing.TB
	*pawltest.Server
}

// start runs a server, and checks its requests and responses against openapi.yaml.
func start(t testing.TB, options ...pawltest.Option) *browser {
	options = append([]pawltest.Option{pawltest.WithConfig(runFeedClock)}, options...)
	if addr := os.Getenv(postgresVariable); addr != "" {
		options = append(options, pawltest.WithPostgres(newDatabase(t, addr)))
	}
	return &browser{t, pawltest.New(t, append(options, pawltest.WithHandler(apicheck.Handler(t)))...)}
}

// send sends a request with headers in the form "Name: value", and returns the response and its body.
func (b *browser) send(method, path, body string, headers ...string) (*http.Response, string) {
	b.Helper()
	req, err := http.NewRequest(method, b.URL+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		return resp, "" // it has no end
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp, string(text)
}

// expect sends a request, checks the status and the error code, and returns the token of the response.
func (b *browser) expect(status int, code api.ErrorCode, method, path, body string, headers ...string) string {
	b.Helper()
	resp, text := b.send(method, path, body, headers...)
	var envelope api.Envelope[json.RawMessage]
	if err := json.Unmarshal([]byte(text), &envelope); err != nil {
		b.Fatalf("%s %s: %q is not an envelope: %v", method, path, text, err)
	}
	if resp.StatusCode != status || envelope.ErrorCode != code || envelope.Success != (code == "") {
		b.Fatalf("%s %s %s: %d %s, want %d %q", method, path, body, resp.StatusCode, text, status, code)
	}
	var data struct{ Token string }
	_ = json.Unmarshal(envelope.Data, &data)
	return data.Token
}

// data sends a request and decodes the data of its successful response.
func data[T any](b *browser, method, path, body string, headers ...string) T {
	b.Helper()
	resp, text := b.send(method, path, body, headers...)
	var envelope api.Envelope[T]
	if err := json.Unmarshal([]byte(text), &envelope); err != nil || resp.StatusCode != 200 {
		b.Fatalf("%s %s %s: %d %s, %v", method, path, body, resp.StatusCode, text, err)
	}
	return envelope.Data
}

// login signs in the user and returns the token.
func (b *browser) login() string {
	b.Helper()
	return b.expect(200, "", "POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password))
}

// refresh checks the status of a refresh and returns the new token.
func (b *browser) refresh(status int, token string, headers ...string) string {
	b.Helper()
	return b.expect(status, invalidSession(status), "POST", "/v2/auth/refresh", tokenBody(token), headers...)
}

// session checks the status of a session call with a token.
func (b *browser) session(status int, token string) {
	b.Helper()
	b.expect(status, invalidSession(status), "POST", "/v2/auth/session", "", bearer(token))
}

// admin returns the header with the administrator's API key.
func (b *browser) admin() string { return apiKey(b.AdminAPIKey) }

// addUser creates a user with a password, and returns an API key and a token of that user.
func (b *browser) addUser(login, level string, network, mailbox int) (key, token string) {
	b.Helper()
	user := data[api.User](b, "POST", "/v2/users", fmt.Sprintf(
		`{"login":%q,"email":%q,"password":%q,"authLevel":%q,"networkId":%d,"mailboxId":%d}`,
		login, login, pawltest.Password, level, network, mailbox), b.admin())
	key = data[string](b, "POST", fmt.Sprintf("/v2/users/key-generate/%d", user.UserID), "", b.admin())
	return key, b.expect(200, "", "POST", "/v2/auth/login", credentials(login, pawltest.Password))
}

func invalidSession(status int) api.ErrorCode {
	if status == 401 {
		return api.CodeInvalidSession
	}
	return ""
}

func bearer(token string) string    { return "Authorization: Bearer " + token }
func apiKey(key string) string      { return "X-API-Key: " + key }
func tokenBody(token string) string { return fmt.Sprintf(`{"token":%q}`, token) }

func credentials(login, password string) string {
	return fmt.Sprintf(`{"login":%q,"password":%q}`, login, password)
}

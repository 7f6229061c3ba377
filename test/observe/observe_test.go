//go:build linux

// Package observe_test runs the real binary, and checks its metrics and traces and the alerts and the dashboard that
// use them.
package observe_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// The user and the trace of the tests. No number of a scrape equals userID by chance.
const (
	userID   = 482137715
	login    = "observed@example.com"
	passwd   = "Obs3rv$ed!"
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
)

// observed is a server with one user, and the secrets that must never appear in metrics or traces.
type observed struct {
	*testbin.Server
	secrets []string
}

// start creates the user in an empty store, and starts the binary on the store. The store is in a folder, or in
// PostgreSQL if dsn is set.
func start(t *testing.T, dsn string, env ...string) *observed {
	t.Helper()
	data, master := filepath.Join(t.TempDir(), "data"), seal.NewKey()
	box, err := seal.NewBox(master)
	if err != nil {
		t.Fatal(err)
	}
	address, err := app.ParseStoreAddress(dsn)
	if err != nil {
		t.Fatal(err)
	}
	address.Folder = data
	cheap := password.Params{MemoryKiB: 64, Passes: 1}
	a, err := app.Open(t.Context(), app.Config{Store: address, MasterKey: box, Argon2: cheap})
	if err != nil {
		t.Fatal(err)
	}
	user := authority.User{ID: userID, Login: login, Email: login, Level: authority.Root, Status: authority.Active}
	_, key, err := a.Authority.Bootstrap(t.Context(), user, passwd)
	if err := errors.Join(err, a.Close()); err != nil {
		t.Fatal(err)
	}
	env = append(env, "PAWL_STORE="+dsn, "PAWL_MASTER_KEY="+master)
	server := testbin.StartServe(t, testbin.Build(t), env, "--data", data, "--metrics-addr", "127.0.0.1:0",
		"--password-memory", "64", "--password-passes", "1")
	return &observed{server, []string{key, login, passwd, master, "482137715"}}
}

// traffic sends a valid and an invalid login, a refresh, a replay, a race, an invalid refresh, and requests without a
// route. All of them belong to the trace traceID.
func (s *observed) traffic(t *testing.T) {
	t.Helper()
	token := s.token(t, "/v2/auth/login", map[string]string{"login": login, "password": passwd}, "")
	wrong := map[string]string{"login": login, "password": "wrong-" + passwd}
	s.call(t, "POST", "/v2/auth/login", wrong, "", http.StatusUnauthorized)
	next := s.token(t, "/v2/auth/refresh", map[string]string{"token": token}, "again")
	replayed := s.token(t, "/v2/auth/refresh", map[string]string{"token": token}, "again")
	if next != replayed {
		t.Error("the retry returns another token")
	}
	s.call(t, "POST", "/v2/auth/refresh", map[string]string{"token": token}, "", http.StatusUnauthorized) // a race
	s.call(t, "POST", "/v2/auth/refresh", map[string]string{"token": token + "x"}, "", http.StatusUnauthorized)
	s.call(t, "GET", "/v2/users/482137715", nil, "", http.StatusUnauthorized)
	s.call(t, "GET", "/v2/"+login, nil, "", http.StatusNotFound)
	s.call(t, "BREW", "/v2/auth/refresh", nil, "", http.StatusMethodNotAllowed)
	s.call(t, "GET", "/healthz", nil, "", http.StatusOK)
	if _, err := testbin.Client(t, s.URL, client.WithBearer(next)).Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := testbin.Client(t, s.URL, client.WithAPIKey(s.secrets[0])).Session(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *observed) token(t *testing.T, path string, body map[string]string, idempotencyKey string) string {
	t.Helper()
	var answer struct{ Data struct{ Token string } }
	text := s.call(t, "POST", path, body, idempotencyKey, http.StatusOK)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	s.secrets = append(s.secrets, answer.Data.Token, strings.Split(answer.Data.Token, ".")[2])
	return answer.Data.Token
}

func (s *observed) call(
	t *testing.T, method, path string, body map[string]string, idempotencyKey string, want int,
) string {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", idempotencyKey)
	r.Header.Set("Traceparent", "00-"+traceID+"-"+parentID+"-01")
	r.Header.Set("Tracestate", "vendor="+s.secrets[0]) // by mistake
	return do(t, r, want)
}

func do(t *testing.T, r *http.Request, want int) string {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("%s %s: %d %s %v, want %d", r.Method, r.URL.Path, answer.StatusCode, text, err, want)
	}
	return string(text)
}

func (s *observed) scrape(t *testing.T) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.Metrics, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r, http.StatusOK)
}

// checkNoSecrets fails the test if a text contains a secret.
func (s *observed) checkNoSecrets(t *testing.T, where, text string) {
	t.Helper()
	for i, secret := range s.secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s contains secret %d, %.8s…", where, i, secret)
		}
	}
}

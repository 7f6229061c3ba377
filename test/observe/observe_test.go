//go:build linux

// Package observe_test runs the real binary and looks at what it says of
// itself: metrics, traces, and the alerts and the dashboard that use them.
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

// Who the tests are; an id that no number of a scrape has by chance.
const (
	userID   = 482137715
	login    = "observed@example.com"
	passwd   = "Obs3rv$ed!"
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
)

// seen is a server with one user, and what must never be seen of them.
type seen struct {
	*testbin.Server
	secrets []string
}

// start makes the user in an empty store, and starts the binary on it. The
// store is in a folder, or the DSN of PostgreSQL.
func start(t *testing.T, dsn string, env ...string) *seen {
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
	a, err := app.Open(t.Context(), app.Config{Store: address, MasterKey: box, Argon2: password.Params{MemoryKiB: 64, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := a.Authority.Bootstrap(t.Context(), authority.User{ID: userID, Login: login, Email: login, Level: authority.Root, Status: authority.Active}, passwd)
	if err := errors.Join(err, a.Close()); err != nil {
		t.Fatal(err)
	}
	env = append(env, "PAWL_STORE="+dsn, "PAWL_MASTER_KEY="+master)
	server := testbin.StartServe(t, testbin.Build(t), env, "--data", data, "--metrics-addr", "127.0.0.1:0", "--password-memory", "64", "--password-passes", "1")
	return &seen{server, []string{key, login, passwd, master, "482137715"}}
}

// traffic is a login, a wrong one, a refresh, the same again in three ways, and
// requests that no route has. All requests are of the trace above.
func (s *seen) traffic(t *testing.T) {
	t.Helper()
	token := s.token(t, "/v2/auth/login", map[string]string{"login": login, "password": passwd}, "")
	s.call(t, "POST", "/v2/auth/login", map[string]string{"login": login, "password": "wrong-" + passwd}, "", http.StatusUnauthorized)
	next := s.token(t, "/v2/auth/refresh", map[string]string{"token": token}, "again")
	replayed := s.token(t, "/v2/auth/refresh", map[string]string{"token": token}, "again")
	if next != replayed {
		t.Error("the retry gave another token")
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

func (s *seen) token(t *testing.T, path string, body map[string]string, retry string) string {
	t.Helper()
	var answer struct{ Data struct{ Token string } }
	text := s.call(t, "POST", path, body, retry, http.StatusOK)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	s.secrets = append(s.secrets, answer.Data.Token, strings.Split(answer.Data.Token, ".")[2])
	return answer.Data.Token
}

func (s *seen) call(t *testing.T, method, path string, body map[string]string, retry string, want int) string {
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
	r.Header.Set("Idempotency-Key", retry)
	r.Header.Set("Traceparent", "00-"+traceID+"-"+parentID+"-01")
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

func (s *seen) scrape(t *testing.T) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.Metrics, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r, http.StatusOK)
}

// noSecrets fails if the text has one of them.
func (s *seen) noSecrets(t *testing.T, where, text string) {
	t.Helper()
	for i, secret := range s.secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s has secret %d, %.8s…", where, i, secret)
		}
	}
}
